//! The machine of an always-on coordinator: golden scenarios, and what holds whatever it is told.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::properties::{Move, answers, event, moves};
use super::*;
use crate::role::{AlwaysOn, DeadlineReason, Exit, Phase, Role};

struct World {
    machine: AlwaysOn,
    now: Moment,
}

impl World {
    fn new(rules: Rules) -> Self {
        Self { machine: AlwaysOn::new(rules), now: Moment::from_millis(1_000_000) }
    }

    fn serving(rules: Rules) -> Self {
        let mut world = Self::new(rules);
        world.on(Event::GuardianReady);
        world.on(Event::Prepared { epoch: 1, succeeded: true });
        world.on(Event::Started);
        world.on(Event::Ready);
        assert_eq!(world.machine.role(), Role::Active);
        world
    }

    fn on(&mut self, event: Event) -> String {
        words(&self.machine.step(self.now, event))
    }

    fn at_deadline(&mut self) -> String {
        let (at, reason) = self.machine.deadline().expect("the scenario says that a deadline is ahead");
        self.now = self.now.max(at);
        format!("{reason:?}: {}", self.on(Event::TimePassed))
    }
}

#[test]
fn the_way_up_and_the_way_down_have_no_election_and_no_lock_in_them() {
    let mut world = World::new(full());
    assert_eq!(world.on(Event::GuardianReady), "[standby > promoting: always_on] RunBeforeStart(1)");
    assert_eq!(world.on(Event::Prepared { epoch: 1, succeeded: true }), "StartAlwaysOn");
    assert_eq!(world.on(Event::Started), "");
    assert_eq!(world.on(Event::Ready), "[promoting > active: ready]");
    assert_eq!(world.on(Event::StopRequested), "[active > demoting: stopped] StopTree");
    assert_eq!(world.on(Event::TreeDead), "RunAfterStop");
    assert_eq!(world.on(Event::TreeDead), "", "an answer to an order that was answered already");
    assert_eq!(world.on(Event::Tidied), "[demoting > standby: stopped] Exit(Stopped)");
}

#[test]
fn a_crash_is_answered_by_a_restart_until_the_budget_is_used_up_and_then_by_one_after_a_back_off() {
    let mut world = World::serving(Rules { after_stop: false, ..full() });
    assert_eq!(world.on(Event::Exited), "[active > promoting: restarting]");
    assert_eq!(world.on(Event::TreeDead), "StartAlwaysOn");
    world.on(Event::Started);
    world.on(Event::Ready);
    assert_eq!(world.on(Event::Exited), "[active > demoting: coordinator_exited]");
    assert_eq!(world.on(Event::TreeDead), "[demoting > standby: coordinator_exited] ReplaceGuardian");
    assert_eq!(world.machine.phase(world.now), Phase::BackingOff);
    assert_eq!(world.on(Event::GuardianReady), "");
    assert_eq!(world.at_deadline(), "Backoff: [standby > promoting: always_on] RunBeforeStart(2)");
}

#[test]
fn the_back_off_doubles_up_to_its_maximum_and_begins_anew_after_a_long_time_of_service() {
    let rules = plain();
    let mut world = World::new(rules.clone());
    let mut waits = Vec::new();
    for served in [0, 0, 0, 0, 0, rules.backoff.reset.as_secs()] {
        world.on(Event::GuardianReady);
        world.on(Event::TimePassed);
        world.on(Event::Started);
        world.now = world.now + seconds(served);
        world.on(Event::Exited);
        world.on(Event::TreeDead);
        let (at, reason) = world.machine.deadline().unwrap();
        assert_eq!(reason, DeadlineReason::Backoff);
        waits.push(at.since(world.now).as_secs());
        world.now = at;
    }
    assert_eq!(waits, [1, 2, 4, 8, 8, 1]);
}

#[test]
fn one_that_is_unhealthy_is_stopped_and_started_again_and_killed_if_it_does_not_stop() {
    let mut world = World::serving(plain());
    assert_eq!(world.on(Event::Unhealthy), "[active > demoting: coordinator_unhealthy] StopTree");
    assert_eq!(world.at_deadline(), "Stop: [demoting > fencing: coordinator_unhealthy] KillTree");
    assert_eq!(world.machine.deadline(), None, "what does not die is waited for: nobody starts in its place");
    assert_eq!(world.on(Event::TreeDead), "[fencing > standby: coordinator_unhealthy] ReplaceGuardian");
}

#[test]
fn a_guardian_that_dies_leaves_orphans_that_are_killed_before_anything_is_started_again() {
    let mut world = World::serving(full());
    assert_eq!(world.on(Event::GuardianLost), "[active > demoting: supervisor_lost] KillOrphans");
    assert_eq!(world.on(Event::GuardianReady), "");
    assert_eq!(world.on(Event::TreeDead), "[demoting > standby: supervisor_lost] ReplaceGuardian");
}

#[test]
fn one_that_is_isolated_is_stopped_and_stays_so_until_it_is_activated() {
    let mut world = World::serving(plain());
    world.machine.set_rules(Rules { may_stand: false, ..plain() });
    assert_eq!(world.on(Event::StepDownRequested(End::Isolated)), "[active > demoting: isolated] StopTree");
    world.on(Event::TreeDead);
    assert_eq!(world.on(Event::GuardianReady), "");
    world.machine.set_rules(plain());
    assert_eq!(world.on(Event::TimePassed), "[standby > promoting: always_on] StartAlwaysOn");
}

#[test]
fn another_of_its_name_ends_it_in_order() {
    let mut world = World::serving(plain());
    assert_eq!(world.on(Event::DuplicateName), "[active > demoting: stopped] StopTree");
    assert_eq!(world.on(Event::TreeDead), "[demoting > standby: stopped] Exit(DuplicateName)");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_is_told_it_takes_nothing_that_others_could_have_and_starts_nothing_beside_what_may_live(
        moves in moves(),
        everything in any::<bool>(),
    ) {
        let mut world = World::new(if everything { full() } else { plain() });
        let mut open: VecDeque<Event> = [Event::GuardianReady].into();
        let (mut lives, mut over) = (false, false);
        for (time, step) in moves {
            world.now = world.now + Duration::from_millis(time);
            let heard = match step {
                Move::Answer => open.pop_front().unwrap_or(Event::TimePassed),
                Move::Any { kind, epoch, ago, yes } => event(world.now, kind, epoch, ago, yes),
                Move::Deadline => {
                    world.now = world.machine.deadline().map_or(world.now, |(at, _)| world.now.max(at));
                    Event::TimePassed
                }
            };
            // Nobody says that a tree is dead whose death was not ordered, nor reported as an end.
            let dies = matches!(heard, Event::TreeDead);
            lives &= !dies;
            for action in world.machine.step(world.now, heard) {
                prop_assert!(!over, "{action:?} after the end");
                open.extend(answers(world.now, &action));
                match action {
                    Action::StartAlwaysOn => {
                        prop_assert!(!lives, "a start beside what may live");
                        lives = true;
                    }
                    Action::Exit(exit) => {
                        prop_assert!(!world.machine.tree_may_live());
                        prop_assert!(exit != Exit::LostMastership, "there is nothing to lose");
                        over = true;
                    }
                    Action::StopTree | Action::KillTree | Action::KillOrphans | Action::RunBeforeStart { .. }
                    | Action::RunAfterStop | Action::ReplaceGuardian | Action::Announce(_) => {}
                    other => prop_assert!(false, "{other:?} is for those who are elected"),
                }
            }
            prop_assert!(!lives || world.machine.anything_may_live());
        }
    }
}
