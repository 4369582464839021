//! Innocent histories, each with something that looks like guilt.

use drill::history::{Entry, Outcome};
use drill::judge::{Offence, Verdict, judge, told};

use crate::forge::{MS, Plot, SECOND, Scene, history, varied};

#[track_caller]
fn acquitted(lines: &[drill::history::Line]) -> Verdict {
    let verdict = judge(lines);
    assert!(!verdict.convicted(), "{}", told("innocent", &verdict));
    verdict
}

#[test]
fn each_kind_of_fault_alone_is_innocent() {
    for plot in Plot::INNOCENT {
        for nodes in 2..=5 {
            let verdict = acquitted(&history(nodes, &[Scene::of(plot), Scene::of(plot)]));
            assert_eq!(verdict.figures.failovers, if plot.fails_over() { 2 } else { 0 }, "{plot:?}");
        }
    }
}

#[test]
fn a_coordinator_that_is_frozen_for_minutes_is_innocent_while_nobody_else_lives() {
    let verdict = acquitted(&history(3, &[Scene { length: 300_000, ..Scene::of(Plot::Freeze) }]));
    let row = &verdict.table[0];
    assert_eq!((row.kind.as_str(), row.failovers, row.overlaps), ("freeze-host", 1, 0));
    let (gaps, inactive) = (row.gaps().expect("one"), row.inactive().expect("one"));
    assert!(gaps.max < 1_000.0, "it lived while it was frozen: {gaps:?}");
    assert!(inactive.max > 299_000.0, "but nobody was active: {inactive:?}");
}

#[test]
fn two_faults_at_once_are_a_kind_of_their_own() {
    let verdict = acquitted(&history(3, &[Plot::Pair, Plot::Kill, Plot::RestartZookeeper].map(Scene::of)));
    let kinds: Vec<(&str, usize)> = verdict.table.iter().map(|row| (row.kind.as_str(), row.runs)).collect();
    assert_eq!(kinds, [("kill-host", 1), ("restart-zookeeper", 1), ("kill-host + restart-zookeeper", 1)]);
    assert_eq!((verdict.figures.faults, verdict.figures.pairs), (4, 1));
    let of_pair = verdict.gaps.iter().filter(|gap| gap.faults == [1, 2]);
    assert_eq!(of_pair.count(), 2, "once without a coordinator, once without an active one");
}

#[test]
fn what_a_client_does_not_know_may_have_been_done_or_not() {
    for coin in [0, u64::MAX, 0xA5A5_A5A5_A5A5_A5A5] {
        let scenes = [Plot::Kill, Plot::Freeze, Plot::ShortFreeze].map(|plot| Scene { coin, ..Scene::of(plot) });
        let lines = history(2, &scenes);
        let unknown =
            lines.iter().filter(|line| matches!(line.entry, Entry::Client { result: Outcome::Unknown, .. })).count();
        let verdict = acquitted(&lines);
        assert_eq!(verdict.figures.unknown, unknown);
        assert!(unknown > 0, "nothing was unknown");
        let applied = verdict.figures.unknown_applied;
        assert!(if coin == 0 { applied == 0 } else { 0 < applied && applied < unknown }, "{applied} of {unknown}");
    }
}

#[test]
fn an_effect_that_comes_after_the_recovery_was_seen_is_the_faults() {
    let verdict = acquitted(&history(3, &[Scene::of(Plot::DeleteElectionNode)]));
    assert_eq!(verdict.table[0].kind, "delete-election-node");
    assert_eq!((verdict.table[0].failovers, verdict.table.len()), (1, 1));
}

#[test]
fn the_order_of_the_lines_in_the_file_does_not_matter() {
    let mut lines = varied();
    let verdict = judge(&lines);
    lines.reverse();
    let reversed = acquitted(&lines);
    assert_eq!((verdict.figures, verdict.table), (reversed.figures, reversed.table));
}

#[test]
fn an_observer_that_blinks_is_not_an_outage_but_one_that_is_told_so_is() {
    let lines = varied();
    let Some((at, node, epoch)) = lines.iter().find_map(|line| match &line.entry {
        Entry::Recovered { node, epoch } => Some((line.at + 2 * SECOND, node.clone(), *epoch)),
        _ => None,
    }) else {
        panic!("nothing recovered");
    };
    let sight = |at: u64, role: &str, status: &str, reachable: bool| {
        let (node, role, status) = (node.clone(), role.to_owned(), status.to_owned());
        let entry = Entry::Role { node, role, status, epoch: Some(epoch), reachable };
        drill::history::Line { at, entry }
    };
    let blink = [sight(at, "", "", false), sight(at + 300 * MS, "active", "OK", true)];
    let verdict = acquitted(&[&lines[..], &blink].concat());
    assert!(verdict.gaps.iter().any(|gap| gap.episode.is_none()), "it is counted all the same");
    let told = [sight(at, "active", "STOPPING", true), sight(at + 300 * MS, "active", "OK", true)];
    let verdict = judge(&[&lines[..], &told].concat());
    assert_eq!(verdict.charges.iter().map(|charge| charge.offence).collect::<Vec<_>>(), [Offence::UnexplainedGap]);
}

#[test]
fn epochs_that_primacy_has_forgotten_are_no_charge() {
    let scenes = [Scene { calm: 1_200, gap: 100, length: 500, ..Scene::of(Plot::Kill) }; 120];
    let mut lines = history(2, &scenes);
    let mut epochs: Vec<u64> = lines.iter().filter_map(epoch).collect();
    epochs.sort_unstable();
    let oldest = epochs[epochs.len() - 100];
    lines.retain(|line| epoch(line).is_none_or(|epoch| epoch >= oldest));
    // The runner had asked once before, while the third of them lasted.
    let all = history(2, &scenes);
    let third = all.iter().filter(|line| epoch(line).is_some()).nth(2).expect("there are many").clone();
    lines.insert(0, third);
    lines.iter_mut().find_map(value).expect("it is the first")["to"] = serde_json::Value::Null;
    let verdict = acquitted(&lines);
    assert_eq!(verdict.remarks.len(), 1);
}

fn epoch(line: &drill::history::Line) -> Option<u64> {
    match &line.entry {
        Entry::Leadership(value) => value["epoch"].as_u64(),
        _ => None,
    }
}

#[test]
fn a_clock_that_a_fault_moved_excuses_wall_clock_times_and_nothing_else() {
    let scenes = [Scene { calm: 14_000, ..Scene::of(Plot::Kill) }; 3];
    let mut lines = history(3, &scenes);
    let mut leaderships: Vec<&mut serde_json::Value> = lines.iter_mut().filter_map(value).collect();
    let early = humantime::parse_rfc3339(leaderships[1]["from"].as_str().expect("a time")).expect("a time");
    let early = humantime::format_rfc3339_millis(early - std::time::Duration::from_secs(3_600)).to_string();
    (leaderships[1]["from"], leaderships[1]["to"]) = (early.clone().into(), early.into());
    let verdict = judge(&lines);
    assert_eq!(verdict.count(Offence::ContradictedHistory), verdict.charges.len());
    assert!(verdict.convicted(), "without an excuse");
    for line in &mut lines {
        if let Entry::FaultBegin { kind, id: 2, .. } = &mut line.entry {
            *kind = "clock-step".to_owned();
        }
    }
    assert_eq!(acquitted(&lines).remarks.len(), 1);
}

#[test]
fn a_leadership_that_was_wiped_before_anybody_had_read_it_is_no_charge() {
    let scenes = [Scene { calm: 14_000, ..Scene::of(Plot::Kill) }; 4];
    let innocent = history(3, &scenes);
    for (wiped, guilty) in [("zookeeper-wiped", false), ("zookeeper-restarted", true)] {
        let mut lines = innocent.clone();
        // The end of the second one, and all of the third.
        let mut leaderships: Vec<&mut serde_json::Value> = lines.iter_mut().filter_map(value).collect();
        (leaderships[1]["to"], leaderships[1]["cause"]) = (serde_json::Value::Null, serde_json::Value::Null);
        let third = leaderships[2]["epoch"].as_u64();
        lines.retain(|line| epoch(line).is_none() || epoch(line) != third);
        for line in &mut lines {
            if let Entry::FaultBegin { kind, id: 2, .. } = &mut line.entry {
                *kind = wiped.to_owned();
            }
        }
        assert_eq!(judge(&lines).convicted(), guilty, "{}", told(wiped, &judge(&lines)));
    }
}

#[test]
fn an_instant_pair_may_have_its_second_effect_after_the_recovery() {
    // Killed, and recovered from; the lock file, deleted in the same moment, is missed only then.
    let scenes =
        [Scene { calm: 5_000, gap: 100, ..Scene::of(Plot::Kill) }, Scene { calm: 1_500, ..Scene::of(Plot::Kill) }];
    let alone = history(3, &scenes);
    let second = |line: &drill::history::Line| match &line.entry {
        Entry::FaultBegin { id, .. } | Entry::FaultEnd { id, .. } => *id == 2,
        _ => false,
    };
    let mut lines: Vec<_> = alone.iter().filter(|line| !second(line)).cloned().collect();
    let ends: Vec<usize> = (0..lines.len())
        .filter(|index| matches!(lines[*index].entry, Entry::Healed | Entry::Recovered { .. }))
        .collect();
    lines.drain(ends[2]..=ends[2]);
    lines.drain(ends[3] - 1..ends[3]);
    assert_eq!(judge(&lines).count(Offence::UnexplainedGap), 2, "one fault has one effect");
    let begin = lines.iter().position(|line| matches!(line.entry, Entry::FaultBegin { .. })).expect("the first");
    for (offset, at) in [(1, lines[begin].at), (2, lines[begin].at)] {
        let entry = match offset {
            1 => Entry::FaultBegin {
                id: 2,
                kind: "lock-file-deleted".to_owned(),
                targets: Vec::new(),
                detail: "by hand".to_owned(),
            },
            _ => Entry::FaultEnd { id: 2, ok: true, detail: String::new() },
        };
        lines.insert(begin + offset, drill::history::Line { at, entry });
    }
    let verdict = acquitted(&lines);
    assert_eq!(verdict.table[0].kind, "kill-host + lock-file-deleted");
    assert_eq!(verdict.table[0].failovers, 2);
}

fn value(line: &mut drill::history::Line) -> Option<&mut serde_json::Value> {
    match &mut line.entry {
        Entry::Leadership(value) => Some(value),
        _ => None,
    }
}

#[test]
fn faults_that_follow_each_other_closely_keep_their_own_outages() {
    let scenes = [Plot::Kill, Plot::Stop, Plot::RestartZookeeper, Plot::Freeze];
    let close = scenes.map(|plot| Scene { calm: 150, gap: 30, length: 700, ..Scene::of(plot) });
    let verdict = acquitted(&history(3, &close));
    let rows: Vec<_> = verdict.table.iter().map(|row| (row.kind.as_str(), row.failovers, row.gaps_ms.len())).collect();
    assert_eq!(rows, [("freeze-host", 1, 1), ("kill-host", 1, 1), ("restart-zookeeper", 0, 0), ("stop", 1, 1)]);
}

#[test]
fn a_lease_that_runs_out_after_the_recovery_is_the_faults_and_a_plain_end_is_not() {
    for (cause, guilty) in [("lease_expired", false), ("coordinator_exited", true)] {
        // A fault with its effect; 1.5 s after the recovery the next one ends, too.
        let scenes = [Scene { calm: 5_000, ..Scene::of(Plot::Kill) }, Scene { calm: 1_500, ..Scene::of(Plot::Stop) }];
        let mut lines = history(3, &scenes);
        let second = lines.iter().position(|line| matches!(line.entry, Entry::FaultBegin { id: 2, .. }));
        let second = lines[second.expect("there are two")].at;
        let of_second = |line: &drill::history::Line| {
            let what = matches!(
                line.entry,
                Entry::FaultBegin { .. } | Entry::FaultEnd { .. } | Entry::Healed | Entry::Recovered { .. }
            );
            what && line.at >= second
        };
        lines.retain(|line| !of_second(line));
        lines.iter_mut().filter_map(value).nth(1).expect("there are three")["cause"] = cause.into();
        assert_eq!(judge(&lines).convicted(), guilty, "{}", told(cause, &judge(&lines)));
    }
}
