//! Two coordinators at the same moment. Nothing excuses it; a process that is frozen lives.

use super::{Case, Charge, Offence, charge_at};

/// Pairs of lives that intersect, with the interval in which both lived. Indices into `case.lives`.
#[must_use]
pub fn overlaps(case: &Case<'_>) -> Vec<(usize, usize, u64, u64)> {
    let mut found = Vec::new();
    for (index, earlier) in case.lives.iter().enumerate() {
        let after = case.lives.iter().enumerate().skip(index + 1);
        // By their beginning: the first that begins after the earlier one's end ends the search.
        for (other, later) in after.take_while(|(_, later)| later.first <= earlier.last) {
            found.push((index, other, later.first, earlier.last.min(later.last)));
        }
    }
    found
}

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let describe = |(earlier, later, from, to): (usize, usize, u64, u64)| {
        let (earlier, later) = (&case.lives[earlier], &case.lives[later]);
        let evidence = format!(
            "{} lived from {} to {}, {} from {} to {}: both for {:.3} ms",
            earlier.name(),
            case.seconds(earlier.first),
            case.seconds(earlier.last),
            later.name(),
            case.seconds(later.first),
            case.seconds(later.last),
            (to - from) as f64 / 1e6,
        );
        let lines = earlier.lines.iter().chain(&later.lines).copied().collect();
        charge_at(case, from, Offence::TwoAlive, evidence, lines)
    };
    overlaps(case).into_iter().map(describe).collect()
}
