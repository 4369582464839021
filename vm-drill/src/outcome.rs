//! What one run of a drill found: gap, overlap, expectations met or not, figures.

use std::collections::BTreeMap;
use std::time::Duration;

use drill::judge::Offence;
use serde::{Deserialize, Serialize};

/// One expectation, as a sentence, and what was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expectation {
    pub text: String,
    pub met: bool,
    pub found: String,
    /// It is about how long something takes, so a host that starves its machines may be why it was not met.
    pub of_time: bool,
}

/// What an outcome says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    Failed,
    /// Only limits of time were not met, and the host had not let the machines run for long enough: nothing is proven.
    Starved,
    /// These hosts lack what the drill needs.
    NotHere,
}

impl Verdict {
    /// What the judge of the whole history found. `starved`: the host had not let the machines run for long enough.
    pub fn of(judged: &drill::judge::Verdict, starved: bool) -> Self {
        let late = |charge: &drill::judge::Charge| {
            matches!(charge.offence, Offence::NotRecovered | Offence::UnexplainedGap | Offence::Vacuous)
        };
        match judged.charges.iter().all(late) {
            _ if judged.charges.is_empty() => Self::Passed,
            true if starved => Self::Starved,
            _ => Self::Failed,
        }
    }
}

/// Machines that wait for so much of their time are slowed down by half, and in fits of seconds.
const STARVED_PERCENT: f64 = 33.0;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Milliseconds in which no coordinator ran; none where the drill is not about that.
    pub gap_ms: Option<f64>,
    /// Milliseconds in which two ran.
    pub overlap_ms: Option<f64>,
    pub expectations: Vec<Expectation>,
    /// Measured beside, by name, in the name's unit.
    pub figures: BTreeMap<String, f64>,
    pub notes: Vec<String>,
    /// Why it cannot be done on these hosts.
    #[serde(default)]
    pub not_here: Option<String>,
    /// The drill itself could not be carried out.
    pub error: Option<String>,
    pub seconds: f64,
    /// Percent of the time in which the machines wanted a processor that they waited for one.
    pub waited_percent: f64,
}

impl Outcome {
    pub fn verdict(&self) -> Verdict {
        if self.not_here.is_some() {
            return Verdict::NotHere;
        }
        let unmet = |of_time: bool| self.expectations.iter().any(|one| !one.met && one.of_time == of_time);
        let late = self.error.is_some() || unmet(true);
        match (unmet(false) || self.expectations.is_empty() && self.error.is_none(), late) {
            (true, _) => Verdict::Failed,
            (false, true) if self.starved() => Verdict::Starved,
            (false, true) => Verdict::Failed,
            (false, false) => Verdict::Passed,
        }
    }

    /// The machines wanted a processor and had none.
    pub fn starved(&self) -> bool {
        self.waited_percent >= STARVED_PERCENT
    }

    /// Expects something that no lack of processor time excuses.
    pub fn expect(&mut self, text: impl Into<String>, met: bool, found: impl Into<String>) {
        self.push(text.into(), met, found.into(), false);
    }

    /// Expects something that a starved machine may miss.
    pub fn expect_timely(&mut self, text: impl Into<String>, met: bool, found: impl Into<String>) {
        self.push(text.into(), met, found.into(), true);
    }

    fn push(&mut self, text: String, met: bool, found: String, of_time: bool) {
        self.expectations.push(Expectation { text, met, found, of_time });
    }

    /// Expects a duration of at most `limit`, and keeps it as a figure.
    pub fn expect_within(&mut self, what: &str, found: Duration, limit: Duration) {
        self.figure(&format!("{what}, ms"), milliseconds(found));
        self.expect_timely(
            format!("{what}: at most {} ms", limit.as_millis()),
            found <= limit,
            format!("{:.0} ms", milliseconds(found)),
        );
    }

    pub fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_expected_is_nothing_passed() {
        assert_eq!(Outcome::default().verdict(), Verdict::Failed);
        let not_here = Outcome { not_here: Some("no clock".to_owned()), ..Outcome::default() };
        assert_eq!(not_here.verdict(), Verdict::NotHere);
    }

    #[test]
    fn a_starved_host_excuses_lateness_and_nothing_else() {
        let mut outcome = Outcome { waited_percent: 60.0, ..Outcome::default() };
        outcome.expect_within("x", Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(outcome.verdict(), Verdict::Starved);
        outcome.expect("two never run at the same time", false, "5 ms");
        assert_eq!(outcome.verdict(), Verdict::Failed);
        let mut calm = Outcome::default();
        calm.expect_within("x", Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(calm.verdict(), Verdict::Failed);
        let lost = Outcome { waited_percent: 60.0, error: Some("not at rest".to_owned()), ..Outcome::default() };
        assert_eq!(lost.verdict(), Verdict::Starved);
    }

    #[test]
    fn what_the_judge_finds_fails_a_run_and_a_starved_host_excuses_only_what_is_late() {
        let judged = |offences: &[Offence]| {
            let charge = |offence: &Offence| drill::judge::Charge {
                offence: *offence,
                at_s: None,
                evidence: String::new(),
                lines: Vec::new(),
            };
            drill::judge::Verdict { charges: offences.iter().map(charge).collect(), ..drill::judge::judge(&[]) }
        };
        for starved in [false, true] {
            assert_eq!(Verdict::of(&judged(&[]), starved), Verdict::Passed);
            for offence in Offence::ALL {
                let late =
                    matches!(offence, Offence::NotRecovered | Offence::UnexplainedGap | Offence::Vacuous) && starved;
                let expected = if late { Verdict::Starved } else { Verdict::Failed };
                assert_eq!(Verdict::of(&judged(&[offence]), starved), expected, "{offence:?}");
            }
            let both = judged(&[Offence::UnexplainedGap, Offence::TwoAlive]);
            assert_eq!(Verdict::of(&both, starved), Verdict::Failed);
        }
    }
}
