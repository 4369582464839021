//! When coordinators ran, by the datagrams that they send every few milliseconds, and what they wrote.
//!
//! The moment of a datagram is the kernel's stamp of its arrival: independent of how busy the drill is. What remains is
//! the way out of the machine, which delays it and never advances it, and the period. So a life's begin is at most one
//! delay late, its end at most one period early; [`Book::precision`] says what that came to.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};

use crate::clock::{self, At};
use crate::wire::{Datagram, Kind};

pub const PORT: u16 = 7000;

/// One coordinator process.
#[derive(Clone, Debug)]
pub struct Life {
    pub node: String,
    pub pid: u32,
    pub epoch: u64,
    /// Moments of its ticks.
    pub ticks: Vec<At>,
    /// It said that it was told to stop.
    pub ended: bool,
    /// Number and moment of each record that it says it has written and synced.
    pub wrote: Vec<(u64, At)>,
    /// Writes that failed: when, and the errno.
    pub failed: Vec<(At, i32)>,
}

impl Life {
    pub fn first(&self) -> At {
        self.ticks.first().copied().unwrap_or_default()
    }

    pub fn last(&self) -> At {
        self.ticks.last().copied().unwrap_or_default()
    }
}

/// Everything received.
#[derive(Debug, Default)]
pub struct Book {
    pub lives: Vec<Life>,
    /// When `kill-holder` killed.
    pub killed: Option<At>,
    /// When `poll-lock` got its lock.
    pub locked: Option<At>,
}

impl Book {
    fn take(&mut self, at: At, datagram: &Datagram) {
        match datagram.kind {
            Kind::Killed => return self.killed = Some(at),
            Kind::Locked => return self.locked = Some(at),
            Kind::Start | Kind::Tick | Kind::End | Kind::Wrote | Kind::Failed => {}
        }
        let Datagram { node, pid, epoch, .. } = datagram;
        let known = self.lives.iter().rposition(|life| life.pid == *pid && life.epoch == *epoch && life.node == *node);
        let index = known.unwrap_or_else(|| {
            self.lives.push(Life {
                node: node.clone(),
                pid: *pid,
                epoch: *epoch,
                ticks: Vec::new(),
                ended: false,
                wrote: Vec::new(),
                failed: Vec::new(),
            });
            self.lives.len() - 1
        });
        let life = &mut self.lives[index];
        match datagram.kind {
            Kind::Start | Kind::Tick => life.ticks.push(at),
            Kind::End => {
                life.ticks.push(at);
                life.ended = true;
            }
            Kind::Wrote => life.wrote.push((datagram.number, at)),
            Kind::Failed => life.failed.push((at, datagram.error)),
            Kind::Killed | Kind::Locked => {}
        }
    }

    /// Time between two ticks of a coordinator, in a stretch in which nothing was done to anybody: half of them, 99 of
    /// 100 and all of them are no longer than this.
    pub fn precision(&self, from: At, to: At) -> Option<[Duration; 3]> {
        let mut pauses: Vec<Duration> = Vec::new();
        for life in &self.lives {
            let calm: Vec<At> = life.ticks.iter().copied().filter(|at| (from..to).contains(at)).collect();
            pauses.extend(calm.windows(2).map(|pair| pair[1].saturating_sub(pair[0])));
        }
        pauses.sort_unstable();
        let last = pauses.len().checked_sub(1)?;
        Some([pauses[last / 2], pauses[last * 99 / 100], pauses[last]])
    }
}

/// Receives them.
#[derive(Clone)]
pub struct Ticks(Arc<Mutex<Book>>);

impl Ticks {
    pub fn receive(address: SocketAddr) -> Result<Self> {
        Self::receive_at(UdpSocket::bind(address).with_context(|| format!("udp {address}"))?)
    }

    fn receive_at(socket: UdpSocket) -> Result<Self> {
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        let ticks = Self(Arc::default());
        let book = ticks.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
            loop {
                // A socket that is bound and never closed has no other errors than an interruption.
                let Some((at, length)) = receive_one(&socket, &mut buffer, &mut control) else { continue };
                let datagram = std::str::from_utf8(&buffer[..length]).ok().and_then(|text| text.parse().ok());
                if let Some(datagram) = datagram {
                    book.with(|book| book.take(at, &datagram));
                }
            }
        });
        Ok(ticks)
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn receive_one(socket: &UdpSocket, buffer: &mut [u8], control: &mut [u8]) -> Option<(At, usize)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty()).ok()?;
    let stamp = message.cmsgs().into_iter().flatten().find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(clock::of_stamp(stamp.into())),
        _ => None,
    });
    Some((stamp.unwrap_or_else(clock::now), message.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_datagram_arrives_with_the_moment_of_its_arrival() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (to, sender) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let ticks = Ticks::receive_at(socket).unwrap();
        let before = clock::now();
        sender.send_to(Datagram::of(Kind::Start, "a", 1, 7).to_string().as_bytes(), to).unwrap();
        while ticks.with(|book| book.lives.is_empty()) {
            assert!(clock::now() < before + Duration::from_secs(60), "it never arrived");
            std::thread::yield_now();
        }
        let life = ticks.with(|book| book.lives[0].clone());
        assert_eq!((life.node.as_str(), life.pid, life.epoch), ("a", 1, 7));
        // The stamp is the wall clock's: it may be slewed against this one.
        assert!(life.first() + MS > before && life.first() < clock::now() + MS);
    }
}
