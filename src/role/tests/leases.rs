//! What a lease that ends, shrinks or is not there yet means, word by word.

use super::*;
use crate::role::{DeadlineReason, Loss};

#[test]
fn a_lease_that_expires_while_stopping_turns_the_stop_into_a_kill() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::Unhealthy);
    assert_eq!(bench.at_deadline(), "Lease: [demoting > fencing: coordinator_unhealthy] KillTree");
    assert_eq!(bench.on(Event::TreeDead), "CloseLock(coordinator_unhealthy)");
    assert_eq!(bench.on(Event::LockClosed { clean: true }), "Resign(clean, coordinator_unhealthy)");
    // It fenced itself, whatever had begun the end.
    assert_eq!(bench.on(Event::Resigned), "[fencing > standby: coordinator_unhealthy] Exit(LostMastership)");
}

#[test]
fn what_the_lease_has_left_is_worth_nothing_once_the_session_is_lost_while_stopping() {
    let mut bench = Bench::leading(full());
    bench.on(Event::StopRequested);
    bench.on(Event::Lost(Loss::SessionExpired));
    assert_eq!(bench.machine.lease_until(), None);
    assert_eq!(bench.on(Event::TreeDead), "CloseLock(stopped)");
}

#[test]
fn a_thawed_process_looks_at_its_deadline_before_its_mailbox() {
    let mut bench = Bench::leading(plain());
    let sent = bench.now + seconds(4);
    bench.now = bench.now + LEASE;
    assert_eq!(bench.on(Event::Renewed { sent }), "[active > fencing: lease_expired] KillTree");
    assert_eq!(bench.renew(), "", "nothing brings a lease back");
}

#[test]
fn a_thawed_process_does_not_go_on_with_a_lock_that_its_guardian_has_let_go_of() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    let thawed = bench.after(LEASE, Event::LockAcquired { recorded: noted(6), write_back: false });
    assert_eq!(thawed, "[promoting > demoting: lease_expired] CloseLock(lease_expired)");
}

#[test]
fn a_claim_that_was_answered_too_late_is_not_a_lease() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
    let sent = bench.now - LEASE;
    let late = bench.on(Event::Claimed { epoch: 7, sent });
    assert!(late.ends_with("[promoting > demoting: lease_expired] CloseLock(lease_expired)"), "{late}");
}

#[test]
fn a_start_waits_for_enough_lease() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
    let sent = bench.now - seconds(6);
    bench.on(Event::Claimed { epoch: 7, sent });
    assert_eq!(bench.on(Event::RecordWritten { epoch: 7 }), "");
    assert_eq!(bench.renew(), "SetDeadline Start(7)");
}

#[test]
fn an_older_acknowledgement_does_not_shorten_the_lease() {
    let mut bench = Bench::leading(plain());
    let until = bench.machine.lease_until();
    let sent = bench.now - seconds(1);
    assert_eq!(bench.on(Event::Renewed { sent }), "");
    assert_eq!(bench.on(Event::Claimed { epoch: 7, sent }), "");
    assert_eq!(bench.machine.lease_until(), until);
}

#[test]
fn a_shorter_grant_shortens_a_lease_that_runs_and_a_longer_one_does_not_stretch_it() {
    let mut bench = Bench::leading(plain());
    let now = bench.now;
    assert_eq!(bench.on(Event::Granted { until: now + seconds(20) }), "");
    assert_eq!(bench.machine.lease_until(), Some(now + LEASE));
    let actions = bench.machine.step(now, Event::Granted { until: now + seconds(2) });
    assert_eq!(actions, [Action::SetDeadline(now + seconds(2))], "the guardian is told, too");
    assert_eq!(bench.machine.deadline(), Some((now + seconds(2), DeadlineReason::Lease)));
    assert_eq!(
        bench.after(seconds(1), Event::Granted { until: now }),
        "SetDeadline [active > fencing: lease_expired] KillTree"
    );
}

#[test]
fn a_stop_under_way_is_over_with_a_shortened_lease() {
    let mut bench = Bench::leading(plain());
    assert_eq!(bench.on(Event::StopRequested), "[active > demoting: stopped] StopTree");
    let until = bench.now + seconds(1);
    assert_eq!(bench.on(Event::Granted { until }), "SetDeadline");
    assert_eq!(bench.after(seconds(1), Event::TimePassed), "[demoting > fencing: stopped] KillTree");
}

#[test]
fn a_lock_without_a_lease_is_kept_for_one_lease_of_the_shorter_grant() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.machine.set_rules(Rules { lease: seconds(2), ..plain() });
    let (now, until) = (bench.now, bench.now + seconds(3));
    assert_eq!(bench.machine.step(now, Event::Granted { until }), [Action::SetDeadline(now + seconds(2))]);
}

#[test]
fn a_lock_that_somebody_else_holds_is_waited_for_without_a_deadline_but_with_a_hold() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.on(Event::LockRefused { recorded: 6 });
    for _ in 0..100 {
        assert_eq!(bench.at_deadline(), "HoldLock: SetDeadline");
    }
}
