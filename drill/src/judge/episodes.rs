//! Faults, and what was under way together.
//!
//! An episode is what the runner broke between one calm and the next: a fault, or a pair that overlaps. Its effects
//! cannot be told apart, so a pair is a kind of its own, `a + b`.
//!
//! An episode explains an outage from its begin until somebody was seen active again after all was healed. After that it
//! explains what is known to come late, for as long as an effect may take:
//!
//! - After an instant fault (the lock file deleted, which a probe notices seconds later) the observer still sees the old
//!   active node, before the fault has had any effect. So an episode in which fewer coordinators have ended than it has
//!   faults goes on.
//! - A lease that was not renewed during a fault may run out after it. So a leadership whose own history says that it was
//!   that which ended it belongs to the fault (see `gaps`).

use testbed::span::Span;

use super::lives::Life;
use super::numbered::numbered;
use crate::history::{Entry, Line};

/// How far clients' failures and wall-clock times may lie beside what caused them, and a coordinator's life beside what
/// the observer saw; ns.
pub(super) const SLACK: u64 = 1_000_000_000;

/// How early before a fault an outage may seem to begin: at a coordinator's last tick. Ticks are 3 ms apart, but on a
/// machine whose processors are all busy one may be late; ns.
const EARLY: u64 = 200_000_000;

/// How late after a recovery an outage may seem to end: the recovery was seen in two looks, so hardly at all; ns.
const LATE: u64 = 100_000_000;

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
    /// Until when it explains outages whatever ended the coordinator; without slack.
    pub until: u64,
    /// Until when it explains outages of which a lease that ran out is the cause.
    pub late: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub at: u64,
    pub node: String,
    pub epoch: u64,
    pub line: usize,
}

impl Episode {
    /// Which outages it explains, as an interval of ns; `late`: those that are known to come late.
    #[must_use]
    pub fn explains(&self, late: bool) -> Span {
        let until = if late { self.late.max(self.until) } else { self.until };
        Span { first: self.begin.saturating_sub(EARLY), last: until.saturating_add(LATE) }
    }

    /// When it may be felt in any way, as an interval of ns.
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
        episode.late = late(episode, bound);
        episode.until = until(episode, lives);
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

/// The end of the time in which an effect may come, and the recovery from it.
fn late(episode: &Episode, bound: u64) -> u64 {
    let Some((healed, _)) = episode.healed else { return episode.next };
    healed.saturating_add(bound).min(episode.next)
}

fn until(episode: &Episode, lives: &[Life]) -> u64 {
    // What never came back is charged as that; the outage itself has its explanation.
    let Some(recovered) = &episode.recovered else { return episode.next };
    let from = episode.begin.saturating_sub(LAST_TICK);
    let effects = lives.iter().filter(|life| from <= life.last && life.last <= recovered.at).count();
    if effects < episode.faults.len() { episode.late.max(recovered.at) } else { recovered.at }
}

impl Episode {
    fn begun(at: u64) -> Self {
        Self {
            faults: Vec::new(),
            kind: String::new(),
            begin: at,
            healed: None,
            recovered: None,
            next: at,
            until: at,
            late: at,
        }
    }
}
