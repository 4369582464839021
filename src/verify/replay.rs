//! A node as it was, told what it heard, has to want what it wanted.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use crate::config::ElectionKind;
use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;
use crate::node::{At, Input, Node, Output};
use crate::recording::supervisor::ReadLine;
use crate::seeded_bug;

use super::recordings::{Line, Recordings, Supervisor};
use super::{Contradiction, Verdict};

const SAME: &str = "a node wants what follows from what it has heard, bit by bit";

/// A leadership, as the node that had it saw it.
#[derive(Clone, Debug)]
pub struct Leadership {
    pub cluster: String,
    pub node: String,
    pub boot: String,
    pub pid: i32,
    pub epoch: u64,
    /// When it was told that it is first in the queue; `None` where that was not recorded.
    pub elected: Option<Elected>,
    /// From when on it is known to have led.
    pub since: Moment,
    /// Until when its session cannot have ended: its lease and what is left for killing after it. The latest that was proven;
    /// `None` where there is no session.
    pub bound: Option<Moment>,
    /// Somebody has ended its candidacy on purpose: itself, or who deleted its election node.
    pub given_up: bool,
    pub path: PathBuf,
    pub line: usize,
}

/// An election that a leadership began with.
#[derive(Clone, Copy, Debug)]
pub struct Elected {
    pub at: Moment,
    /// The breadcrumb of whoever led before said that it had ended in order.
    pub after_clean_end: bool,
}

/// Replays all that can be; what else is learned from it.
pub fn all(recordings: &Recordings, verdict: &mut Verdict) -> Vec<Leadership> {
    let mut leaderships = Vec::new();
    for supervisor in &recordings.supervisors {
        match supervisor.node.clone() {
            Some(node) => {
                let mut replay = Replay::new(supervisor, node);
                if let Err(contradiction) = replay.run(&supervisor.segment.lines, verdict) {
                    verdict.contradictions.push(contradiction);
                }
                leaderships.extend(replay.leaderships);
            }
            None => verdict.remarks.push(format!(
                "{}: recorded by version {}, which this program ({}) cannot replay",
                supervisor.segment.path.display(),
                supervisor.segment.header.program,
                seeded_bug::version()
            )),
        }
    }
    joined(leaderships)
}

/// What several segments tell of one leadership is one.
fn joined(told: Vec<Leadership>) -> Vec<Leadership> {
    let mut leaderships: Vec<Leadership> = Vec::new();
    for next in told {
        let known = leaderships.iter_mut().find(|known| {
            (known.pid, known.epoch, &known.boot, &known.cluster) == (next.pid, next.epoch, &next.boot, &next.cluster)
        });
        match known {
            Some(known) => {
                known.bound = known.bound.max(next.bound);
                known.given_up |= next.given_up;
            }
            None => leaderships.push(next),
        }
    }
    leaderships
}

struct Replay<'a> {
    supervisor: &'a Supervisor,
    node: Node,
    elected: Option<Elected>,
    leaderships: Vec<Leadership>,
}

impl<'a> Replay<'a> {
    fn new(supervisor: &'a Supervisor, node: Node) -> Self {
        let mut replay = Self { supervisor, node, elected: None, leaderships: Vec::new() };
        let leads = replay.node.machine().lease_until().is_some();
        if let Some(epoch) = replay.node.machine().epoch().filter(|_| leads) {
            replay.lead(epoch, supervisor.segment.header.at, 1);
        }
        replay
    }

    fn run(&mut self, lines: &[(usize, Line)], verdict: &mut Verdict) -> Result<(), Contradiction> {
        for (number, line) in lines {
            match line {
                Line::Known(ReadLine::Heard { at, wall, heard }) => {
                    // What belongs to one input may be cut off at a segment's end, and nowhere else.
                    if let Some(missing) = self.node.poll_output() {
                        return Err(self.differs(*number, format!("it should have wanted {}", written(&missing))));
                    }
                    self.hear(At { moment: *at, wall: UNIX_EPOCH + Duration::from_nanos(*wall) }, heard, *number);
                    verdict.counts.inputs += 1;
                }
                Line::Known(ReadLine::Wanted { wanted }) => {
                    self.want(wanted, *number)?;
                    verdict.counts.outputs += 1;
                }
                Line::Unknown(value) => {
                    return Err(self.differs(*number, format!("a line that means nothing: {value}")));
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, at: At, heard: &Input, number: usize) {
        match heard {
            Input::Election(Fact::Elected(outcome)) => {
                let after_clean_end = outcome.predecessor.as_ref().is_some_and(|breadcrumb| breadcrumb.clean);
                self.elected = Some(Elected { at: at.moment, after_clean_end });
            }
            Input::Election(Fact::Claimed { epoch, .. }) => self.lead(*epoch, at.moment, number),
            Input::Election(Fact::Lost(loss)) if *loss != Loss::SessionExpired => self.give_up(),
            _ => {}
        }
        self.node.hear(at, heard.clone());
        self.note_bound();
    }

    fn want(&mut self, wanted: &Output, number: usize) -> Result<(), Contradiction> {
        if let Output::Election(ElectionOrder::Resign { .. } | ElectionOrder::Close | ElectionOrder::Yield) = wanted {
            self.give_up();
        }
        let replayed = self.node.poll_output().as_ref().map(written);
        let recorded = written(wanted);
        if replayed.as_ref() == Some(&recorded) {
            return Ok(());
        }
        let instead = replayed.unwrap_or_else(|| "nothing".to_owned());
        Err(self.differs(number, format!("it wanted {recorded}, and should have wanted {instead}")))
    }

    fn lead(&mut self, epoch: u64, since: Moment, line: usize) {
        let Supervisor { segment, .. } = self.supervisor;
        self.leaderships.push(Leadership {
            cluster: segment.header.cluster.clone(),
            node: segment.header.node.clone(),
            boot: segment.header.boot.clone(),
            pid: segment.header.pid,
            epoch,
            elected: self.elected.take(),
            since,
            bound: None,
            given_up: false,
            path: segment.path.clone(),
            line,
        });
        self.note_bound();
    }

    fn note_bound(&mut self) {
        let config = self.node.config();
        if config.election == ElectionKind::ZooKeeper
            && let Some(leadership) = self.leaderships.last_mut()
            && let Some(until) = self.node.machine().lease_until()
        {
            leadership.bound = leadership.bound.max(Some(until + config.zookeeper.margin));
        }
    }

    fn give_up(&mut self) {
        if let Some(leadership) = self.leaderships.last_mut() {
            leadership.given_up = true;
        }
    }

    fn differs(&self, line: usize, found: String) -> Contradiction {
        Contradiction { rule: SAME, found, path: self.supervisor.segment.path.clone(), line }
    }
}

fn written(output: &Output) -> String {
    serde_json::to_string(output).unwrap_or_default()
}
