//! The supervisor's end of the socketpair: starts a guardian, talks to it, and kills it when it falls silent.
//!
//! A guardian counts as lost only when its process has been waited for and everything it said has been read: its last
//! words ("fenced", "tree dead") decide what is left to do.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::clock;
use crate::guardian::frames::{Frames, encode};
use crate::guardian::protocol::{Order, Report, Settings};
use crate::moment::Moment;

use super::orphans::OwnChildren;

/// A guardian that has not answered a ping for so long is killed: it could not kill at a deadline either. Far above any
/// scheduling delay of a host that can still hold a session.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Between two pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(1);

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
    orders: mpsc::UnboundedSender<Order>,
    messages: mpsc::UnboundedReceiver<Message>,
    next_ping: u64,
    /// The oldest ping without an answer.
    unanswered: Option<(u64, Moment)>,
    /// Killed or gone: it answers no more, and once it has been waited for its pid may be somebody else's.
    ended: bool,
}

impl GuardianLink {
    /// Starts a guardian and gives it its settings.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(settings: Settings, children: &OwnChildren) -> std::io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let stream = UnixStream::from_std(ours)?;
        let child = Command::new("/proc/self/exe")
            .arg0("primacy")
            .arg("guardian")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        children.add(pid);
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (sender, messages) = mpsc::unbounded_channel();
        let (reader, writer) = stream.into_split();
        tokio::spawn(write_orders(writer, order_queue));
        tokio::spawn(read_reports(reader, child, sender, children.clone(), pid));
        let mut link =
            Self { pid, started: clock::now(), orders, messages, next_ping: 0, unanswered: None, ended: false };
        link.order(Order::Configure(Box::new(settings)));
        Ok(link)
    }

    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// When it was started.
    pub const fn started(&self) -> Moment {
        self.started
    }

    /// Queues an order. A guardian that is gone says so through [`GuardianLink::next`].
    pub fn order(&mut self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Asks for a sign of life, unless it has ended.
    pub fn ping(&mut self) {
        if self.ended {
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

async fn write_orders(mut writer: tokio::net::unix::OwnedWriteHalf, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        let Ok(frame) = encode(&order) else {
            tracing::error!(order = ?order, "an order does not fit into a frame");
            break;
        };
        if writer.write_all(&frame).await.is_err() {
            break;
        }
    }
    // Dropping the half shuts the writing direction down: the guardian sees the end of file.
}

async fn read_reports(
    mut reader: tokio::net::unix::OwnedReadHalf,
    mut child: Child,
    messages: mpsc::UnboundedSender<Message>,
    children: OwnChildren,
    pid: i32,
) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 4096];
    let reason = 'reading: loop {
        match reader.read(&mut buffer).await {
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
    children.remove(pid);
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let _ = messages.send(Message::Lost(format!("{how}; {reason}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guardian_that_is_gone_is_neither_asked_nor_killed_again() {
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (orders, _orders) = mpsc::unbounded_channel();
        let (sender, messages) = mpsc::unbounded_channel();
        // The stranger has got the pid of a guardian that has been waited for.
        let pid = i32::try_from(stranger.id()).unwrap();
        let mut link =
            GuardianLink { pid, started: clock::now(), orders, messages, next_ping: 0, unanswered: None, ended: false };
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
