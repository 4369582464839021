//! The supervisor's end of the socketpair: starts a guardian, talks to it, and kills it when it falls silent.
//!
//! A guardian counts as lost only when its process has been waited for and everything it said has been read: its last
//! words ("fenced", "tree dead") decide what is left to do.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::clock;
use crate::guardian::frames::{Frames, encode};
use crate::guardian::protocol::{Order, Report, Settings};
use crate::moment::Moment;
use crate::syscalls;

use super::orphans::{OwnChild, OwnChildren};

/// A guardian that has not answered a ping for so long is killed: it could not kill at a deadline either. Far above any
/// scheduling delay of a host that can still hold a session.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Between two pings. Each costs two processes a wake-up. A guardian that falls silent is found after this and [`SILENCE`]
/// at the latest.
pub const PING_INTERVAL: Duration = Duration::from_secs(3);

/// A ping may come so much earlier: with a heartbeat's answer, when both processes are awake anyway.
pub const PING_EARLY: Duration = Duration::from_millis(1500);

/// What comes from a guardian.
#[derive(Debug)]
pub enum Message {
    Report(Box<Report>),
    /// Its process is gone.
    Lost(String),
}

/// A running guardian. Dropping it hangs up: the guardian then ends everything it holds and exits.
pub struct GuardianLink {
    pid: i32,
    started: Moment,
    /// Watched for reading only: a socket that is watched for writing wakes its owner whenever the other side reads.
    socket: Arc<UnixStream>,
    /// Frames that wait for [`GuardianLink::flush`].
    unsent: Vec<u8>,
    messages: mpsc::UnboundedReceiver<Message>,
    next_ping: u64,
    /// The oldest ping without an answer.
    unanswered: Option<(u64, Moment)>,
    /// It has ended a leadership and leaves: it executes its last will, which is bounded, and answers nobody meanwhile.
    leaves: bool,
    /// Killed or gone: it answers no more, and once it has been waited for its pid may be somebody else's.
    ended: bool,
}

impl GuardianLink {
    /// Starts a guardian and gives it its settings.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(settings: Settings, children: &OwnChildren) -> std::io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (watched, socket) = (syscalls::watch_for_reading(ours.as_fd())?, Arc::new(ours));
        let child = Command::new("/proc/self/exe")
            .arg0("primacy")
            .arg("guardian")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        let own = children.add(pid);
        let (sender, messages) = mpsc::unbounded_channel();
        tokio::spawn(read_reports(Arc::clone(&socket), watched, child, sender, own));
        let mut link = Self::of(pid, socket, messages);
        link.order(Order::Configure(Box::new(settings)));
        link.flush();
        Ok(link)
    }

    fn of(pid: i32, socket: Arc<UnixStream>, messages: mpsc::UnboundedReceiver<Message>) -> Self {
        let (started, unsent) = (clock::now(), Vec::new());
        Self { pid, started, socket, unsent, messages, next_ping: 0, unanswered: None, leaves: false, ended: false }
    }

    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Killed or gone.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// When it was started.
    pub const fn started(&self) -> Moment {
        self.started
    }

    /// Queues an order for the next [`GuardianLink::flush`]. A guardian that is gone says so through
    /// [`GuardianLink::next`].
    pub fn order(&mut self, order: Order) {
        match encode(&order) {
            Ok(frame) => self.unsent.extend_from_slice(&frame),
            // Not the order itself: the settings among them hold environment and arguments of commands.
            Err(error) => tracing::error!(%error, "an order does not fit into a frame"),
        }
    }

    /// Sends what was ordered, in one write: what is ordered together wakes the guardian once. Never blocks; true when
    /// nothing is left, else call it again soon. A guardian that takes nothing does not answer pings either.
    pub fn flush(&mut self) -> bool {
        let mut socket = self.socket.as_ref();
        while !self.unsent.is_empty() {
            match socket.write(&self.unsent) {
                Ok(count) => {
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // Its end shows when reading.
                Err(_) => self.unsent.clear(),
            }
        }
        true
    }

    /// It has said that it leaves: its silence means nothing.
    pub const fn leaves(&mut self) {
        self.leaves = true;
        self.unanswered = None;
    }

    /// Asks for a sign of life, unless it has ended or leaves.
    pub fn ping(&mut self) {
        if self.ended || self.leaves {
            return;
        }
        self.next_ping += 1;
        self.unanswered.get_or_insert((self.next_ping, clock::now()));
        self.order(Order::Ping { number: self.next_ping });
    }

    pub fn answered(&mut self, number: u64) {
        if self.unanswered.is_some_and(|(oldest, _)| oldest <= number) {
            self.unanswered = None;
        }
    }

    /// Forgets an unanswered ping: it was this process that slept.
    pub const fn excuse(&mut self) {
        self.unanswered = None;
    }

    /// From when on it counts as silent, unless it answers before.
    pub fn silent_from(&self) -> Option<Moment> {
        self.unanswered.map(|(_, sent)| sent + SILENCE)
    }

    pub fn is_silent(&self, now: Moment) -> bool {
        self.silent_from().is_some_and(|from| from <= now)
    }

    /// SIGKILL, once; its end is reported as for any other.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.unanswered = None;
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), nix::sys::signal::Signal::SIGKILL);
    }

    /// The next message. Cancel safe.
    pub async fn next(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => {
                if matches!(message, Message::Lost(_)) {
                    self.ended = true;
                    self.unanswered = None;
                }
                message
            }
            // `Lost` was taken already; nothing will ever come.
            None => std::future::pending().await,
        }
    }
}

impl Drop for GuardianLink {
    fn drop(&mut self) {
        self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

async fn read_reports(
    socket: Arc<UnixStream>,
    watched: AsyncFd<OwnedFd>,
    mut child: Child,
    messages: mpsc::UnboundedSender<Message>,
    own: OwnChild,
) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 4096];
    let reason = 'reading: loop {
        match read(&socket, &watched, &mut buffer).await {
            Ok(0) => break "it closed the connection".to_owned(),
            Ok(count) => frames.push(&buffer[..count]),
            Err(error) => break format!("the connection failed: {error}"),
        }
        loop {
            match frames.take::<Report>() {
                Ok(Some(report)) => {
                    let _ = messages.send(Message::Report(Box::new(report)));
                }
                Ok(None) => break,
                Err(error) => break 'reading format!("what it sent is not a report: {error}"),
            }
        }
    };
    let ended = tokio::time::timeout(SILENCE, child.wait()).await;
    let status = if let Ok(status) = ended {
        status
    } else {
        let _ = child.start_kill();
        child.wait().await
    };
    drop(own);
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let _ = messages.send(Message::Lost(format!("{how}; {reason}")));
}

async fn read(mut socket: &UnixStream, watched: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        let mut ready = watched.readable().await?;
        match socket.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guardian_that_leaves_is_not_taken_for_a_silent_one() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (_sender, messages) = mpsc::unbounded_channel();
        let mut link = GuardianLink::of(0, Arc::new(ours), messages);
        link.ping();
        assert!(link.is_silent(clock::now() + 2 * SILENCE));
        link.leaves();
        link.ping();
        assert_eq!(link.silent_from(), None);
    }

    #[tokio::test]
    async fn a_guardian_that_is_gone_is_neither_asked_nor_killed_again() {
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (sender, messages) = mpsc::unbounded_channel();
        // The stranger has got the pid of a guardian that has been waited for.
        let pid = i32::try_from(stranger.id()).unwrap();
        let mut link = GuardianLink::of(pid, Arc::new(ours), messages);
        link.ping();
        assert!(link.silent_from().is_some());
        sender.send(Message::Lost("signal: 9".to_owned())).unwrap();
        assert!(matches!(link.next().await, Message::Lost(_)));
        link.ping();
        assert_eq!(link.silent_from(), None);
        link.kill();
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
