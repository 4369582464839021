//! The machine of an always-on coordinator: it runs on every host, so there is nothing to be elected to, and nothing to lose.
//!
//! Theory of operation: as [`super::Machine`], told by events and answering with actions, each next step only when the one
//! before has been acknowledged. What remains of the way up is before_start → start → ready, of the way down stop or kill →
//! tree dead → after_stop → a fresh guardian. It has no stage in which it stands, holds a lock, or has an epoch, and knows no
//! action by which it could: so it can neither be elected nor take anything from whoever is. What does not die is waited
//! for, without end: nobody else can start in its place.
//!
//! Rejected: a flag in [`super::Machine`] that skips lock, claim and lease. Every rule there would have had an exception.

use crate::moment::Moment;

use super::action::{Action, Exit};
use super::cause::{Cause, DeadlineReason, End, Phase, Role, Transition};
use super::event::Event;
use super::machine::legal;
use super::rules::{Restarts, Rules};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Stage {
    /// Nothing of it lives; before `until` (a back-off) it is not started.
    Idle {
        until: Option<Moment>,
    },
    /// before_start runs.
    Preparing {
        by: Moment,
    },
    /// It may live from here on.
    Starting {
        running: bool,
        by: Moment,
    },
    Serving {
        since: Moment,
    },
    /// It died and will be started again at once when its tree is dead; by `by` it must be.
    Clearing {
        by: Moment,
    },
    Ending {
        end: End,
        step: Step,
        /// A coordinator may have lived, so there is something to tidy up after.
        tidy: bool,
        guardian_lives: bool,
    },
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Step {
    /// The stop signal is sent; by `by` the guardian has killed what did not stop.
    Stopping {
        by: Moment,
    },
    Killing,
    /// after_stop runs.
    Tidying {
        by: Moment,
    },
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct AlwaysOn {
    always_on: Rules,
    role: Role,
    stage: Stage,
    guardian_ready: bool,
    /// Counts starts: what answers an earlier one's hook is void.
    attempt: u64,
    failures: u32,
    restarts: Vec<Moment>,
    /// How this process is to end once nothing of the coordinator is left.
    exit: Option<Exit>,
}

impl AlwaysOn {
    pub const fn new(rules: Rules) -> Self {
        Self {
            always_on: rules,
            role: Role::Standby,
            stage: Stage::Idle { until: None },
            guardian_ready: false,
            attempt: 0,
            failures: 0,
            restarts: Vec::new(),
            exit: None,
        }
    }

    pub const fn role(&self) -> Role {
        self.role
    }

    pub const fn rules(&self) -> &Rules {
        &self.always_on
    }

    pub fn set_rules(&mut self, rules: Rules) {
        self.always_on = rules;
    }

    /// How many local restarts lie in the current window.
    pub fn restarts(&self) -> u32 {
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX)
    }

    /// Whether a process of the coordinator's tree may be alive, as far as the core knows.
    pub const fn tree_may_live(&self) -> bool {
        match self.stage {
            Stage::Starting { .. } | Stage::Serving { .. } | Stage::Clearing { .. } => true,
            Stage::Ending { step, tidy, .. } => tidy && !matches!(step, Step::Tidying { .. }),
            Stage::Idle { .. } | Stage::Preparing { .. } | Stage::Finished => false,
        }
    }

    /// Whether anything of it may be alive, a command included.
    pub const fn anything_may_live(&self) -> bool {
        !matches!(self.stage, Stage::Idle { .. } | Stage::Finished)
    }

    /// Why it is being ended, while it is.
    pub const fn end(&self) -> Option<End> {
        if let Stage::Ending { end, .. } = self.stage { Some(end) } else { None }
    }

    pub fn phase(&self, now: Moment) -> Phase {
        match self.stage {
            Stage::Idle { until: Some(until) } if now < until => Phase::BackingOff,
            Stage::Idle { .. } => Phase::Idle,
            Stage::Preparing { .. } | Stage::Starting { .. } | Stage::Clearing { .. } => Phase::Starting,
            Stage::Serving { .. } => Phase::Leading,
            Stage::Ending { .. } if self.role == Role::Fencing => Phase::Fencing,
            Stage::Ending { .. } => Phase::Stopping,
            Stage::Finished => Phase::Finished,
        }
    }

    /// When the machine must be stepped although nothing happened, and why.
    pub const fn deadline(&self) -> Option<(Moment, DeadlineReason)> {
        match self.stage {
            Stage::Idle { until: Some(until) } => Some((until, DeadlineReason::Backoff)),
            Stage::Preparing { by } | Stage::Starting { by, .. } => Some((by, DeadlineReason::Startup)),
            Stage::Clearing { by } => Some((by, DeadlineReason::Stuck)),
            Stage::Ending { step: Step::Stopping { by }, .. } => Some((by, DeadlineReason::Stop)),
            Stage::Ending { step: Step::Tidying { by }, .. } => Some((by, DeadlineReason::Command)),
            Stage::Idle { until: None }
            | Stage::Serving { .. }
            | Stage::Ending { step: Step::Killing, .. }
            | Stage::Finished => None,
        }
    }

    /// Takes in one fact.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.take_in(now, event, &mut out);
        self.check_time(now, &mut out);
        self.start_if_possible(now, &mut out);
        out
    }

    fn take_in(&mut self, now: Moment, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::GuardianReady => self.guardian_ready = true,
            Event::GuardianLost => self.guardian_lost(out),
            Event::Prepared { epoch, succeeded } => {
                if matches!(self.stage, Stage::Preparing { .. }) && epoch == self.attempt {
                    if succeeded {
                        self.start(now, out);
                    } else {
                        self.begin_end(now, End::StartFailed, Step::Killing, out);
                        self.finish(now, out);
                    }
                }
            }
            Event::Started => {
                if let Stage::Starting { running, .. } = &mut self.stage {
                    *running = true;
                    if !self.always_on.probed {
                        self.ready(now, out);
                    }
                }
            }
            Event::StartFailed => {
                if let Stage::Starting { .. } = self.stage {
                    self.end_now(now, End::StartFailed, out);
                }
            }
            Event::Ready => self.ready(now, out),
            Event::Unhealthy => {
                if let Stage::Serving { .. } = self.stage {
                    self.end_now(now, End::CoordinatorUnhealthy, out);
                }
            }
            Event::Exited => self.exited(now, out),
            Event::TreeDead => self.tree_died(now, out),
            Event::Tidied => {
                if let Stage::Ending { step: Step::Tidying { .. }, .. } = self.stage {
                    self.finish(now, out);
                }
            }
            Event::StepDownRequested(end) => self.end_now(now, end, out),
            Event::StopRequested => self.leave(now, Exit::Stopped, out),
            Event::KillRequested => {
                self.leave(now, Exit::Stopped, out);
                if let Stage::Ending { step: Step::Stopping { .. } | Step::Tidying { .. }, .. } = self.stage {
                    self.kill(out);
                }
            }
            Event::DuplicateName => self.leave(now, Exit::DuplicateName, out),
            // Of elections, locks and leases it knows nothing.
            Event::VolumeSeen { .. }
            | Event::WatchdogSeen { .. }
            | Event::Elected(_)
            | Event::LockAcquired { .. }
            | Event::NextInLine(_)
            | Event::LockGranted { .. }
            | Event::CalledOff
            | Event::LockRefused { .. }
            | Event::VolumeUnusable
            | Event::PredecessorFenced { .. }
            | Event::Claimed { .. }
            | Event::ClaimRefused
            | Event::RecordWritten { .. }
            | Event::Renewed { .. }
            | Event::Granted { .. }
            | Event::Lost(_)
            | Event::VolumeLost
            | Event::Fenced { .. }
            | Event::LockClosed { .. }
            | Event::Resigned
            | Event::TimePassed => {}
        }
    }

    fn check_time(&mut self, now: Moment, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Idle { until: Some(until) } if until <= now => self.stage = Stage::Idle { until: None },
            Stage::Preparing { by } | Stage::Starting { by, .. } if by <= now => {
                self.end_now(now, End::StartFailed, out);
            }
            Stage::Clearing { by } if by <= now => {
                self.begin_end(now, End::CoordinatorExited, Step::Killing, out);
                self.kill(out);
            }
            Stage::Ending { step: Step::Stopping { by } | Step::Tidying { by }, .. } if by <= now => self.kill(out),
            Stage::Idle { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Serving { .. }
            | Stage::Clearing { .. }
            | Stage::Ending { .. }
            | Stage::Finished => {}
        }
    }

    fn start_if_possible(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Idle { until: None } = self.stage else { return };
        if !self.always_on.may_stand || !self.guardian_ready || self.exit.is_some() {
            return;
        }
        self.attempt += 1;
        self.change_role(Role::Promoting, Cause::AlwaysOn, out);
        if self.always_on.before_start {
            self.stage = Stage::Preparing { by: now + self.always_on.before_start_timeout };
            out.push(Action::RunBeforeStart { epoch: self.attempt });
        } else {
            self.start(now, out);
        }
    }

    fn start(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.stage = Stage::Starting { running: false, by: now + self.always_on.startup_timeout };
        out.push(Action::StartAlwaysOn);
    }

    fn ready(&mut self, now: Moment, out: &mut Vec<Action>) {
        if let Stage::Starting { running: true, .. } = self.stage {
            self.stage = Stage::Serving { since: now };
            self.change_role(Role::Active, Cause::Ready, out);
        }
    }

    /// Its main process ended by itself; the guardian kills what that has left.
    fn exited(&mut self, now: Moment, out: &mut Vec<Action>) {
        let end = match self.stage {
            Stage::Starting { .. } => End::StartFailed,
            Stage::Serving { .. } => End::CoordinatorExited,
            Stage::Idle { .. }
            | Stage::Preparing { .. }
            | Stage::Clearing { .. }
            | Stage::Ending { .. }
            | Stage::Finished => return,
        };
        let Restarts { max, within } = self.always_on.restarts;
        self.restarts.retain(|at| now.since(*at) < within);
        if self.restarts() < max {
            self.restarts.push(now);
            self.change_role(Role::Promoting, Cause::Restarting, out);
            self.stage = Stage::Clearing { by: now + self.always_on.stuck_after };
        } else {
            self.begin_end(now, end, Step::Killing, out);
        }
    }

    fn guardian_lost(&mut self, out: &mut Vec<Action>) {
        self.guardian_ready = false;
        match &mut self.stage {
            Stage::Idle { .. } => out.push(Action::ReplaceGuardian),
            Stage::Finished => {}
            Stage::Ending { guardian_lives, step, .. } => {
                (*guardian_lives, *step) = (false, Step::Killing);
                out.push(Action::KillOrphans);
            }
            Stage::Preparing { .. } | Stage::Starting { .. } | Stage::Serving { .. } | Stage::Clearing { .. } => {
                let (end, tidy) = (End::SupervisorLost, false);
                self.stage = Stage::Ending { end, step: Step::Killing, tidy, guardian_lives: false };
                self.change_role(Role::Demoting, Cause::Ended(end), out);
                out.push(Action::KillOrphans);
            }
        }
    }

    fn end_now(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Idle { .. } | Stage::Ending { .. } | Stage::Finished => {}
            Stage::Preparing { .. } => {
                self.begin_end(now, end, Step::Killing, out);
                out.push(Action::KillTree);
            }
            Stage::Starting { .. } | Stage::Serving { .. } | Stage::Clearing { .. } => {
                let step = Step::Stopping { by: now + self.always_on.stop_timeout };
                self.begin_end(now, end, step, out);
                out.push(Action::StopTree);
            }
        }
    }

    fn begin_end(&mut self, now: Moment, end: End, step: Step, out: &mut Vec<Action>) {
        if let Stage::Serving { since } = self.stage
            && now.since(since) >= self.always_on.backoff.reset
        {
            self.failures = 0;
        }
        let tidy = self.tree_may_live();
        self.stage = Stage::Ending { end, step, tidy, guardian_lives: true };
        self.change_role(Role::Demoting, Cause::Ended(end), out);
    }

    fn kill(&mut self, out: &mut Vec<Action>) {
        if let Stage::Ending { step, end, tidy, .. } = &mut self.stage {
            // A command that does not end is not run once more.
            *tidy &= !matches!(step, Step::Tidying { .. });
            *step = Step::Killing;
            let end = *end;
            self.change_role(Role::Fencing, Cause::Ended(end), out);
            out.push(Action::KillTree);
        }
    }

    fn tree_died(&mut self, now: Moment, out: &mut Vec<Action>) {
        match &mut self.stage {
            Stage::Clearing { .. } => self.start(now, out),
            Stage::Ending { step: step @ (Step::Stopping { .. } | Step::Killing), tidy, guardian_lives, .. } => {
                // Without a guardian there is nobody to run it.
                if *tidy && *guardian_lives && self.always_on.after_stop {
                    *step = Step::Tidying { by: now + self.always_on.after_stop_timeout };
                    out.push(Action::RunAfterStop);
                } else {
                    self.finish(now, out);
                }
            }
            Stage::Idle { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Serving { .. }
            | Stage::Ending { .. }
            | Stage::Finished => {}
        }
    }

    fn leave(&mut self, now: Moment, exit: Exit, out: &mut Vec<Action>) {
        self.exit.get_or_insert(exit);
        if let Stage::Idle { .. } = self.stage {
            self.stage = Stage::Finished;
            out.push(Action::Exit(exit));
        } else {
            self.end_now(now, End::Stopped, out);
        }
    }

    /// Nothing of it is left.
    fn finish(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending { end, .. } = self.stage else { return };
        self.change_role(Role::Standby, Cause::Ended(end), out);
        if let Some(exit) = self.exit {
            self.stage = Stage::Finished;
            out.push(Action::Exit(exit));
            return;
        }
        let until = end.backs_off().then(|| {
            self.failures += 1;
            now + self.always_on.backoff.delay(self.failures)
        });
        self.stage = Stage::Idle { until };
        self.guardian_ready = false;
        out.push(Action::ReplaceGuardian);
    }

    /// The one place where the role changes.
    fn change_role(&mut self, to: Role, cause: Cause, out: &mut Vec<Action>) {
        let from = self.role;
        if from != to {
            assert!(legal(from, to), "illegal transition {} -> {}", from.as_str(), to.as_str());
            self.role = to;
            out.push(Action::Announce(Transition { from, to, cause, epoch: None }));
        }
    }
}
