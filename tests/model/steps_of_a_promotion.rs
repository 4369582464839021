//! What a promotion waits for: a volume that was tried, a command that ends or is given up, a start that takes time.

use super::checked::{LEASE_FIRST, NO_HOLDING_ON, VOLUME_FIRST};
use super::flaw::Flaw;
use super::world::{Fault, Setup, units};
use super::{breaks, flawed, holds, setup, with_budget, with_commands};

#[test]
fn a_volume_that_takes_no_writes_is_survived() {
    holds(
        "two nodes, a standby's volume that takes no writes, and a stop",
        setup(2, 2, &[Fault::SpoilVolume, Fault::Stop]),
    );
}

#[test]
fn a_node_that_stands_on_a_volume_that_takes_no_writes_is_caught() {
    breaks(VOLUME_FIRST, flawed(Flaw::IgnoresItsVolume, &[Fault::SpoilVolume]));
}

#[test]
fn a_node_that_stands_before_its_volume_was_looked_at_is_caught() {
    breaks(VOLUME_FIRST, flawed(Flaw::TrustsAnUnseenVolume, &[]));
}

/// Heartbeats go on meanwhile, so nothing but the step's own deadline ends it.
#[test]
fn a_node_that_waits_without_end_for_a_command_that_cannot_be_killed_is_caught() {
    let mut setup = with_commands(flawed(Flaw::None, &[Fault::StickCommand]));
    setup.rules.before_start_timeout = units(1_000);
    breaks(NO_HOLDING_ON, setup);
}

#[test]
fn a_node_that_waits_without_end_for_its_fencing_command_is_caught() {
    let mut setup = with_budget(2, flawed(Flaw::None, &[Fault::CutPower, Fault::StickCommand]));
    setup.rules.fencing_timeout = units(1_000);
    breaks(NO_HOLDING_ON, setup);
}

/// A start that takes a while. (Only with the broken guardian: the right one's states have no end that anybody has waited for.)
fn slow_start() -> Setup {
    let faults = [Fault::FreezeSupervisor];
    Setup { start_takes_time: true, guardian_looks_again: false, ..setup(2, 1, &faults) }
}

#[test]
fn a_guardian_that_does_not_look_at_the_deadline_again_before_it_starts_is_caught() {
    breaks(LEASE_FIRST, slow_start());
}
