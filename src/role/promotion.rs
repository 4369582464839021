//! The way up: elected → lock → fence the predecessor → claim and record → before_start → start → ready.

use crate::moment::Moment;

use super::action::Action;
use super::cause::{Cause, End, Role};
use super::event::{Predecessor, Recorded, Succession, Witness};
use super::machine::{EarlyFencing, Guardian, Machine, Stage};
use super::wait::Then;

/// The epoch that it will be at least, as the name of the order: the lock file's is not known yet.
const fn early_order(succession: Succession) -> u64 {
    succession.epoch + 1
}

/// Whose word on the former active counts. ZooKeeper may be older than the volume (restored from a copy, or emptied), and
/// then it tells of somebody before the last. Of the same leadership the record may know better that it ended cleanly: its
/// guardian could write there when ZooKeeper was out of reach.
pub const fn predecessor(succession: Succession, recorded: Recorded) -> (Predecessor, Witness) {
    let knows_better = match succession.predecessor {
        Predecessor::Clean => false,
        // The word names one leadership. Of the same epoch the record may tell of another.
        Predecessor::Vouched => recorded.predecessor.may_write(),
        Predecessor::Own | Predecessor::Unclean => matches!(recorded.predecessor, Predecessor::Clean),
        Predecessor::None | Predecessor::Unknown => !matches!(recorded.predecessor, Predecessor::None),
    };
    if recorded.epoch > succession.predecessor_epoch || (recorded.epoch == succession.predecessor_epoch && knows_better)
    {
        (recorded.predecessor, Witness::Record)
    } else {
        (succession.predecessor, Witness::Breadcrumb)
    }
}

impl Machine {
    pub(super) fn elected(&mut self, now: Moment, succession: Succession, out: &mut Vec<Action>) {
        let Stage::Standing = self.stage else { return };
        if !self.rules.may_stand {
            self.withdraw(now, End::Stopped, out);
            return;
        }
        self.waiting.is_elected();
        if succession.better_candidate && self.yielded != Some(succession.epoch) {
            if self.waiting.is_called_off_before(Then::Stand, out) {
                return;
            }
            self.yielded = Some(succession.epoch);
            out.push(Action::Yield);
            return;
        }
        self.begin_promotion(out);
        let by = Some(now + self.rules.volume_timeout);
        self.stage = Stage::Locking { succession, asked: false, by, early: EarlyFencing::Unwanted };
        self.ask_for_lock(now, out);
    }

    pub(super) fn begin_promotion(&mut self, out: &mut Vec<Action>) {
        self.change_role(Role::Promoting, Cause::Elected, None, out);
    }

    pub(super) fn ask_for_lock(&mut self, now: Moment, out: &mut Vec<Action>) {
        // A grant that was called off is void: what answers this order must be known from it.
        let ready = self.guardian == Guardian::Ready && !self.waiting.is_being_called_off();
        let timeout = self.rules.volume_timeout;
        if let Stage::Locking { asked, by, .. } = &mut self.stage
            && !*asked
            && ready
        {
            *asked = true;
            self.waiting.is_overtaken();
            *by = Some(now + timeout);
            self.hold_lock(now, out);
            out.push(Action::AcquireLock);
        }
    }

    /// Without a lease nothing would make a guardian let go of a lock whose supervisor froze on the way up.
    pub(super) fn hold_lock(&mut self, now: Moment, out: &mut Vec<Action>) {
        let until = now + self.rules.lease;
        self.hold_until = Some(until);
        out.push(Action::SetDeadline(until));
    }

    pub(super) fn lock_acquired(&mut self, now: Moment, recorded: Recorded, out: &mut Vec<Action>) {
        let Stage::Locking { succession, asked: true, early, .. } = self.stage else { return };
        let Some(epoch) = succession.epoch.max(recorded.epoch).checked_add(1) else {
            // Somebody else's number: no leadership has got that far. A smaller one would let an older epoch win.
            self.end_now(now, End::StartFailed, out);
            return;
        };
        let (predecessor, named_by) = predecessor(succession, recorded);
        // What is fenced early is the breadcrumb's; it says nothing of who came after that one.
        let fenced_early = if recorded.epoch > succession.predecessor_epoch { EarlyFencing::Unwanted } else { early };
        if fenced_early == EarlyFencing::Done {
            self.claim(now, epoch, out);
        } else if fenced_early == EarlyFencing::Running {
            let by = now + self.rules.fencing_timeout;
            self.stage = Stage::FencingPredecessor { epoch, order: early_order(succession), by };
        } else if early == EarlyFencing::Running {
            // It is being run for another than the last one: it is ended, and all begins again.
            self.end_now(now, End::StartFailed, out);
        } else if predecessor.may_write() && self.rules.fencing {
            let by = now + self.rules.fencing_timeout;
            self.stage = Stage::FencingPredecessor { epoch, order: epoch, by };
            out.push(Action::FencePredecessor { epoch, named_by });
        } else if predecessor.may_write() && self.rules.fencing_required {
            self.end_now(now, End::StartFailed, out);
        } else {
            self.claim(now, epoch, out);
        }
    }

    /// Somebody else has the lock. Whoever lives lets go of it at its deadline, which has passed; what is left after
    /// another lease is a dead host's, or hangs, and only fencing can end that. A holder whose record is later than the
    /// breadcrumb is not the one that the breadcrumb would have fenced.
    pub(super) fn lock_refused(&mut self, now: Moment, recorded: u64) {
        let fences = self.rules.fencing && self.rules.fencing_frees_lock;
        let fence_after = self.rules.fence_after;
        if let Stage::Locking { succession, by, asked: true, early } = &mut self.stage {
            *by = None;
            let is_the_breadcrumbs = recorded <= succession.predecessor_epoch;
            match early {
                EarlyFencing::Unwanted if fences && succession.predecessor.may_write() && is_the_breadcrumbs => {
                    *early = EarlyFencing::At(now + fence_after);
                }
                EarlyFencing::At(_) if !is_the_breadcrumbs => *early = EarlyFencing::Unwanted,
                EarlyFencing::Unwanted | EarlyFencing::At(_) | EarlyFencing::Running | EarlyFencing::Done => {}
            }
        }
    }

    pub(super) fn fence_early(&mut self, out: &mut Vec<Action>) {
        if let Stage::Locking { succession, early, .. } = &mut self.stage {
            *early = EarlyFencing::Running;
            let epoch = early_order(*succession);
            out.push(Action::FencePredecessor { epoch, named_by: Witness::Breadcrumb });
        }
    }

    pub(super) fn predecessor_fenced(&mut self, now: Moment, asked: u64, succeeded: bool, out: &mut Vec<Action>) {
        if let Stage::Locking { succession, early, .. } = &mut self.stage
            && *early == EarlyFencing::Running
            && early_order(*succession) == asked
        {
            // One that failed is tried again as long as the lock is not free.
            *early = if succeeded { EarlyFencing::Done } else { EarlyFencing::At(now + self.rules.fence_after) };
        }
        let Stage::FencingPredecessor { epoch, order, .. } = self.stage else { return };
        if order != asked {
            return;
        }
        if succeeded || !self.rules.fencing_required {
            self.claim(now, epoch, out);
        } else {
            self.end_now(now, End::StartFailed, out);
        }
    }

    pub(super) fn claim(&mut self, now: Moment, epoch: u64, out: &mut Vec<Action>) {
        let by = now + self.rules.volume_timeout;
        self.stage = Stage::Claiming { epoch, claimed: false, recorded: false, by };
        out.push(Action::Claim { epoch });
        out.push(Action::WriteRecord { epoch });
    }

    pub(super) fn claimed(&mut self, now: Moment, taken: u64, sent: Moment, out: &mut Vec<Action>) {
        if let Stage::Claiming { epoch, claimed, .. } = &mut self.stage
            && *epoch == taken
            && !*claimed
        {
            *claimed = true;
            self.hold_until = None;
            self.lease_until = None;
            self.renewed(now, sent, out);
            self.check_lease(now, out);
            self.prepare_once_claimed(now, out);
        }
    }

    pub(super) fn prepare_once_claimed(&mut self, now: Moment, out: &mut Vec<Action>) {
        let Stage::Claiming { epoch, claimed: true, recorded: true, .. } = self.stage else { return };
        if self.rules.before_start {
            self.stage = Stage::Preparing { epoch, by: now + self.rules.before_start_timeout };
            out.push(Action::RunBeforeStart { epoch });
        } else {
            self.begin_start(now, epoch, out);
        }
    }

    pub(super) fn begin_start(&mut self, now: Moment, epoch: u64, out: &mut Vec<Action>) {
        let by = now + self.rules.startup_timeout;
        self.stage = Stage::Starting { epoch, ordered: false, running: false, by };
        self.start_if_lease_allows(now, out);
    }

    pub(super) fn start_if_lease_allows(&mut self, now: Moment, out: &mut Vec<Action>) {
        let least = self.rules.least_to_start;
        if let Stage::Starting { epoch, ordered, .. } = &mut self.stage
            && !*ordered
            && let Some(deadline) = self.lease_until
            && deadline.since(now) >= least
        {
            *ordered = true;
            out.push(Action::Start { epoch: *epoch, deadline });
        }
    }

    pub(super) fn started(&mut self, now: Moment, out: &mut Vec<Action>) {
        let probed = self.rules.probed;
        if let Stage::Starting { ordered: true, running, .. } = &mut self.stage {
            *running = true;
            if !probed {
                self.ready(now, out);
            }
        }
    }

    pub(super) fn ready(&mut self, now: Moment, out: &mut Vec<Action>) {
        if let Stage::Starting { epoch, running: true, .. } = self.stage {
            self.stage = Stage::Leading { epoch, since: now };
            self.change_role(Role::Active, Cause::Ready, Some(epoch), out);
        }
    }

    /// What holds or runs under a longer grant ends with this one.
    pub(super) fn granted(&mut self, now: Moment, until: Moment, out: &mut Vec<Action>) {
        if self.lease_until.is_some_and(|known| until < known) {
            self.lease_until = Some(until);
            out.push(Action::SetDeadline(until));
        }
        if self.hold_until.is_some_and(|known| now + self.rules.lease < known) {
            self.hold_lock(now, out);
        }
        self.check_lease(now, out);
    }

    pub(super) fn renewed(&mut self, now: Moment, sent: Moment, out: &mut Vec<Action>) {
        let until = sent + self.rules.lease;
        if self.lease_matters() && self.lease_until.is_none_or(|known| known < until) {
            self.lease_until = Some(until);
            out.push(Action::SetDeadline(until));
            self.start_if_lease_allows(now, out);
        }
    }
}
