//! The state machine: [`Machine::step`] and [`Machine::deadline`].

use crate::moment::Moment;

use super::action::{Action, Exit};
use super::cause::{Cause, DeadlineReason, End, Phase, Role, Transition};
use super::event::{Event, Succession};
use super::rules::Rules;
use super::wait::Waiting;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Guardian {
    Awaited,
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Stage {
    /// Not in the queue; before `until` (a back-off) it will not stand.
    Idle {
        until: Option<Moment>,
    },
    Standing,
    /// Elected. `asked`: AcquireLock is under way; `by`: when its silence means that the volume hangs.
    Locking {
        succession: Succession,
        asked: bool,
        by: Option<Moment>,
        early: EarlyFencing,
    },
    /// `order`: by which the command's answer is known. `by`: when its silence means that it cannot even be killed.
    FencingPredecessor {
        epoch: u64,
        order: u64,
        by: Moment,
    },
    Claiming {
        epoch: u64,
        claimed: bool,
        recorded: bool,
        by: Moment,
    },
    Preparing {
        epoch: u64,
        by: Moment,
    },
    /// `ordered`: Start is sent, so a tree may live. Until then it waits for enough lease.
    Starting {
        epoch: u64,
        ordered: bool,
        running: bool,
        by: Moment,
    },
    Leading {
        epoch: u64,
        since: Moment,
    },
    /// The coordinator died and will be started again here, once its tree is dead; by `by` it must be.
    Clearing {
        epoch: u64,
        by: Moment,
    },
    Ending(Ending),
    Finished,
}

/// Fencing the former active while it, or the file server on its behalf, still has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum EarlyFencing {
    Unwanted,
    At(Moment),
    Running,
    Done,
}

/// A leadership on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Ending {
    pub(super) end: End,
    pub(super) step: EndStep,
    pub(super) epoch: Option<u64>,
    /// Leadership was lost while a coordinator may have lived: this node killed it instead of stopping it.
    pub(super) fenced: bool,
    /// A coordinator may have lived, so there is something to tidy up after.
    pub(super) tidy: bool,
    /// What it wrote has reached the volume, as far as is known.
    pub(super) clean: bool,
    /// The guardian was asked for the lock: it is replaced afterwards.
    pub(super) engaged: bool,
    /// Nothing of the coordinator's tree is left, nor of any command that ran in this leadership's name.
    pub(super) tree_dead: bool,
    pub(super) lock_closed: bool,
    pub(super) resignation: Resignation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Resignation {
    Unsaid,
    Ordered,
    Acknowledged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum EndStep {
    /// The stop signal is sent; the guardian's stop_timeout runs, and should be over at `by`.
    Stopping {
        by: Moment,
    },
    /// SIGKILL is sent. `give_away`: when the role is given away although it has not died.
    Killing {
        give_away: Option<Moment>,
    },
    /// after_stop runs; by `by` it has ended or cannot be killed.
    Tidying {
        by: Moment,
    },
    ClosingLock {
        give_away: Option<Moment>,
    },
    Resigning,
}

/// The core. Clone and Hash, so that the model checker can run the very same code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    pub(super) rules: Rules,
    pub(super) role: Role,
    pub(super) stage: Stage,
    pub(super) guardian: Guardian,
    pub(super) volume_usable: bool,
    /// The watchdog device may be used, as far as the guardian can see without arming it.
    pub(super) watchdog_usable: bool,
    /// The volume's pages have to be written back before an end is clean.
    pub(super) write_back: bool,
    /// Until when this node may act as the active one.
    pub(super) lease_until: Option<Moment>,
    /// Until when a lock without a lease is kept for us by the guardian.
    pub(super) hold_until: Option<Moment>,
    /// The epoch of the election that was yielded to a better candidate.
    pub(super) yielded: Option<u64>,
    /// For the lock of the leadership before this node.
    pub(super) waiting: Waiting,
    pub(super) failures: u32,
    pub(super) restarts: Vec<Moment>,
    pub(super) stop_requested: bool,
}

impl Machine {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            role: Role::Standby,
            stage: Stage::Idle { until: None },
            guardian: Guardian::Awaited,
            volume_usable: false,
            watchdog_usable: false,
            write_back: false,
            lease_until: None,
            hold_until: None,
            yielded: None,
            waiting: Waiting::default(),
            failures: 0,
            restarts: Vec::new(),
            stop_requested: false,
        }
    }

    pub const fn role(&self) -> Role {
        self.role
    }

    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Replaces the rules (a reload, or a newly negotiated session). A lease already granted is not stretched; what shortens it is
    /// [`Event::Granted`].
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub const fn lease_until(&self) -> Option<Moment> {
        self.lease_until
    }

    /// The epoch this node leads with, from the claim on.
    pub const fn epoch(&self) -> Option<u64> {
        match &self.stage {
            Stage::Claiming { epoch, claimed: true, .. }
            | Stage::Preparing { epoch, .. }
            | Stage::Starting { epoch, .. }
            | Stage::Leading { epoch, .. }
            | Stage::Clearing { epoch, .. } => Some(*epoch),
            Stage::Ending(ending) => ending.epoch,
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Finished => None,
        }
    }

    /// How many local restarts lie in the current window.
    pub fn restarts(&self) -> u32 {
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX)
    }

    /// Whether a process of the coordinator's tree may be alive, as far as the core knows.
    pub const fn tree_may_live(&self) -> bool {
        match &self.stage {
            Stage::Starting { ordered, .. } => *ordered,
            Stage::Leading { .. } | Stage::Clearing { .. } => true,
            Stage::Ending(ending) => ending.tidy && !ending.tree_dead,
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Finished => false,
        }
    }

    /// Whether anything that runs in this leadership's name may be alive: the coordinator, or a command that the way up has
    /// ordered.
    pub const fn anything_may_live(&self) -> bool {
        match &self.stage {
            Stage::Locking { early, .. } => matches!(early, EarlyFencing::Running),
            Stage::FencingPredecessor { .. } | Stage::Preparing { .. } => true,
            Stage::Ending(ending) => !ending.tree_dead,
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Claiming { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. }
            | Stage::Finished => self.tree_may_live(),
        }
    }

    /// Why this leadership is ending, while it is.
    pub const fn end(&self) -> Option<End> {
        if let Stage::Ending(ending) = &self.stage { Some(ending.end) } else { None }
    }

    /// A standby that could take over at once.
    pub const fn eligible(&self) -> bool {
        matches!(self.stage, Stage::Standing) && self.host_usable() && matches!(self.guardian, Guardian::Ready)
    }

    /// Nothing on this host stands in the way of a start.
    const fn host_usable(&self) -> bool {
        self.volume_usable && (self.watchdog_usable || !self.rules.watchdog_required)
    }

    pub fn phase(&self, now: Moment) -> Phase {
        match &self.stage {
            Stage::Idle { until: Some(until) } if now < *until => Phase::BackingOff,
            Stage::Idle { .. } => Phase::Idle,
            Stage::Standing => Phase::Standing,
            Stage::Locking { early: EarlyFencing::Running, .. } => Phase::WaitingForFence,
            Stage::Locking { .. } => Phase::WaitingForLock,
            Stage::FencingPredecessor { .. } => Phase::WaitingForFence,
            Stage::Claiming { .. } | Stage::Preparing { .. } | Stage::Starting { .. } | Stage::Clearing { .. } => {
                Phase::Starting
            }
            Stage::Leading { .. } => Phase::Leading,
            Stage::Ending(_) if self.role == Role::Fencing => Phase::Fencing,
            Stage::Ending(_) => Phase::Stopping,
            Stage::Finished => Phase::Finished,
        }
    }

    /// When the machine must be stepped although nothing happened, and why.
    pub fn deadline(&self) -> Option<(Moment, DeadlineReason)> {
        let mut earliest: Option<(Moment, DeadlineReason)> = None;
        let mut at = |moment: Option<Moment>, reason| {
            if let Some(moment) = moment
                && earliest.is_none_or(|(other, _)| moment < other)
            {
                earliest = Some((moment, reason));
            }
        };
        if self.lease_matters() {
            at(self.lease_until, DeadlineReason::Lease);
        }
        at(self.hold_until.map(|until| until - self.rules.lease / 2), DeadlineReason::HoldLock);
        at(self.waiting.renewal().filter(|_| self.waits()), DeadlineReason::AwaitLock);
        match &self.stage {
            Stage::Idle { until } => at(*until, DeadlineReason::Backoff),
            Stage::Locking { by, early, .. } => {
                at(*by, DeadlineReason::Volume);
                if let EarlyFencing::At(moment) = early {
                    at(Some(*moment), DeadlineReason::Fence);
                }
            }
            Stage::Claiming { by, .. } => at(Some(*by), DeadlineReason::Volume),
            Stage::Preparing { by, .. } | Stage::Starting { by, .. } => at(Some(*by), DeadlineReason::Startup),
            Stage::FencingPredecessor { by, .. } => at(Some(*by), DeadlineReason::Command),
            Stage::Clearing { by, .. } => at(Some(*by), DeadlineReason::Stuck),
            Stage::Ending(Ending { step: EndStep::Stopping { by }, .. }) => at(Some(*by), DeadlineReason::Stop),
            Stage::Ending(Ending { step: EndStep::Tidying { by }, .. }) => at(Some(*by), DeadlineReason::Command),
            Stage::Ending(Ending {
                step: EndStep::Killing { give_away } | EndStep::ClosingLock { give_away }, ..
            }) => at(*give_away, DeadlineReason::Stuck),
            Stage::Standing | Stage::Leading { .. } | Stage::Ending(_) | Stage::Finished => {}
        }
        earliest
    }

    /// Takes in one fact. The lease is looked at first, whatever the fact is: a process that thaws must not act on what
    /// it finds in its mailbox before it knows that its time is up.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        let expected = self.expects(&event);
        self.check_lease(now, &mut out);
        if expected {
            self.take_in(now, event, &mut out);
        }
        self.check_time(now, &mut out);
        self.stand_if_possible(now, &mut out);
        self.await_lock_if_possible(now, &mut out);
        out
    }

    pub(super) const fn lease_matters(&self) -> bool {
        match &self.stage {
            Stage::Claiming { claimed, .. } => *claimed,
            Stage::Preparing { .. } | Stage::Starting { .. } | Stage::Leading { .. } | Stage::Clearing { .. } => true,
            Stage::Ending(ending) => matches!(ending.step, EndStep::Stopping { .. } | EndStep::Tidying { .. }),
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Finished => false,
        }
    }

    /// Whether an acknowledgement answers an order given before this step. One given by this very step (the lease is looked
    /// at first) cannot have been answered by what already lay in the mailbox.
    const fn expects(&self, event: &Event) -> bool {
        match (event, &self.stage) {
            (Event::TreeDead, Stage::Clearing { .. }) => true,
            (Event::TreeDead, Stage::Ending(ending)) => {
                matches!(ending.step, EndStep::Stopping { .. } | EndStep::Killing { .. })
            }
            (Event::Tidied, Stage::Ending(ending)) => matches!(ending.step, EndStep::Tidying { .. }),
            (Event::LockClosed { .. }, Stage::Ending(ending)) => matches!(ending.step, EndStep::ClosingLock { .. }),
            (Event::Resigned, Stage::Ending(ending)) => matches!(ending.resignation, Resignation::Ordered),
            (Event::TreeDead | Event::Tidied | Event::LockClosed { .. } | Event::Resigned, _) => false,
            _ => true,
        }
    }

    pub(super) fn check_lease(&mut self, now: Moment, out: &mut Vec<Action>) {
        let lease = self.lease_until.filter(|_| self.lease_matters());
        // Past the hold's end the guardian has let go of the lock, even if its report still waits in the mailbox.
        if lease.or(self.hold_until).is_some_and(|until| until <= now) {
            self.end_now(now, End::LeaseExpired, out);
        }
    }

    fn take_in(&mut self, now: Moment, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::GuardianReady => self.guardian_ready(now, out),
            Event::GuardianLost => self.guardian_lost(now, out),
            Event::VolumeSeen { usable } => self.volume_seen(now, usable, out),
            Event::WatchdogSeen { usable } => self.watchdog_seen(now, usable, out),
            Event::Elected(succession) => self.elected(now, succession, out),
            Event::LockAcquired { recorded, write_back } => {
                self.write_back = write_back;
                self.lock_acquired(now, recorded, out);
            }
            Event::NextInLine(next) => self.hear_next_in_line(next, out),
            Event::LockGranted { over, recorded, write_back } => {
                self.lock_granted(now, over, recorded, write_back, out);
            }
            Event::CalledOff => self.called_off(now, out),
            Event::LockRefused { recorded } => self.lock_refused(now, recorded),
            Event::VolumeUnusable => {
                if matches!(self.stage, Stage::Locking { .. } | Stage::Claiming { .. }) {
                    self.end_now(now, End::StartFailed, out);
                }
            }
            Event::PredecessorFenced { epoch, succeeded } => self.predecessor_fenced(now, epoch, succeeded, out),
            Event::Claimed { epoch, sent } => self.claimed(now, epoch, sent, out),
            Event::ClaimRefused => {
                if let Stage::Claiming { claimed: false, .. } = self.stage {
                    self.end_now(now, End::StartFailed, out);
                }
            }
            Event::RecordWritten { epoch: written } => {
                if let Stage::Claiming { epoch, recorded, .. } = &mut self.stage
                    && *epoch == written
                {
                    *recorded = true;
                    self.prepare_once_claimed(now, out);
                }
            }
            Event::Prepared { epoch: prepared, succeeded } => {
                if let Stage::Preparing { epoch, .. } = self.stage
                    && epoch == prepared
                {
                    if succeeded { self.begin_start(now, epoch, out) } else { self.end_now(now, End::StartFailed, out) }
                }
            }
            Event::Started => self.started(now, out),
            Event::StartFailed => {
                if let Stage::Starting { ordered: true, .. } = self.stage {
                    self.end_now(now, End::StartFailed, out);
                }
            }
            Event::Ready => self.ready(now, out),
            Event::Unhealthy => {
                if let Stage::Leading { .. } = self.stage {
                    self.end_now(now, End::CoordinatorUnhealthy, out);
                }
            }
            Event::Exited => self.exited(now, out),
            Event::TreeDead => self.tree_died(now, out),
            Event::Tidied => {
                if let Stage::Ending(Ending { step: EndStep::Tidying { .. }, .. }) = self.stage {
                    self.tree_is_dead();
                    self.close_lock(now, out);
                }
            }
            Event::Renewed { sent } => self.renewed(now, sent, out),
            Event::Granted { until } => self.granted(now, until, out),
            Event::Lost(loss) => self.lost(now, loss, out),
            Event::VolumeLost => {
                if !matches!(self.stage, Stage::Idle { .. } | Stage::Standing | Stage::Finished) {
                    self.end_now(now, End::VolumeLost, out);
                }
            }
            Event::Fenced { clean } => self.fenced(now, clean, out),
            Event::LockClosed { clean } => self.lock_closed(now, clean, out),
            Event::Resigned => self.resigned(now, out),
            Event::StepDownRequested(end) => self.step_down(now, end, out),
            Event::StopRequested => {
                self.stop_requested = true;
                self.stop(now, out);
            }
            Event::KillRequested => {
                self.stop_requested = true;
                self.stop(now, out);
                if let Stage::Ending(Ending { step, .. }) = self.stage {
                    match step {
                        EndStep::Stopping { .. } => self.kill(now, out),
                        EndStep::Tidying { .. } => self.kill_commands(now, out),
                        EndStep::Killing { .. } | EndStep::ClosingLock { .. } | EndStep::Resigning => {}
                    }
                }
            }
            Event::DuplicateName => {
                if matches!(self.stage, Stage::Idle { .. } | Stage::Standing) {
                    self.stage = Stage::Finished;
                    out.push(Action::Exit(Exit::DuplicateName));
                }
            }
            Event::TimePassed => {}
        }
    }

    fn check_time(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.hold_until.is_some_and(|until| until - self.rules.lease / 2 <= now) {
            self.hold_lock(now, out);
        }
        match self.stage {
            Stage::Idle { until: Some(until) } if until <= now => self.stage = Stage::Idle { until: None },
            Stage::Locking { by: Some(by), .. }
            | Stage::FencingPredecessor { by, .. }
            | Stage::Claiming { by, .. }
            | Stage::Preparing { by, .. }
            | Stage::Starting { by, .. }
                if by <= now =>
            {
                self.end_now(now, End::StartFailed, out);
            }
            Stage::Locking { early: EarlyFencing::At(at), .. } if at <= now => self.fence_early(out),
            Stage::Clearing { by, .. } if by <= now => {
                self.begin_end(now, End::CoordinatorExited, out);
                self.kill(now, out);
            }
            Stage::Ending(Ending { step: EndStep::Stopping { by }, .. }) if by <= now => self.kill(now, out),
            Stage::Ending(Ending { step: EndStep::Tidying { by }, .. }) if by <= now => self.kill_commands(now, out),
            Stage::Ending(Ending { step: EndStep::Killing { give_away: Some(at) }, .. }) if at <= now => {
                self.set_step(EndStep::Killing { give_away: None });
                self.give_away(out);
            }
            Stage::Ending(Ending { step: EndStep::ClosingLock { give_away: Some(at) }, .. }) if at <= now => {
                self.set_step(EndStep::ClosingLock { give_away: None });
                self.give_away(out);
            }
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. }
            | Stage::Ending(_)
            | Stage::Finished => {}
        }
    }

    fn stand_if_possible(&mut self, now: Moment, out: &mut Vec<Action>) {
        if matches!(self.stage, Stage::Standing) && !self.rules.may_stand {
            self.withdraw(now, End::Stopped, out);
        }
        let Stage::Idle { until } = self.stage else { return };
        if self.rules.may_stand
            && !self.stop_requested
            && self.host_usable()
            && self.guardian == Guardian::Ready
            && until.is_none_or(|until| until <= now)
        {
            self.stage = Stage::Standing;
            out.push(Action::Stand);
        }
    }

    /// The one place where the role changes.
    pub(super) fn change_role(&mut self, to: Role, cause: Cause, epoch: Option<u64>, out: &mut Vec<Action>) {
        let from = self.role;
        if from == to {
            return;
        }
        assert!(legal(from, to), "illegal transition {} -> {}", from.as_str(), to.as_str());
        self.role = to;
        out.push(Action::Announce(Transition { from, to, cause, epoch }));
    }
}

/// The edges of the role diagram.
pub(super) const fn legal(from: Role, to: Role) -> bool {
    matches!(
        (from, to),
        (Role::Standby, Role::Promoting)
            | (Role::Promoting, Role::Active | Role::Demoting | Role::Fencing)
            | (Role::Active, Role::Promoting | Role::Demoting | Role::Fencing)
            | (Role::Demoting, Role::Fencing | Role::Standby)
            | (Role::Fencing, Role::Standby)
    )
}
