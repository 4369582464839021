//! What a run amounts to, in numbers.

use std::collections::HashSet;

use serde::Serialize;

use super::case::Case;
use super::charges::overlaps;
use super::gaps::{Gap, Lack};
use super::offence::{Charge, Offence};
use super::table::{Row, failovers};
use crate::history::Outcome;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// From `ready` to the end.
    pub seconds: f64,
    /// Faults done, and how many kinds of them.
    pub faults: usize,
    pub kinds: usize,
    /// Episodes of two faults or more at a time.
    pub pairs: usize,
    pub coordinators: usize,
    pub leaderships: usize,
    pub failovers: usize,
    /// Fail-overs though the active node was no fault's target.
    pub needless_failovers: usize,
    pub overlaps: usize,
    pub longest_overlap_ms: f64,
    pub gaps: usize,
    pub longest_gap_ms: f64,
    pub longest_inactive_ms: f64,
    pub acknowledged: usize,
    pub refused: usize,
    /// Writes of which the client does not know, and how many of these turned out to be applied.
    pub unknown: usize,
    pub unknown_applied: usize,
    /// Failures that were noted together.
    pub folded_failures: u64,
    /// Failures of clients while nothing was broken.
    pub failures_in_calm: usize,
    pub lost: usize,
    pub doubled: usize,
}

impl Figures {
    /// Of several runs together. Kinds are not a sum: they are given.
    #[must_use]
    pub fn total(all: &[&Self], kinds: usize) -> Self {
        let sum = |of: fn(&Self) -> usize| all.iter().map(|figures| of(figures)).sum();
        let longest = |of: fn(&Self) -> f64| all.iter().map(|figures| of(figures)).fold(0.0, f64::max);
        Self {
            seconds: all.iter().map(|figures| figures.seconds).sum(),
            faults: sum(|figures| figures.faults),
            kinds,
            pairs: sum(|figures| figures.pairs),
            coordinators: sum(|figures| figures.coordinators),
            leaderships: sum(|figures| figures.leaderships),
            failovers: sum(|figures| figures.failovers),
            needless_failovers: sum(|figures| figures.needless_failovers),
            overlaps: sum(|figures| figures.overlaps),
            longest_overlap_ms: longest(|figures| figures.longest_overlap_ms),
            gaps: sum(|figures| figures.gaps),
            longest_gap_ms: longest(|figures| figures.longest_gap_ms),
            longest_inactive_ms: longest(|figures| figures.longest_inactive_ms),
            acknowledged: sum(|figures| figures.acknowledged),
            refused: sum(|figures| figures.refused),
            unknown: sum(|figures| figures.unknown),
            unknown_applied: sum(|figures| figures.unknown_applied),
            folded_failures: all.iter().map(|figures| figures.folded_failures).sum(),
            failures_in_calm: sum(|figures| figures.failures_in_calm),
            lost: sum(|figures| figures.lost),
            doubled: sum(|figures| figures.doubled),
        }
    }
}

pub(super) fn of(case: &Case<'_>, gaps: &[Gap], charges: &[Charge], table: &[Row]) -> Figures {
    let count = |offence: Offence| charges.iter().filter(|charge| charge.offence == offence).count();
    let result = |wanted: Outcome| case.ops.iter().filter(move |op| op.result == wanted);
    let longest = |lack: Lack| gaps.iter().filter(|gap| gap.lack == lack).map(Gap::ms).fold(0.0, f64::max);
    let applied: HashSet<&str> =
        case.metadata().iter().flat_map(|metadata| &metadata.applied).map(String::as_str).collect();
    let done = || case.episodes.iter().flat_map(|episode| &episode.faults).filter(|fault| fault.ok);
    let overlaps = overlaps(case);
    Figures {
        seconds: case.ready.map_or(0.0, |ready| case.end.saturating_sub(ready) as f64 / 1e9),
        faults: done().count(),
        kinds: done().map(|fault| fault.kind.as_str()).collect::<HashSet<_>>().len(),
        pairs: case.episodes.iter().filter(|episode| episode.faults.len() > 1 && episode.done()).count(),
        coordinators: case.lives.len(),
        leaderships: case.leaderships.len(),
        failovers: failovers(case).count(),
        needless_failovers: table.iter().map(|row| row.needless).sum(),
        overlaps: overlaps.len(),
        longest_overlap_ms: overlaps.iter().map(|found| found.both.length().as_secs_f64() * 1e3).fold(0.0, f64::max),
        gaps: gaps.iter().filter(|gap| gap.lack == Lack::Coordinator).count(),
        longest_gap_ms: longest(Lack::Coordinator),
        longest_inactive_ms: longest(Lack::Active),
        acknowledged: result(Outcome::Ok).count() + recorded(case),
        refused: result(Outcome::Refused).count(),
        unknown: result(Outcome::Unknown).count(),
        unknown_applied: result(Outcome::Unknown).filter(|op| applied.contains(op.id)).count(),
        folded_failures: case.outages.iter().map(|outage| outage.failures).sum(),
        failures_in_calm: failures_in_calm(case),
        lost: count(Offence::LostWrite),
        doubled: count(Offence::DoubledWrite),
    }
}

/// What coordinators say they have synced.
fn recorded(case: &Case<'_>) -> usize {
    let runs = case.acknowledged.iter().map(|said| said.last_sequence.saturating_sub(said.first_sequence) + 1);
    usize::try_from(runs.sum::<u64>()).unwrap_or(usize::MAX)
}

fn failures_in_calm(case: &Case<'_>) -> usize {
    let Some(ready) = case.ready else { return 0 };
    let failed = case.ops.iter().filter(|op| op.result != Outcome::Ok).map(|op| (op.begin, op.end));
    let failed = failed.chain(case.outages.iter().map(|outage| (outage.begin, outage.end)));
    let excused = |begin: u64, end: u64| {
        let mut covers = case.episodes.iter().map(super::episodes::Episode::cover);
        covers.any(|(from, to)| from <= end && begin <= to)
    };
    failed.filter(|(begin, end)| *begin >= ready && !excused(*begin, *end)).count()
}
