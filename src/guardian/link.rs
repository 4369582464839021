//! One end of a socketpair between two processes of a node: the guardian's to its supervisor, and both of the one to a
//! command's keeper. Nothing here blocks: a frozen supervisor that does not read must not keep the guardian from killing at the
//! deadline, so what the socket does not take waits in a buffer.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frames::{Frames, encode};

/// Unread messages, in bytes, above which the other side counts as gone. A probe's report every 2 s fills it in days.
const UNREAD_LIMIT: usize = 4 << 20;
/// Above this, what [`Link::send_if_read`] sends is dropped: room is left for what matters.
const CHATTER_LIMIT: usize = 1 << 20;

/// A connection on which `Said` is sent and `Heard` received.
pub struct Link<Said, Heard> {
    /// `None` once the other side is gone.
    stream: Option<UnixStream>,
    received: Frames,
    unsent: Vec<u8>,
    messages: PhantomData<fn(Said) -> Heard>,
}

/// Why there is nobody to talk to any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone(pub String);

impl<Said: Serialize, Heard: DeserializeOwned> Link<Said, Heard> {
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Some(stream), received: Frames::default(), unsent: Vec::new(), messages: PhantomData })
    }

    /// The descriptor to poll, and whether something waits to be sent.
    pub fn pollable(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.stream.as_ref().map(|stream| (stream.as_fd(), !self.unsent.is_empty()))
    }

    /// As [`Link::send`], for what may as well be lost. False if it was.
    pub fn send_if_read(&mut self, message: &Said) -> bool {
        let room = self.unsent.len() <= CHATTER_LIMIT;
        if room {
            self.send(message);
        }
        room
    }

    /// Queues a message for the next [`Link::flush`].
    pub fn send(&mut self, message: &Said) {
        if self.stream.is_none() {
            return;
        }
        match encode(message) {
            Ok(frame) if self.unsent.len() + frame.len() <= UNREAD_LIMIT => self.unsent.extend_from_slice(&frame),
            Ok(_) | Err(_) => self.close(),
        }
    }

    /// Sends what the socket takes at the moment. Loss of the other side shows at the next [`Link::receive`].
    pub fn flush(&mut self) {
        while let Some(stream) = &mut self.stream
            && !self.unsent.is_empty()
        {
            match stream.write(&self.unsent) {
                Ok(count) => {
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Anything but a full socket shows as end of file or error when reading.
                Err(_) => return,
            }
        }
    }

    /// What has come. After an error, [`Link::close`] it: there is nothing more to be read.
    pub fn receive(&mut self) -> Result<Vec<Heard>, (Vec<Heard>, Gone)> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        let reason = loop {
            let Some(stream) = &mut self.stream else { break "the connection is closed".to_owned() };
            match stream.read(&mut buffer) {
                Ok(0) => break "the other side is gone".to_owned(),
                Ok(count) => self.received.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                Err(error) => break format!("the connection failed: {error}"),
            }
            loop {
                match self.received.take() {
                    Ok(Some(message)) => heard.push(message),
                    Ok(None) => break,
                    Err(error) => {
                        return Err((heard, Gone(format!("what the other side sent is no message: {error}"))));
                    }
                }
            }
        };
        Err((heard, Gone(reason)))
    }

    /// Hangs up: the other side sees the end of file.
    pub fn close(&mut self) {
        self.stream = None;
        self.unsent.clear();
    }
}
