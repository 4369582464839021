//! Golden scenarios: what is ordered, word by word, in stories that matter.

use super::*;
use crate::role::{Loss, Phase, Role};

#[test]
fn the_way_up_takes_each_step_only_when_the_former_is_acknowledged() {
    let mut bench = Bench::new(full());
    assert_eq!(bench.on(Event::GuardianReady), "");
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "Stand");
    let elected = bench.on(Event::Elected(succession(Predecessor::Unclean)));
    assert_eq!(elected, "[standby > promoting: elected] SetDeadline AcquireLock");
    assert_eq!(bench.on(Event::LockRefused { recorded: 6 }), "");
    assert_eq!(
        bench.on(Event::LockAcquired { recorded: noted(9), write_back: false }),
        "FencePredecessor(10, by the record)"
    );
    assert_eq!(bench.on(Event::PredecessorFenced { epoch: 10, succeeded: true }), "Claim(10) WriteRecord(10)");
    let sent = bench.now;
    assert_eq!(bench.on(Event::Claimed { epoch: 10, sent }), "SetDeadline");
    assert_eq!(bench.on(Event::RecordWritten { epoch: 10 }), "RunBeforeStart(10)");
    assert_eq!(bench.on(Event::Prepared { epoch: 10, succeeded: true }), "Start(10)");
    assert_eq!(bench.on(Event::Started), "");
    assert_eq!(bench.on(Event::Ready), "[promoting > active: ready]");
    assert_eq!((bench.machine.role(), bench.machine.epoch()), (Role::Active, Some(10)));
}

#[test]
fn the_way_down_takes_each_step_only_when_the_former_is_acknowledged() {
    let mut bench = Bench::leading(full());
    assert_eq!(bench.on(Event::StopRequested), "[active > demoting: stopped] StopTree");
    assert_eq!(bench.on(Event::TreeDead), "RunAfterStop");
    assert_eq!(bench.on(Event::Tidied), "CloseLock(stopped)");
    assert_eq!(bench.on(Event::LockClosed { clean: true }), "Resign(clean, stopped)");
    assert_eq!(bench.on(Event::Resigned), "[demoting > standby: stopped] Exit(Stopped)");
}

#[test]
fn a_crash_is_answered_by_a_restart_until_the_budget_is_used_up() {
    let mut bench = Bench::leading(full());
    assert_eq!(bench.on(Event::Exited), "[active > promoting: restarting]");
    assert_eq!(bench.on(Event::TreeDead), "Start(7)");
    bench.on(Event::Started);
    assert_eq!(bench.on(Event::Ready), "[promoting > active: ready]");
    assert_eq!(bench.on(Event::Exited), "[active > demoting: coordinator_exited]");
    assert_eq!(bench.on(Event::TreeDead), "RunAfterStop");
    bench.on(Event::Tidied);
    assert_eq!(bench.on(Event::LockClosed { clean: true }), "Resign(clean, coordinator_exited)");
    assert_eq!(bench.on(Event::Resigned), "[demoting > standby: coordinator_exited] ReplaceGuardian");
    assert_eq!(bench.machine.phase(bench.now), Phase::BackingOff);
}

#[test]
fn a_restart_that_lies_outside_the_window_does_not_count() {
    let mut bench = Bench::leading(full());
    bench.on(Event::Exited);
    bench.on(Event::TreeDead);
    bench.on(Event::Started);
    bench.on(Event::Ready);
    for _ in 0..700 {
        bench.now = bench.now + seconds(1);
        bench.renew();
    }
    assert_eq!(bench.on(Event::Exited), "[active > promoting: restarting]");
}

#[test]
fn a_lost_leadership_is_not_tidied_up_after() {
    for loss in [Loss::SessionExpired, Loss::NodeDeleted, Loss::Overtaken] {
        let mut bench = Bench::leading(full());
        assert!(bench.on(Event::Lost(loss)).ends_with("KillTree"));
        assert!(bench.on(Event::TreeDead).starts_with("CloseLock"), "the hook would delay the next active");
    }
}

#[test]
fn after_the_last_number_there_is_no_epoch_and_nobody_leads_with_a_smaller_one() {
    for (known, recorded) in [(u64::MAX, 0), (6, u64::MAX)] {
        let mut bench = Bench::standing(full());
        bench.on(Event::Elected(Succession { epoch: known, ..succession(Predecessor::Unclean) }));
        let said = bench.on(Event::LockAcquired { recorded: noted(recorded), write_back: false });
        assert_eq!(said, "[promoting > demoting: start_failed] CloseLock(start_failed)");
    }
}

#[test]
fn a_volume_that_is_lost_kills_and_exits() {
    let mut bench = Bench::leading(plain());
    assert_eq!(bench.on(Event::VolumeLost), "[active > fencing: volume_lost] KillTree");
    bench.on(Event::TreeDead);
    bench.on(Event::LockClosed { clean: true });
    assert_eq!(bench.on(Event::Resigned), "[fencing > standby: volume_lost] Exit(LostMastership)");
}

#[test]
fn after_a_loss_it_stands_again_where_it_shall_rejoin() {
    let mut bench = Bench::leading(Rules { exit_after_loss: false, ..plain() });
    bench.on(Event::Lost(Loss::SessionExpired));
    bench.on(Event::TreeDead);
    bench.on(Event::LockClosed { clean: true });
    assert_eq!(bench.on(Event::Resigned), "[fencing > standby: session_expired] ReplaceGuardian");
    bench.on(Event::GuardianReady);
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "Stand");
}

/// All ways up to the stages of a leadership, before its end.
fn stages() -> Vec<(&'static str, Bench)> {
    let mut found = Vec::new();
    let mut bench = Bench::standing(full());
    found.push(("standing", bench.clone()));
    bench.on(Event::Elected(succession(Predecessor::Unclean)));
    found.push(("locking", bench.clone()));
    bench.on(Event::LockAcquired { recorded: noted(6), write_back: false });
    found.push(("fencing the predecessor", bench.clone()));
    bench.on(Event::PredecessorFenced { epoch: 7, succeeded: true });
    found.push(("claiming", bench.clone()));
    bench.on(Event::RecordWritten { epoch: 7 });
    let sent = bench.now;
    bench.on(Event::Claimed { epoch: 7, sent });
    found.push(("preparing", bench.clone()));
    bench.on(Event::Prepared { epoch: 7, succeeded: true });
    found.push(("starting", bench.clone()));
    bench.on(Event::Started);
    found.push(("running", bench.clone()));
    bench.on(Event::Ready);
    found.push(("leading", bench.clone()));
    bench.on(Event::Exited);
    found.push(("clearing", bench));
    found
}

fn after_each_stage(event: &Event) -> String {
    let told = stages().into_iter().map(|(stage, mut bench)| format!("{stage}: {}\n", bench.on(event.clone())));
    told.collect()
}

#[test]
fn a_guardian_that_dies_at_any_stage() {
    insta::assert_snapshot!(after_each_stage(&Event::GuardianLost));
}

#[test]
fn a_session_that_is_lost_at_any_stage() {
    insta::assert_snapshot!(after_each_stage(&Event::Lost(Loss::SessionExpired)));
}

#[test]
fn a_volume_that_is_lost_at_any_stage() {
    insta::assert_snapshot!(after_each_stage(&Event::VolumeLost));
}

#[test]
fn a_stop_at_any_stage() {
    insta::assert_snapshot!(after_each_stage(&Event::StopRequested));
}

#[test]
fn a_guardian_that_dies_while_its_tree_is_being_stopped_leaves_orphans_to_be_killed() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::StopRequested);
    assert_eq!(bench.on(Event::GuardianLost), "KillOrphans");
    assert_eq!(bench.on(Event::TreeDead), "Resign(clean, stopped)");
    assert_eq!(bench.on(Event::Resigned), "[demoting > standby: stopped] Exit(Stopped)");
}

#[test]
fn a_stop_waits_for_a_volume_that_hangs_no_longer_than_until_the_role_is_given_away() {
    for asked_at_last in [false, true] {
        let mut bench = Bench::leading(plain());
        bench.on(Event::VolumeLost);
        assert_eq!(bench.on(Event::TreeDead), "CloseLock(volume_lost)");
        if !asked_at_last {
            assert_eq!(bench.on(Event::StopRequested), "");
        }
        let (at, _) = bench.machine.deadline().unwrap();
        bench.now = at;
        assert_eq!(bench.on(Event::TimePassed), "Resign(not clean, volume_lost)");
        let resigned = bench.on(Event::Resigned);
        let exit = if asked_at_last {
            assert_eq!(resigned, "", "the lock may still close");
            bench.on(Event::StopRequested)
        } else {
            resigned
        };
        assert_eq!(exit, "[fencing > standby: volume_lost] Exit(LostMastership)");
    }
}

#[test]
fn a_second_stop_kills() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::StopRequested);
    assert_eq!(bench.on(Event::KillRequested), "[demoting > fencing: stopped] KillTree");
    bench.on(Event::TreeDead);
    bench.on(Event::LockClosed { clean: true });
    assert_eq!(bench.on(Event::Resigned), "[fencing > standby: stopped] Exit(Stopped)");
}

#[test]
fn a_second_stop_does_not_wait_for_the_after_stop_hook() {
    let mut bench = Bench::leading(full());
    bench.on(Event::StopRequested);
    bench.on(Event::TreeDead);
    assert_eq!(bench.on(Event::KillRequested), "KillTree", "what it left must be dead before the lock is closed");
    assert_eq!(bench.on(Event::TreeDead), "CloseLock(stopped)");
}

#[test]
fn what_does_not_die_lets_the_role_be_given_away_unclean_and_ends_when_it_dies() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::VolumeLost);
    assert_eq!(bench.at_deadline(), "Stuck: Resign(not clean, volume_lost)");
    assert_eq!(bench.on(Event::Resigned), "");
    assert_eq!(bench.machine.role(), Role::Fencing);
    assert_eq!(bench.after(seconds(3600), Event::TreeDead), "CloseLock(volume_lost)");
    assert_eq!(bench.on(Event::LockClosed { clean: true }), "[fencing > standby: volume_lost] Exit(LostMastership)");
}

#[test]
fn a_tree_that_cannot_be_stopped_is_killed_and_then_given_away() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::Unhealthy);
    for _ in 0..20 {
        bench.now = bench.now + seconds(1);
        bench.renew();
    }
    assert_eq!(bench.machine.role(), Role::Fencing, "it does not wait for its guardian for ever");
    assert_eq!(bench.at_deadline(), "Stuck: Resign(not clean, coordinator_unhealthy)");
}

#[test]
fn a_tree_that_does_not_die_before_a_local_restart_is_given_away() {
    let mut bench = Bench::leading(full());
    bench.on(Event::Exited);
    for _ in 0..10 {
        bench.now = bench.now + seconds(1);
        bench.renew();
    }
    assert_eq!(bench.machine.role(), Role::Fencing);
    assert_eq!(bench.at_deadline(), "Stuck: Resign(not clean, coordinator_exited)");
}

#[test]
fn the_answer_of_an_earlier_before_start_hook_counts_for_nothing() {
    let mut bench = Bench::claimed(full());
    assert_eq!(bench.on(Event::Prepared { epoch: 6, succeeded: true }), "");
    assert_eq!(bench.on(Event::Prepared { epoch: 7, succeeded: true }), "Start(7)");
}

#[test]
fn a_before_start_hook_that_never_ends_costs_the_role() {
    let mut bench = Bench::claimed(full());
    for _ in 0..60 {
        bench.now = bench.now + seconds(1);
        bench.renew();
    }
    assert_eq!((bench.machine.role(), bench.machine.end()), (Role::Demoting, Some(End::StartFailed)));
}

#[test]
fn a_command_is_killed_before_the_lock_is_closed() {
    let stop = Event::StopRequested;
    let lost = Event::Lost(Loss::SessionExpired);
    for event in [stop, lost, Event::VolumeLost] {
        for (stage, mut bench) in
            stages().into_iter().filter(|(stage, _)| ["fencing the predecessor", "preparing"].contains(stage))
        {
            let said = bench.on(event.clone());
            assert!(said.ends_with("KillTree") && !said.contains("CloseLock"), "{stage}, {event:?}: {said}");
            assert!(
                bench.on(Event::TreeDead).starts_with("CloseLock"),
                "{stage}: nothing is tidied up after a command alone"
            );
        }
    }
}

#[test]
fn a_command_that_cannot_be_killed_holds_the_role_no_longer_than_its_limit() {
    let mut fencing = Bench::standing(full());
    fencing.on(Event::Elected(succession(Predecessor::Unclean)));
    fencing.on(Event::LockAcquired { recorded: noted(6), write_back: false });
    let mut tidying = Bench::leading(full());
    tidying.on(Event::StopRequested);
    tidying.on(Event::TreeDead);
    let preparing = Bench::claimed(full());
    for mut bench in [fencing, preparing, tidying] {
        for _ in 0..120 {
            bench.now = bench.now + seconds(1);
            // Heartbeats go on all the while.
            bench.renew();
            if bench.machine.end().is_some() && bench.machine.anything_may_live() {
                break;
            }
        }
        for _ in 0..30 {
            bench.now = bench.now + seconds(1);
            bench.on(Event::TimePassed);
        }
        assert!(bench.machine.anything_may_live(), "it has not died");
        assert!(bench.on(Event::Resigned).is_empty(), "the role was given away, and something of it lives");
        assert!(bench.on(Event::TreeDead).starts_with("CloseLock"));
    }
}

#[test]
fn an_end_is_clean_only_if_what_was_written_has_reached_the_volume() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::StopRequested);
    bench.on(Event::TreeDead);
    assert_eq!(bench.on(Event::LockClosed { clean: false }), "Resign(not clean, stopped)");
    let mut bench = Bench::leading(plain());
    bench.on(Event::Fenced { clean: false });
    assert_eq!(bench.machine.end(), Some(End::LeaseExpired));
    let mut bench = Bench::leading(Rules { exit_after_loss: false, ..plain() });
    let said = bench.on(Event::Fenced { clean: false });
    assert!(said.contains("Resign(not clean, lease_expired)"), "{said}");
}

#[test]
fn a_guardian_that_dies_on_a_network_file_system_leaves_an_end_that_is_not_clean() {
    for (write_back, wanted) in
        [(true, "Resign(not clean, supervisor_lost)"), (false, "Resign(clean, supervisor_lost)")]
    {
        let mut bench = Bench::standing(plain());
        bench.on(Event::Elected(succession(Predecessor::Clean)));
        bench.on(Event::LockAcquired { recorded: noted(6), write_back });
        bench.on(Event::RecordWritten { epoch: 7 });
        let sent = bench.now;
        bench.on(Event::Claimed { epoch: 7, sent });
        bench.on(Event::Started);
        assert!(bench.on(Event::GuardianLost).ends_with("KillOrphans"));
        assert_eq!(bench.on(Event::TreeDead), wanted);
    }
}

#[test]
fn a_volume_that_does_not_answer_costs_the_candidacy() {
    let mut bench = Bench::standing(plain());
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    assert_eq!(bench.at_deadline(), "HoldLock: SetDeadline");
    assert_eq!(bench.at_deadline(), "Volume: [promoting > demoting: start_failed] CloseLock(start_failed)");
}

#[test]
fn a_guardian_that_fenced_itself_while_stopping_counts_as_a_loss() {
    let mut bench = Bench::leading(plain());
    bench.on(Event::Unhealthy);
    bench.on(Event::Fenced { clean: true });
    assert!(bench.on(Event::Resigned).ends_with("Exit(LostMastership)"));
}

#[test]
fn what_lies_in_the_mailbox_does_not_answer_an_order_given_on_waking() {
    let mut bench = Bench::leading(plain());
    assert_eq!(bench.after(LEASE, Event::TreeDead), "[active > fencing: lease_expired] KillTree");
    assert_eq!(bench.on(Event::TreeDead), "CloseLock(lease_expired)");
}
