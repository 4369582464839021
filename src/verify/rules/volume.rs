//! What the volume is trusted with: a lock is granted to one at a time, and so no two coordinators live at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::guardian::protocol::Report;
use crate::moment::Moment;
use crate::recording::guardian::{Deed, What};
use crate::verify::recordings::{Guardian, Recordings};
use crate::verify::{Contradiction, Verdict};

const LOCK_ONCE: &str = "a lock that is held is granted to nobody else";
const ONE_LIFE: &str = "no two coordinators of a cluster live at the same time";
const EPOCH_ONCE: &str = "no two leaderships of a cluster have one epoch";

/// From when to when something was certainly so, in one guardian.
#[derive(Clone, Debug)]
struct Span {
    from: Moment,
    to: Moment,
    node: String,
    path: PathBuf,
    line: usize,
}

/// Where it is recorded that an epoch was written into a lock file.
#[derive(Clone, Debug)]
struct Written {
    path: PathBuf,
    line: usize,
    pid: i32,
}

/// Within one boot of one host: of whom moments can be compared.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// When each lock was certainly held, by boot, cluster and path.
    locks: BTreeMap<(String, String, PathBuf), Vec<Span>>,
    /// When coordinators certainly lived, by boot and cluster.
    coordinators: BTreeMap<(String, String), Vec<Span>>,
    /// Which epochs were written into a lock file, by cluster and path.
    written: BTreeMap<(String, PathBuf), BTreeMap<u64, Written>>,
    /// When a guardian left with a last will, by boot, cluster and node.
    pub wills: BTreeMap<(String, String, String), Vec<Moment>>,
    doubled: Vec<Contradiction>,
}

/// What guardians held, and when what they started lived.
pub fn lives(recordings: &Recordings) -> Lives {
    let mut lives = Lives::default();
    for segment in &recordings.guardians {
        lives.add(segment);
    }
    lives
}

impl Lives {
    fn add(&mut self, segment: &Guardian) {
        let header = &segment.header;
        let Some(lock) = header.state.lock.clone() else { return };
        let span = |from: Moment, line: usize| Span {
            from,
            to: from,
            node: header.node.clone(),
            path: segment.path.clone(),
            line,
        };
        let (boot, cluster) = (header.boot.clone(), header.cluster.clone());
        let mut held = header.state.held.then(|| span(header.at, 1));
        let mut alive: Option<Span> = None;
        let mut locks = Vec::new();
        let mut coordinators = Vec::new();
        for (number, line) in &segment.lines {
            for open in [&mut held, &mut alive].into_iter().flatten() {
                open.to = line.at;
            }
            match &line.what {
                What::Reported(report) => match &**report {
                    Report::LockAcquired { .. } => held = Some(span(line.at, *number)),
                    // It may have been lost before that was seen.
                    Report::VolumeLost { .. } => locks.extend(held.take()),
                    Report::RecordWritten { epoch } => {
                        let written = self.written.entry((cluster.clone(), lock.clone())).or_default();
                        let here = Written { path: segment.path.clone(), line: *number, pid: header.pid };
                        if let Some(Written { path, line, pid }) = written.insert(*epoch, here)
                            && pid != header.pid
                        {
                            let found =
                                format!("epoch {epoch} was written here and in {}, line {line}", path.display());
                            self.doubled.push(Contradiction {
                                rule: EPOCH_ONCE,
                                found,
                                path: segment.path.clone(),
                                line: *number,
                            });
                        }
                    }
                    _ => {}
                },
                // Whether it is closed already when that is reported nobody can say.
                What::Did(Deed::AskedToClose { .. }) => locks.extend(held.take()),
                What::Did(Deed::Forked { .. }) => alive = Some(span(line.at, *number)),
                What::Did(Deed::SawAllDead) => coordinators.extend(alive.take()),
                What::Did(Deed::Left { election_node: Some(_) }) => {
                    let key = (boot.clone(), cluster.clone(), header.node.clone());
                    self.wills.entry(key).or_default().push(line.at);
                }
                What::Did(
                    Deed::ForkedAlwaysOn
                    | Deed::Ran { .. }
                    | Deed::BeganToEnd { .. }
                    | Deed::Left { election_node: None },
                )
                | What::Heard(_) => {}
            }
        }
        locks.extend(held);
        coordinators.extend(alive);
        self.locks.entry((boot.clone(), cluster.clone(), lock)).or_default().extend(locks);
        self.coordinators.entry((boot, cluster)).or_default().extend(coordinators);
    }
}

pub fn check(lives: &Lives, verdict: &mut Verdict) {
    for spans in lives.locks.values() {
        verdict.contradictions.extend(overlaps(spans, LOCK_ONCE, "had the lock"));
    }
    for spans in lives.coordinators.values() {
        verdict.contradictions.extend(overlaps(spans, ONE_LIFE, "had a coordinator"));
    }
    verdict.contradictions.extend(lives.doubled.iter().cloned());
}

fn overlaps(spans: &[Span], rule: &'static str, what: &str) -> Vec<Contradiction> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by_key(|span| span.from);
    let mut found = Vec::new();
    let mut longest: Option<&Span> = None;
    for span in sorted {
        if let Some(before) = longest.filter(|before| before.to > span.from) {
            let until = before.to.min(span.to);
            let also = format!(
                "{} {what} from {} to {until} while {} had it ({}, line {})",
                span.node,
                span.from,
                before.node,
                before.path.display(),
                before.line
            );
            found.push(Contradiction { rule, found: also, path: span.path.clone(), line: span.line });
        }
        if longest.is_none_or(|before| span.to > before.to) {
            longest = Some(span);
        }
    }
    found
}
