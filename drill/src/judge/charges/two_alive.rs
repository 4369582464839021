//! Two coordinators at the same moment. Nothing excuses it; a process that is frozen lives.
//!
//! What ran on a host that stood still as a whole may run beside its successor for a documented time after that: on a
//! volume whose locks have leases nobody can keep it from being awake before it knows. What is longer is charged.

use testbed::judge;
use testbed::judge::Overlap;
use testbed::span::Span;

use super::{Case, Charge, Offence, charge_at};

/// Pairs that ran at the same time, with or without an excuse. Indices into `case.lives`.
#[must_use]
pub fn together(case: &Case<'_>) -> Vec<Overlap> {
    let stretches = case.lives.iter().enumerate().flat_map(|(index, life)| {
        let own = life.notes.stretches.iter();
        own.map(move |stretch| (index, *stretch))
    });
    let (owners, stretches): (Vec<usize>, Vec<Span>) = stretches.unzip();
    let found = judge::overlaps(&stretches).into_iter();
    let found = found.map(|Overlap { earlier, later, both }| {
        let (one, other) = (owners[earlier], owners[later]);
        // Lives are in order; stretches of an earlier one may come after those of a later.
        Overlap { earlier: one.min(other), later: one.max(other), both }
    });
    found.filter(|found| found.earlier != found.later).collect()
}

/// What of that is without an excuse.
#[must_use]
pub fn overlaps(case: &Case<'_>) -> Vec<Overlap> {
    let mut charged = Vec::new();
    for found in together(case) {
        let excused = graces(case, &found);
        if excused.is_empty() {
            charged.push(found);
        } else {
            let rest = judge::gaps(&excused, found.both).into_iter();
            charged.extend(rest.map(|both| Overlap { both, ..found }));
        }
    }
    charged
}

/// The times after standstills of either one's host in which it may be there, as far as they matter.
fn graces(case: &Case<'_>, found: &Overlap) -> Vec<Span> {
    let lives = [&case.lives[found.earlier], &case.lives[found.later]];
    let own = case
        .standstills
        .iter()
        .filter(|stood| lives.iter().any(|life| life.node == stood.node && life.first <= stood.span.first));
    let after = own.map(|stood| Span { first: stood.span.last, last: stood.span.last.saturating_add(stood.grace) });
    after.filter(|grace| grace.first <= found.both.last && found.both.first <= grace.last).collect()
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
