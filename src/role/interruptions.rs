//! What may happen at any time: the guardian, the volume, the coordinator or the election is lost, or a stop is asked for.

use crate::moment::Moment;

use super::action::{Action, Exit};
use super::cause::{Cause, End, Role};
use super::event::Loss;
use super::machine::{EndStep, Guardian, Machine, Stage};
use super::rules::Restarts;

impl Machine {
    pub(super) fn guardian_ready(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.guardian = Guardian::Ready;
        self.ask_for_lock(now, out);
    }

    pub(super) fn guardian_lost(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.guardian = Guardian::Awaited;
        self.volume_usable = false;
        self.watchdog_usable = false;
        self.waiting.guardian_lost();
        match &mut self.stage {
            Stage::Idle { .. } | Stage::Standing | Stage::Locking { asked: false, .. } => {
                out.push(Action::ReplaceGuardian);
            }
            Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. } => self.end_without_guardian(now, End::SupervisorLost, out),
            Stage::Ending(ending) => {
                // The lock went without the pages being written back first.
                ending.clean &= ending.lock_closed || !self.write_back;
                ending.lock_closed = true;
                match ending.step {
                    EndStep::Stopping { .. } | EndStep::Killing { .. } | EndStep::Tidying { .. } => {
                        self.set_step(EndStep::Killing { give_away: Some(now + self.rules.stuck_after) });
                        out.push(Action::KillOrphans);
                    }
                    EndStep::ClosingLock { .. } => self.resign_or_finish(now, out),
                    EndStep::Resigning => {}
                }
            }
            Stage::Finished => {}
        }
    }

    pub(super) fn volume_seen(&mut self, now: Moment, usable: bool, out: &mut Vec<Action>) {
        if self.guardian == Guardian::Awaited {
            // A former guardian's word. The next one looks for itself.
            return;
        }
        self.volume_usable = usable;
        if usable {
            return;
        }
        match self.stage {
            Stage::Standing => {
                // Not able to take over: somebody else must be next in the queue.
                self.withdraw(now, End::StartFailed, out);
            }
            Stage::Locking { .. } => self.end_now(now, End::StartFailed, out),
            Stage::Idle { .. }
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

    /// Once elected it is the guardian that finds out whether the device can be armed: it refuses the start if not.
    pub(super) fn watchdog_seen(&mut self, now: Moment, usable: bool, out: &mut Vec<Action>) {
        if self.guardian == Guardian::Awaited {
            return;
        }
        self.watchdog_usable = usable;
        if !usable && self.rules.watchdog_required && matches!(self.stage, Stage::Standing) {
            self.withdraw(now, End::StartFailed, out);
        }
    }

    pub(super) fn exited(&mut self, now: Moment, out: &mut Vec<Action>) {
        let (Stage::Starting { epoch, ordered: true, .. } | Stage::Leading { epoch, .. }) = self.stage else { return };
        let Restarts { max, within } = self.rules.restarts;
        self.restarts.retain(|at| now.since(*at) < within);
        if self.restarts() < max {
            self.restarts.push(now);
            self.change_role(Role::Promoting, Cause::Restarting, Some(epoch), out);
            self.stage = Stage::Clearing { epoch, by: now + self.rules.stuck_after };
        } else {
            let end = if let Stage::Leading { .. } = self.stage { End::CoordinatorExited } else { End::StartFailed };
            self.begin_end(now, end, out);
            // The guardian kills what the main process left; nothing needs to be stopped.
            self.set_step(EndStep::Killing { give_away: Some(now + self.rules.stuck_after) });
        }
    }

    pub(super) fn lost(&mut self, now: Moment, loss: Loss, out: &mut Vec<Action>) {
        let end = match loss {
            Loss::SessionExpired => End::SessionExpired,
            Loss::NodeDeleted | Loss::Overtaken => End::ElectionNodeDeleted,
        };
        match self.stage {
            Stage::Standing => {
                self.withdraw(now, end, out);
            }
            Stage::Idle { .. } | Stage::Finished => {}
            Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. }
            | Stage::Ending(_) => self.end_now(now, end, out),
        }
    }

    pub(super) fn stop(&mut self, now: Moment, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Idle { .. } => {
                self.stage = Stage::Finished;
                out.push(Action::Exit(Exit::Stopped));
            }
            Stage::Ending(_) => self.leave_the_lock_behind(now, out),
            Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. }
            | Stage::Finished => self.step_down(now, End::Stopped, out),
        }
    }

    /// Gives the role away in order, or the place in the queue.
    pub(super) fn step_down(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Standing => self.withdraw(now, end, out),
            Stage::Idle { .. } | Stage::Ending(_) | Stage::Finished => {}
            Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. } => self.end_now(now, end, out),
        }
    }
}
