//! Golden scenarios of the fencing: who is fenced before a promotion, by whose word, and when.

use super::*;

#[test]
fn the_answer_of_an_earlier_fencing_command_counts_for_nothing() {
    let mut bench = Bench::standing(full());
    bench.on(Event::Elected(succession(Predecessor::Unclean)));
    assert_eq!(
        bench.on(Event::LockAcquired { recorded: noted(8), write_back: false }),
        "FencePredecessor(9, by the record)"
    );
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: true }), "");
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 9, succeeded: true }), "Claim(9) WriteRecord(9)");
}

#[test]
fn a_fencing_command_that_fails_stops_the_promotion_only_where_it_is_required() {
    for (required, wanted) in
        [(true, "[promoting > demoting: start_failed] KillTree"), (false, "Claim(7) WriteRecord(7)")]
    {
        let mut bench = Bench::standing(Rules { fencing_required: required, ..full() });
        bench.on(Event::Elected(succession(Predecessor::Unclean)));
        bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
        assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: false }), wanted);
    }
}

#[test]
fn a_required_fencing_that_has_no_command_stops_the_promotion() {
    let mut bench = Bench::standing(Rules { fencing: false, ..full() });
    bench.on(Event::Elected(succession(Predecessor::Unclean)));
    let stopped = bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
    assert_eq!(stopped, "[promoting > demoting: start_failed] CloseLock(start_failed)");
}

#[test]
fn only_an_unclean_stranger_is_fenced() {
    for predecessor in [Predecessor::Clean, Predecessor::Own] {
        let mut bench = Bench::standing(full());
        bench.on(Event::Elected(succession(predecessor)));
        assert_eq!(bench.on(Event::LockAcquired { recorded: noted(6), write_back: false }), "Claim(7) WriteRecord(7)");
    }
    let mut bench = Bench::standing(full());
    bench.on(Event::Elected(Succession { epoch: 0, predecessor_epoch: 0, ..succession(Predecessor::None) }));
    let recorded = Recorded { epoch: 0, predecessor: Predecessor::None };
    assert_eq!(bench.on(Event::LockAcquired { recorded, write_back: false }), "Claim(1) WriteRecord(1)");
}

#[test]
fn a_person_s_word_is_not_stretched_to_whom_the_record_names_beside() {
    let vouched = succession(Predecessor::Vouched);
    let says = |epoch, predecessor| after(vouched, Recorded { epoch, predecessor });
    for predecessor in [Predecessor::Vouched, Predecessor::Clean, Predecessor::Own] {
        assert_eq!(says(6, predecessor), "Claim(7) WriteRecord(7)");
    }
    for predecessor in [Predecessor::Unclean, Predecessor::Unknown] {
        assert_eq!(says(5, predecessor), "Claim(7) WriteRecord(7)", "an earlier one");
        assert_eq!(says(6, predecessor), "FencePredecessor(7, by the record)", "another of the same epoch");
        assert_eq!(says(8, predecessor), "FencePredecessor(9, by the record)", "a later one");
    }
}

fn after(breadcrumb: Succession, recorded: Recorded) -> String {
    let mut bench = Bench::standing(full());
    bench.on(Event::Elected(breadcrumb));
    bench.on(Event::LockAcquired { recorded, write_back: false })
}

#[test]
fn a_record_that_is_later_than_zookeepers_breadcrumb_decides_on_fencing_both_ways() {
    for breadcrumb in
        [Predecessor::None, Predecessor::Clean, Predecessor::Own, Predecessor::Unclean, Predecessor::Unknown]
    {
        let says = |predecessor| after(succession(breadcrumb), Recorded { epoch: 8, predecessor });
        assert_eq!(says(Predecessor::Unclean), "FencePredecessor(9, by the record)", "{breadcrumb:?}");
        assert_eq!(says(Predecessor::Unknown), "FencePredecessor(9, by the record)", "{breadcrumb:?}");
        assert_eq!(says(Predecessor::Clean), "Claim(9) WriteRecord(9)", "{breadcrumb:?}");
        assert_eq!(says(Predecessor::Own), "Claim(9) WriteRecord(9)", "{breadcrumb:?}");
    }
}

#[test]
fn zookeepers_breadcrumb_decides_where_the_record_is_older_or_as_old() {
    for epoch in [0, 5, 6] {
        for predecessor in [Predecessor::Own, Predecessor::Unclean, Predecessor::Unknown] {
            let recorded = Recorded { epoch, predecessor };
            assert_eq!(after(succession(Predecessor::Clean), recorded), "Claim(7) WriteRecord(7)");
            assert_eq!(after(succession(Predecessor::Unclean), recorded), "FencePredecessor(7)");
        }
    }
}

#[test]
fn a_clean_end_in_the_record_of_the_very_leadership_is_believed_and_in_that_of_an_earlier_one_is_not() {
    let ended = |epoch| Recorded { epoch, predecessor: Predecessor::Clean };
    assert_eq!(after(succession(Predecessor::Unclean), ended(6)), "Claim(7) WriteRecord(7)");
    assert_eq!(after(succession(Predecessor::Unclean), ended(5)), "FencePredecessor(7)");
}

#[test]
fn where_zookeeper_says_nothing_of_the_last_leadership_its_record_does_and_without_one_it_is_unknown() {
    let silent = succession(Predecessor::Unknown);
    assert_eq!(after(silent, Recorded { epoch: 6, predecessor: Predecessor::Own }), "Claim(7) WriteRecord(7)");
    assert_eq!(after(silent, noted(6)), "FencePredecessor(7, by the record)");
    assert_eq!(after(silent, Recorded { epoch: 5, predecessor: Predecessor::Clean }), "FencePredecessor(7)");
    let emptied = Succession { epoch: 0, predecessor_epoch: 0, ..succession(Predecessor::None) };
    let unreadable = Recorded { epoch: 0, predecessor: Predecessor::Unknown };
    assert_eq!(after(emptied, unreadable), "FencePredecessor(1, by the record)");
}

#[test]
fn whom_a_later_record_names_is_not_spared_because_another_was_fenced_early() {
    let mut bench = waiting_for_a_dead_hosts_lock();
    until_early_fencing(&mut bench);
    bench.on(Event::PredecessorFenced { epoch: 7, succeeded: true });
    assert_eq!(
        bench.on(Event::LockAcquired { recorded: noted(8), write_back: false }),
        "FencePredecessor(9, by the record)"
    );
    // A command that is being run for another is ended, whatever the record says of the last one.
    for predecessor in [Predecessor::Unclean, Predecessor::Clean, Predecessor::Own] {
        let mut bench = waiting_for_a_dead_hosts_lock();
        until_early_fencing(&mut bench);
        let said = bench.on(Event::LockAcquired { recorded: Recorded { epoch: 8, predecessor }, write_back: false });
        assert!(said.ends_with("start_failed] KillTree"), "{said}");
    }
}

#[test]
fn a_holder_whose_record_is_later_than_the_breadcrumb_is_not_fenced_early() {
    let mut bench = waiting_for_a_dead_hosts_lock();
    assert_eq!(bench.on(Event::LockRefused { recorded: 7 }), "");
    for _ in 0..10 {
        assert_eq!(bench.at_deadline(), "HoldLock: SetDeadline");
    }
}

fn waiting_for_a_dead_hosts_lock() -> Bench {
    let mut bench =
        Bench::standing(Rules { fencing: true, fencing_required: true, fencing_frees_lock: true, ..plain() });
    bench.on(Event::Elected(succession(Predecessor::Unclean)));
    bench.on(Event::LockRefused { recorded: 6 });
    bench
}

/// Goes on until the predecessor is fenced; the hold on the lock is said again meanwhile.
fn until_early_fencing(bench: &mut Bench) {
    for _ in 0..10 {
        let said = bench.at_deadline();
        if said.ends_with("FencePredecessor(7)") {
            return;
        }
        assert_eq!(said, "HoldLock: SetDeadline");
    }
    panic!("nobody is fenced");
}

#[test]
fn a_fencing_command_that_frees_the_lock_runs_while_the_lock_is_waited_for_and_only_once() {
    let mut bench = waiting_for_a_dead_hosts_lock();
    let began = bench.now;
    until_early_fencing(&mut bench);
    assert_eq!(bench.now, began + LEASE, "whoever lives has had another lease to let go of it");
    assert_eq!(bench.on(Event::LockRefused { recorded: 6 }), "");
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: true }), "");
    assert_eq!(bench.on(Event::LockAcquired { recorded: noted(6), write_back: false }), "Claim(7) WriteRecord(7)");
}

#[test]
fn a_lock_that_is_free_before_the_early_fencing_has_ended_waits_for_its_answer() {
    let mut bench = waiting_for_a_dead_hosts_lock();
    until_early_fencing(&mut bench);
    assert_eq!(bench.on(Event::LockAcquired { recorded: noted(6), write_back: false }), "");
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 8, succeeded: true }), "", "not the order that was given");
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: true }), "Claim(7) WriteRecord(7)");
}

#[test]
fn an_early_fencing_that_failed_is_tried_again_and_counts_for_nothing() {
    let mut bench = waiting_for_a_dead_hosts_lock();
    until_early_fencing(&mut bench);
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: false }), "");
    until_early_fencing(&mut bench);
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: false }), "");
    assert_eq!(bench.on(Event::LockAcquired { recorded: noted(6), write_back: false }), "FencePredecessor(7)");
    assert!(bench.on(Event::PredecessorFenced { epoch: 7, succeeded: false }).ends_with("start_failed] KillTree"));
}

#[test]
fn nobody_is_fenced_early_who_stopped_cleanly_or_by_a_command_that_cannot_free_the_lock() {
    let frees = Rules { fencing: true, fencing_frees_lock: true, ..plain() };
    for (rules, predecessor) in [
        (frees.clone(), Predecessor::Clean),
        (frees.clone(), Predecessor::Own),
        (Rules { fencing_frees_lock: false, ..frees.clone() }, Predecessor::Unclean),
        (Rules { fencing: false, ..frees }, Predecessor::Unclean),
    ] {
        let mut bench = Bench::standing(rules);
        bench.on(Event::Elected(succession(predecessor)));
        bench.on(Event::LockRefused { recorded: 6 });
        for _ in 0..10 {
            assert_eq!(bench.at_deadline(), "HoldLock: SetDeadline");
        }
    }
}

#[test]
fn whom_a_person_vouches_for_is_not_fenced_early_and_its_lock_is_waited_for() {
    let mut bench = Bench::standing(Rules { fencing: true, fencing_frees_lock: true, ..plain() });
    bench.on(Event::Elected(succession(Predecessor::Vouched)));
    bench.on(Event::LockRefused { recorded: 6 });
    for _ in 0..10 {
        assert_eq!(bench.at_deadline(), "HoldLock: SetDeadline", "whoever has the lock is waited for");
    }
}
