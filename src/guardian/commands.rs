//! The commands that run at the moment, each below a [`runner`](super::runner) of its own.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::launch::{Target, launch_of};
use super::link::Link;
use super::protocol::{CommandOrder, CommandOutcome, ExitStatus, Report};
use super::runner::Task;
use crate::syscalls::{Identity, launch, launch_outcome};

/// In what a command runs, and as whom.
#[derive(Default)]
pub struct Surrounding {
    pub variables: BTreeMap<OsString, OsString>,
    /// The lock's descriptor, where the lock is held.
    pub lock: Option<RawFd>,
    pub identity: Option<Identity>,
    pub user: Option<String>,
    pub working_directory: Option<PathBuf>,
    pub oom_score_adj: Option<CString>,
}

struct Running {
    order: CommandOrder,
    pid: Pid,
    /// Tells whether the runner itself could be executed.
    exec: OwnedFd,
    link: Link<Task, Report>,
    outcome: Option<CommandOutcome>,
}

/// A command that has ended.
pub struct Finished {
    pub order: CommandOrder,
    pub outcome: CommandOutcome,
}

/// All that run.
#[derive(Default)]
pub struct Commands {
    running: Vec<Running>,
}

impl Commands {
    /// Starts a runner, with its command. The process belongs to the caller's tree.
    pub fn start(&mut self, order: CommandOrder, surrounding: Surrounding) -> Result<Pid, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("cannot make a socket: {error}"))?;
        let mut link = Link::new(OwnedFd::from(ours)).map_err(|error| format!("cannot use a socket: {error}"))?;
        let variables: Vec<(OsString, OsString)> = surrounding.variables.into_iter().collect();
        let command = ["/proc/self/exe".to_owned(), "runner".to_owned()];
        let target = Target { command: &command, variables: &variables, working_directory: None, identity: None };
        let mut runner = launch_of(&target)?;
        runner.arguments = vec![c"primacy".to_owned(), c"runner".to_owned()];
        runner.inherit = surrounding.lock;
        runner.input = Some(theirs.as_raw_fd());
        runner.oom_score_adj = surrounding.oom_score_adj;
        let (pid, exec) = launch(&runner, None).map_err(|error| format!("cannot fork: {}", error.desc()))?;
        link.send(&Task {
            command: order.clone(),
            lock: surrounding.lock,
            identity: surrounding.identity,
            working_directory: surrounding.working_directory,
            user: surrounding.user,
        });
        self.running.push(Running { order, pid, exec, link, outcome: None });
        Ok(pid)
    }

    /// What is to be polled for reading.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.running.iter().filter_map(|running| Some(running.link.pollable()?.0)).collect()
    }

    /// Sends what was not sent yet, and takes in what the runners say; what is for others is returned.
    pub fn hear(&mut self) -> Vec<Report> {
        let mut heard = Vec::new();
        for running in &mut self.running {
            running.link.flush();
            if running.link.pollable().is_none() {
                continue;
            }
            let (reports, gone) = match running.link.receive() {
                Ok(reports) => (reports, false),
                Err((reports, _)) => (reports, true),
            };
            for report in reports {
                match report {
                    Report::CommandEnded { outcome, .. } => running.outcome = Some(outcome),
                    other => heard.push(other),
                }
            }
            if gone {
                running.link.close();
            }
        }
        heard
    }

    /// A child has ended: if it was a runner, so has its command, and nothing of that is left, unless the runner was killed.
    pub fn ended(&mut self, pid: i32, status: ExitStatus) -> Option<Finished> {
        let at = self.running.iter().position(|running| running.pid.as_raw() == pid)?;
        let Running { order, exec, outcome, .. } = self.running.remove(at);
        let outcome = outcome.unwrap_or_else(|| match (launch_outcome(&exec), status) {
            (Some(Err(error)), _) => {
                let errno = nix::errno::Errno::from_raw(error.errno);
                CommandOutcome::NotStarted(format!("cannot execute primacy's own program: {}", errno.desc()))
            }
            // It was hung up on, or killed itself.
            (_, ExitStatus::Signal(_) | ExitStatus::Code(0)) => CommandOutcome::Killed,
            (_, ExitStatus::Code(code)) => {
                CommandOutcome::NotStarted(format!("primacy's own process for it failed ({code})"))
            }
        });
        Some(Finished { order, outcome })
    }

    /// Has all of them killed, by their runners.
    pub fn end_all(&mut self) {
        for running in &mut self.running {
            running.link.close();
        }
    }

    /// Has the notice that runs killed. True if there is one.
    pub fn end_notice(&mut self) -> bool {
        let mut found = false;
        for running in self.running.iter_mut().filter(|running| running.order.notice) {
            running.link.close();
            found = true;
        }
        found
    }
}
