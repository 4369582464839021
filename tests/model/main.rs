//! The core, run by a model checker through every order of events, with faults.

mod checked;
mod flaw;
mod mind;
mod node;
mod relative;
mod steering;
mod steps;
mod steps_of_a_promotion;
mod switchover;
mod told;
mod upgrade;
mod world;
mod zookeeper;

use std::collections::BTreeSet;

use primacy::clock;
use stateright::{Checker, HasDiscoveries, Model};

use checked::*;
use flaw::Flaw;
use world::{Fault, Setup, rules};

fn setup(nodes: usize, budget: u8, faults: &[Fault]) -> Setup {
    Setup {
        nodes,
        budget,
        faults: faults.to_vec(),
        void_lock: false,
        tree_keeps_lock: true,
        guardian_refuses: true,
        guardian_kills_commands: true,
        guardian_closes_at_once: false,
        by_volume: true,
        guardian_notes_early: false,
        guardian_notes_unwritten: false,
        guardian_keeps_grants: false,
        write_back: false,
        watchdog: false,
        grace: world::GRACE,
        ranked: false,
        first: None,
        settled: false,
        start_takes_time: false,
        guardian_looks_again: true,
        remains_are_cleared: true,
        rules: rules(),
        flaw: Flaw::None,
    }
}

fn holds(name: &str, setup: Setup) {
    let (began, budget, switches) = (clock::now(), setup.budget, setup.faults.contains(&Fault::Switchover));
    // A lock that everybody gets proves nothing; and who is asked to go says so to ZooKeeper as soon as to the lock file.
    let silences = [Fault::KillSupervisor, Fault::FreezeSupervisor, Fault::FreezeHalfway, Fault::Partition];
    let silenced = setup.faults.iter().any(|fault| silences.contains(fault));
    let by_volume = setup.by_volume && silenced && !setup.void_lock;
    let checker = Checked::new(setup, true).checker().threads(2).spawn_bfs().join();
    let mut violations = checker.discoveries();
    let moved_on = violations.remove(MOVES_ON).is_some();
    let handed_over = violations.remove(HANDED_OVER).is_some();
    let hands_over = violations.remove(HANDS_OVER).is_some();
    println!(
        "model: {name}: {} unique states, depth {}, {} violations ({:.1?})",
        checker.unique_state_count(),
        checker.max_depth(),
        violations.len(),
        clock::now().since(began)
    );
    if let Some((property, path)) = violations.into_iter().min_by_key(|(_, path)| path.clone().into_actions().len()) {
        println!("last state: {:#?}", path.last_state());
        panic!("{name}: not so: {property}: {:#?}", path.into_actions());
    }
    assert!(hands_over == switches, "{name}: not one switchover in all these states");
    assert!(moved_on || budget == 0, "{name}: not one fail-over in all these states");
    assert!(handed_over || !by_volume, "{name}: not one hand-over by the volume in all these states");
}

fn breaks(property: &'static str, setup: Setup) {
    let flaw = setup.flaw;
    let checker = Checked::new(setup, property == SOMEBODY_LEADS)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
        .spawn_bfs()
        .join();
    println!("model: {property}, flaw {flaw:?}: caught after {} unique states", checker.unique_state_count());
    let Some(path) = checker.discovery(property) else { panic!("{flaw:?} was not caught: {property}") };
    println!("{:?}", path.into_actions());
}

#[test]
fn two_nodes_and_no_fault() {
    holds("two nodes, no fault", setup(2, 0, &[]));
}

/// Everything that can die, alone and in pairs.
const DEATHS: &[Fault] = &[
    Fault::KillSupervisor,
    Fault::KillGuardian,
    Fault::DieHalfway,
    Fault::CrashCoordinator,
    Fault::StickTree,
    Fault::StickCommand,
];
const DELAYS: &[Fault] =
    &[Fault::FreezeSupervisor, Fault::FreezeHalfway, Fault::FreezeGuardian, Fault::FreezeHost, Fault::Partition];
const OUTSIDE: &[Fault] = &[
    Fault::LoseLock,
    Fault::DeleteNode,
    Fault::CutSession,
    Fault::WipeZooKeeper,
    Fault::RestoreZooKeeper,
    Fault::CutPower,
    Fault::FailHook,
];
const PEOPLE: &[Fault] = &[Fault::Pause, Fault::Stop, Fault::StopTwice];

fn all() -> Vec<Fault> {
    [DEATHS, DELAYS, OUTSIDE, PEOPLE].concat()
}

#[test]
fn two_nodes_survive_any_single_fault() {
    holds("two nodes, any 1 fault", setup(2, 1, &all()));
}

#[test]
fn two_nodes_survive_two_deaths() {
    holds("two nodes, 2 deaths", setup(2, 2, DEATHS));
}

/// Nobody waits for the lock: where that makes for many times the states, the long models have it, too.
fn by_session(setup: Setup) -> Setup {
    Setup { by_volume: false, ..setup }
}

fn two_faults_of_supervisors() -> Setup {
    setup(2, 2, &[Fault::FreezeHalfway, Fault::KillSupervisor])
}

#[test]
fn two_nodes_survive_a_supervisor_that_freezes_and_dies_at_a_bad_moment() {
    holds("two nodes, 2 faults of supervisors", by_session(two_faults_of_supervisors()));
}

#[test]
#[cfg(feature = "long-models")]
fn two_nodes_that_wait_for_the_lock_survive_a_supervisor_that_freezes_and_dies_at_a_bad_moment() {
    holds("two nodes by the volume, 2 faults of supervisors", two_faults_of_supervisors());
}

#[test]
#[cfg(feature = "long-models")]
fn two_nodes_survive_two_faults() {
    holds("two nodes, 2 deaths or delays", setup(2, 2, &[DEATHS, DELAYS].concat()));
}

#[test]
#[cfg(feature = "long-models")]
fn two_nodes_survive_a_lost_lock_and_another_fault() {
    holds(
        "two nodes, 2 faults of volume, hosts, people",
        setup(2, 2, &[OUTSIDE, PEOPLE, &[Fault::FreezeHost, Fault::KillGuardian]].concat()),
    );
}

#[test]
fn three_nodes_survive_any_single_fault() {
    holds("three nodes, any 1 fault", by_session(setup(3, 1, &all())));
}

#[test]
#[cfg(feature = "long-models")]
fn three_nodes_that_wait_for_the_lock_survive_any_single_fault() {
    holds("three nodes by the volume, any 1 fault", setup(3, 1, &all()));
}

#[test]
fn hooks_restarts_and_ranks_survive_any_single_fault() {
    let mut setup = setup(2, 1, &all());
    setup.ranked = true;
    setup.rules.before_start = true;
    setup.rules.after_stop = true;
    setup.rules.restarts.max = 1;
    setup.rules.exit_after_loss = false;
    holds("two nodes with hooks, restarts and ranks, any 1 fault", setup);
}

fn with_commands(mut setup: Setup) -> Setup {
    setup.rules.before_start = true;
    setup.rules.after_stop = true;
    setup
}

#[test]
fn a_core_that_closes_the_lock_while_a_command_runs_is_caught() {
    breaks(DEATH_FIRST, with_commands(flawed(Flaw::ForgetsCommands, PEOPLE)));
}

#[test]
fn a_core_that_leaves_a_command_to_itself_after_a_loss_is_caught() {
    let mut setup = with_commands(flawed(Flaw::ForgetsCommands, DELAYS));
    setup.tree_keeps_lock = false;
    breaks(LOCK_WITH_TREE, setup);
}

#[test]
fn a_guardian_that_kills_the_coordinator_only_is_caught() {
    let mut setup = with_commands(flawed(Flaw::None, &[Fault::KillSupervisor]));
    setup.guardian_kills_commands = false;
    breaks(DEATH_FIRST, setup);
}

/// A network file system: what a killed coordinator wrote stays in its host's memory.
fn network(flaw: Flaw, faults: &[Fault]) -> Setup {
    let mut setup = flawed(flaw, faults);
    setup.write_back = true;
    setup
}

#[test]
fn what_was_written_arrives_before_the_next_start_or_its_host_is_fenced() {
    let mut faults = all();
    faults.push(Fault::FailWriteBack);
    // A ZooKeeper that forgets who led forgets to have its host fenced.
    faults.retain(|fault| *fault != Fault::WipeZooKeeper);
    holds("two nodes, network file system, any 1 fault", with_commands(network(Flaw::None, &faults)));
}

#[test]
fn a_core_that_calls_an_end_clean_before_all_is_written_is_caught() {
    breaks(WRITTEN_FIRST, with_budget(2, network(Flaw::BelievesUnwrittenEnd, &[Fault::FailWriteBack, Fault::Stop])));
}

#[test]
fn a_core_that_calls_a_killed_guardian_s_end_clean_on_a_network_file_system_is_caught() {
    breaks(WRITTEN_FIRST, network(Flaw::BelievesUnwrittenEnd, &[Fault::KillGuardian]));
}

fn with_budget(budget: u8, setup: Setup) -> Setup {
    Setup { budget, ..setup }
}

/// Without `KillGuardian`: a coordinator that has closed the descriptor and outlives its guardian is what the guarantees
/// do not cover.
#[test]
fn a_coordinator_that_closes_the_descriptor_is_still_guarded() {
    let mut setup = setup(2, 1, &[DELAYS, OUTSIDE, PEOPLE].concat());
    setup.tree_keeps_lock = false;
    setup.faults.retain(|fault| *fault != Fault::FreezeGuardian);
    setup.faults.extend([Fault::KillSupervisor, Fault::DieHalfway, Fault::CrashCoordinator, Fault::StickTree]);
    holds("two nodes, descriptor closed, 1 fault", setup);
}

/// The lock excludes nobody. Guardians live and run: whatever the supervisors and the network do, time protects.
#[test]
fn the_lease_alone_protects_while_guardians_keep_time() {
    holds("two nodes, lock void, 1 fault", void(1));
}

#[test]
#[cfg(feature = "long-models")]
fn the_lease_alone_protects_against_two_faults() {
    holds("two nodes, lock void, 2 faults", void(2));
}

fn void(budget: u8) -> Setup {
    use Fault::*;
    let faults = [FreezeSupervisor, FreezeHalfway, Partition, KillSupervisor, DieHalfway, CrashCoordinator, Stop];
    Setup { void_lock: true, ..setup(2, budget, &faults) }
}

#[test]
fn fencing_that_frees_the_lock_survives_any_single_fault() {
    let mut setup = setup(2, 1, &all());
    setup.rules.fencing_frees_lock = true;
    holds("two nodes, fencing frees the lock, 1 fault", setup);
}

#[test]
fn a_core_that_does_not_fence_although_fencing_frees_the_lock_is_caught() {
    let mut setup = flawed(Flaw::SkipsFencing, &[Fault::CutPower]);
    setup.rules.fencing_frees_lock = true;
    breaks(FENCED_FIRST, setup);
}

/// The lock excludes nobody, guardians die and freeze, trees do not die: what protects is that the host is reset before
/// anybody else can be elected.
#[test]
fn the_watchdog_alone_protects_when_nothing_else_works() {
    holds("two nodes, lock void, watchdog, 1 fault", watched(1));
}

#[test]
#[cfg(feature = "long-models")]
fn the_watchdog_alone_protects_against_two_faults() {
    holds("two nodes, lock void, watchdog, 2 faults", watched(2));
}

fn watched(budget: u8) -> Setup {
    let mut setup = void(budget);
    setup.faults.extend([Fault::FreezeGuardian, Fault::KillGuardian, Fault::StickTree]);
    setup.watchdog = true;
    setup.rules.watchdog_required = true;
    // As the supervisor's rules have it: not before lease and grace are over.
    setup.rules.stuck_after = world::units(world::LEASE + world::GRACE + 1);
    setup
}

#[test]
fn a_watchdog_that_fires_as_late_as_if_nothing_had_been_silent_is_caught() {
    let faults = vec![Fault::StickTree, Fault::Partition];
    breaks(LEASE_ALONE, Setup { grace: world::GRACE + 1, faults, ..watched(2) });
}

fn cut_off(flaw: Flaw, fault: Fault) -> Setup {
    Setup { void_lock: true, flaw, ..setup(2, 2, &[fault, Fault::Partition]) }
}

#[test]
fn the_lease_alone_protects_when_a_session_is_cut() {
    let mut setup = void(1);
    setup.faults = vec![Fault::CutSession];
    holds("two nodes, lock void, a shorter session", setup);
}

#[test]
#[cfg(feature = "long-models")]
fn the_lease_alone_protects_a_claim_that_had_waited() {
    holds("two nodes, lock void, a stop and a partition", cut_off(Flaw::None, Fault::Stop));
}

/// The supervisor does not freeze between the servers' answer and its word to the guardian: that takes it milliseconds, and the
/// guardian cannot know of it otherwise.
#[test]
#[cfg(feature = "long-models")]
fn the_lease_alone_protects_when_a_session_is_cut_and_then_the_node() {
    holds("two nodes, lock void, a shorter session and a partition", cut_off(Flaw::None, Fault::CutSession));
}

#[test]
fn a_claim_after_a_silence_that_counts_as_if_there_had_been_none_is_caught() {
    breaks(LEASE_ALONE, cut_off(Flaw::CountsOneHeartbeat, Fault::Stop));
}

#[test]
fn a_lease_that_is_not_shortened_by_a_shorter_grant_is_caught() {
    breaks(LEASE_ALONE, cut_off(Flaw::KeepsLongerLease, Fault::CutSession));
}

#[test]
fn without_the_watchdog_a_stuck_tree_under_a_void_lock_is_caught() {
    let mut setup = watched(1);
    setup.watchdog = false;
    setup.faults = vec![Fault::StickTree, Fault::Partition];
    setup.budget = 2;
    breaks(LEASE_ALONE, setup);
}

fn flawed(flaw: Flaw, faults: &[Fault]) -> Setup {
    Setup { flaw, ..setup(2, 1, faults) }
}

#[test]
fn a_core_that_closes_the_lock_before_the_tree_is_dead_is_caught() {
    let mut setup = flawed(Flaw::ClosesLockEarly, PEOPLE);
    setup.tree_keeps_lock = false;
    breaks(LOCK_WITH_TREE, setup);
}

#[test]
fn a_core_that_counts_the_lease_from_the_reply_is_caught() {
    breaks(LEASE_FIRST, flawed(Flaw::CountsLeaseFromReply, DELAYS));
}

#[test]
fn a_core_that_starts_without_taking_the_epoch_is_caught() {
    breaks(EPOCH_FIRST, flawed(Flaw::SkipsClaim, &[]));
}

#[test]
fn a_core_that_does_not_fence_the_former_active_is_caught() {
    breaks(FENCED_FIRST, flawed(Flaw::SkipsFencing, &[Fault::CutPower]));
}

#[test]
fn a_core_that_resigns_before_the_tree_is_dead_is_caught() {
    let mut setup = flawed(Flaw::ResignsEarly, PEOPLE);
    setup.void_lock = true;
    breaks(LEASE_ALONE, setup);
}

#[test]
fn a_core_that_tells_its_guardian_no_deadline_is_caught() {
    let mut setup = flawed(Flaw::HidesDeadline, &[Fault::FreezeSupervisor]);
    setup.void_lock = true;
    breaks(LEASE_ALONE, setup);
}

#[test]
fn a_core_that_believes_a_renewal_after_its_deadline_is_caught() {
    breaks(LOCK_FIRST, obedient(Flaw::BelievesLateRenewal, Fault::FreezeSupervisor));
}

#[test]
fn a_supervisor_that_froze_between_two_events_needs_no_guardian_that_refuses() {
    holds("two nodes, obedient guardian, 1 freeze", obedient(Flaw::None, Fault::FreezeSupervisor));
}

#[test]
fn a_guardian_that_starts_without_its_lock_is_caught() {
    breaks(LOCK_FIRST, obedient(Flaw::None, Fault::FreezeHalfway));
}

fn obedient(flaw: Flaw, fault: Fault) -> Setup {
    let mut setup = flawed(flaw, &[fault]);
    setup.guardian_refuses = false;
    setup.rules.before_start = true;
    setup
}

#[test]
fn a_core_that_forgets_what_a_dead_guardian_left_is_caught() {
    breaks(DEATH_FIRST, flawed(Flaw::ForgetsOrphans, &[Fault::KillGuardian]));
}

/// What makes ZooKeeper older than the volume, and what leaves an end that only the volume knows of.
const ROLLBACK: &[Fault] = &[Fault::RestoreZooKeeper, Fault::WipeZooKeeper, Fault::CutPower, Fault::KillGuardian];

#[test]
fn two_nodes_survive_a_zookeeper_that_is_older_than_the_volume() {
    holds("two nodes, ZooKeeper restored or emptied, 2 faults", setup(2, 2, ROLLBACK));
}

#[test]
fn a_core_that_believes_an_older_zookeeper_is_caught() {
    let mut setup = flawed(Flaw::BelievesAnOlderZooKeeper, ROLLBACK);
    setup.budget = 2;
    breaks(FENCED_FIRST, setup);
}

/// A host loses its power, and a person vouches for it: the word is true, and what comes after is another matter.
fn vouched(flaw: Flaw, budget: u8) -> Setup {
    let setup = with_budget(budget, flawed(flaw, &[Fault::CutPower, Fault::Vouch, Fault::Stop]));
    Setup { first: Some(Fault::CutPower), ..setup }
}

#[test]
fn a_person_s_word_in_place_of_fencing_is_survived() {
    holds("two nodes, a power cut and a person's word", vouched(Flaw::None, 2));
}

#[test]
fn a_core_that_stretches_a_person_s_word_is_caught() {
    breaks(FENCED_FIRST, vouched(Flaw::StretchesAWord, 3));
}

#[test]
fn a_core_that_takes_another_host_of_its_name_for_itself_is_caught() {
    breaks(FENCED_FIRST, flawed(Flaw::SameNameIsSameHost, &[Fault::CutPower]));
}

/// A pause crossed by every other single fault.
#[test]
fn a_pause_and_any_other_fault_are_survived() {
    let mut setup = setup(2, 2, &all());
    setup.first = Some(Fault::Pause);
    holds("two nodes, a pause and any 1 fault", setup);
}

#[test]
fn a_node_that_is_promoted_in_a_pause_is_caught() {
    breaks(PAUSE_HOLDS, with_budget(2, flawed(Flaw::IgnoresPauses, &[Fault::Pause, Fault::Stop])));
}

/// With a probe, which is a process of the guardian's as a hook is.
fn probed(mut setup: Setup) -> Setup {
    setup.rules.probed = true;
    setup
}

#[test]
fn probed_coordinators_survive_any_single_fault() {
    holds("two nodes, probed, any 1 fault", probed(setup(2, 1, &all())));
}

/// A probe that is ordered when all was said to be dead: only the guardian can know that it runs.
#[test]
fn a_guardian_that_closes_the_lock_while_a_probe_runs_is_caught() {
    let mut setup = probed(flawed(Flaw::None, &[Fault::CrashCoordinator]));
    setup.guardian_closes_at_once = true;
    breaks(DEATH_FIRST, setup);
}

#[test]
fn a_guardian_that_leaves_a_probe_to_itself_is_caught() {
    let mut setup = probed(flawed(Flaw::None, &[Fault::KillSupervisor]));
    setup.guardian_kills_commands = false;
    breaks(DEATH_FIRST, setup);
}

#[test]
fn a_node_that_closes_the_lock_while_what_a_coordinator_left_runs_is_caught() {
    breaks(DEATH_FIRST, probed(flawed(Flaw::ForgetsWhatTheCoordinatorLeft, &[Fault::CrashCoordinator])));
}

#[test]
fn a_node_that_leads_on_with_a_sick_coordinator_is_caught() {
    breaks(SOMEBODY_LEADS, probed(flawed(Flaw::IgnoresVerdicts, &[Fault::Sicken])));
}

fn freeing(mut setup: Setup) -> Setup {
    setup.rules.fencing_frees_lock = true;
    setup
}

#[test]
fn a_node_that_takes_the_fencing_of_the_lock_s_holder_for_the_lock_is_caught() {
    let mut setup = freeing(flawed(Flaw::TakesFencingForTheLock, &[Fault::FreezeHost]));
    setup.guardian_refuses = false;
    breaks(LOCK_FIRST, setup);
}

#[test]
fn a_node_that_believes_a_fencing_command_that_failed_is_caught() {
    breaks(FENCED_FIRST, with_budget(2, flawed(Flaw::BelievesFailedFencing, &[Fault::CutPower, Fault::FailHook])));
}

#[test]
fn a_guardian_that_opens_the_volume_beside_what_an_earlier_one_left_is_caught() {
    let mut setup = with_budget(2, flawed(Flaw::None, &[Fault::KillGuardian, Fault::KillSupervisor]));
    setup.tree_keeps_lock = false;
    setup.remains_are_cleared = false;
    breaks(NO_REMAINS, setup);
}

/// What somebody wants of one node, crossed by every other single fault.
fn wanted(what: Fault) -> Setup {
    Setup { first: Some(what), ..setup(2, 2, &[all(), vec![what]].concat()) }
}

#[test]
fn an_ordered_step_down_and_any_other_fault_are_survived() {
    holds("two nodes, a step-down and any 1 fault", by_session(wanted(Fault::StepDown)));
}

#[test]
#[cfg(feature = "long-models")]
fn an_ordered_step_down_by_the_volume_and_any_other_fault_are_survived() {
    holds("two nodes by the volume, a step-down and any 1 fault", wanted(Fault::StepDown));
}

#[test]
#[cfg(feature = "long-models")]
fn an_isolation_and_any_other_fault_are_survived() {
    holds("two nodes, an isolation and any 1 fault", wanted(Fault::Isolate));
}

#[test]
fn a_node_that_stands_although_it_is_isolated_is_caught() {
    breaks(ISOLATION_HOLDS, flawed(Flaw::IgnoresIsolation, &[Fault::Isolate]));
}

#[test]
fn a_node_that_steps_down_before_the_tree_is_dead_is_caught() {
    let mut setup = flawed(Flaw::ResignsEarly, &[Fault::StepDown]);
    setup.void_lock = true;
    breaks(LEASE_ALONE, setup);
}

/// A hand-over by the volume, of which every other way the role moves on is a part, too: what is cut off, killed or frozen is told
/// of by nothing but the lock file.
#[test]
fn a_node_that_takes_the_lock_alone_for_a_proof_is_caught() {
    breaks(FENCED_FIRST, flawed(Flaw::BelievesTheLockAlone, &[Fault::CutPower]));
}

#[test]
fn a_node_that_fences_whom_it_waits_for_is_caught() {
    breaks(FENCED_BY_THE_ELECTED, flawed(Flaw::FencesWhileWaiting, &[]));
}

#[test]
fn a_guardian_that_notes_the_end_before_the_tree_is_dead_is_caught() {
    let mut setup = with_budget(2, flawed(Flaw::None, &[Fault::KillSupervisor, Fault::KillGuardian]));
    setup.tree_keeps_lock = false;
    setup.guardian_notes_early = true;
    breaks(ONE_TREE, setup);
}

#[test]
fn a_guardian_that_notes_the_end_before_all_is_written_back_is_caught() {
    let mut setup = with_budget(2, network(Flaw::None, &[Fault::FailWriteBack, Fault::Stop, Fault::KillSupervisor]));
    setup.guardian_notes_unwritten = true;
    breaks(WRITTEN_FIRST, setup);
}

#[test]
fn who_keeps_a_lock_that_nobody_takes_up_is_caught() {
    let mut setup = flawed(Flaw::ForgetsToCallOff, &[Fault::CutPower]);
    setup.guardian_keeps_grants = true;
    setup.ranked = true;
    breaks(SOMEBODY_LEADS, setup);
}

#[test]
fn a_node_that_believes_the_proof_of_an_older_epoch_is_caught() {
    breaks(FENCED_FIRST, with_budget(2, flawed(Flaw::BelievesAnOlderProof, ROLLBACK)));
}
