//! Histories of hosts that stand still as a whole, as virtual machines do: forged, and judged.

use drill::history::{Entry, JournalRun, Line, Metadata, Run};
use drill::judge::{Offence, Verdict, judge, told};

use crate::forge::{MS, SECOND};

const THAW: u64 = 30 * SECOND;
const GRACE: u64 = 100 * MS;

/// The active host is stopped from second 10 to second 30, its lock's lease runs out, another host takes over, and the old
/// coordinator runs on for `lived` after the thaw.
fn history(lived: u64) -> Vec<Line> {
    let run = Entry::Run(Run {
        seed: 0,
        session_ms: 4_000,
        tick_ms: 500,
        nodes: vec!["node-a".to_owned(), "node-b".to_owned()],
        workload: "journal".to_owned(),
        hosts: "QEMU (emulation)".to_owned(),
        primacy_version: "primacy 0.1.0".to_owned(),
        kernel: "6.1.0-44-cloud-amd64".to_owned(),
        started: "2026-09-21T00:00:00.000Z".to_owned(),
        command: "vm-drill freeze".to_owned(),
        own_clocks: true,
    });
    let life = |node: &str, pid, epoch, first, last| {
        let node = node.to_owned();
        Entry::Coordinator { node, pid, epoch, first, last, ticks: 1_000 }
    };
    let said = |node: &str, pid, epoch, last_sequence| {
        let node = node.to_owned();
        Entry::Acknowledged { node, pid, epoch, first_sequence: 1, last_sequence }
    };
    let record = |node: &str, pid, epoch, last_sequence| {
        let node = node.to_owned();
        JournalRun { epoch, node, pid, first_sequence: 1, last_sequence, begin: 0, end: 0 }
    };
    let leadership = |epoch: u64, node: &str, to: Option<&str>| {
        Entry::Leadership(serde_json::json!({
            "epoch": epoch, "node": node, "from": "2026-09-21T00:00:00Z", "to": to, "cause": to.map(|_| "host_lost"),
            "gap_ms": null, "detail": "",
        }))
    };
    let role = |role: &str, status: &str, node: &str, epoch| Entry::Role {
        node: node.to_owned(),
        role: role.to_owned(),
        status: status.to_owned(),
        epoch,
        reachable: true,
    };
    let fault = ("freeze".to_owned(), vec!["node-a".to_owned()]);
    let journal = vec![record("node-a", 50, 1, 90), record("node-b", 60, 2, 200)];
    [
        (SECOND, run),
        (2 * SECOND, role("active", "OK", "node-a", Some(1))),
        (2 * SECOND, role("standby", "STANDBY", "node-b", None)),
        (3 * SECOND, Entry::Ready),
        (10 * SECOND, Entry::FaultBegin { id: 1, kind: fault.0, targets: fault.1, detail: String::new() }),
        (23 * SECOND, role("active", "OK", "node-b", Some(2))),
        (THAW, Entry::Standstill { node: "node-a".to_owned(), begin: 10 * SECOND, end: THAW, grace: GRACE }),
        (31 * SECOND, role("standby", "STANDBY", "node-a", None)),
        (32 * SECOND, Entry::FaultEnd { id: 1, ok: true, detail: String::new() }),
        (32 * SECOND, Entry::Healed),
        (33 * SECOND, Entry::Recovered { node: "node-b".to_owned(), epoch: 2 }),
        (40 * SECOND, leadership(1, "node-a", Some("2026-09-21T05:00:00Z"))),
        (40 * SECOND, leadership(2, "node-b", None)),
        (40 * SECOND, life("node-a", 50, 1, SECOND, THAW + lived)),
        (40 * SECOND, life("node-b", 60, 2, 22 * SECOND, 39 * SECOND)),
        (40 * SECOND, said("node-a", 50, 1, 90)),
        (40 * SECOND, said("node-b", 60, 2, 200)),
        (40 * SECOND, Entry::Metadata(Metadata { journal, ..Metadata::default() })),
        (40 * SECOND, Entry::Recordings { inputs: 1_000, contradictions: Vec::new() }),
    ]
    .map(|(at, entry)| Line { at, entry })
    .into()
}

#[track_caller]
fn convicted(lines: &[Line], expected: Offence) -> Verdict {
    let verdict = judge(lines);
    let others = verdict.charges.iter().filter(|charge| charge.offence != expected).count();
    assert!(verdict.convicted() && others == 0, "wanted {}, got {}", expected.name(), told("", &verdict));
    verdict
}

#[test]
fn a_host_that_stood_still_may_end_what_it_ran_within_the_grace() {
    let verdict = judge(&history(GRACE));
    assert!(!verdict.convicted(), "{}", told("", &verdict));
    assert_eq!((verdict.figures.overlaps, verdict.figures.acknowledged), (0, 290));
    // It stood still before anybody took over: nobody coordinated until then.
    assert!((verdict.figures.longest_gap_ms - 12_000.0).abs() < 1.0, "{verdict:?}");
}

#[test]
fn what_runs_beyond_the_grace_is_two_at_once_and_only_that_part_is_charged() {
    let verdict = convicted(&history(GRACE + 7 * MS), Offence::TwoAlive);
    assert!(verdict.charges[0].evidence.contains("both for 7.000 ms"), "{verdict:?}");
}

#[test]
fn without_a_standstill_of_its_own_host_nobody_has_a_grace() {
    let of_another = |node: &str| {
        let mut lines = history(MS);
        for line in &mut lines {
            if let Entry::Standstill { node: stood, .. } = &mut line.entry {
                node.clone_into(stood);
            }
        }
        lines
    };
    assert!(!judge(&of_another("node-a")).convicted());
    convicted(&of_another("node-c"), Offence::TwoAlive);
    // The successor's host: it had not begun to live when that stood still, so it is no excuse either.
    let verdict = judge(&of_another("node-b"));
    assert!(verdict.count(Offence::TwoAlive) > 0, "{}", told("", &verdict));
}

#[test]
fn a_standstill_of_another_host_at_the_same_time_is_no_excuse() {
    let mut lines = history(7 * MS);
    for line in &mut lines {
        if let Entry::Standstill { grace, .. } = &mut line.entry {
            *grace = 0;
        }
    }
    let stranger = Entry::Standstill { node: "node-c".to_owned(), begin: 10 * SECOND, end: THAW, grace: GRACE };
    lines.push(Line { at: THAW, entry: stranger });
    convicted(&lines, Offence::TwoAlive);
}

#[test]
fn one_that_starts_on_a_host_after_its_standstill_has_no_grace() {
    let mut lines = history(50 * MS);
    for line in &mut lines {
        match &mut line.entry {
            Entry::Standstill { node, .. } => "node-b".clone_into(node),
            Entry::Coordinator { epoch: 2, first, .. } => *first = THAW + 10 * MS,
            _ => {}
        }
    }
    convicted(&lines, Offence::TwoAlive);
}

#[test]
fn a_record_that_a_coordinator_said_was_synced_must_be_there() {
    let mut lines = history(0);
    for line in &mut lines {
        if let Entry::Metadata(metadata) = &mut line.entry {
            metadata.journal[0].last_sequence = 88;
        }
    }
    let verdict = convicted(&lines, Offence::LostWrite);
    assert!(verdict.charges[0].evidence.contains("2 of them are not there, the first 89"), "{verdict:?}");
}

#[test]
fn a_run_in_which_nobody_said_that_anything_was_synced_shows_nothing() {
    let mut lines = history(0);
    lines.retain(|line| !matches!(line.entry, Entry::Acknowledged { .. }));
    convicted(&lines, Offence::Vacuous);
}

#[test]
fn hosts_with_clocks_of_their_own_are_not_held_to_the_times_in_their_history() {
    let mut lines = history(0);
    assert!(judge(&lines).remarks.iter().any(|remark| remark.contains("a clock of its own")));
    for line in &mut lines {
        if let Entry::Run(run) = &mut line.entry {
            run.own_clocks = false;
        }
    }
    convicted(&lines, Offence::ContradictedHistory);
}
