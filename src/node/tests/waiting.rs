//! Who may wait for the active one's lock, and what its record proves.

use super::*;
use crate::guardian::protocol::{Ended, LockRecord, Over};
use crate::intents::{Control, Intended, Pause};
use crate::status::{Breadcrumb, EndCause, Evidence};

const BEFORE: &str = "/p/c/election/y-latch-0000000001";

fn behind(next: bool) -> Fact {
    let predecessor: Breadcrumb = serde_json::from_str(
        r#"{"node": "b", "epoch": 6, "api": "http://b:1", "since": "1970-01-01T00:00:00Z", "clean": false}"#,
    )
    .unwrap();
    let volume = Some("v".to_owned());
    let outcome = ElectionOutcome { epoch: 6, predecessor: Some(predecessor), volume, ..ElectionOutcome::default() };
    Fact::Behind { election_node: BEFORE.to_owned(), next: next.then(|| Box::new(outcome)) }
}

fn record(epoch: u64, election_node: Option<&str>) -> Report {
    let ended = Ended { at: "1970-01-01T00:16:40Z".to_owned(), cause: EndCause::from(crate::role::End::LeaseExpired) };
    let over = Some(Over { epoch, election_node: election_node.map(str::to_owned) });
    let record = LockRecord { ended: Some(ended), over, ..LockRecord::of("b", epoch) };
    Report::LockAcquired { volume: "v".to_owned(), record: Some(record), write_back: false }
}

fn waits(words: &str) -> bool {
    words.starts_with("AwaitLock")
}

#[test]
fn the_proof_of_the_very_leadership_before_it_makes_a_node_claim_and_says_so_in_the_history() {
    let mut bench = Bench::standing("");
    assert!(waits(&bench.fact(behind(true))));
    assert_eq!(bench.report(record(6, Some(BEFORE))), "Claim(7) WriteRecord(7 by 7)");
    let claim = bench.wanted.iter().find_map(|output| match output {
        Output::Election(ElectionOrder::Claim { entry, predecessor_ended, .. }) => Some((entry, predecessor_ended)),
        _ => None,
    });
    let (entry, Some(ended)) = claim.unwrap() else { panic!("the former entry is completed") };
    assert_eq!(entry.evidence, Some(Evidence::GuardianRecord));
    assert_eq!((ended.epoch, ended.cause.as_ref().map(EndCause::as_str)), (6, Some("lease_expired")));
    assert_eq!(bench.fact(Fact::Elected(Box::default())), "", "the election was quicker than the claim");
    assert_eq!(bench.role(), Role::Promoting);
}

#[test]
fn a_record_that_is_not_that_very_proof_is_let_go_of() {
    let another = Some("/p/c/election/z-latch-0000000000");
    for grant in [record(6, None), record(6, another), record(5, Some(BEFORE)), record(7, Some(BEFORE))] {
        let mut bench = Bench::standing("");
        bench.fact(behind(true));
        assert_eq!(bench.report(grant.clone()), "CallOff", "{grant:?}");
        assert_eq!((bench.report(Report::CalledOff), bench.role()), (String::new(), Role::Standby));
    }
}

#[test]
fn who_is_not_next_or_out_of_contact_or_in_a_pause_does_not_wait() {
    let mut bench = Bench::standing("");
    assert_eq!(bench.fact(behind(false)), "");
    assert!(waits(&bench.fact(behind(true))));
    assert_eq!(bench.fact(Fact::Disconnected { reason: "gone".to_owned() }), "CallOff");
    assert_eq!(bench.report(Report::CalledOff), "");
    let (session, timeout, asked) = (Some("0x1".to_owned()), Duration::from_secs(10), bench.now);
    assert!(waits(&bench.fact(Fact::Connected { session, timeout, asked })));
    let control = Control { paused: Some(Pause::default()), ..Control::default() };
    let paused = Fact::Intended(Box::new(Intended { control, version: Some(1), ..Intended::default() }));
    assert_eq!(bench.fact(paused), "CallOff");
}
