//! One file per charge; each looks at the case and convicts of one offence.

mod contradicted_history;
mod contradicted_recording;
mod corrupt;
mod doubled_write;
mod epoch_not_growing;
mod epoch_of_nobody;
mod leftover;
mod lost_write;
mod not_recovered;
mod phantom_write;
mod reordered_write;
mod stale_write;
mod two_alive;
mod uncaused_failover;
mod unexplained_gap;
mod vacuous;

pub use two_alive::{overlaps, together};

use super::case::Case;
use super::gaps::Gap;
use super::offence::{Charge, Offence};

/// All charges, worst first, each kind in time.
pub(super) fn all(case: &Case<'_>, gaps: &[Gap], remarks: &mut Vec<String>) -> Vec<Charge> {
    let mut charges = Vec::new();
    charges.extend(two_alive::charges(case));
    charges.extend(stale_write::charges(case));
    charges.extend(lost_write::charges(case));
    charges.extend(doubled_write::charges(case));
    charges.extend(phantom_write::charges(case));
    charges.extend(reordered_write::charges(case));
    charges.extend(corrupt::charges(case));
    charges.extend(epoch_not_growing::charges(case));
    charges.extend(epoch_of_nobody::charges(case, remarks));
    charges.extend(contradicted_history::charges(case, remarks));
    charges.extend(contradicted_recording::charges(case));
    charges.extend(not_recovered::charges(case));
    charges.extend(unexplained_gap::charges(case, gaps));
    charges.extend(uncaused_failover::charges(case));
    charges.extend(leftover::charges(case));
    charges.extend(vacuous::charges(case));
    charges.sort_by(|a, b| a.offence.cmp(&b.offence).then(a.at_s.unwrap_or(0.0).total_cmp(&b.at_s.unwrap_or(0.0))));
    charges
}

/// A charge without a moment.
fn charge(offence: Offence, evidence: String, mut lines: Vec<usize>) -> Charge {
    lines.sort_unstable();
    lines.dedup();
    Charge { offence, at_s: None, evidence, lines }
}

/// A charge with a moment, in ns.
fn charge_at(case: &Case<'_>, at: u64, offence: Offence, evidence: String, lines: Vec<usize>) -> Charge {
    Charge { at_s: Some(case.seconds(at).0), ..charge(offence, evidence, lines) }
}

/// What the run's clients wrote, as far as they told: everything but reads.
fn is_write(what: &str) -> bool {
    what != "read"
}
