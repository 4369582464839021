//! Faults, and what was under way together.
//!
//! An episode is what the runner broke between one calm and the next: a fault, or a pair that overlaps. Its effects
//! cannot be told apart, so a pair is a kind of its own, `a + b`.
//!
//! An episode explains an outage from its begin until somebody was seen active again after all was healed. One case
//! needs care: after an instant fault (the lock file deleted, which a probe notices seconds later) the observer still sees
//! the old active node, before the fault has had any effect. So an episode in which fewer coordinators have ended than it
//! has faults explains what follows for as long as an effect may take; else it explains nothing after the recovery.

use super::case::numbered;
use super::lives::Life;
use crate::history::{Entry, Line};

/// How far an observation may lie beside what it observes; ns. Ticks are 2–5 ms apart and the observer looks every
/// 50 ms, but on a machine whose processors are all busy either may be late.
pub(super) const SLACK: u64 = 1_000_000_000;

/// How much earlier than the fault that ended it a coordinator's last tick may be, for telling which of two faults it
/// was; ns.
pub(super) const LAST_TICK: u64 = 20_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub id: u32,
    pub kind: String,
    pub targets: Vec<String>,
    pub detail: String,
    pub begin: u64,
    pub end: Option<u64>,
    /// Whether it could be done and undone.
    pub ok: bool,
    pub line: usize,
}

/// One fault, or several that were under way together, and the recovery from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub faults: Vec<Fault>,
    /// `a`, or `a + b` in alphabetical order.
    pub kind: String,
    pub begin: u64,
    /// When everything was healed, and on which line that stands.
    pub healed: Option<(u64, usize)>,
    pub recovered: Option<Recovery>,
    /// When the next episode begins, or the run's end.
    pub next: u64,
    /// Until when it explains outages; without [`SLACK`].
    pub until: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub at: u64,
    pub node: String,
    pub epoch: u64,
    pub line: usize,
}

impl Episode {
    /// What it explains, as an interval of ns.
    #[must_use]
    pub fn cover(&self) -> (u64, u64) {
        (self.begin.saturating_sub(SLACK), self.until.saturating_add(SLACK))
    }

    /// Whether all its faults could be done and undone.
    #[must_use]
    pub fn done(&self) -> bool {
        self.faults.iter().all(|fault| fault.ok)
    }

    /// Whether one of its faults makes ZooKeeper forget, the history included.
    #[must_use]
    pub fn forgets(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind.contains("wiped"))
    }

    /// Whether one of its faults moves a wall clock.
    #[must_use]
    pub fn moves_clocks(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind.contains("clock"))
    }

    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.faults.iter().map(|fault| fault.id).collect()
    }
}

/// All episodes, and what fits into none, as (what, line).
pub(super) fn of(lines: &[Line], lives: &[Life], bound: u64, end: u64) -> (Vec<Episode>, Vec<(String, usize)>) {
    let (mut episodes, strays) = collect(lines);
    let mut next = end;
    for episode in episodes.iter_mut().rev() {
        episode.next = next.max(episode.begin);
        next = episode.begin;
        episode.until = until(episode, lives, bound);
        let mut kinds: Vec<&str> = episode.faults.iter().map(|fault| fault.kind.as_str()).collect();
        kinds.sort_unstable();
        episode.kind = kinds.join(" + ");
    }
    (episodes, strays)
}

/// Also what fits nowhere, as (what, line).
fn collect(lines: &[Line]) -> (Vec<Episode>, Vec<(String, usize)>) {
    let mut sorted: Vec<(usize, &Line)> = numbered(lines).collect();
    sorted.sort_by_key(|(number, line)| (line.at, rank(&line.entry), *number));
    let (mut episodes, mut strays): (Vec<Episode>, _) = (Vec::new(), Vec::new());
    for (number, line) in sorted {
        let at = line.at;
        match &line.entry {
            Entry::FaultBegin { id, kind, targets, detail } => {
                if episodes.last().is_none_or(|last| last.healed.is_some()) {
                    episodes.push(Episode::begun(at));
                }
                let fault = Fault {
                    id: *id,
                    kind: kind.clone(),
                    targets: targets.clone(),
                    detail: detail.clone(),
                    begin: at,
                    end: None,
                    ok: false,
                    line: number,
                };
                episodes.last_mut().expect("one was pushed if there was none").faults.push(fault);
            }
            Entry::FaultEnd { id, ok, .. } => {
                let faults = episodes.iter_mut().flat_map(|episode| episode.faults.iter_mut());
                match faults.rev().find(|fault| fault.id == *id && fault.end.is_none()) {
                    Some(fault) => (fault.end, fault.ok) = (Some(at), *ok),
                    None => strays.push((format!("fault {id} ended and had never begun"), number)),
                }
            }
            Entry::Healed => {
                if let Some(last) = episodes.last_mut() {
                    last.healed.get_or_insert((at, number));
                }
            }
            Entry::Recovered { node, epoch } => {
                let Some(last) = episodes.last_mut() else { continue };
                if last.healed.is_none() {
                    strays.push((format!("{node} recovered from what was not healed"), number));
                } else if last.recovered.is_none() {
                    last.recovered = Some(Recovery { at, node: node.clone(), epoch: *epoch, line: number });
                }
            }
            _ => {}
        }
    }
    (episodes, strays)
}

/// The order of what happens in the same nanosecond.
fn rank(entry: &Entry) -> u8 {
    match entry {
        Entry::FaultBegin { .. } => 0,
        Entry::FaultEnd { .. } => 1,
        Entry::Healed => 2,
        _ => 3,
    }
}

fn until(episode: &Episode, lives: &[Life], bound: u64) -> u64 {
    let Some((healed, _)) = episode.healed else { return episode.next };
    // What never came back is charged as that; the outage itself has its explanation.
    let Some(recovered) = &episode.recovered else { return episode.next };
    let from = episode.begin.saturating_sub(LAST_TICK);
    let effects = lives.iter().filter(|life| from <= life.last && life.last <= recovered.at).count();
    if effects >= episode.faults.len() {
        return recovered.at;
    }
    healed.saturating_add(bound).min(episode.next).max(recovered.at)
}

impl Episode {
    fn begun(at: u64) -> Self {
        Self { faults: Vec::new(), kind: String::new(), begin: at, healed: None, recovered: None, next: at, until: at }
    }
}
