//! The way down: stop or kill → tree dead → after_stop → lock closed → resign → a fresh guardian.

use crate::moment::Moment;

use super::action::{Action, Exit};
use super::cause::{Cause, End, Role};
use super::machine::{EndStep, Ending, Guardian, Machine, Resignation, Stage};

impl Machine {
    /// Ends the leadership: by the stop signal, or by SIGKILL if it was lost.
    pub(super) fn end_now(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        if let Stage::Ending(ending) = &self.stage {
            // Already on the way down; a loss only makes it faster.
            if end.is_loss() && matches!(ending.step, EndStep::Stopping { .. }) {
                self.lose();
                self.kill(now, out);
            } else if end.is_loss() && matches!(ending.step, EndStep::Tidying { .. }) {
                self.kill_commands(now, out);
            }
            return;
        }
        let (tree, commands) = (self.tree_may_live(), self.anything_may_live());
        let lock = !matches!(self.stage, Stage::Locking { asked: false, .. });
        self.begin_end(now, end, out);
        if tree {
            if end.is_loss() {
                self.kill(now, out);
            } else {
                self.set_step(EndStep::Stopping { by: now + self.rules.stop_timeout });
                out.push(Action::StopTree);
            }
        } else if commands {
            self.kill_commands(now, out);
        } else {
            self.tree_is_dead();
            if lock { self.close_lock(now, out) } else { self.resign(out) }
        }
    }

    /// The guardian is gone, and with it the lock's descriptor (not what the coordinator inherited).
    pub(super) fn end_without_guardian(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        let anything = self.anything_may_live();
        self.begin_end(now, end, out);
        let write_back = self.write_back;
        if let Stage::Ending(ending) = &mut self.stage {
            ending.lock_closed = true;
            // What was killed may have left pages that its host writes later, and nobody could write them back before the lock went.
            ending.clean = !(anything && write_back);
        }
        if anything {
            self.set_step(EndStep::Killing { give_away: Some(now + self.rules.stuck_after) });
            out.push(Action::KillOrphans);
        } else {
            self.tree_is_dead();
            self.resign(out);
        }
    }

    /// Leaves the queue without ever having led. A lock that was waited for is let go of first.
    pub(super) fn withdraw(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        let waited = self.waiting.ends();
        self.stage = Stage::Ending(Ending {
            end,
            step: EndStep::Resigning,
            epoch: None,
            fenced: false,
            tidy: false,
            clean: false,
            engaged: false,
            tree_dead: true,
            lock_closed: !waited,
            resignation: Resignation::Unsaid,
        });
        if waited { self.close_lock(now, out) } else { self.resign(out) }
    }

    pub(super) fn begin_end(&mut self, now: Moment, end: End, out: &mut Vec<Action>) {
        let epoch = self.epoch();
        let (started, anything) = (self.tree_may_live(), self.anything_may_live());
        if let Stage::Leading { since, .. } = self.stage
            && now.since(since) >= self.rules.backoff.reset
        {
            self.failures = 0;
        }
        self.hold_until = None;
        self.stage = Stage::Ending(Ending {
            end,
            step: EndStep::Resigning,
            epoch,
            fenced: false,
            tidy: started,
            clean: true,
            engaged: true,
            tree_dead: !anything,
            lock_closed: false,
            resignation: Resignation::Unsaid,
        });
        if started && end.is_loss() {
            self.lose();
        }
        let role = if started && end.is_loss() { Role::Fencing } else { Role::Demoting };
        self.change_role(role, Cause::Ended(end), epoch, out);
    }

    /// What is left of the lease is worth nothing: no hook may run on it.
    fn lose(&mut self) {
        self.lease_until = None;
        if let Stage::Ending(ending) = &mut self.stage {
            ending.fenced = true;
        }
    }

    pub(super) fn kill(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending(ending) = self.stage else { return };
        self.change_role(Role::Fencing, Cause::Ended(ending.end), ending.epoch, out);
        self.set_step(EndStep::Killing { give_away: Some(now + self.rules.stuck_after) });
        out.push(Action::KillTree);
    }

    /// Kills what runs in this leadership's name beside a coordinator: there is none, or it is dead. The role stays what it is.
    pub(super) fn kill_commands(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.command_is_ordered();
        self.set_step(EndStep::Killing { give_away: Some(now + self.rules.stuck_after) });
        out.push(Action::KillTree);
    }

    /// What may live is a command, not the coordinator.
    fn command_is_ordered(&mut self) {
        if let Stage::Ending(ending) = &mut self.stage {
            ending.tree_dead = false;
            ending.tidy = false;
        }
    }

    pub(super) fn set_step(&mut self, step: EndStep) {
        if let Stage::Ending(ending) = &mut self.stage {
            ending.step = step;
        }
    }

    pub(super) fn tree_is_dead(&mut self) {
        if let Stage::Ending(ending) = &mut self.stage {
            ending.tree_dead = true;
        }
    }

    pub(super) fn tree_died(&mut self, now: Moment, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Clearing { epoch, .. } => self.begin_start(now, epoch, out),
            Stage::Ending(Ending {
                step: EndStep::Stopping { .. } | EndStep::Killing { .. },
                tidy,
                lock_closed,
                ..
            }) => {
                self.tree_is_dead();
                let lease = self.lease_until.is_some_and(|until| now < until);
                // Without a guardian there is nobody to run it.
                if tidy && !lock_closed && self.rules.after_stop && lease {
                    self.command_is_ordered();
                    self.set_step(EndStep::Tidying { by: now + self.rules.after_stop_timeout });
                    out.push(Action::RunAfterStop);
                } else {
                    self.close_lock(now, out);
                }
            }
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Ending(_)
            | Stage::Finished => {}
        }
    }

    pub(super) fn close_lock(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending(ending) = &mut self.stage else { return };
        if ending.lock_closed {
            self.resign_or_finish(now, out);
        } else {
            ending.step = EndStep::ClosingLock { give_away: Some(now + self.rules.stuck_after) };
            out.push(Action::CloseLock(ending.end));
        }
    }

    pub(super) fn lock_closed(&mut self, now: Moment, clean: bool, out: &mut Vec<Action>) {
        if let Stage::Ending(ending) = &mut self.stage
            && let EndStep::ClosingLock { .. } = ending.step
        {
            ending.lock_closed = true;
            ending.clean &= clean;
            self.resign_or_finish(now, out);
        }
    }

    pub(super) fn resign_or_finish(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending(ending) = &mut self.stage else { return };
        match ending.resignation {
            Resignation::Unsaid => self.resign(out),
            Resignation::Ordered => ending.step = EndStep::Resigning,
            Resignation::Acknowledged => self.finish(now, out),
        }
    }

    /// The tree is dead and the lock closed: what remains is to say so.
    pub(super) fn resign(&mut self, out: &mut Vec<Action>) {
        if let Stage::Ending(ending) = &mut self.stage
            && ending.resignation == Resignation::Unsaid
        {
            ending.step = EndStep::Resigning;
            let clean = ending.clean;
            self.order_resignation(clean, out);
        }
    }

    /// Gives the role away although something of it lives, or the lock is not closed: never clean.
    pub(super) fn give_away(&mut self, out: &mut Vec<Action>) {
        self.order_resignation(false, out);
    }

    /// At most once.
    fn order_resignation(&mut self, clean: bool, out: &mut Vec<Action>) {
        let Stage::Ending(ending) = &mut self.stage else { return };
        if ending.resignation == Resignation::Unsaid {
            ending.resignation = Resignation::Ordered;
            let end = ending.epoch.map(|_| ending.end);
            out.push(Action::Resign { clean, end });
        }
    }

    pub(super) fn fenced(&mut self, now: Moment, clean: bool, out: &mut Vec<Action>) {
        match self.stage {
            Stage::Idle { .. } | Stage::Standing | Stage::Finished => return,
            Stage::Ending(Ending { step: EndStep::Resigning, .. }) => return,
            Stage::Ending(_) => {}
            Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Claiming { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. } => self.begin_end(now, End::LeaseExpired, out),
        }
        if let Stage::Ending(ending) = &mut self.stage {
            ending.fenced |= matches!(ending.step, EndStep::Stopping { .. });
            ending.tree_dead = true;
            ending.lock_closed = true;
            ending.clean &= clean;
            self.resign_or_finish(now, out);
        }
    }

    pub(super) fn resigned(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending(ending) = &mut self.stage else { return };
        if ending.resignation == Resignation::Ordered {
            ending.resignation = Resignation::Acknowledged;
            if matches!(ending.step, EndStep::Resigning) {
                self.finish(now, out);
            } else {
                self.leave_the_lock_behind(now, out);
            }
        }
    }

    /// Who is asked to stop waits for a volume no longer than until the role is given away: nothing runs any more, and the
    /// guardian keeps the lock until the volume answers.
    pub(super) fn leave_the_lock_behind(&mut self, now: Moment, out: &mut Vec<Action>) {
        if let Stage::Ending(Ending {
            step: EndStep::ClosingLock { give_away: None },
            tree_dead: true,
            resignation: Resignation::Acknowledged,
            ..
        }) = self.stage
            && self.stop_requested
        {
            self.finish(now, out);
        }
    }

    /// The leadership (or candidacy) is over and nothing of it remains.
    pub(super) fn finish(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Ending(Ending { end, epoch, fenced, engaged, .. }) = self.stage else { return };
        self.lease_until = None;
        self.change_role(Role::Standby, Cause::Ended(end), epoch, out);
        if fenced && self.rules.exit_after_loss {
            self.stage = Stage::Finished;
            out.push(Action::Exit(Exit::LostMastership));
        } else if self.stop_requested {
            self.stage = Stage::Finished;
            out.push(Action::Exit(Exit::Stopped));
        } else {
            let until = (end.backs_off() && engaged).then(|| {
                self.failures += 1;
                now + self.rules.backoff.delay(self.failures)
            });
            self.stage = Stage::Idle { until };
            if engaged || self.guardian == Guardian::Awaited {
                self.guardian = Guardian::Awaited;
                self.volume_usable = false;
                self.watchdog_usable = false;
                out.push(Action::ReplaceGuardian);
            }
        }
    }
}
