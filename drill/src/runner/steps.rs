//! One step of the schedule: faults begin and end at their times, then everything is whole, then somebody must be active.

use std::time::Duration;

use anyhow::{Context, Result};

use super::evidence;
use crate::history::Entry;
use crate::lab::{Lab, nanoseconds};
use crate::nemesis::{Fault, Planned, Step, kinds};
use testbed::clock;

/// The judge's limit is far shorter; here it only keeps a run from waiting for ever.
const RECOVERY: Duration = Duration::from_secs(60);
/// Until restarted ZooKeeper servers serve.
const ENSEMBLE: Duration = Duration::from_secs(60);
/// Between two turns of faults that go on.
const TURN: Duration = Duration::from_millis(10);

/// Counts as it goes.
#[derive(Default)]
pub struct Steps {
    last: u32,
}

/// A fault of a step, on its way.
struct Underway<'a> {
    id: u32,
    planned: &'a Planned,
    fault: Box<dyn Fault>,
    begin_at: u64,
    end_at: u64,
    begun: bool,
    ended: bool,
    failure: Option<String>,
    line: String,
}

impl Steps {
    /// How many faults there were.
    pub fn faults(&self) -> u32 {
        self.last
    }

    /// Performs a step, and returns after its calm.
    ///
    /// # Errors
    /// The lab is not what it must be for another step.
    pub fn perform(&mut self, lab: &mut Lab, step: &Step) -> Result<()> {
        let start = clock::now();
        let mut underway = Vec::new();
        for planned in &step.faults {
            self.last += 1;
            let kind = kinds::find(planned.kind).with_context(|| format!("no fault {}", planned.kind))?;
            let begin_at = start + nanoseconds(Duration::from_millis(planned.delay_ms));
            underway.push(Underway {
                id: self.last,
                planned,
                fault: (kind.make)(),
                begin_at,
                end_at: begin_at + nanoseconds(Duration::from_millis(planned.draw.hold_ms)),
                begun: false,
                ended: false,
                failure: None,
                line: String::new(),
            });
        }
        while underway.iter().any(|fault| !fault.ended) {
            for fault in &mut underway {
                fault.turn(lab)?;
            }
            lab.wait(TURN)?;
        }
        let effect = step.faults.iter().filter_map(|fault| kinds::find(fault.kind)).map(|kind| kind.effect_ms).max();
        lab.wait(Duration::from_millis(effect.unwrap_or(0)))?;
        let whole = lab.until(ENSEMBLE, "the ZooKeeper servers serve again", Lab::ensemble_serves);
        let healed = clock::now();
        lab.history.note(Entry::Healed)?;
        whole?;
        let words: Vec<&str> = underway.iter().map(|fault| fault.line.as_str()).collect();
        // An API may flatter for a moment after its coordinator was killed: there must be one.
        let recovered = lab.until(RECOVERY, "a node is active", |lab| {
            let (node, epoch) = lab.observer.active_since(healed)?;
            let coordinators = lab.candidates[lab.index(&node)?].coordinators();
            (!coordinators.is_empty()).then_some((node, epoch))
        });
        let (node, epoch) = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                println!("{}: NOT RECOVERED", words.join("  +  "));
                return Err(error);
            }
        };
        lab.history.note(Entry::Recovered { node: node.clone(), epoch })?;
        let after = clock::now() - healed;
        lab.remember_leaderships();
        let gap = evidence::longest_gap(&mut lab.tick_log, start, clock::now())?.as_millis();
        println!(
            "{}: no coordinator for {gap} ms; {node} active (epoch {epoch}) {} ms after all was healed",
            words.join("  +  "),
            after / 1_000_000
        );
        lab.wait(Duration::from_millis(step.calm_ms))
    }
}

impl Underway<'_> {
    fn turn(&mut self, lab: &mut Lab) -> Result<()> {
        let now = clock::now();
        if !self.begun && now >= self.begin_at {
            self.begin(lab)?;
        } else if self.begun
            && !self.ended
            && let Err(error) = self.fault.during(lab)
        {
            self.failure.get_or_insert(format!("{error:#}"));
        }
        if self.begun && !self.ended && clock::now() >= self.end_at {
            self.end(lab)?;
        }
        Ok(())
    }

    fn begin(&mut self, lab: &mut Lab) -> Result<()> {
        self.begun = true;
        let (at, kind) = (clock::now(), self.planned.kind);
        let (targets, detail) = match self.fault.begin(lab, &self.planned.draw) {
            Ok(hit) => (hit.targets, hit.detail),
            Err(error) => {
                let failure = format!("{error:#}");
                self.failure = Some(failure.clone());
                (Vec::new(), failure)
            }
        };
        let whom = if targets.is_empty() { "nobody".to_owned() } else { targets.join(", ") };
        self.line = format!("#{} {kind} {whom}", self.id);
        if self.planned.draw.hold_ms > 0 {
            self.line += &format!(" {} ms", self.planned.draw.hold_ms);
        }
        lab.history.note_at(at, Entry::FaultBegin { id: self.id, kind: kind.to_owned(), targets, detail })
    }

    fn end(&mut self, lab: &mut Lab) -> Result<()> {
        self.ended = true;
        let undone = self.fault.end(lab);
        let detail = match (&undone, &self.failure) {
            (_, Some(failure)) => failure.clone(),
            (Ok(detail), None) => detail.clone(),
            (Err(error), None) => format!("{error:#}"),
        };
        if let Some(failure) = &self.failure {
            eprintln!("drill: {}: {failure}", self.planned.kind);
        }
        let ok = undone.is_ok() && self.failure.is_none();
        lab.history.note(Entry::FaultEnd { id: self.id, ok, detail })?;
        undone.map(drop).with_context(|| format!("{} could not be undone", self.planned.kind))
    }
}
