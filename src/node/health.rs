//! When the coordinator is asked how it is, and what its answers mean.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::config;
use crate::moment::Moment;

/// While the coordinator starts it is asked more often, for every wait is outage.
const STARTUP_INTERVAL: Duration = Duration::from_millis(50);

/// What a command gets beyond its time-out to be killed in.
const KILLING: Duration = Duration::from_millis(500);

/// The questions of one coordinator.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Health {
    /// Counts them; what answers another one than the last is void.
    question: u64,
    turn: Turn,
    /// It has been ready, so failures count.
    ready: bool,
    /// In a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Turn {
    /// Nobody is asked.
    #[default]
    Off,
    AskAt(Moment),
    /// Unanswered by then, it is answered for.
    AnswerBy(Moment),
}

/// What an answer says of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is ready, or well again.
    Ready,
    /// So many failures in a row, but not yet too many.
    Failing { failures: u32, reason: String },
    /// Too many. It is asked nothing more.
    Unhealthy { reason: String },
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The question of that number is to be asked.
    Ask(u64),
    /// The question of that number has not been answered in time.
    Silence(u64),
}

impl Health {
    /// Begins to ask a coordinator that runs; `ready`: it was ready already.
    pub fn begin(&mut self, ready: bool, settings: &config::Health, now: Moment) {
        self.end();
        self.ready = ready;
        self.turn = Turn::AskAt(if ready { now + settings.interval } else { now });
    }

    /// Asks nothing more, and hears nothing more.
    pub fn end(&mut self) {
        *self = Self { question: self.question, ..Self::default() };
    }

    /// Hashes what can bear on a decision. How often it was asked cannot: only whether an answer is to the last question.
    pub fn hash_bearing(&self, state: &mut impl Hasher) {
        (self.turn, self.ready, self.failures).hash(state);
    }

    /// Whether what answers that question would be heard.
    pub fn awaits(&self, question: u64) -> bool {
        matches!(self.turn, Turn::AnswerBy(_)) && question == self.question
    }

    /// When something is due.
    pub const fn deadline(&self) -> Option<Moment> {
        match self.turn {
            Turn::Off => None,
            Turn::AskAt(at) | Turn::AnswerBy(at) => Some(at),
        }
    }

    pub fn due(&mut self, settings: &config::Health, now: Moment) -> Option<Due> {
        match self.turn {
            Turn::AskAt(at) if at <= now => {
                self.question += 1;
                self.turn = Turn::AnswerBy(now + settings.timeout + KILLING);
                Some(Due::Ask(self.question))
            }
            Turn::AnswerBy(by) if by <= now => Some(Due::Silence(self.question)),
            Turn::Off | Turn::AskAt(_) | Turn::AnswerBy(_) => None,
        }
    }

    /// Takes in an answer, unless it is to another question than the last, or nothing is asked any more.
    pub fn hear(
        &mut self,
        question: u64,
        answer: Result<(), String>,
        settings: &config::Health,
        now: Moment,
    ) -> Option<Verdict> {
        if !self.awaits(question) {
            return None;
        }
        let starts = !self.ready;
        let hurries = starts && answer.is_err();
        self.turn =
            Turn::AskAt(now + if hurries { STARTUP_INTERVAL.min(settings.interval) } else { settings.interval });
        match answer {
            Ok(()) => {
                let recovers = std::mem::take(&mut self.failures) > 0;
                self.ready = true;
                (starts || recovers).then_some(Verdict::Ready)
            }
            Err(_) if starts => None,
            Err(reason) => {
                self.failures += 1;
                if self.failures < settings.failures {
                    return Some(Verdict::Failing { failures: self.failures, reason });
                }
                self.end();
                Some(Verdict::Unhealthy { reason })
            }
        }
    }
}
