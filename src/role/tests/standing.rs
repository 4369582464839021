//! When a node stands, when it lets others pass, and when it waits, word by word.

use super::*;

#[test]
fn a_better_candidate_is_let_pass_at_most_once_per_election() {
    let better = Succession { better_candidate: true, ..succession(Predecessor::Clean) };
    let mut bench = Bench::standing(plain());
    assert_eq!(bench.on(Event::Elected(better)), "Yield");
    assert!(bench.on(Event::Elected(better)).ends_with("AcquireLock"));
    let mut bench = Bench::standing(plain());
    assert_eq!(bench.on(Event::Elected(better)), "Yield");
    assert_eq!(bench.on(Event::Elected(Succession { epoch: 7, ..better })), "Yield", "another election");
}

fn fail_once(bench: &mut Bench) -> u64 {
    bench.on(Event::GuardianReady);
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "Stand");
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.on(Event::VolumeUnusable);
    bench.on(Event::LockClosed { clean: true });
    bench.on(Event::Resigned);
    let (until, _) = bench.machine.deadline().expect("it backs off");
    let delay = until.since(bench.now).as_secs();
    bench.now = until;
    bench.on(Event::TimePassed);
    delay
}

#[test]
fn the_back_off_doubles_up_to_its_maximum() {
    let mut bench = Bench::new(plain());
    let delays: Vec<u64> = (0..6).map(|_| fail_once(&mut bench)).collect();
    assert_eq!(delays, [1, 2, 4, 8, 8, 8]);
}

#[test]
fn the_back_off_begins_anew_after_a_healthy_leadership() {
    let mut bench = Bench::new(plain());
    for _ in 0..4 {
        fail_once(&mut bench);
    }
    let mut leading = Bench::leading(plain());
    leading.machine.failures = bench.machine.failures;
    for _ in 0..300 {
        leading.now = leading.now + seconds(1);
        leading.renew();
    }
    leading.on(Event::Exited);
    leading.on(Event::TreeDead);
    leading.on(Event::LockClosed { clean: true });
    leading.on(Event::Resigned);
    let (until, _) = leading.machine.deadline().expect("it backs off");
    assert_eq!(until.since(leading.now), seconds(1));
}

#[test]
fn a_back_off_that_has_passed_wakes_nobody_while_the_volume_is_not_usable() {
    let mut bench = Bench::new(plain());
    fail_once(&mut bench);
    assert_eq!(bench.machine.deadline(), None, "a deadline in the past would make the shell spin");
}

#[test]
fn it_stands_again_only_when_the_former_candidacy_is_resigned() {
    let mut bench = Bench::leading(Rules { exit_after_loss: false, ..plain() });
    bench.on(Event::VolumeLost);
    bench.at_deadline();
    bench.on(Event::TreeDead);
    assert_eq!(bench.on(Event::LockClosed { clean: true }), "", "the election has not answered yet");
    assert_eq!(bench.on(Event::Resigned), "[fencing > standby: volume_lost] ReplaceGuardian");
}

#[test]
fn a_node_that_may_not_stand_any_longer_leaves_the_queue() {
    let mut bench = Bench::standing(plain());
    bench.machine.set_rules(Rules { may_stand: false, ..plain() });
    assert_eq!(bench.on(Event::Elected(succession(Predecessor::Clean))), "Resign(not clean, -)");
    assert_eq!(bench.on(Event::Resigned), "");
    let mut bench = Bench::standing(plain());
    bench.machine.set_rules(Rules { may_stand: false, ..plain() });
    assert_eq!(bench.on(Event::TimePassed), "Resign(not clean, -)");
}

#[test]
fn a_volume_that_a_standby_cannot_use_takes_it_out_of_the_queue() {
    let mut bench = Bench::standing(plain());
    assert_eq!(bench.on(Event::VolumeSeen { usable: false }), "Resign(not clean, -)");
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "");
    assert_eq!(bench.on(Event::Resigned), "Stand");
}

#[test]
fn without_a_usable_watchdog_that_is_required_nobody_stands() {
    let mut bench = Bench::new(Rules { watchdog_required: true, ..plain() });
    assert_eq!(bench.on(Event::GuardianReady), "");
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "");
    assert_eq!(bench.on(Event::WatchdogSeen { usable: false }), "");
    assert!(!bench.machine.eligible());
    assert_eq!(bench.on(Event::WatchdogSeen { usable: true }), "Stand");
    assert!(bench.machine.eligible());
    assert_eq!(bench.on(Event::WatchdogSeen { usable: false }), "Resign(not clean, -)");
    assert_eq!(bench.on(Event::Resigned), "");
    assert_eq!(bench.on(Event::WatchdogSeen { usable: true }), "Stand");
}

#[test]
fn a_replaced_guardian_has_to_see_the_watchdog_for_itself() {
    let mut bench = Bench::new(Rules { watchdog_required: true, ..plain() });
    bench.on(Event::GuardianReady);
    bench.on(Event::VolumeSeen { usable: true });
    assert_eq!(bench.on(Event::WatchdogSeen { usable: true }), "Stand");
    assert_eq!(bench.on(Event::GuardianLost), "ReplaceGuardian");
    assert!(!bench.machine.eligible());
    bench.on(Event::GuardianReady);
    bench.on(Event::VolumeSeen { usable: true });
    assert!(!bench.machine.eligible());
    bench.on(Event::WatchdogSeen { usable: true });
    assert!(bench.machine.eligible());
}

#[test]
fn what_a_former_guardian_saw_of_the_volume_makes_nobody_stand() {
    let mut bench = Bench::standing(Rules { exit_after_loss: false, ..plain() });
    bench.on(Event::Elected(succession(Predecessor::Clean)));
    bench.on(Event::VolumeUnusable);
    bench.on(Event::TreeDead);
    bench.on(Event::LockClosed { clean: true });
    assert!(bench.on(Event::Resigned).ends_with("ReplaceGuardian"));
    // It goes on looking until the next one is started.
    assert_eq!(bench.after(seconds(60), Event::VolumeSeen { usable: true }), "");
    assert_eq!(bench.on(Event::GuardianReady), "");
    assert!(!bench.machine.eligible());
    assert_eq!(bench.on(Event::VolumeSeen { usable: true }), "Stand");
}
