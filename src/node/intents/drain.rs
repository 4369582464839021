//! Waiting until nothing is in flight any more.

use std::time::Duration;

use crate::config;
use crate::moment::Moment;

/// Between two runs of the drain command.
const AGAIN: Duration = Duration::from_secs(1);
/// One run of it.
const RUN: Duration = Duration::from_secs(60);

/// Whether nothing is in flight is asked again and again, until it is so or the time is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Drain {
    step: Step,
    until: Moment,
    /// What the command came to last.
    said: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Step {
    /// The command is run then.
    Due(Moment),
    Running,
    /// Nothing is in flight.
    Empty,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Wait,
    /// The command, for so long.
    Run(Duration),
    Empty,
    /// The time is over.
    Over,
}

impl Drain {
    /// `grace`: how long before the command is asked for the first time.
    pub fn begin(drain: &config::Drain, grace: Duration, now: Moment) -> Self {
        Self { step: Step::Due(now + grace), until: now + grace + drain.timeout, said: None }
    }

    pub const fn deadline(&self) -> Option<Moment> {
        match self.step {
            Step::Due(at) => Some(at),
            Step::Running => Some(self.until),
            Step::Empty => None,
        }
    }

    /// `command`: there is one. Without one, nothing is known to be in flight.
    pub fn tend(&mut self, command: bool, now: Moment) -> Next {
        match self.step {
            Step::Empty => Next::Empty,
            _ if self.until <= now => Next::Over,
            Step::Due(at) if at <= now && command => {
                self.step = Step::Running;
                Next::Run(RUN.min(self.until.since(now)))
            }
            Step::Due(at) if at <= now => Next::Empty,
            Step::Due(_) | Step::Running => Next::Wait,
        }
    }

    /// The command has ended.
    pub fn hear(&mut self, empty: bool, said: String, now: Moment) {
        self.step = if empty { Step::Empty } else { Step::Due(now + AGAIN) };
        self.said = Some(said);
    }

    /// What is in flight, as far as anybody said.
    pub fn in_words(&self) -> String {
        match &self.said {
            Some(said) => format!("draining; drain.command: {said}"),
            None => "draining".to_owned(),
        }
    }
}
