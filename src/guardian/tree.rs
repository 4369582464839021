//! The coordinator's process tree, and the runners of the commands that live beside it or instead of it: start, stop, kill,
//! and the proof that nothing of them is left.
//!
//! The proof is `waitpid` saying ECHILD. The guardian is a child subreaper, so whatever the coordinator forks ends up as
//! its child at the latest when its parent dies, and a process without children has no tree. Rejected: counting the
//! processes found in /proc, which misses what forks between two looks, and the process group alone, which misses all
//! that calls setsid.
//!
//! Where only the coordinator's part must be known to be gone, beside commands that run on, it is a look at this process's
//! children that found nobody else. Nobody but this thread waits for them, so whoever dies meanwhile stays in the list, and its
//! orphans come behind it.
//!
//! Killing is SIGKILL to the process group at once; whatever is left is looked for in /proc, stopped (so that a tree
//! that forks all the time stands still), killed, and looked for again. The cgroup's hammer comes after that.
//!
//! Stopping is the stop signal to the main process; when that has ended and something is left (the application of a start
//! script without `exec`), to all of that, once. Rejected: to everything at once. Servers that stop their own
//! workers in order would lose them.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::cgroup::Cgroup;
use super::protocol::{ExitStatus, StuckProcess};
use crate::moment::Moment;
use crate::processes::{self, Named, Stat};
use crate::syscalls::{Death, Launch, LaunchError, launch, launch_outcome, send_signal, wait_any};

/// Between the kill of the process group and the first look for what is left: most trees are gone by then.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks while the tree is expected to go at once.
const SOON: Duration = Duration::from_millis(20);
/// The pause after [`STUCK_AFTER`]: what has not gone by then waits for a device or a server.
const LATE: Duration = Duration::from_millis(100);
/// When processes that got SIGKILL and still live are reported.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// When to look again, after a start, who holds the lock's descriptor.
const LOCK_CHECKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// And after that, as long as it runs.
const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Whoever is younger is not looked at: programs that a coordinator runs for a moment close what they inherit.
const GROWN_UP: Duration = Duration::from_millis(500);
/// A tick of `/proc/PID/stat`'s start time (USER_HZ), in nanoseconds.
const TICK: u64 = 10_000_000;

/// What happened to the tree.
#[derive(Debug, PartialEq, Eq)]
pub enum Happening {
    Started {
        pid: i32,
        holds_lock: bool,
    },
    StartFailed(StartFailure),
    /// Whether every process of the coordinator's holds the lock.
    HoldsLock(bool),
    /// These do not.
    WithoutLock(Vec<Named>),
    /// It ended and nobody had ordered that: the main process, or the last one of a forking coordinator's.
    Exited(ExitStatus),
    /// What the main process left when it ended with this status by itself; it is killed.
    LeftBehind(ExitStatus, Vec<Named>),
    Dead,
    Stuck(Vec<StuckProcess>),
    /// `stop_timeout` has passed: run before_kill with this process, then [`Tree::ask_first`] or [`Tree::kill`].
    StopTimedOut {
        main: i32,
        /// All that is left.
        left: Vec<Named>,
    },
    /// A stop was cut short, and these were killed.
    StopCutShort(Vec<Named>),
    /// A stop was ordered while a forking coordinator's start script still ran.
    ScriptStillRan(i32),
    /// A process that was taken in by [`Tree::adopt`] has ended.
    CommandEnded {
        pid: i32,
        status: ExitStatus,
    },
}

/// Why nothing was started.
#[derive(Debug, PartialEq, Eq)]
pub enum StartFailure {
    Launch(LaunchError),
    /// A forking coordinator's start script has failed, or has left nothing.
    Script {
        status: ExitStatus,
        /// What it left; it is killed.
        left: Vec<Named>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// No process of the coordinator's exists.
    Empty,
    Running,
    Stopping {
        kill_at: Moment,
        signal: i32,
        /// The signal went to all, not to the main process alone.
        passed_on: bool,
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
    failed: Option<StartFailure>,
    main: Option<Pid>,
    /// The main process's end, once it has been waited for.
    status: Option<ExitStatus>,
    /// How whoever was waited for last has ended.
    last: Option<ExitStatus>,
    /// Told as started: since then.
    started: Option<Moment>,
    /// Whoever had to be killed after a stop has been named.
    named: bool,
    /// The runners of commands.
    commands: BTreeSet<i32>,
    lock: Option<i32>,
    holds_lock: bool,
    lock_check: Option<Moment>,
    reported_stuck: Vec<StuckProcess>,
    cgroup: Option<Cgroup>,
    /// What happened outside of [`Tree::advance`].
    untold: Vec<Happening>,
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
            last: None,
            started: None,
            named: false,
            commands: BTreeSet::new(),
            lock: None,
            holds_lock: false,
            lock_check: None,
            reported_stuck: Vec::new(),
            cgroup,
            untold: Vec::new(),
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

    /// Has the cgroup tried out, for a start that is about to come.
    pub fn prepare_birth(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.try_out();
        }
    }

    /// The cgroup is being made or tried out: whoever is started at this moment is not born there.
    pub fn awaits_cgroup(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::is_busy)
    }

    /// A runner that was started. Its end is told; it dies with the tree.
    pub fn adopt(&mut self, runner: Pid) {
        self.commands.insert(runner.as_raw());
    }

    /// The first process of a tree that was started.
    pub fn main(&self) -> Option<i32> {
        self.main.map(Pid::as_raw)
    }

    /// The pipe that tells the exec's outcome.
    pub fn exec_pipe(&self) -> Option<BorrowedFd<'_>> {
        self.exec.as_ref().map(AsFd::as_fd)
    }

    /// Forks. The outcome comes as `Started` or `StartFailed`: after the exec, or, of a forking coordinator, when its start
    /// script has ended. Only where there is no coordinator.
    pub fn start(&mut self, order: &Launch, forking: bool) -> nix::Result<()> {
        assert!(!self.has_coordinator(), "a second coordinator must never be started");
        let birthplace = self.cgroup.as_ref().and_then(Cgroup::directory);
        let (pid, pipe) = launch(order, birthplace.as_ref().map(AsFd::as_fd))?;
        *self = Self {
            phase: Phase::Running,
            forking,
            exec: Some(pipe),
            main: Some(pid),
            lock: order.inherit,
            commands: std::mem::take(&mut self.commands),
            untold: std::mem::take(&mut self.untold),
            ..Self::new(self.cgroup.take())
        };
        Ok(())
    }

    /// The stop signal, then SIGKILL at `kill_at`. A tree that is being stopped or killed already stays so.
    pub fn stop(&mut self, signal: i32, kill_at: Moment) {
        if let Phase::Killing { told, .. } = &mut self.phase {
            *told = true;
        }
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Stopping { kill_at, signal, passed_on: self.forking };
        let main = self.main.filter(|_| self.status.is_none());
        if self.forking {
            self.untold.extend(main.map(|main| Happening::ScriptStillRan(main.as_raw())));
            self.signal_all(signal);
        } else if let Some(main) = main {
            send_signal(main, signal);
        }
    }

    fn signal_all(&self, signal: i32) {
        for pid in processes::descendants_except(&self.commands) {
            send_signal(Pid::from_raw(pid), signal);
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
        let cut_short = matches!(self.phase, Phase::Stopping { .. }) && !self.named;
        self.begin_to_kill(now, true);
        if cut_short {
            // After the signals: those who are dead have their names until they are waited for.
            let killed = processes::named_even_dead(&processes::descendants_except(&self.commands));
            self.untold.push(Happening::StopCutShort(killed));
        }
    }

    fn begin_to_kill(&mut self, now: Moment, tell: bool) {
        if let Phase::Killing { told, .. } = &mut self.phase {
            *told |= tell;
            return;
        }
        self.phase = Phase::Killing { since: now, next: now + FIRST_LOOK, pause: FIRST_LOOK, told: tell };
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
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    /// When [`Tree::advance`] has something to do.
    pub fn due(&self) -> Option<Moment> {
        let phase = match &self.phase {
            Phase::Empty => return None,
            Phase::Running => None,
            Phase::Stopping { kill_at, .. } => Some(*kill_at),
            Phase::Asking { until } => Some(*until),
            Phase::Killing { next, .. } => Some(*next),
        };
        phase.into_iter().chain(self.lock_check).min()
    }

    /// Waits for whoever died and does what is due.
    pub fn advance(&mut self, now: Moment) -> Vec<Happening> {
        let mut happenings = std::mem::take(&mut self.untold);
        if self.is_empty() {
            return happenings;
        }
        self.look_at_exec(now, &mut happenings);
        let main_lived = self.status.is_none();
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
        if let Some(status) = self.status {
            self.settle(status, main_lived, now, &mut happenings);
        }
        self.check_lock(now, &mut happenings);
        match &self.phase {
            Phase::Stopping { kill_at, .. } if now >= *kill_at => {
                let left = self.left();
                // The main process of a forking coordinator, or of a start script, may have gone long ago.
                let main = self.main.filter(|_| self.status.is_none()).map(Pid::as_raw);
                match main.or_else(|| left.first().map(|first| first.pid)) {
                    Some(main) => {
                        self.named = true;
                        happenings.push(Happening::StopTimedOut { main, left });
                    }
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
            Ok(()) if self.forking => {}
            Ok(()) => self.tell_started(self.main.map_or(0, Pid::as_raw), now, happenings),
            Err(error) => self.failed = Some(StartFailure::Launch(error)),
        }
    }

    fn tell_started(&mut self, pid: i32, now: Moment, happenings: &mut Vec<Happening>) {
        self.started = Some(now);
        // What a start script has left has had its time.
        let without = self.without_lock(now, if self.forking { Duration::ZERO } else { GROWN_UP });
        self.holds_lock = self.lock.is_some() && without.is_empty();
        self.lock_check = self.lock.map(|_| now + LOCK_CHECKS[0]);
        happenings.push(Happening::Started { pid, holds_lock: self.holds_lock });
        if !without.is_empty() {
            happenings.push(Happening::WithoutLock(without));
        }
    }

    fn check_lock(&mut self, now: Moment, happenings: &mut Vec<Happening>) {
        let (Some(started), Some(due)) = (self.started, self.lock_check) else { return };
        if self.phase != Phase::Running {
            self.lock_check = None;
        } else if due <= now {
            let next = LOCK_CHECKS.iter().map(|after| started + *after).find(|at| now < *at);
            self.lock_check = Some(next.unwrap_or(now + LOCK_CHECK_INTERVAL));
            let without = self.without_lock(now, GROWN_UP);
            let holds = without.is_empty();
            if holds != self.holds_lock {
                self.holds_lock = holds;
                happenings.push(Happening::HoldsLock(holds));
                if !holds {
                    happenings.push(Happening::WithoutLock(without));
                }
            }
        }
    }

    /// Who of the coordinator's processes does not hold the lock, or does not let that be seen: the main process, and those of
    /// this age.
    fn without_lock(&self, now: Moment, age: Duration) -> Vec<Named> {
        let Some(fd) = self.lock else { return Vec::new() };
        let main = self.main.filter(|_| self.status.is_none()).map_or(0, Pid::as_raw);
        let mut without = processes::descendants_except(&self.commands);
        without.retain(|pid| {
            !processes::holds_ofd_lock(*pid, fd)
                && Stat::of(*pid).is_some_and(|stat| {
                    let born = Moment::from_nanos(stat.started.saturating_mul(TICK));
                    *pid == main || now.since(born) >= age
                })
        });
        processes::named(&without)
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
            if self.commands.remove(&pid.as_raw()) {
                happenings.push(Happening::CommandEnded { pid: pid.as_raw(), status });
                continue;
            }
            self.last = Some(status);
            if Some(pid) == self.main {
                self.status = Some(status);
                self.look_at_exec(now, happenings);
            }
        }
    }

    /// What it means, beside children that live, that the main process has ended with this status. `fresh`: just now.
    fn settle(&mut self, status: ExitStatus, fresh: bool, now: Moment, happenings: &mut Vec<Happening>) {
        match self.phase {
            Phase::Running if self.failed.is_some() => {
                if self.is_gone() {
                    happenings.push(self.end_by_itself());
                    self.forget();
                }
            }
            Phase::Running if self.forking && status != ExitStatus::Code(0) && self.started.is_none() => {
                // At once: what it left may be hard to kill.
                happenings.push(Happening::StartFailed(StartFailure::Script { status, left: self.left() }));
                self.begin_to_kill(now, false);
            }
            Phase::Running if self.forking && self.is_gone() => {
                happenings.push(self.end_by_itself());
                if self.started.is_some() { self.begin_to_kill(now, true) } else { self.forget() }
            }
            Phase::Running if self.forking => {
                // Who has died already, and was not waited for yet, has no name.
                if let (None, Some(first)) = (self.started, self.left().first()) {
                    self.tell_started(first.pid, now, happenings);
                }
            }
            Phase::Running => {
                let left = self.left();
                self.begin_to_kill(now, true);
                happenings.push(Happening::Exited(status));
                if !left.is_empty() {
                    happenings.push(Happening::LeftBehind(status, left));
                }
            }
            Phase::Stopping { .. } if self.is_gone() => self.begin_to_kill(now, true),
            Phase::Stopping { kill_at, signal, passed_on: false } => {
                self.phase = Phase::Stopping { kill_at, signal, passed_on: true };
                self.signal_all(signal);
            }
            Phase::Asking { .. } if fresh || self.is_gone() => self.kill(now),
            Phase::Empty | Phase::Stopping { .. } | Phase::Asking { .. } | Phase::Killing { .. } => {}
        }
    }

    /// The coordinator's living processes, as far as they can be found.
    fn left(&self) -> Vec<Named> {
        processes::named(&processes::descendants_except(&self.commands))
    }

    /// Nothing of the coordinator is left, whatever commands run. What cannot be known is not gone.
    fn is_gone(&self) -> bool {
        processes::children().is_ok_and(|children| children.iter().all(|pid| self.commands.contains(pid)))
    }

    /// What is told of an end that nobody has ordered.
    fn end_by_itself(&mut self) -> Happening {
        // Somebody else has waited for it. There is no such one, but a coordinator that is gone must not count as running.
        let last = self.last.unwrap_or(ExitStatus::Code(255));
        match self.failed.take() {
            Some(failure) => Happening::StartFailed(failure),
            None if self.forking && self.started.is_none() => {
                Happening::StartFailed(StartFailure::Script { status: self.status.unwrap_or(last), left: Vec::new() })
            }
            None => Happening::Exited(last),
        }
    }

    /// Nobody is left.
    fn died(&mut self, happenings: &mut Vec<Happening>) {
        match &self.phase {
            Phase::Running => {
                let end = self.end_by_itself();
                let told_as_failed = matches!(end, Happening::StartFailed(_));
                happenings.push(end);
                happenings.extend((!told_as_failed).then_some(Happening::Dead));
            }
            // Only commands have lived, and each one's end has been told; or what a failed start script left.
            Phase::Empty | Phase::Killing { told: false, .. } => {}
            Phase::Stopping { .. } | Phase::Asking { .. } | Phase::Killing { .. } => happenings.push(Happening::Dead),
        }
        happenings.append(&mut self.untold);
        self.commands.clear();
        self.forget();
    }

    /// The coordinator's part is over.
    fn forget(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        *self = Self { commands, ..Self::new(self.cgroup.take()) };
        if let Some(cgroup) = &self.cgroup {
            cgroup.renew();
        }
    }

    fn kill_round(&mut self, since: Moment, now: Moment, happenings: &mut Vec<Happening>) {
        let found = processes::kill_whom(processes::descendants);
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if now.since(since) >= STUCK_AFTER {
            let stuck: Vec<StuckProcess> = found.iter().filter_map(|pid| processes::stuck(*pid)).collect();
            if !stuck.is_empty() && stuck != self.reported_stuck {
                self.reported_stuck.clone_from(&stuck);
                happenings.push(Happening::Stuck(stuck));
            }
        }
    }
}
