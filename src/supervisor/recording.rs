//! The supervisor's flight recorder: everything that its node hears, and everything that it wants.

use std::time::Duration;

use crate::config::Config;
use crate::moment::Moment;
use crate::node::{At, Input, Node, Output};
use crate::recorder::Recorder;
use crate::recorder::header::{Part, nanos};
use crate::recording::supervisor::{Line, is_routine, is_routine_output};

/// How long the end of the process waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Records what goes into a node and what comes out of it.
pub struct Recording(Recorder);

impl Recording {
    pub fn start(config: &Config) -> Self {
        let started = config.recording().map(|settings| Recorder::start(Part::Supervisor, settings));
        Self(match started {
            None => Recorder::off(Part::Supervisor),
            Some(Ok(recorder)) => recorder,
            Some(Err(error)) => {
                tracing::warn!(%error, "nothing is recorded: no thread can be had for the flight recorder");
                Recorder::off(Part::Supervisor)
            }
        })
    }

    /// Begins a segment, if one is due. Between one input and the next: the node has to be told what it wants done by then.
    pub fn begin(&mut self, at: At, node: &Node) {
        if self.0.wants_beginning(at.moment) {
            self.0.begin(at.moment, at.wall, node);
        }
    }

    pub fn heard(&mut self, at: At, input: &Input) {
        if self.0.records() {
            let line = Line::Heard { at: at.moment, wall: nanos(at.wall), heard: input };
            self.0.line(at.moment, &line, is_routine(input));
        }
    }

    pub fn wanted(&mut self, now: Moment, output: &Output) {
        if self.0.records() {
            self.0.line(now, &Line::Wanted { wanted: output }, is_routine_output(output));
        }
    }

    /// Nothing more happens for the moment.
    pub fn settle(&mut self, now: Moment) {
        self.0.settle(now);
        if let Some(problem) = self.0.problem() {
            tracing::warn!(
                problem,
                "the flight recorder cannot write: nothing is recorded; tried again every minute, and nothing else depends on it"
            );
        }
    }

    /// The process is about to end.
    pub fn finish(&mut self, now: Moment) {
        self.0.finish(now, LAST_LINES);
    }
}
