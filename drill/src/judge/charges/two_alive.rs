//! Two coordinators at the same moment. Nothing excuses it; a process that is frozen lives.

use testbed::judge::Overlap;
use testbed::lives::spans;

use super::{Case, Charge, Offence, charge_at};

/// Pairs of lives that intersect. Indices into `case.lives`.
#[must_use]
pub fn overlaps(case: &Case<'_>) -> Vec<Overlap> {
    testbed::judge::overlaps(&spans(&case.lives))
}

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let describe = |found: Overlap| {
        let (earlier, later) = (&case.lives[found.earlier], &case.lives[found.later]);
        let evidence = format!(
            "{} lived from {} to {}, {} from {} to {}: both for {:.3} ms",
            earlier.name(),
            case.seconds(earlier.first),
            case.seconds(earlier.last),
            later.name(),
            case.seconds(later.first),
            case.seconds(later.last),
            found.both.length().as_secs_f64() * 1e3,
        );
        let lines = earlier.notes.lines.iter().chain(&later.notes.lines).copied().collect();
        charge_at(case, found.both.first, Offence::TwoAlive, evidence, lines)
    };
    overlaps(case).into_iter().map(describe).collect()
}
