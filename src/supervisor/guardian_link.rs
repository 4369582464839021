//! The supervisor's end of the socketpair: starts a guardian, talks to it, and kills it when it is told to.
//!
//! A guardian counts as lost only when its process has been waited for and everything it said has been read: its last
//! words ("fenced", "tree dead") decide what is left to do.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::guardian::frames::{Frames, encode};
use crate::guardian::protocol::{GuardianOrder, Report, Settings};
use crate::node::GuardianInput;
use crate::{processes, syscalls};

use super::apart;
use super::orphans::{OwnChild, OwnChildren};

/// How long the process of a guardian that has hung up may take to end.
const SILENCE: Duration = Duration::from_secs(1);

/// When it is worth saying that a guardian's start takes long.
const START_IS_LATE: Duration = Duration::from_secs(5);

/// A running guardian. Dropping it hangs up: the guardian then ends everything it holds and exits.
pub struct GuardianLink {
    /// 0 as long as it is not known.
    pid: Arc<AtomicI32>,
    /// Watched for reading only: a socket that is watched for writing wakes its owner whenever the other side reads.
    /// `None` where there was no descriptor for it.
    socket: Option<Arc<UnixStream>>,
    /// Frames that wait for [`GuardianLink::flush`].
    unsent: Vec<u8>,
    messages: mpsc::UnboundedReceiver<GuardianInput>,
    /// Killed or gone: it answers no more, and once it has been waited for its pid may be somebody else's.
    ended: bool,
}

impl GuardianLink {
    /// Starts a guardian and gives it its settings. Does not wait for it: its first message says that it is ready, or
    /// that it could not be started.
    pub fn start(settings: Settings, children: &OwnChildren) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let pid = Arc::new(AtomicI32::new(0));
        let socket = match connect() {
            Ok((ours, theirs, watched)) => {
                let attended = attend(Arc::clone(&ours), theirs, watched, sender, children.clone(), Arc::clone(&pid));
                tokio::spawn(attended);
                Some(ours)
            }
            Err(error) => {
                let _ = sender.send(GuardianInput::NotStarted(error.to_string()));
                None
            }
        };
        let mut link = Self::of(pid, socket, messages);
        link.order(&GuardianOrder::Configure(Box::new(settings)));
        link.flush();
        link
    }

    fn of(
        pid: Arc<AtomicI32>,
        socket: Option<Arc<UnixStream>>,
        messages: mpsc::UnboundedReceiver<GuardianInput>,
    ) -> Self {
        Self { pid, socket, unsent: Vec::new(), messages, ended: false }
    }

    /// Before there is any; nothing is ever heard of it.
    pub fn none() -> Self {
        let (silent, messages) = mpsc::unbounded_channel();
        drop(silent);
        Self::of(Arc::default(), None, messages)
    }

    /// 0 as long as it is not known.
    pub fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Queues an order for the next [`GuardianLink::flush`]. A guardian that is gone says so through
    /// [`GuardianLink::next`].
    pub fn order(&mut self, order: &GuardianOrder) {
        match encode(order) {
            Ok(frame) => self.unsent.extend_from_slice(&frame),
            // Not the order itself: the settings among them hold environment and arguments of commands.
            Err(error) => tracing::error!(%error, "an order does not fit into a frame"),
        }
    }

    /// Sends what was ordered, in one write: what is ordered together wakes the guardian once. Never blocks; true when
    /// nothing is left, else call it again soon. A guardian that takes nothing does not answer pings either.
    pub fn flush(&mut self) -> bool {
        let Some(mut socket) = self.socket.as_deref() else {
            self.unsent.clear();
            return true;
        };
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

    /// SIGKILL, once; its end is reported as for any other.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // Zero would be this process's whole group.
        if self.pid() > 0 {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// What is heard next. Cancel safe.
    pub async fn next(&mut self) -> GuardianInput {
        match self.messages.recv().await {
            Some(input) => {
                self.ended |= matches!(input, GuardianInput::Lost(_) | GuardianInput::NotStarted(_));
                input
            }
            // Its end was told already; nothing will ever come.
            None => std::future::pending().await,
        }
    }
}

impl Drop for GuardianLink {
    fn drop(&mut self) {
        self.flush();
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}

type Ends = (Arc<UnixStream>, UnixStream, AsyncFd<OwnedFd>);

fn connect() -> std::io::Result<Ends> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let watched = syscalls::watch_for_reading(ours.as_fd())?;
    Ok((Arc::new(ours), theirs, watched))
}

/// A guardian from its start to its end.
async fn attend(
    ours: Arc<UnixStream>,
    theirs: UnixStream,
    watched: AsyncFd<OwnedFd>,
    messages: mpsc::UnboundedSender<GuardianInput>,
    children: OwnChildren,
    known_pid: Arc<AtomicI32>,
) {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("primacy").arg("guardian").stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut starting = pin!(apart::spawn(command, children));
    let started = match tokio::time::timeout(START_IS_LATE, starting.as_mut()).await {
        Ok(started) => started,
        Err(_) => {
            tracing::error!("the guardian's start takes long: does the file system with primacy's program answer?");
            starting.await
        }
    };
    match started {
        Ok((child, own)) => {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
            known_pid.store(pid, Ordering::Relaxed);
            let started = processes::Stat::of(pid).map_or(0, |stat| stat.started);
            let _ = messages.send(GuardianInput::Spawned { pid, started });
            read_reports(ours, watched, child, messages, own).await;
        }
        Err(error) => {
            let _ = messages.send(GuardianInput::NotStarted(error.to_string()));
        }
    }
}

async fn read_reports(
    socket: Arc<UnixStream>,
    watched: AsyncFd<OwnedFd>,
    mut child: Child,
    messages: mpsc::UnboundedSender<GuardianInput>,
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
                    let _ = messages.send(GuardianInput::Report(Box::new(report)));
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
    let _ = messages.send(GuardianInput::Lost(format!("{how}; {reason}")));
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
    async fn a_guardian_that_does_not_live_yet_is_not_killed() {
        let (_sender, messages) = mpsc::unbounded_channel();
        let mut link = GuardianLink::of(Arc::default(), None, messages);
        // To process 0 the signal would go to everybody.
        link.kill();
    }

    #[tokio::test]
    async fn a_guardian_that_is_gone_is_not_killed_again() {
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (sender, messages) = mpsc::unbounded_channel();
        // The stranger has got the pid of a guardian that has been waited for.
        let pid = i32::try_from(stranger.id()).unwrap();
        let mut link = GuardianLink::of(Arc::new(AtomicI32::new(pid)), Some(Arc::new(ours)), messages);
        sender.send(GuardianInput::Lost("signal: 9".to_owned())).unwrap();
        assert!(matches!(link.next().await, GuardianInput::Lost(_)));
        link.kill();
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
