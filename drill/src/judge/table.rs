//! Fault kind × what came of it.

use serde::Serialize;

use super::case::Case;
use super::charges::overlaps;
use super::episodes::{Episode, SLACK};
use super::gaps::{Gap, Lack};

/// Where something happened that belongs to no fault.
pub const NO_FAULT: &str = "(no fault)";

/// One kind of fault, or one pair of kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    pub kind: String,
    /// How often it was done, from begin to end.
    pub runs: usize,
    /// How often it could not be done or undone.
    pub not_done: usize,
    /// Coordinators that started because of it.
    pub failovers: usize,
    /// Of these, how many though the active node was none of its targets.
    pub needless: usize,
    pub overlaps: usize,
    /// Each time without a coordinator; ms.
    pub gaps_ms: Vec<f64>,
    /// Each time in which nobody was seen active and ready; ms.
    pub inactive_ms: Vec<f64>,
}

impl Row {
    /// Whether it is of several faults at a time.
    #[must_use]
    pub fn pair(&self) -> bool {
        self.kind.contains(" + ")
    }

    /// Single faults, pairs, and what belongs to none.
    fn rank(&self) -> (bool, bool, &str) {
        (self.kind == NO_FAULT, self.pair(), &self.kind)
    }

    #[must_use]
    pub fn gaps(&self) -> Option<Spread> {
        Spread::of(&self.gaps_ms)
    }

    #[must_use]
    pub fn inactive(&self) -> Option<Spread> {
        Spread::of(&self.inactive_ms)
    }
}

/// Least, middle and greatest of some measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { count: sorted.len(), min, median, max })
    }
}

/// The rows of one run.
pub(super) fn of(case: &Case<'_>, gaps: &[Gap]) -> Vec<Row> {
    let mut rows = Vec::new();
    for episode in &case.episodes {
        let row = row(&mut rows, &episode.kind);
        row.runs += usize::from(episode.done());
        row.not_done += usize::from(!episode.done());
    }
    for gap in gaps {
        let row = row(&mut rows, gap.episode.map_or(NO_FAULT, |index| &case.episodes[index].kind));
        match gap.lack {
            Lack::Coordinator => row.gaps_ms.push(gap.ms()),
            Lack::Active => row.inactive_ms.push(gap.ms()),
        }
    }
    for found in overlaps(case) {
        row(&mut rows, kind_at(case, found.both.first)).overlaps += 1;
    }
    for (former, life) in failovers(case) {
        // That of the outage which it ended; two that overlap have none between them.
        let gap = gaps.iter().find(|gap| gap.lack == Lack::Coordinator && gap.end == life.first);
        let episode = match gap {
            Some(gap) => gap.episode.map(|index| &case.episodes[index]),
            None => episode_at(case, life.first),
        };
        let row = row(&mut rows, episode.map_or(NO_FAULT, |episode| &episode.kind));
        row.failovers += 1;
        row.needless += usize::from(episode.is_some_and(|episode| needless(case, episode, &former.node)));
    }
    rows.sort_by(|a, b| a.rank().cmp(&b.rank()));
    rows
}

/// Each coordinator that started after `ready`, with the one before it.
pub(super) fn failovers<'c>(
    case: &'c Case<'_>,
) -> impl Iterator<Item = (&'c super::lives::Life, &'c super::lives::Life)> {
    let ready = case.ready.unwrap_or(u64::MAX);
    let pairs = case.lives.windows(2).map(|pair| (&pair[0], &pair[1]));
    pairs.filter(move |(_, life)| life.first > ready && life.first <= case.end)
}

/// The rows of several runs as one table.
#[must_use]
pub fn merge(tables: &[&[Row]]) -> Vec<Row> {
    let mut rows = Vec::new();
    for from in tables.iter().copied().flatten() {
        let row = row(&mut rows, &from.kind);
        row.runs += from.runs;
        row.not_done += from.not_done;
        row.failovers += from.failovers;
        row.needless += from.needless;
        row.overlaps += from.overlaps;
        row.gaps_ms.extend(&from.gaps_ms);
        row.inactive_ms.extend(&from.inactive_ms);
    }
    rows.sort_by(|a, b| a.rank().cmp(&b.rank()));
    rows
}

fn row<'r>(rows: &'r mut Vec<Row>, kind: &str) -> &'r mut Row {
    let index = rows.iter().position(|row| row.kind == kind).unwrap_or_else(|| {
        rows.push(Row { kind: kind.to_owned(), ..Row::default() });
        rows.len() - 1
    });
    &mut rows[index]
}

/// The youngest episode that had begun at `at` and explains it.
fn episode_at<'c>(case: &'c Case<'_>, at: u64) -> Option<&'c Episode> {
    let begun = case.episodes.iter().rev().filter(|episode| episode.begin <= at);
    begun.into_iter().find(|episode| at <= episode.until.saturating_add(SLACK))
}

fn kind_at<'c>(case: &'c Case<'_>, at: u64) -> &'c str {
    episode_at(case, at).map_or(NO_FAULT, |episode| &episode.kind)
}

/// Whether the active node was left alone by the faults. Those on something else than candidates may well concern it.
fn needless(case: &Case<'_>, episode: &Episode, active: &str) -> bool {
    let nodes = case.run.map_or(&[][..], |run| &run.nodes);
    let mut targets = episode.faults.iter().flat_map(|fault| &fault.targets).peekable();
    targets.peek().is_some() && targets.all(|target| nodes.contains(target) && target != active)
}
