//! Waiting for the lock of the active leadership, by the one who stands right behind it.
//!
//! Whoever gets the lock, and reads in its file that the very leadership before it in the queue is over, knows all that its
//! session's end would tell it, and sooner: nothing of that leadership is left, and nothing starts under its epoch again. So it
//! takes the epoch at once, although that one's election node is still there. A lock without that proof proves nothing (its
//! host may be dead, or cut off from the volume): it is let go of, and the election decides.
//!
//! Nothing is fenced, and nothing is inferred, before this node is elected or has that proof.

use crate::moment::Moment;

use super::action::Action;
use super::cause::End;
use super::event::{Recorded, Succession};
use super::machine::{EarlyFencing, Machine, Stage};
use super::wait::{Step, Then};

impl Machine {
    /// Whether the lock is waited for: what the guardian acquires now answers that.
    pub const fn waits(&self) -> bool {
        matches!((&self.stage, self.waiting.step), (Stage::Standing, Step::Asked { .. }))
    }

    /// What was told last of the leadership before this node.
    pub const fn next_in_line(&self) -> Option<Succession> {
        self.waiting.next
    }

    /// Whether nothing is waited for, nor being called off.
    pub const fn waits_for_nothing(&self) -> bool {
        matches!(self.waiting.step, Step::No)
    }

    pub(super) fn hear_next_in_line(&mut self, next: Option<Succession>, out: &mut Vec<Action>) {
        if self.waiting.next == next {
            return;
        }
        self.waiting.next = next;
        if let Stage::Standing = self.stage
            && let Step::Asked { .. } = self.waiting.step
        {
            self.waiting.is_called_off_before(Then::Nothing, out);
        }
    }

    /// Begins to wait, or says that it goes on.
    pub(super) fn await_lock_if_possible(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Standing = self.stage else { return };
        let due = match self.waiting.step {
            Step::No => {
                let next = self.waiting.next.filter(|next| !next.better_candidate);
                next.is_some() && next != self.waiting.void && self.eligible()
            }
            Step::Asked { renew } => renew <= now,
            Step::CallingOff(_) => false,
        };
        if let Some(next) = self.waiting.next
            && next.better_candidate
            && self.waiting.step == Step::No
            && self.yielded != Some(next.epoch)
        {
            // Who is to lead next is to be next in line, so that nobody has to wait for a session's end.
            self.yielded = Some(next.epoch);
            out.push(Action::Yield);
            return;
        }
        if due {
            self.waiting.step = Step::Asked { renew: now + self.rules.lease / 2 };
            out.push(Action::AwaitLock { until: now + self.rules.lease });
        }
    }

    pub(super) fn lock_granted(
        &mut self,
        now: Moment,
        over: bool,
        recorded: Recorded,
        write_back: bool,
        out: &mut Vec<Action>,
    ) {
        if !self.waits() {
            return;
        }
        let Some(next) = self.waiting.next else { return };
        let proven = over && recorded.epoch == next.epoch && next.predecessor_epoch == next.epoch;
        if !proven {
            self.waiting.void = Some(next);
            self.waiting.is_called_off_before(Then::Nothing, out);
            return;
        }
        self.write_back = write_back;
        self.waiting.is_overtaken();
        self.begin_promotion(out);
        self.stage = Stage::Locking { succession: next, asked: true, by: None, early: EarlyFencing::Unwanted };
        self.hold_lock(now, out);
        self.lock_acquired(now, recorded, out);
    }

    pub(super) fn called_off(&mut self, now: Moment, out: &mut Vec<Action>) {
        let then = match std::mem::take(&mut self.waiting.step) {
            Step::CallingOff(then) => then,
            // Its time was up: whoever may wait says so again.
            Step::No | Step::Asked { .. } => Then::Nothing,
        };
        match self.stage {
            Stage::Locking { asked: false, .. } => self.ask_for_lock(now, out),
            Stage::Standing if then == Then::Stand => out.push(Action::Stand),
            // The guardian's time was up just when the lock was granted: it has let go of it.
            Stage::Claiming { .. } => self.end_now(now, End::StartFailed, out),
            Stage::Idle { .. }
            | Stage::Standing
            | Stage::Locking { .. }
            | Stage::FencingPredecessor { .. }
            | Stage::Preparing { .. }
            | Stage::Starting { .. }
            | Stage::Leading { .. }
            | Stage::Clearing { .. }
            | Stage::Ending(_)
            | Stage::Finished => {}
        }
    }
}
