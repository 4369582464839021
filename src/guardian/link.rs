//! The guardian's end of the socketpair. Nothing here blocks: a frozen supervisor that does not read must not keep the
//! guardian from killing at the deadline, so what the socket does not take waits in a buffer.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::frames::{Frames, encode};
use super::protocol::{Order, Report};

/// Unread reports, in bytes, above which the supervisor counts as gone. A probe's report every 2 s fills it in days.
const UNREAD_LIMIT: usize = 4 << 20;

/// The connection to the supervisor.
pub struct Link {
    /// `None` once the supervisor is gone.
    stream: Option<UnixStream>,
    received: Frames,
    unsent: Vec<u8>,
}

/// Why there is no supervisor to talk to any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone(pub String);

impl Link {
    pub fn new(socket: OwnedFd) -> std::io::Result<Self> {
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Some(stream), received: Frames::default(), unsent: Vec::new() })
    }

    /// The descriptor to poll, and whether something waits to be sent.
    pub fn pollable(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.stream.as_ref().map(|stream| (stream.as_fd(), !self.unsent.is_empty()))
    }

    /// Queues a report for the next [`Link::flush`].
    pub fn send(&mut self, report: &Report) {
        if self.stream.is_none() {
            return;
        }
        match encode(report) {
            Ok(frame) if self.unsent.len() + frame.len() <= UNREAD_LIMIT => self.unsent.extend_from_slice(&frame),
            Ok(_) | Err(_) => self.close(),
        }
    }

    /// Sends what the socket takes at the moment. Loss of the supervisor shows at the next [`Link::receive`].
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

    /// The orders that have come. After an error, [`Link::close`] it: there is nothing more to be read.
    pub fn receive(&mut self) -> Result<Vec<Order>, (Vec<Order>, Gone)> {
        let mut orders = Vec::new();
        let mut buffer = [0; 4096];
        let reason = loop {
            let Some(stream) = &mut self.stream else { break "the connection is closed".to_owned() };
            match stream.read(&mut buffer) {
                Ok(0) => break "the supervisor is gone".to_owned(),
                Ok(count) => self.received.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(orders),
                Err(error) => break format!("the connection to the supervisor failed: {error}"),
            }
            loop {
                match self.received.take() {
                    Ok(Some(order)) => orders.push(order),
                    Ok(None) => break,
                    Err(error) => {
                        return Err((orders, Gone(format!("what the supervisor sent is not an order: {error}"))));
                    }
                }
            }
        };
        Err((orders, Gone(reason)))
    }

    /// Hangs up: the supervisor sees the end of file.
    pub fn close(&mut self) {
        self.stream = None;
        self.unsent.clear();
    }
}
