//! Outages: when no coordinator lived, and when nobody was seen active and ready. Who explains which.

use serde::Serialize;
use testbed::judge;
use testbed::span::Span;

use super::case::Case;
use super::episodes::{Episode, LAST_TICK, SLACK};
use super::lives::{Life, stretches};
use crate::history::Outcome;

/// For how long an active node may escape the observer, outside of all faults, without anything being wrong but the
/// observer's own time-out; ns.
const BLINK: u64 = 2_000_000_000;

/// What was lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// No coordinator lived.
    Coordinator,
    /// Nobody was seen active and ready. Longer than the former: it includes the start.
    Active,
}

/// One outage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    pub lack: Lack,
    /// ns on CLOCK_MONOTONIC.
    pub begin: u64,
    pub end: u64,
    /// Index of the episode that it belongs to.
    pub episode: Option<usize>,
    /// Ids of all faults that explain it.
    pub faults: Vec<u32>,
    /// What of it nobody explains; ns.
    pub unexplained: Vec<(u64, u64)>,
}

impl Gap {
    #[must_use]
    pub fn ms(&self) -> f64 {
        (self.end - self.begin) as f64 / 1e6
    }
}

/// All outages between `ready` and the end, by their begin.
pub(super) fn find(case: &Case<'_>) -> Vec<Gap> {
    let Some(ready) = case.ready else { return Vec::new() };
    let served = Span { first: ready, last: case.end };
    let lifeless = judge::gaps(&stretches(&case.lives), served);
    let mut gaps: Vec<Gap> = lifeless.into_iter().map(|gap| explain(case, Lack::Coordinator, gap)).collect();
    if !case.sights.is_empty() {
        let inactive = judge::gaps(&seen_active(case), served);
        gaps.extend(inactive.into_iter().map(|gap| explain(case, Lack::Active, gap)));
    }
    for gap in &mut gaps {
        if gap.lack == Lack::Active && only_a_blink(case, gap) {
            gap.unexplained.clear();
        }
    }
    gaps.sort_by_key(|gap| (gap.begin, gap.end));
    gaps
}

/// When anybody was seen active and ready: each node from a sight to the next one.
fn seen_active(case: &Case<'_>) -> Vec<Span> {
    let mut intervals = Vec::new();
    for (index, sight) in case.sights.iter().enumerate().filter(|(_, sight)| sight.active()) {
        let next = case.sights[index + 1..].iter().find(|next| next.node == sight.node);
        intervals.push(Span { first: sight.at, last: next.map_or(case.end.max(sight.at), |next| next.at) });
    }
    intervals
}

fn explain(case: &Case<'_>, lack: Lack, gap: Span) -> Gap {
    let (begin, end) = (gap.first, gap.last);
    let late = ran_out(case, begin, end);
    let covering = case.episodes.iter().enumerate().filter(|(_, episode)| {
        let cover = episode.explains(late);
        cover.first < end && begin < cover.last
    });
    let covering: Vec<_> = covering.collect();
    let covers: Vec<Span> = covering.iter().map(|(_, episode)| episode.explains(late)).collect();
    let episode = culprit(&covering, begin, end);
    let faults = covering.iter().flat_map(|(_, episode)| episode.ids()).collect();
    let unexplained = judge::gaps(&covers, gap).into_iter().map(|gap| (gap.first, gap.last)).collect();
    Gap { lack, begin, end, episode, faults, unexplained }
}

/// Whether the leadership that ended with this outage says that something had run out, or was found lost: effects of a
/// fault that may come after it.
fn ran_out(case: &Case<'_>, begin: u64, end: u64) -> bool {
    let Some(life) = case.lives.iter().rfind(|life| life.first <= begin) else { return false };
    if life.last > end.saturating_add(SLACK) {
        return false;
    }
    let own = case.leaderships.iter().find(|own| own.epoch == life.epoch && own.node == life.node);
    let cause = own.and_then(|own| own.cause.as_deref());
    matches!(cause, Some("lease_expired" | "session_expired" | "volume_lost" | "election_node_deleted"))
}

/// To which of the episodes that cover an outage it belongs. What was broken last is what broke it: the youngest that was
/// under way when it began; else, if it began in a calm, one that began during it (the last tick was late); else the one
/// before (the effect was).
fn culprit(covering: &[(usize, &Episode)], begin: u64, end: u64) -> Option<usize> {
    let mut youngest = covering.iter().rev();
    let under_way = |episode: &Episode| episode.begin <= begin.saturating_add(LAST_TICK) && begin <= episode.until;
    let found = youngest.find(|(_, episode)| under_way(episode));
    let during = || covering.iter().find(|(_, episode)| begin <= episode.begin && episode.begin < end);
    found.or_else(during).or_else(|| covering.last()).map(|(index, _)| *index)
}

/// Whether an active node merely escaped the observer: its coordinator lived throughout, it never said that it was not
/// ready, and the time is short or clients were served meanwhile.
fn only_a_blink(case: &Case<'_>, gap: &Gap) -> bool {
    let throughout = |life: &&Life| life.first <= gap.begin && gap.end <= life.last;
    let Some(life) = case.lives.iter().find(throughout) else { return false };
    let meanwhile = case.sights.iter().filter(|sight| gap.begin <= sight.at && sight.at < gap.end);
    let said_so = meanwhile.filter(|sight| sight.node == life.node).any(|sight| sight.reachable);
    let short = gap.unexplained.iter().all(|(begin, end)| end - begin < BLINK);
    let served = || {
        let mut acknowledged = case.ops.iter().filter(|op| op.result == Outcome::Ok);
        acknowledged.any(|op| gap.begin <= op.begin && op.end <= gap.end)
    };
    !said_so && (short || served())
}
