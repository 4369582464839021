//! A switchover, crossed by whatever else may happen, and nodes that do it wrongly.

use super::checked::{ANSWERED_FIRST, INTENT_WINS};
use super::flaw::Flaw;
use super::world::{Fault, Setup};
use super::{breaks, holds, setup};

/// First somebody wants the role to go to another node, then the rest of the budget is spent.
fn switched(nodes: usize, budget: u8, faults: &[Fault]) -> Setup {
    let first = Fault::Switchover;
    Setup { first: Some(first), settled: true, ..setup(nodes, budget, &[faults, &[first]].concat()) }
}

fn flawed(flaw: Flaw, setup: Setup) -> Setup {
    Setup { flaw, ..setup }
}

#[test]
fn a_switchover_and_no_fault() {
    holds("two nodes, a switchover", switched(2, 1, &[]));
}

fn crossed_by(faults: &[Fault]) {
    // One after the other, for the sake of memory.
    for fault in faults {
        holds(&format!("two nodes, a switchover and {fault:?}"), switched(2, 2, &[*fault]));
    }
}

#[test]
fn a_switchover_and_a_death_are_survived() {
    crossed_by(&[Fault::KillSupervisor, Fault::KillGuardian]);
}

#[test]
#[cfg(feature = "long-models")]
fn a_switchover_and_any_other_fault_are_survived() {
    crossed_by(&super::all());
}

#[test]
fn a_switchover_goes_to_its_target_whatever_the_priorities() {
    for nodes in [2, 3] {
        holds("ranked nodes, a switchover", Setup { ranked: true, ..switched(nodes, 1, &[]) });
    }
}

#[test]
fn a_node_that_stops_on_an_old_answer_is_caught() {
    breaks(ANSWERED_FIRST, flawed(Flaw::BelievesOldAnswer, switched(2, 2, &[Fault::KillSupervisor])));
}

#[test]
fn a_priority_that_beats_the_intent_is_caught() {
    breaks(INTENT_WINS, Setup { ranked: true, ..flawed(Flaw::ForgetsWhatIsWanted, switched(3, 1, &[])) });
}
