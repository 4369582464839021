//! The history as a judge needs it: sorted, joined, on one clock. No judgement yet.

use super::episodes::{self, Episode};
use super::leaderships::{self, Leadership};
use super::lives::{self, Life, Standstill};
use super::numbered::numbered;
use crate::history::{Entry, Line, Metadata, Outcome, Run};

/// Beside session and tick: the time in which somebody must be active again after all is healed.
const RECOVERY_ALLOWANCE_MS: u64 = 3_000;

/// A moment, for people: seconds since the run's first line.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub f64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.3} s", self.0)
    }
}

/// One client operation. Its end means nothing while its outcome is unknown.
#[derive(Clone, Debug)]
pub struct Op<'a> {
    pub id: &'a str,
    pub what: &'a str,
    pub result: Outcome,
    pub begin: u64,
    pub end: u64,
    pub line: usize,
}

/// What the observer saw of a node from `at` on.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    pub at: u64,
    pub node: &'a str,
    pub role: &'a str,
    pub status: &'a str,
    pub epoch: Option<u64>,
    pub reachable: bool,
    pub line: usize,
}

impl Sight<'_> {
    #[must_use]
    pub fn active(&self) -> bool {
        self.reachable && self.role == "active" && self.status == "OK"
    }
}

/// Consecutive failures of clients that were noted as one.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub begin: u64,
    pub end: u64,
    pub failures: u64,
}

/// Records that a coordinator says are synced.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a> {
    pub node: &'a str,
    pub pid: u32,
    pub epoch: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub line: usize,
}

/// Everything that a history holds, by kind and in time.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub lines: &'a [Line],
    pub run: Option<&'a Run>,
    pub runs: usize,
    /// The run's first line, where its seconds are counted from; ns.
    pub start: u64,
    pub ready: Option<u64>,
    /// The last moment at which the cluster was still meant to serve; ns.
    pub end: u64,
    pub lives: Vec<Life>,
    pub standstills: Vec<Standstill<'a>>,
    pub leaderships: Vec<Leadership>,
    /// Lines that `primacy history` should not have.
    pub unreadable_leaderships: Vec<usize>,
    pub episodes: Vec<Episode>,
    /// Ends without a begin and the like, with their lines.
    pub strays: Vec<(String, usize)>,
    pub ops: Vec<Op<'a>>,
    pub acknowledged: Vec<Acknowledged<'a>>,
    pub outages: Vec<Outage>,
    pub sights: Vec<Sight<'a>>,
    pub metadata: Vec<(usize, &'a Metadata)>,
}

impl<'a> Case<'a> {
    #[must_use]
    pub fn of(lines: &'a [Line]) -> Self {
        let runs: Vec<(&Run, u64)> = lines.iter().filter_map(run_of).collect();
        let run = runs.first().copied();
        let start = run.map_or_else(|| lines.iter().map(|line| line.at).min().unwrap_or(0), |(_, at)| at);
        // A history that does not say how long it may take is vacuous, and nothing is late in it.
        let bound = run.map_or(u64::MAX, |(run, _)| recovery_bound(run));
        let ready = lines.iter().filter(|line| line.entry == Entry::Ready).map(|line| line.at).min();
        let standstills = lives::standstills(lines);
        let lives = lives::of(lines, &standstills);
        let (leaderships, unreadable_leaderships) = leaderships::of(lines, run);
        let mut case = Self {
            lines,
            run: run.map(|(run, _)| run),
            runs: runs.len(),
            start,
            ready,
            end: end(lines),
            lives,
            standstills,
            leaderships,
            unreadable_leaderships,
            episodes: Vec::new(),
            strays: Vec::new(),
            ops: Vec::new(),
            acknowledged: Vec::new(),
            outages: Vec::new(),
            sights: Vec::new(),
            metadata: Vec::new(),
        };
        case.sort(lines);
        (case.episodes, case.strays) = episodes::of(lines, &case.lives, bound, case.end);
        case
    }

    fn sort(&mut self, lines: &'a [Line]) {
        for (number, line) in numbered(lines) {
            match &line.entry {
                Entry::Client { op, what, result, begin, end, .. } => {
                    self.ops.push(Op { id: op, what, result: *result, begin: *begin, end: *end, line: number });
                }
                Entry::ClientOutage { begin, end, failures, .. } => {
                    self.outages.push(Outage { begin: *begin, end: *end, failures: *failures });
                }
                Entry::Role { node, role, status, epoch, reachable } => self.sights.push(Sight {
                    at: line.at,
                    node,
                    role,
                    status,
                    epoch: *epoch,
                    reachable: *reachable,
                    line: number,
                }),
                Entry::Acknowledged { node, pid, epoch, first_sequence, last_sequence } => {
                    self.acknowledged.push(Acknowledged {
                        node,
                        pid: *pid,
                        epoch: *epoch,
                        first_sequence: *first_sequence,
                        last_sequence: *last_sequence,
                        line: number,
                    });
                }
                Entry::Metadata(metadata) => self.metadata.push((number, metadata)),
                Entry::Run(_)
                | Entry::Ready
                | Entry::FaultBegin { .. }
                | Entry::FaultEnd { .. }
                | Entry::Healed
                | Entry::Recovered { .. }
                | Entry::Coordinator { .. }
                | Entry::Standstill { .. }
                | Entry::Leadership(_)
                | Entry::Recordings { .. }
                | Entry::Leftover { .. }
                | Entry::Note { .. } => {}
            }
        }
        self.sights.sort_by_key(|sight| sight.at);
    }

    /// A moment on the run's clock, for people.
    #[must_use]
    pub fn seconds(&self, at: u64) -> Seconds {
        let since = i128::from(at) - i128::from(self.start);
        Seconds(since as f64 / 1e9)
    }

    /// How long after `healed` somebody may take to become active; ns.
    #[must_use]
    pub fn recovery_bound(&self) -> u64 {
        self.run.map_or(0, recovery_bound)
    }

    /// Whether `primacy history` was written by clocks that are not the run's.
    #[must_use]
    pub fn own_clocks(&self) -> bool {
        self.run.is_some_and(|run| run.own_clocks)
    }

    /// What the metadata held at the end. The last word counts, should there be several.
    #[must_use]
    pub fn metadata(&self) -> Option<&'a Metadata> {
        self.metadata.last().map(|(_, metadata)| *metadata)
    }

    /// The line on which the metadata stands.
    #[must_use]
    pub fn metadata_line(&self) -> Vec<usize> {
        self.metadata.last().map(|(line, _)| *line).into_iter().collect()
    }
}

fn run_of(line: &Line) -> Option<(&Run, u64)> {
    match &line.entry {
        Entry::Run(run) => Some((run, line.at)),
        _ => None,
    }
}

fn recovery_bound(run: &Run) -> u64 {
    (run.session_ms + run.tick_ms + RECOVERY_ALLOWANCE_MS) * 1_000_000
}

/// The last moment at which something was asked of the cluster, but not later than when it was asked for its history,
/// after which the runner may stop it.
fn end(lines: &[Line]) -> u64 {
    let asked = lines.iter().filter_map(|line| match &line.entry {
        Entry::FaultBegin { .. } | Entry::FaultEnd { .. } | Entry::Healed | Entry::Recovered { .. } => Some(line.at),
        Entry::Client { end, .. } | Entry::ClientOutage { end, .. } => Some(*end),
        _ => None,
    });
    let history = lines.iter().filter(|line| matches!(line.entry, Entry::Leadership(_))).map(|line| line.at).min();
    asked.max().unwrap_or(0).min(history.unwrap_or(u64::MAX))
}
