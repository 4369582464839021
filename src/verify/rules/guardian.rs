//! What a guardian does, held against what it had been told and what it held.

use std::collections::BTreeSet;

use crate::guardian::protocol::{GuardianOrder, PermissionKind, Report};
use crate::moment::Moment;
use crate::recording::guardian::{Deed, State, What};
use crate::verify::recordings::Guardian;
use crate::verify::{Contradiction, Verdict};

const KIND: &str = "a guardian starts only the kind of coordinator that it was made for";
const ORDERED: &str = "a guardian starts what its supervisor ordered, and nothing else";
const LOCK: &str = "nothing starts without the lock";
const RECORD: &str = "nothing starts before the record of its epoch is in the lock file";
const TOLD: &str = "a coordinator is told the epoch that is in the lock file";
const DEADLINE: &str = "nothing starts unless the deadline lies ahead";
const ENDING: &str = "nothing starts once the guardian has begun to end";
const LOST: &str = "nothing starts once the lock was lost";
const DEAD_FIRST: &str = "the lock is not closed before everything is dead that ran under it";
const PROOF: &str = "the proof of an end is given of a record that was written";
const WILL_LAST: &str = "a guardian leaves only when everything is dead and the lock is closed";
const GROWS: &str = "an epoch is later than the one that the lock file had";
const ONCE: &str = "a lock that is held is not acquired again";

/// What is so after each line.
struct Books {
    state: State,
    /// Epochs whose start was ordered and not carried out yet.
    ordered: BTreeSet<u64>,
    always_on_ordered: bool,
    /// What the lock file said when the lock was acquired.
    found: Option<u64>,
    closing: bool,
}

pub fn check(segment: &Guardian, verdict: &mut Verdict) {
    let state = segment.header.state.clone();
    let closing = false;
    let mut books = Books { state, ordered: BTreeSet::new(), always_on_ordered: false, found: None, closing };
    for (number, line) in &segment.lines {
        verdict.counts.guardian_lines += 1;
        let broken = match &line.what {
            What::Heard(order) => {
                books.hear(order);
                Vec::new()
            }
            What::Reported(report) => books.report(report),
            What::Did(deed) => {
                verdict.counts.starts += usize::from(matches!(deed, Deed::Forked { .. } | Deed::ForkedAlwaysOn));
                books.act(deed)
            }
        };
        verdict.contradictions.extend(broken.into_iter().map(|(rule, found)| Contradiction {
            rule,
            found,
            path: segment.path.clone(),
            line: *number,
        }));
    }
}

type Broken = Vec<(&'static str, String)>;

impl Books {
    fn hear(&mut self, order: &GuardianOrder) {
        match order {
            GuardianOrder::SetDeadline { deadline } => self.state.deadline = Some(*deadline),
            GuardianOrder::Start { epoch, deadline } => {
                self.state.deadline = Some(*deadline);
                self.ordered.insert(*epoch);
            }
            GuardianOrder::StartAlwaysOn => self.always_on_ordered = true,
            GuardianOrder::Configure(settings) => self.state.permission = settings.permission,
            GuardianOrder::AcquireLock { .. }
            | GuardianOrder::AwaitLock { .. }
            | GuardianOrder::CallOff
            | GuardianOrder::Look
            | GuardianOrder::Rehearse(_)
            | GuardianOrder::WriteRecord(_)
            | GuardianOrder::SetWatchdog(_)
            | GuardianOrder::Run(_)
            | GuardianOrder::Stop
            | GuardianOrder::Kill
            | GuardianOrder::CloseLock { .. }
            | GuardianOrder::LastWill(_)
            | GuardianOrder::Ping { .. } => {}
        }
    }

    fn report(&mut self, report: &Report) -> Broken {
        let mut broken = Vec::new();
        match report {
            Report::LockAcquired { record, .. } => {
                if self.state.held {
                    broken.push((ONCE, "it says once more that it has acquired the lock".to_owned()));
                }
                (self.state.held, self.closing) = (true, false);
                self.found = record.as_ref().map(|record| record.epoch);
            }
            Report::RecordWritten { epoch } => {
                if let Some(found) = self.found.filter(|found| found >= epoch) {
                    broken.push((GROWS, format!("the lock file had epoch {found}, and epoch {epoch} was written")));
                }
                self.state.written = Some(*epoch);
            }
            Report::CalledOff => self.state.held = false,
            Report::VolumeLost { .. } => self.state.lost = true,
            Report::LockClosed { .. } => {
                if self.state.alive && self.state.held {
                    broken.push((DEAD_FIRST, "the lock was closed while something may have lived".to_owned()));
                }
                (self.state.held, self.state.written, self.state.deadline) = (false, None, None);
            }
            Report::StartFailed { .. } => {
                self.ordered.clear();
                self.always_on_ordered = false;
            }
            Report::Ready { .. }
            | Report::Volume(_)
            | Report::Watchdog(_)
            | Report::LockRefused { .. }
            | Report::VolumeUnusable { .. }
            | Report::Probed { .. }
            | Report::Started { .. }
            | Report::HoldsLock { .. }
            | Report::Exited { .. }
            | Report::CommandEnded { .. }
            | Report::Output { .. }
            | Report::TreeDead
            | Report::Stuck { .. }
            | Report::Fenced { .. }
            | Report::Pong { .. }
            | Report::Remark { .. }
            | Report::Note { .. } => {}
        }
        broken
    }

    fn act(&mut self, deed: &Deed) -> Broken {
        match deed {
            Deed::Forked { epoch, told, checked } => {
                self.state.alive = true;
                self.start(*epoch, *told, *checked)
            }
            Deed::ForkedAlwaysOn => {
                self.state.alive = true;
                self.start_always_on()
            }
            Deed::Ran { .. } => {
                self.state.alive = true;
                Vec::new()
            }
            Deed::SawAllDead => {
                self.state.alive = false;
                Vec::new()
            }
            Deed::AskedToClose { proof } => self.close(*proof),
            Deed::BeganToEnd { .. } => {
                self.state.ending = true;
                Vec::new()
            }
            Deed::Left { .. } => {
                let mut broken = Vec::new();
                if self.state.alive {
                    broken.push((WILL_LAST, "it left while something may have lived".to_owned()));
                }
                if self.state.held {
                    broken.push((WILL_LAST, "it left before the lock was closed".to_owned()));
                }
                broken
            }
        }
    }

    fn start(&mut self, epoch: u64, told: u64, checked: Moment) -> Broken {
        let State { permission, held, lost, written, deadline, ending, .. } = self.state.clone();
        let mut broken = Vec::new();
        let mut breach = |breached: bool, rule, found: String| {
            if breached {
                broken.push((rule, found));
            }
        };
        let kind = permission == PermissionKind::Lock;
        breach(!kind, KIND, format!("a start in epoch {epoch} by a guardian of an always-on coordinator"));
        breach(!self.ordered.remove(&epoch), ORDERED, format!("a start in epoch {epoch} that nobody ordered"));
        breach(!held || self.closing, LOCK, format!("a start in epoch {epoch} without the lock"));
        breach(lost, LOST, format!("a start in epoch {epoch} after the lock was lost"));
        let written_is = written.map_or_else(|| "none".to_owned(), |written| written.to_string());
        breach(written != Some(epoch), RECORD, format!("a start in epoch {epoch}; the record's epoch: {written_is}"));
        breach(told != epoch, TOLD, format!("it was told epoch {told} in epoch {epoch}"));
        let ahead = deadline.is_some_and(|deadline| deadline > checked);
        breach(!ahead, DEADLINE, format!("a start in epoch {epoch} at {checked}; the deadline: {deadline:?}"));
        breach(ending, ENDING, format!("a start in epoch {epoch} while it ended"));
        broken
    }

    fn start_always_on(&mut self) -> Broken {
        let ordered = std::mem::take(&mut self.always_on_ordered);
        let breaches = [
            (
                self.state.permission != PermissionKind::AlwaysOn,
                KIND,
                "a start without a lock, by a guardian of the lock",
            ),
            (!ordered, ORDERED, "a start of an always-on coordinator that nobody ordered"),
            (self.state.ending, ENDING, "a start of an always-on coordinator while it ended"),
        ];
        breaches.into_iter().filter(|(broken, ..)| *broken).map(|(_, rule, found)| (rule, found.to_owned())).collect()
    }

    fn close(&mut self, proof: bool) -> Broken {
        self.closing = true;
        let mut broken = Vec::new();
        if self.state.alive {
            broken.push((DEAD_FIRST, "the lock is to be closed while something may live".to_owned()));
        }
        if proof && self.state.written.is_none() {
            broken.push((PROOF, "a proof without a record".to_owned()));
        }
        broken
    }
}
