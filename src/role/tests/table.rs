//! The transition table, found by exploring: what each stage makes of each event.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use super::*;
use crate::role::machine::{EndStep, Ending, Resignation, Stage};
use crate::role::{DeadlineReason, Loss, Transition};

/// A stage with what distinguishes its behaviour.
pub(super) fn label(machine: &Machine) -> &'static str {
    match machine.stage {
        Stage::Idle { until: None } => "Idle",
        Stage::Idle { until: Some(_) } => "Idle, backing off",
        Stage::Standing if machine.waits() => "Standing, waiting for the lock",
        Stage::Standing if !machine.waits_for_nothing() => "Standing, calling off",
        Stage::Standing => "Standing",
        Stage::Locking { asked: false, .. } => "Locking, no guardian",
        Stage::Locking { by: Some(_), .. } => "Locking",
        Stage::Locking { .. } => "Locking, refused",
        Stage::FencingPredecessor { .. } => "Fencing the predecessor",
        Stage::Claiming { claimed: false, recorded: false, .. } => "Claiming",
        Stage::Claiming { claimed: false, .. } => "Claiming, recorded",
        Stage::Claiming { .. } => "Claiming, claimed",
        Stage::Preparing { .. } => "Preparing",
        Stage::Starting { ordered: false, .. } => "Starting, short of lease",
        Stage::Starting { running: false, .. } => "Starting",
        Stage::Starting { .. } => "Starting, running",
        Stage::Leading { .. } => "Leading",
        Stage::Clearing { .. } => "Clearing",
        Stage::Ending(Ending { step, resignation, .. }) => match (step, resignation) {
            (EndStep::Stopping { .. }, _) => "Stopping",
            (EndStep::Killing { .. }, Resignation::Unsaid) => "Killing",
            (EndStep::Killing { .. }, Resignation::Ordered) => "Killing, giving away",
            (EndStep::Killing { .. }, Resignation::Acknowledged) => "Killing, given away",
            (EndStep::Tidying { .. }, _) => "Tidying",
            (EndStep::ClosingLock { .. }, Resignation::Unsaid) => "Closing the lock",
            (EndStep::ClosingLock { .. }, Resignation::Ordered) => "Closing the lock, giving away",
            (EndStep::ClosingLock { .. }, Resignation::Acknowledged) => "Closing the lock, given away",
            (EndStep::Resigning, _) => "Resigning",
        },
        Stage::Finished => "Finished",
    }
}

/// Every event, with the content that fits the exploration's only epoch, 7.
fn events(now: Moment) -> Vec<(&'static str, Event)> {
    let late = now - (LEASE - LEAST) - seconds(1);
    vec![
        ("GuardianReady", Event::GuardianReady),
        ("GuardianLost", Event::GuardianLost),
        ("VolumeSeen(usable)", Event::VolumeSeen { usable: true }),
        ("VolumeSeen(not usable)", Event::VolumeSeen { usable: false }),
        ("WatchdogSeen(not usable)", Event::WatchdogSeen { usable: false }),
        ("Elected", Event::Elected(succession(Predecessor::Clean))),
        ("Elected(predecessor unclean)", Event::Elected(succession(Predecessor::Unclean))),
        (
            "Elected(better candidate)",
            Event::Elected(Succession { better_candidate: true, ..succession(Predecessor::Clean) }),
        ),
        ("LockAcquired", Event::LockAcquired { recorded: noted(6), write_back: false }),
        ("NextInLine", Event::NextInLine(Some(succession(Predecessor::Unclean)))),
        ("NextInLine(not)", Event::NextInLine(None)),
        (
            "LockGranted(over)",
            Event::LockGranted {
                over: true,
                recorded: Recorded { epoch: 6, predecessor: Predecessor::Clean },
                write_back: false,
            },
        ),
        ("LockGranted(no proof)", Event::LockGranted { over: false, recorded: noted(6), write_back: false }),
        ("CalledOff", Event::CalledOff),
        ("LockRefused", Event::LockRefused { recorded: 6 }),
        ("VolumeUnusable", Event::VolumeUnusable),
        ("PredecessorFenced", Event::PredecessorFenced { epoch: 7, succeeded: true }),
        ("PredecessorFenced(failed)", Event::PredecessorFenced { epoch: 7, succeeded: false }),
        ("Claimed", Event::Claimed { epoch: 7, sent: now }),
        ("Claimed(late)", Event::Claimed { epoch: 7, sent: late }),
        ("ClaimRefused", Event::ClaimRefused),
        ("RecordWritten", Event::RecordWritten { epoch: 7 }),
        ("Prepared", Event::Prepared { epoch: 7, succeeded: true }),
        ("Prepared(failed)", Event::Prepared { epoch: 7, succeeded: false }),
        ("Started", Event::Started),
        ("StartFailed", Event::StartFailed),
        ("Ready", Event::Ready),
        ("Unhealthy", Event::Unhealthy),
        ("Exited", Event::Exited),
        ("TreeDead", Event::TreeDead),
        ("Tidied", Event::Tidied),
        ("Renewed", Event::Renewed { sent: now + Duration::from_millis(1) }),
        ("Granted(shorter)", Event::Granted { until: now + LEASE / 2 }),
        ("Lost(session)", Event::Lost(Loss::SessionExpired)),
        ("Lost(node)", Event::Lost(Loss::NodeDeleted)),
        ("VolumeLost", Event::VolumeLost),
        ("Fenced", Event::Fenced { clean: true }),
        ("LockClosed", Event::LockClosed { clean: true }),
        ("Resigned", Event::Resigned),
        ("StepDownRequested(isolated)", Event::StepDownRequested(End::Isolated)),
        ("StepDownRequested(switchover)", Event::StepDownRequested(End::Switchover)),
        ("StopRequested", Event::StopRequested),
        ("KillRequested", Event::KillRequested),
        ("DuplicateName", Event::DuplicateName),
    ]
}

/// One step of the exploration.
pub(super) struct Row {
    pub stage: &'static str,
    pub role: &'static str,
    /// The first state found in this stage: the one that the table shows.
    pub exemplar: bool,
    pub event: String,
    pub after: &'static str,
    pub actions: Vec<Action>,
    pub changed: bool,
}

/// Explores by stage, reason of the end and whether a stop was asked for, under all rules and under the plain ones.
pub(super) fn explore() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut shown = Vec::new();
    for rules in [full(), Rules { exit_after_loss: false, ..plain() }] {
        let mut seen = Vec::new();
        let mut queue = VecDeque::from([Bench::new(rules)]);
        while let Some(bench) = queue.pop_front() {
            let stage = label(&bench.machine);
            let further = match bench.machine.stage {
                Stage::Idle { .. } | Stage::Standing => {
                    Some((bench.machine.guardian, bench.machine.volume_usable, Predecessor::None))
                }
                Stage::Locking { succession, .. } => Some((bench.machine.guardian, true, succession.predecessor)),
                _ => None,
            };
            let key = (stage, bench.machine.end(), bench.machine.stop_requested, further);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let exemplar = !shown.contains(&stage);
            shown.push(stage);
            let mut trials: Vec<(String, Moment, Event)> =
                events(bench.now).into_iter().map(|(name, event)| (name.to_owned(), bench.now, event)).collect();
            if let Some((deadline, reason)) = bench.machine.deadline() {
                trials.push((format!("deadline: {reason:?}"), deadline, Event::TimePassed));
            }
            let waits_for_lease =
                matches!(bench.machine.deadline(), Some((_, DeadlineReason::Lease))) || !bench.machine.lease_matters();
            if !waits_for_lease {
                trials.push(("the lease is over".to_owned(), bench.now + LEASE, Event::TimePassed));
            }
            for (event, now, fact) in trials {
                let mut next = Bench { now, ..bench.clone() };
                let actions = next.machine.step(now, fact);
                rows.push(Row {
                    stage,
                    role: bench.machine.role().as_str(),
                    exemplar,
                    event,
                    after: label(&next.machine),
                    changed: next.machine != bench.machine,
                    actions,
                });
                queue.push_back(next);
            }
        }
    }
    rows
}

/// From, to, cause of every change of role that the exploration saw.
pub(super) fn edges(rows: &[Row]) -> BTreeMap<(crate::role::Role, crate::role::Role), Vec<&'static str>> {
    let mut edges: BTreeMap<_, Vec<&'static str>> = BTreeMap::new();
    for action in rows.iter().flat_map(|row| &row.actions) {
        if let Action::Announce(Transition { from, to, cause, .. }) = action {
            let causes = edges.entry((*from, *to)).or_default();
            if !causes.contains(&cause.as_str()) {
                causes.push(cause.as_str());
                causes.sort_unstable();
            }
        }
    }
    edges
}

pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut ignored: Vec<&str> = Vec::new();
    let shown: Vec<&Row> = rows.iter().filter(|row| row.exemplar).collect();
    for (at, row) in shown.iter().enumerate() {
        if at == 0 || shown[at - 1].stage != row.stage {
            let _ = writeln!(text, "{} ({})", row.stage, row.role);
        }
        if row.actions.is_empty() && !row.changed {
            ignored.push(&row.event);
        } else {
            let after = if row.after == row.stage { "=" } else { row.after };
            let line = format!("  {:<26} -> {:<30} {}", row.event, after, words(&row.actions));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if shown.get(at + 1).is_none_or(|next| next.stage != row.stage) {
            let _ = writeln!(text, "  ignored: {}\n", ignored.join(", "));
            ignored.clear();
        }
    }
    text
}

#[test]
fn the_transition_table_is_as_reviewed() {
    insta::assert_snapshot!("transition_table", render(&explore()));
}

#[test]
fn every_stage_is_reached_by_the_exploration() {
    let rows = explore();
    let stages: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.stage).collect();
    assert_eq!(stages.len(), 28, "{stages:#?}");
}
