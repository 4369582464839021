//! Waiting for the lock of the active leadership, and what a grant is worth.

use super::*;
use crate::role::{Loss, Phase, Role};

fn next() -> Succession {
    succession(Predecessor::Unclean)
}

const fn over(epoch: u64) -> Event {
    Event::LockGranted { over: true, recorded: Recorded { epoch, predecessor: Predecessor::Clean }, write_back: false }
}

fn waiting(rules: Rules) -> Bench {
    let mut bench = Bench::standing(rules);
    assert_eq!(bench.on(Event::NextInLine(Some(next()))), "AwaitLock");
    bench
}

#[test]
fn a_proof_in_the_lock_file_is_followed_by_the_claim_at_once() {
    let mut bench = waiting(full());
    assert_eq!(bench.on(over(6)), "[standby > promoting: elected] SetDeadline Claim(7) WriteRecord(7)");
    let sent = bench.now;
    assert_eq!(bench.on(Event::Claimed { epoch: 7, sent }), "SetDeadline");
    assert_eq!(bench.on(Event::RecordWritten { epoch: 7 }), "RunBeforeStart(7)");
}

#[test]
fn a_lock_without_the_proof_is_let_go_of_and_not_waited_for_again() {
    let no_proof = Event::LockGranted { over: false, recorded: noted(6), write_back: false };
    for grant in [no_proof, over(5), over(8)] {
        let mut bench = waiting(full());
        assert_eq!(bench.on(grant.clone()), "CallOff", "{grant:?}");
        assert_eq!(bench.on(over(6)), "", "what is being called off is void");
        assert_eq!(bench.on(Event::CalledOff), "");
        assert_eq!(bench.on(Event::TimePassed), "", "nothing has changed");
        let another = Succession { epoch: 7, predecessor_epoch: 7, ..next() };
        assert_eq!(bench.on(Event::NextInLine(Some(another))), "AwaitLock");
        assert_eq!(bench.machine.role(), Role::Standby);
    }
}

#[test]
fn the_wait_is_renewed_and_one_that_ran_out_begins_anew() {
    let mut bench = waiting(plain());
    assert_eq!(bench.at_deadline(), "AwaitLock: AwaitLock");
    assert_eq!(bench.on(Event::CalledOff), "AwaitLock");
}

#[test]
fn who_is_not_next_any_more_calls_off_before_anything_else() {
    let mut bench = waiting(plain());
    assert_eq!(bench.on(Event::NextInLine(None)), "CallOff");
    assert_eq!(bench.on(over(6)), "", "granted all the same");
    let elected = Event::Elected(next());
    assert_eq!(bench.on(elected), "[standby > promoting: elected]", "the lock is asked for once it is let go of");
    assert_eq!(bench.on(Event::LockAcquired { recorded: noted(6), write_back: false }), "");
    assert_eq!(bench.on(Event::CalledOff), "SetDeadline AcquireLock");
}

#[test]
fn who_is_elected_while_it_waits_asks_for_the_lock_and_takes_a_grant_for_the_answer() {
    let mut bench = waiting(plain());
    assert_eq!(bench.on(Event::Elected(next())), "[standby > promoting: elected] SetDeadline AcquireLock");
    let acquired = Event::LockAcquired { recorded: noted(6), write_back: false };
    assert_eq!(bench.on(acquired), "Claim(7) WriteRecord(7)");
}

#[test]
fn who_leaves_the_queue_lets_go_of_the_lock_first() {
    for (event, then) in [
        (Event::StopRequested, "Resign(not clean, -)"),
        (Event::Lost(Loss::NodeDeleted), "Resign(not clean, -)"),
        (Event::VolumeSeen { usable: false }, "Resign(not clean, -)"),
    ] {
        let mut bench = waiting(plain());
        let said = bench.on(event.clone());
        assert!(said.starts_with("CloseLock("), "{event:?}: {said}");
        assert_eq!(bench.on(over(6)), "", "{event:?}");
        assert_eq!(bench.on(Event::LockClosed { clean: true }), then, "{event:?}");
    }
}

#[test]
fn who_is_not_to_lead_goes_to_the_back_while_the_active_one_leads() {
    let better = Succession { better_candidate: true, ..next() };
    let mut bench = Bench::standing(plain());
    assert_eq!(bench.on(Event::NextInLine(Some(better))), "Yield");
    assert_eq!(bench.on(Event::NextInLine(Some(better))), "", "once");
    let mut bench = waiting(plain());
    assert_eq!(bench.on(Event::NextInLine(Some(better))), "CallOff");
    assert_eq!(bench.on(Event::CalledOff), "Yield");
    let mut bench = waiting(plain());
    assert_eq!(bench.on(Event::Elected(better)), "CallOff", "a better one has come just now");
    assert_eq!(bench.on(Event::CalledOff), "Stand");
    assert_eq!(bench.on(Event::Elected(better)), "Yield");
}

#[test]
fn a_guardian_that_let_go_just_when_it_was_granted_the_lock_ends_the_promotion() {
    let mut bench = waiting(plain());
    bench.on(over(6));
    assert_eq!(bench.on(Event::CalledOff), "[promoting > demoting: start_failed] CloseLock(start_failed)");
}

#[test]
fn a_dead_guardian_waits_for_nothing_and_its_successor_does() {
    let mut bench = waiting(plain());
    assert_eq!(bench.on(Event::GuardianLost), "ReplaceGuardian");
    assert_eq!(bench.on(Event::GuardianReady), "");
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "AwaitLock");
    assert_eq!(bench.machine.phase(bench.now), Phase::Standing);
}
