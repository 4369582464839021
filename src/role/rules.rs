//! What the machine goes by.

use std::time::Duration;

use super::lease::LeaseTiming;

/// What the machine goes by; fixed for its life except for what [`Machine::set_rules`] replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Rules {
    /// Priority 0 never stands.
    pub may_stand: bool,
    /// How long a renewal lasts, counted from when it was sent.
    pub lease: Duration,
    /// What must be left of the lease when a coordinator is started.
    pub least_to_start: Duration,
    /// A fencing command exists; `fencing_required`: no start unless it succeeded.
    pub fencing: bool,
    pub fencing_required: bool,
    /// The command also ends the former host's lock, so it is run while that is waited for, after `fence_after`.
    pub fencing_frees_lock: bool,
    pub fence_after: Duration,
    /// How long the fencing command may take, and the killing of one that takes longer.
    pub fencing_timeout: Duration,
    /// No candidacy without a watchdog device that may be used.
    pub watchdog_required: bool,
    pub before_start: bool,
    /// How long before_start may take, and the killing of one that takes longer.
    pub before_start_timeout: Duration,
    pub after_stop: bool,
    /// How long after_stop may take, and the killing of one that takes longer.
    pub after_stop_timeout: Duration,
    /// A health probe decides on readiness; without one the coordinator is ready as soon as it runs.
    pub probed: bool,
    pub startup_timeout: Duration,
    /// How long the volume may take to answer.
    pub volume_timeout: Duration,
    /// How long the guardian may take to stop the tree (the stop signal's patience and before_kill): then the core has it
    /// killed, so that a tree that cannot die is noticed.
    pub stop_timeout: Duration,
    /// How long to wait for what was killed before the role is given away, not clean (the lock then still protects).
    pub stuck_after: Duration,
    pub restarts: Restarts,
    pub backoff: Backoff,
    /// After fencing itself: exit with 3, or stand again.
    pub exit_after_loss: bool,
}

impl Rules {
    /// Takes the lease's length from what the ensemble granted.
    pub fn lease_from(&mut self, timing: &LeaseTiming) {
        self.lease = timing.length();
        self.least_to_start = timing.least_to_start();
    }
}

/// Local restarts after a crash before the role is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Restarts {
    pub max: u32,
    pub within: Duration,
}

/// Between candidacies after failed starts and crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
    /// Healthy for this long: the next failure counts as the first.
    pub reset: Duration,
}

impl Backoff {
    pub(super) fn delay(&self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.max)
    }
}
