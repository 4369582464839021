//! The process below which one command runs: a hook, a probe, a fencing command, before_kill. A child of the guardian's.
//!
//! # Theory of operation
//! What a command starts may leave its process group, its session and its parent, and still act in the leadership's name. As
//! the guardian does for the coordinator, this process gathers all of it (child subreaper), and ends only when the kernel says
//! that there is no child left. So its end, for which the guardian waits, proves that nothing of the command is left: neither
//! of one that ended by itself (what it left behind is killed then, as systemd does after ExecStartPre) nor of one that took
//! too long or whose leadership has ended.
//!
//! It also stands between the command and the log: what a command prints is read here as fast as it comes, and only a bounded
//! part of it goes on ([`output`]).
//!
//! It kills everything when its time is up, when the guardian hangs up, and when the guardian dies; and when it is killed itself,
//! the command dies by its parent-death signal, and the rest becomes the guardian's to kill. Like the coordinator, a command
//! inherits the lock's descriptor, so that the lock cannot be free while anything of it lives.
//!
//! Rejected: commands as children of the supervisor. They outlived it, and it cannot prove them dead. Commands as
//! children of the guardian, without a process between them: beside a running coordinator nobody can tell whose orphan a
//! process is.

mod output;

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use self::output::Output;
use super::launch::{Target, explain, launch_of};
use super::link::Link;
use super::protocol::{CommandOrder, CommandOutcome, NoteLevel, Report};
use super::tree::{Happening, StartFailure, Tree};
use super::wakeups::Wakeups;
use crate::clock;
use crate::moment::Moment;
use crate::syscalls::{self, Identity};

/// The descriptor on which this process finds its end of the socketpair.
const SOCKET: RawFd = 0;

/// What is read of a command's output in one go, in bytes: a pipe holds as much.
const GULP: usize = 64 << 10;

/// What the guardian tells it, once. The command's environment is this process's own.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    pub command: CommandOrder,
    /// The lock's descriptor, which was inherited.
    pub lock: Option<RawFd>,
    pub identity: Option<Identity>,
    pub working_directory: Option<PathBuf>,
    /// `coordinator.user`, where the command runs under it.
    pub user: Option<String>,
}

/// `primacy runner`. Returns the exit code, for which nobody looks.
pub fn run() -> i32 {
    match Runner::start() {
        Ok(runner) => runner.run(),
        Err(_) => 1,
    }
}

struct Runner {
    wakeups: Wakeups,
    link: Link<Report, Task>,
    parent: Pid,
    tree: Tree,
    task: Option<Task>,
    /// When the command's time is up.
    until: Option<Moment>,
    reader: Option<OwnedFd>,
    output: Output,
    outcome: Option<CommandOutcome>,
}

impl Runner {
    fn start() -> std::io::Result<Self> {
        let parent = getppid();
        let socket = syscalls::adopt(SOCKET)?;
        syscalls::keep_descriptors_from_children();
        prctl::set_child_subreaper(true)?;
        Ok(Self {
            // From here on it hears of its parent's end instead of dying of it.
            wakeups: Wakeups::new()?,
            link: Link::new(socket)?,
            parent,
            tree: Tree::new(None),
            task: None,
            until: None,
            reader: None,
            output: Output::default(),
            outcome: None,
        })
    }

    fn run(mut self) -> i32 {
        loop {
            self.keep_time();
            self.read_output();
            if self.outcome.is_some() && self.tree.is_empty() {
                self.say_how_it_ended();
                return 0;
            }
            self.link.flush();
            let others: Vec<_> =
                self.tree.exec_pipe().into_iter().chain(self.reader.as_ref().map(AsFd::as_fd)).collect();
            let ready = self.wakeups.wait(self.due(), self.link.pollable(), &others);
            let Ok(ready) = ready else {
                // Without a way to wait there is no way to keep a limit: the rest is the guardian's to kill.
                return 1;
            };
            if ready.parent_died && getppid() != self.parent {
                self.give_up();
            }
            if ready.socket {
                self.hear();
            }
        }
    }

    fn due(&self) -> Option<Moment> {
        let until = self.until.filter(|_| self.outcome.is_none());
        until.into_iter().chain(self.tree.due()).min()
    }

    fn keep_time(&mut self) {
        let now = clock::now();
        if self.outcome.is_none()
            && let Some(task) = self.task.as_ref().filter(|_| self.until.is_some_and(|until| until <= now))
        {
            self.outcome = Some(CommandOutcome::TimedOut(task.command.timeout));
            self.tree.kill(now);
        }
        for happening in self.tree.advance(now) {
            match happening {
                Happening::Exited(status) => {
                    self.outcome.get_or_insert(CommandOutcome::Ended(status));
                }
                Happening::StartFailed(failure) => {
                    let problem = self.task.as_ref().map(|task| {
                        let (directory, user) = (task.working_directory.as_deref(), task.user.as_deref());
                        match failure {
                            StartFailure::Launch(error) => explain(&task.command.argv, directory, user, error),
                            // Only of a forking coordinator.
                            StartFailure::Script { status, .. } => status.to_string(),
                        }
                    });
                    self.outcome.get_or_insert(CommandOutcome::NotStarted(problem.unwrap_or_default()));
                }
                Happening::Dead => {
                    self.outcome.get_or_insert(CommandOutcome::Killed);
                }
                Happening::Stuck(processes) => {
                    let name = self.task.as_ref().map_or("", |task| task.command.name.as_str());
                    for process in processes {
                        let text = format!(
                            "{name}: process {} ({}) was killed and does not die: it waits in {}",
                            process.pid, process.command, process.waits_in
                        );
                        self.link.send(&Report::Note { level: NoteLevel::Error, text });
                    }
                }
                Happening::Started { .. }
                | Happening::HoldsLock(_)
                | Happening::WithoutLock(_)
                | Happening::LeftBehind(..)
                | Happening::StopTimedOut { .. }
                | Happening::StopCutShort(_)
                | Happening::ScriptStillRan(_)
                | Happening::CommandEnded { .. } => {}
            }
        }
    }

    fn hear(&mut self) {
        let (tasks, gone) = match self.link.receive() {
            Ok(tasks) => (tasks, false),
            Err((tasks, _)) => (tasks, true),
        };
        for task in tasks {
            if self.task.is_none() && self.outcome.is_none() {
                self.begin(task);
            }
        }
        if gone {
            self.link.close();
            self.give_up();
        }
    }

    fn begin(&mut self, task: Task) {
        self.until = Some(clock::now() + task.command.timeout);
        if let Err(problem) = self.launch(&task) {
            self.outcome = Some(CommandOutcome::NotStarted(problem));
        }
        self.task = Some(task);
    }

    fn launch(&mut self, task: &Task) -> Result<(), String> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| error.desc().to_owned())?;
        let nonblocking = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&reader, nonblocking).map_err(|error| error.desc().to_owned())?;
        let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let mut launch = launch_of(&Target {
            command: &task.command.argv,
            variables: &variables,
            working_directory: task.working_directory.as_deref(),
            identity: task.identity.clone(),
        })?;
        launch.inherit = task.lock;
        launch.output = Some(writer.as_raw_fd());
        launch.close = SOCKET;
        self.tree.start(&launch, false).map_err(|error| format!("cannot fork: {}", error.desc()))?;
        self.reader = Some(reader);
        Ok(())
    }

    /// What it runs for has ended.
    fn give_up(&mut self) {
        self.outcome.get_or_insert(CommandOutcome::Killed);
        self.tree.kill(clock::now());
    }

    /// What has been printed, in one gulp: between two of them the time is looked at.
    fn read_output(&mut self) {
        let Some(reader) = &self.reader else { return };
        let mut bytes = vec![0; GULP];
        match nix::unistd::read(reader, &mut bytes) {
            Ok(count) if count > 0 => {
                let lines = self.output.take(&bytes[..count]);
                self.pass_on(lines);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(_) | Err(_) => self.reader = None,
        }
    }

    fn pass_on(&mut self, lines: Vec<String>) {
        let name = self.task.as_ref().map(|task| task.command.name.clone()).unwrap_or_default();
        for line in lines {
            self.link.send_if_read(&Report::Output { name: name.clone(), line });
        }
    }

    fn say_how_it_ended(&mut self) {
        // Nobody lives who could go on printing.
        while self.reader.is_some() && self.has_output() {
            self.read_output();
        }
        let lines = self.output.end();
        self.pass_on(lines);
        if let (Some(task), Some(outcome)) = (&self.task, self.outcome.take()) {
            self.link.send(&Report::CommandEnded { id: task.command.id, outcome });
        }
        loop {
            self.link.flush();
            if !self.link.pollable().is_some_and(|(_, unsent)| unsent) {
                return;
            }
            let Ok(ready) = self.wakeups.wait(None, self.link.pollable(), &[]) else { return };
            if ready.socket && self.link.receive().is_err() {
                self.link.close();
            }
        }
    }

    fn has_output(&self) -> bool {
        let Some(reader) = &self.reader else { return false };
        let mut polled = [nix::poll::PollFd::new(reader.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut polled, nix::poll::PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}
