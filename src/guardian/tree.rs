//! The coordinator's process tree, and the runners of the commands that live beside it or instead of it: start, stop, kill,
//! and the proof that nothing of them is left.
//!
//! The proof is `waitpid` saying ECHILD. The guardian is a child subreaper, so whatever the coordinator forks ends up as
//! its child at the latest when its parent dies, and a process without children has no tree. Rejected: counting the
//! processes found in /proc, which misses what forks between two looks, and the process group alone, which misses all
//! that calls setsid.
//!
//! Killing is SIGKILL to the process group at once; whatever is left is looked for in /proc, stopped (so that a tree
//! that forks all the time stands still), killed, and looked for again.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::cgroup::Cgroup;
use super::protocol::{ExitStatus, StuckProcess};
use crate::moment::Moment;
use crate::processes;
use crate::syscalls::{Death, Launch, LaunchError, launch, launch_outcome, send_signal, wait_any};

/// Between the kill of the process group and the first look for what is left: most trees are gone by then.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks while the tree is expected to go at once.
const SOON: Duration = Duration::from_millis(20);
/// The pause after [`STUCK_AFTER`]: what has not gone by then waits for a device or a server.
const LATE: Duration = Duration::from_millis(100);
/// When processes that got SIGKILL and still live are reported.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// When to check again, after a start, whether the coordinator has closed the lock's descriptor.
const LOCK_CHECKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// What happened to the tree.
#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    Started {
        pid: i32,
        holds_lock: bool,
    },
    StartFailed(LaunchError),
    HoldsLock(bool),
    /// The main process ended and nobody had ordered that.
    Exited(ExitStatus),
    Dead,
    Stuck(Vec<StuckProcess>),
    /// `stop_timeout` has passed: run before_kill with this process, then [`Tree::ask_first`] or [`Tree::kill`].
    StopTimedOut {
        main: i32,
    },
    /// A process that was taken in by [`Tree::adopt`] has ended.
    CommandEnded {
        pid: i32,
        status: ExitStatus,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// No process of the coordinator's exists.
    Empty,
    Running,
    Stopping {
        kill_at: Moment,
    },
    /// before_kill runs.
    Asking {
        until: Moment,
    },
    Killing {
        since: Moment,
        next: Moment,
        pause: Duration,
        /// Somebody waits to hear of the death.
        told: bool,
    },
}

/// The tree.
pub struct Tree {
    phase: Phase,
    forking: bool,
    /// Until the exec's outcome is known.
    exec: Option<OwnedFd>,
    failed: Option<LaunchError>,
    main: Option<Pid>,
    /// The main process's end, once it has been waited for.
    status: Option<ExitStatus>,
    /// The runners of commands.
    commands: BTreeSet<i32>,
    lock: Option<i32>,
    holds_lock: bool,
    lock_checks: Vec<Moment>,
    reported_stuck: Vec<StuckProcess>,
    cgroup: Option<Cgroup>,
}

impl Tree {
    pub fn new(cgroup: Option<Cgroup>) -> Self {
        Self {
            phase: Phase::Empty,
            forking: false,
            exec: None,
            failed: None,
            main: None,
            status: None,
            commands: BTreeSet::new(),
            lock: None,
            holds_lock: false,
            lock_checks: Vec::new(),
            reported_stuck: Vec::new(),
            cgroup,
        }
    }

    /// No process of ours exists.
    pub fn is_empty(&self) -> bool {
        !self.has_coordinator() && self.commands.is_empty()
    }

    /// Something of the coordinator may live, or is being killed.
    pub fn has_coordinator(&self) -> bool {
        self.phase != Phase::Empty
    }

    /// It is being stopped or killed.
    pub fn is_ending(&self) -> bool {
        !matches!(self.phase, Phase::Empty | Phase::Running)
    }

    /// A runner that was started. Its end is told; it dies with the tree.
    pub fn adopt(&mut self, runner: Pid) {
        self.commands.insert(runner.as_raw());
    }

    /// The pipe that tells the exec's outcome.
    pub fn exec_pipe(&self) -> Option<BorrowedFd<'_>> {
        self.exec.as_ref().map(AsFd::as_fd)
    }

    /// Forks. The outcome of the exec comes as `Started` or `StartFailed`. Only for an empty tree.
    pub fn start(&mut self, order: &Launch, forking: bool) -> nix::Result<()> {
        assert!(!self.has_coordinator(), "a second coordinator must never be started");
        self.cgroup = self.cgroup.take().and_then(Cgroup::unspent);
        let (pid, pipe) = launch(order, self.cgroup.as_ref().map(AsFd::as_fd))?;
        *self = Self {
            phase: Phase::Running,
            forking,
            exec: Some(pipe),
            main: Some(pid),
            lock: order.inherit,
            commands: std::mem::take(&mut self.commands),
            ..Self::new(self.cgroup.take())
        };
        Ok(())
    }

    /// The stop signal, then SIGKILL at `kill_at`. A tree that is being stopped or killed already stays so.
    pub fn stop(&mut self, signal: i32, kill_at: Moment) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping { kill_at };
        if self.forking {
            for pid in processes::descendants() {
                send_signal(Pid::from_raw(pid), signal);
            }
        } else if let Some(main) = self.main.filter(|_| self.status.is_none()) {
            send_signal(main, signal);
        }
    }

    /// before_kill was started for a tree whose stop timed out: the kill comes with its end, `until` at the latest.
    pub fn ask_first(&mut self, until: Moment) {
        self.phase = Phase::Asking { until };
    }

    /// SIGKILL to everything, until nothing is left.
    pub fn kill(&mut self, now: Moment) {
        if self.is_empty() {
            return;
        }
        self.begin_to_kill(now, true);
    }

    fn begin_to_kill(&mut self, now: Moment, tell: bool) {
        if let Phase::Killing { told, .. } = &mut self.phase {
            *told |= tell;
            return;
        }
        self.phase = Phase::Killing { since: now, next: now + FIRST_LOOK, pause: FIRST_LOOK, told: tell };
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // A pid is ours until it has been waited for; a group's number may be somebody else's after that.
        if let Some(main) = self.main.filter(|_| self.status.is_none()) {
            let _ = killpg(main, Signal::SIGKILL);
            // Before its setsid the child is not in a group of its own.
            let _ = kill(main, Signal::SIGKILL);
        }
        // What they run dies by its parent-death signal; the rest becomes ours, and is looked for.
        for runner in &self.commands {
            let _ = kill(Pid::from_raw(*runner), Signal::SIGKILL);
        }
    }

    /// When [`Tree::advance`] has something to do.
    pub fn due(&self) -> Option<Moment> {
        let phase = match &self.phase {
            Phase::Empty => return None,
            Phase::Running => None,
            Phase::Stopping { kill_at } => Some(*kill_at),
            Phase::Asking { until } => Some(*until),
            Phase::Killing { next, .. } => Some(*next),
        };
        phase.into_iter().chain(self.lock_checks.first().copied()).min()
    }

    /// Waits for whoever died and does what is due.
    pub fn advance(&mut self, now: Moment) -> Vec<Happening> {
        let mut happenings = Vec::new();
        if self.is_empty() {
            return happenings;
        }
        self.look_at_exec(now, &mut happenings);
        let anybody = self.reap(now, &mut happenings);
        if !anybody {
            self.look_at_exec(now, &mut happenings);
            self.died(&mut happenings);
            return happenings;
        }
        if self.is_empty() {
            // A runner was killed, and left what it should have killed.
            self.begin_to_kill(now, false);
        }
        self.check_lock(now, &mut happenings);
        match &self.phase {
            Phase::Stopping { kill_at } if now >= *kill_at => {
                // The main process of a forking coordinator may have gone long ago.
                let main = self.main.filter(|_| self.status.is_none()).map(Pid::as_raw);
                match main.or_else(|| processes::descendants().first().copied()) {
                    Some(main) => happenings.push(Happening::StopTimedOut { main }),
                    None => self.kill(now),
                }
            }
            Phase::Asking { until } if now >= *until => self.kill(now),
            Phase::Killing { since, next, pause, told } if now >= *next => {
                let (since, pause, told) = (*since, *pause, *told);
                self.kill_round(since, now, &mut happenings);
                let late = now.since(since) >= STUCK_AFTER;
                let pause = if late { LATE } else { (pause * 2).min(SOON) };
                self.phase = Phase::Killing { since, next: now + pause, pause, told };
            }
            Phase::Empty | Phase::Running | Phase::Stopping { .. } | Phase::Asking { .. } | Phase::Killing { .. } => {}
        }
        happenings
    }

    fn look_at_exec(&mut self, now: Moment, happenings: &mut Vec<Happening>) {
        let Some(outcome) = self.exec.as_ref().and_then(launch_outcome) else { return };
        self.exec = None;
        match outcome {
            // The end of a child that was killed before its exec looks like an exec.
            Ok(()) if self.phase != Phase::Running => {}
            Ok(()) => {
                let pid = self.main.map_or(0, Pid::as_raw);
                self.holds_lock = self.lock.is_some_and(|fd| processes::holds_ofd_lock(pid, fd));
                self.lock_checks = LOCK_CHECKS.iter().map(|after| now + *after).collect();
                happenings.push(Happening::Started { pid, holds_lock: self.holds_lock });
            }
            Err(error) => self.failed = Some(error),
        }
    }

    fn check_lock(&mut self, now: Moment, happenings: &mut Vec<Happening>) {
        if self.lock_checks.first().is_none_or(|at| now < *at) {
            return;
        }
        self.lock_checks.remove(0);
        let (Some(main), Some(fd), None) = (self.main, self.lock, self.status) else { return };
        let holds = processes::holds_ofd_lock(main.as_raw(), fd);
        if holds != self.holds_lock {
            self.holds_lock = holds;
            happenings.push(Happening::HoldsLock(holds));
        }
    }

    /// Waits for the dead. False: there is no child at all, which proves the tree dead.
    fn reap(&mut self, now: Moment, happenings: &mut Vec<Happening>) -> bool {
        loop {
            let (pid, status) = match wait_any() {
                Ok(Some((pid, Death::Exited(code)))) => (pid, ExitStatus::Code(code)),
                Ok(Some((pid, Death::Killed(signal)))) => (pid, ExitStatus::Signal(signal)),
                Ok(None) => return true,
                Err(Errno::ECHILD) => return false,
                // Unknown is never "dead".
                Err(_) => return true,
            };
            if Some(pid) == self.main {
                self.status = Some(status);
                self.look_at_exec(now, happenings);
                self.main_ended(status, now, happenings);
            } else if self.commands.remove(&pid.as_raw()) {
                happenings.push(Happening::CommandEnded { pid: pid.as_raw(), status });
            }
        }
    }

    fn main_ended(&mut self, status: ExitStatus, now: Moment, happenings: &mut Vec<Happening>) {
        if self.failed.is_some() || self.forking {
            return;
        }
        if self.phase == Phase::Running {
            happenings.push(Happening::Exited(status));
        }
        self.kill(now);
    }

    fn died(&mut self, happenings: &mut Vec<Happening>) {
        let was = std::mem::replace(&mut self.phase, Phase::Empty);
        match (self.failed.take(), was) {
            (Some(error), Phase::Running) => happenings.push(Happening::StartFailed(error)),
            (_, Phase::Running) if self.forking => {
                happenings.extend(self.status.map(Happening::Exited));
                happenings.push(Happening::Dead);
            }
            // Only commands have lived, and each one's end has been told.
            (_, Phase::Empty | Phase::Killing { told: false, .. }) => {}
            _ => happenings.push(Happening::Dead),
        }
        *self = Self::new(self.cgroup.take());
    }

    fn kill_round(&mut self, since: Moment, now: Moment, happenings: &mut Vec<Happening>) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        let found = processes::kill_whom(processes::descendants);
        if now.since(since) >= STUCK_AFTER {
            let stuck: Vec<StuckProcess> = found.iter().filter_map(|pid| processes::stuck(*pid)).collect();
            if !stuck.is_empty() && stuck != self.reported_stuck {
                self.reported_stuck.clone_from(&stuck);
                happenings.push(Happening::Stuck(stuck));
            }
        }
    }
}
