//! The core, run by a model checker through every order of events, with faults.

mod checked;
mod flaw;
mod node;
mod relative;
mod steps;
mod world;
mod zookeeper;

use std::collections::BTreeSet;
use std::time::Instant;

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
        ranked: false,
        rules: rules(),
        flaw: Flaw::None,
    }
}

fn holds(name: &str, setup: Setup) {
    let began = Instant::now();
    let checker = Checked::new(setup, true).checker().threads(2).spawn_bfs().join();
    let violations = checker.discoveries();
    println!(
        "model: {name}: {} unique states, depth {}, {} violations ({:.1?})",
        checker.unique_state_count(),
        checker.max_depth(),
        violations.len(),
        began.elapsed()
    );
    if let Some((property, path)) = violations.into_iter().min_by_key(|(_, path)| path.clone().into_actions().len()) {
        println!("last state: {:#?}", path.last_state());
        panic!("{name}: not so: {property}: {:#?}", path.into_actions());
    }
}

fn breaks(property: &'static str, setup: Setup) {
    let flaw = setup.flaw;
    let checker = Checked::new(setup, false)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
        .spawn_bfs()
        .join();
    println!("model: {flaw:?}: caught after {} unique states", checker.unique_state_count());
    let Some(path) = checker.discovery(property) else { panic!("{flaw:?} was not caught: {property}") };
    println!("{:?}", path.into_actions());
}

#[test]
fn two_nodes_and_no_fault() {
    holds("two nodes, no fault", setup(2, 0, &[]));
}

#[test]
fn two_nodes_and_processes_that_die() {
    use Fault::*;
    holds("two nodes, 1 death", setup(2, 1, &[KillSupervisor, KillGuardian, DieHalfway, CrashCoordinator, StickTree]));
}
