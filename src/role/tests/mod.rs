//! The core's tests: its table, golden scenarios, properties. The model checker is in tests/model.

mod always_on;
mod fencing;
mod golden;
mod leases;
mod properties;
mod sessions;
mod standing;
mod states;
mod table;
mod waiting;

use std::time::Duration;

use crate::moment::Moment;

use super::{Action, Backoff, End, Event, Machine, Predecessor, Recorded, Restarts, Rules, Succession, Witness};

pub(super) const LEASE: Duration = Duration::from_secs(8);
const LEAST: Duration = Duration::from_secs(3);

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// No hooks, no probe, no fencing, no local restarts.
pub(super) fn plain() -> Rules {
    Rules {
        may_stand: true,
        lease: LEASE,
        least_to_start: LEAST,
        fencing: false,
        fencing_required: false,
        fencing_frees_lock: false,
        fence_after: LEASE,
        fencing_timeout: seconds(40),
        watchdog_required: false,
        before_start: false,
        before_start_timeout: seconds(60),
        after_stop: false,
        after_stop_timeout: seconds(15),
        probed: false,
        startup_timeout: seconds(60),
        volume_timeout: seconds(5),
        stop_timeout: seconds(20),
        stuck_after: seconds(10),
        restarts: Restarts { max: 0, within: seconds(600) },
        backoff: Backoff { first: seconds(1), max: seconds(8), reset: seconds(300) },
        exit_after_loss: true,
    }
}

/// Everything that can be switched on.
pub(super) fn full() -> Rules {
    Rules {
        fencing: true,
        fencing_required: true,
        before_start: true,
        after_stop: true,
        probed: true,
        restarts: Restarts { max: 1, within: seconds(600) },
        ..plain()
    }
}

pub(super) const fn succession(predecessor: Predecessor) -> Succession {
    Succession { epoch: 6, predecessor, predecessor_epoch: 6, better_candidate: false }
}

/// A record without a word on how its leadership ended.
pub(super) const fn noted(epoch: u64) -> Recorded {
    Recorded { epoch, predecessor: Predecessor::Unclean }
}

/// A machine, its clock, and what it said last, in words.
#[derive(Clone)]
pub(super) struct Bench {
    pub machine: Machine,
    pub now: Moment,
}

impl Bench {
    pub fn new(rules: Rules) -> Self {
        Self { machine: Machine::new(rules), now: Moment::from_millis(1_000_000) }
    }

    pub fn on(&mut self, event: Event) -> String {
        words(&self.machine.step(self.now, event))
    }

    pub fn after(&mut self, time: Duration, event: Event) -> String {
        self.now = self.now + time;
        self.on(event)
    }

    /// Lets time pass up to the machine's deadline.
    pub fn at_deadline(&mut self) -> String {
        let (deadline, reason) = self.machine.deadline().expect("the scenario says that a deadline is ahead");
        self.now = self.now.max(deadline);
        format!("{reason:?}: {}", self.on(Event::TimePassed))
    }

    pub fn renew(&mut self) -> String {
        let sent = self.now;
        self.on(Event::Renewed { sent })
    }

    pub fn standing(rules: Rules) -> Self {
        let mut bench = Self::new(rules);
        bench.on(Event::GuardianReady);
        assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "Stand");
        bench
    }

    /// Epoch 7 is claimed and recorded; what comes next depends on the rules.
    pub fn claimed(rules: Rules) -> Self {
        let mut bench = Self::standing(rules);
        bench.on(Event::Elected(succession(Predecessor::Clean)));
        bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
        bench.on(Event::RecordWritten { epoch: 7 });
        let sent = bench.now;
        bench.on(Event::Claimed { epoch: 7, sent });
        bench
    }

    pub fn leading(rules: Rules) -> Self {
        let probed = rules.probed;
        let mut bench = Self::claimed(rules);
        bench.on(Event::Prepared { epoch: 7, succeeded: true });
        bench.on(Event::Started);
        if probed {
            bench.on(Event::Ready);
        }
        bench
    }
}

/// Actions as a reader wants them: without moments.
pub(super) fn words(actions: &[Action]) -> String {
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Announce(change) => {
                format!("[{} > {}: {}]", change.from.as_str(), change.to.as_str(), change.cause.as_str())
            }
            Action::SetDeadline(_) => "SetDeadline".into(),
            Action::AwaitLock { .. } => "AwaitLock".into(),
            Action::Start { epoch, .. } => format!("Start({epoch})"),
            Action::Claim { epoch } => format!("Claim({epoch})"),
            Action::WriteRecord { epoch } => format!("WriteRecord({epoch})"),
            Action::FencePredecessor { epoch, named_by: Witness::Breadcrumb } => format!("FencePredecessor({epoch})"),
            Action::FencePredecessor { epoch, named_by: Witness::Record } => {
                format!("FencePredecessor({epoch}, by the record)")
            }
            Action::RunBeforeStart { epoch } => format!("RunBeforeStart({epoch})"),
            Action::CloseLock(end) => format!("CloseLock({})", end.as_str()),
            Action::Resign { clean, end } => {
                let clean = if *clean { "clean" } else { "not clean" };
                format!("Resign({clean}, {})", end.map_or("-", End::as_str))
            }
            other => format!("{other:?}"),
        })
        .collect();
    words.join(" ")
}
