//! By what whoever led before is known to be gone, and what is kept of its own entry in the history.

use super::*;
use crate::guardian::protocol::{Ended, LockRecord, Over};
use crate::status::{Breadcrumb, EndCause, Evidence, HistoryEntry};

const FENCED: &str = "[fencing]\ncommand = [\"/bin/fence\"]\n";

fn breadcrumb(clean: bool, to: Option<&str>) -> Breadcrumb {
    Breadcrumb {
        election_node: None,
        node: "b".to_owned(),
        epoch: 6,
        api: "http://b:1".to_owned(),
        endpoints: Default::default(),
        since: "2026-01-02T03:04:05.678Z".to_owned(),
        clean,
        host: None,
        cause: None,
        to: to.map(str::to_owned),
    }
}

fn proven() -> LockRecord {
    let ended =
        Ended { at: "2026-01-02T03:05:00.000Z".to_owned(), cause: EndCause::Found(crate::role::End::LeaseExpired) };
    let over = Over { epoch: 6, election_node: None };
    LockRecord { ended: Some(ended), over: Some(over), ..LockRecord::of("b", 6) }
}

/// Elected after somebody; what it wants to write into the history, of itself and of the one before.
fn claimed(
    more: &str,
    predecessor: Option<Breadcrumb>,
    record: Option<LockRecord>,
) -> (HistoryEntry, Option<HistoryEntry>) {
    let mut bench = Bench::standing(more);
    let known = HistoryEntry {
        gap_ms: Some(17),
        evidence: Some(Evidence::NoneBefore),
        ..HistoryEntry::begun(6, "b".to_owned(), "2026-01-02T03:04:05.678Z".to_owned())
    };
    bench.fact(Fact::History(vec![known]));
    let epoch = if predecessor.is_some() || record.is_some() { 6 } else { 0 };
    let volume = Some("v".to_owned());
    bench.fact(Fact::Elected(Box::new(ElectionOutcome { epoch, predecessor, volume, ..ElectionOutcome::default() })));
    let mut words = bench.report(Report::LockAcquired { volume: "v".to_owned(), record, write_back: false });
    if words.starts_with("Run(fencing.command)") {
        let outcome = CommandOutcome::Ended(ExitStatus::Code(0));
        words = bench.report(Report::CommandEnded { id: 1, outcome });
    }
    let order = bench.wanted.iter().find_map(|output| match output {
        Output::Election(ElectionOrder::Claim { entry, predecessor_ended, .. }) => {
            Some((entry.clone(), predecessor_ended.clone()))
        }
        _ => None,
    });
    order.unwrap_or_else(|| panic!("it does not claim: {words}"))
}

#[test]
fn a_leadership_begins_with_what_is_known_of_the_end_of_the_one_before() {
    let ended = Some("2026-01-02T03:05:00.000Z");
    for (more, predecessor, record, evidence) in [
        ("", None, None, Evidence::NoneBefore),
        ("", Some(breadcrumb(true, ended)), Some(proven()), Evidence::CleanEnd),
        ("", Some(breadcrumb(true, None)), None, Evidence::GuardianRecord),
        ("", Some(breadcrumb(false, None)), Some(proven()), Evidence::GuardianRecord),
        ("", Some(breadcrumb(false, None)), Some(LockRecord::of("b", 6)), Evidence::LockAndSession),
        (FENCED, Some(breadcrumb(false, None)), Some(LockRecord::of("b", 6)), Evidence::Fenced),
        (FENCED, Some(breadcrumb(false, None)), Some(proven()), Evidence::GuardianRecord),
    ] {
        let (entry, _) = claimed(more, predecessor.clone(), record.clone());
        assert_eq!(entry.evidence, Some(evidence), "{predecessor:?} {record:?}");
    }
}

fn vouching(epoch: u64) -> crate::intents::Vouched {
    let wish =
        crate::intents::Wish { by: "alice".to_owned(), reason: Some("unplugged".to_owned()), ..Default::default() };
    crate::intents::Vouched { node: "b".to_owned(), epoch, host: None, wish }
}

/// Where the fencing command is required, and fails.
fn after_a_word(vouched: crate::intents::Vouched) -> (Bench, String) {
    let mut bench = Bench::standing("[fencing]\ncommand = [\"/bin/false\"]\nrequired = true\n");
    let (predecessor, volume) = (Some(breadcrumb(false, None)), Some("v".to_owned()));
    let outcome = ElectionOutcome {
        epoch: 6,
        predecessor,
        volume,
        vouched: Some(Box::new(vouched)),
        ..ElectionOutcome::default()
    };
    bench.fact(Fact::Elected(Box::new(outcome)));
    let record = Some(LockRecord::of("b", 6));
    let words = bench.report(Report::LockAcquired { volume: "v".to_owned(), record, write_back: false });
    (bench, words)
}

#[test]
fn whom_a_person_vouches_for_is_not_fenced_and_the_history_says_by_whose_word() {
    let (bench, words) = after_a_word(vouching(6));
    assert!(words.starts_with("Claim(7)"), "{words}");
    let entry = bench.wanted.iter().find_map(|output| match output {
        Output::Election(ElectionOrder::Claim { entry, .. }) => Some(entry.clone()),
        _ => None,
    });
    let entry = entry.unwrap();
    assert_eq!(entry.evidence, Some(Evidence::Fenced));
    assert!(entry.detail.unwrap().ends_with("; alice vouches that it is off (unplugged)"));
    assert!(bench.lines().iter().any(|line| format!("{line:?}").contains("b (epoch 6) is not fenced: alice vouches")));
}

#[test]
fn a_word_on_an_earlier_leadership_spares_nobody() {
    let (_, words) = after_a_word(vouching(5));
    assert_eq!(words, "Run(fencing.command)");
}

#[test]
fn what_was_known_of_the_one_before_stays_in_its_entry() {
    let (_, before) = claimed("", Some(breadcrumb(false, None)), Some(LockRecord::of("b", 6)));
    let before = before.unwrap();
    assert_eq!((before.epoch, before.gap_ms, before.evidence), (6, Some(17), Some(Evidence::NoneBefore)));
    assert_eq!(before.cause, Some(EndCause::HostLost));
}
