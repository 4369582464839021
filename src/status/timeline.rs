//! The steps of a fail-over, of one node or of all, in one order.
//!
//! Within one boot of one host the boot clock orders everything. Between hosts only wall clocks do, which may be wrong: a step that
//! nothing but they put behind the one before it is marked.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::HistoryEntry;

/// Which of a node's two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    Supervisor,
    Guardian,
}

/// Between which steps a fail-over's time is told: see [`super::spans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// What ended a leadership.
    Cause,
    /// Its node knows that it is to end.
    Ending,
    /// Nothing of coordinator and commands lives.
    Dead,
    /// The lock is closed.
    Closed,
    /// The lock is taken.
    Locked,
    /// The epoch is taken, or its record written: the later one counts.
    Claimed,
    /// The coordinator was executed.
    Started,
    /// And is ready.
    Ready,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// By the wall clock of its host.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// Nanoseconds, by its host's boot clock.
    pub boot_ns: u64,
    /// The id of its host's boot: within it `boot_ns` can be compared.
    pub boot: String,
    pub node: String,
    pub process: Process,
    /// One line.
    pub what: String,
    /// What it is in the course of a fail-over; null where it is no mark of it, or a version tells it that knows none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known")]
    pub mark: Option<Mark>,
    /// Nothing but wall clocks puts it behind the step before it.
    #[serde(default)]
    pub unordered: bool,
}

/// What one member has recorded of an epoch's beginning: `/history/EPOCH`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub node: String,
    pub entry: HistoryEntry,
    /// Its own, from the end of the leadership before until a coordinator ran again.
    pub steps: Vec<Step>,
}

/// Sorts steps by time, and marks those of which that proves nothing.
pub fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by_key(|step| (step.at, step.boot_ns));
    let mut before: Option<String> = None;
    for step in &mut steps {
        step.unordered = before.as_ref().is_some_and(|boot| *boot != step.boot);
        before = Some(step.boot.clone());
    }
    steps
}

/// Steps as text, a line each: when, how long after the one before, who, what.
pub fn render(steps: &[Step]) -> String {
    let mut text = String::new();
    let mut before: Option<SystemTime> = None;
    let width = steps.iter().map(|step| step.node.len()).max().unwrap_or(0);
    for step in steps {
        let gap = before.and_then(|before| step.at.duration_since(before).ok()).unwrap_or_default();
        before = Some(step.at);
        let process = match step.process {
            Process::Supervisor => "",
            Process::Guardian => "guardian",
        };
        let _ = writeln!(
            text,
            "{} {}{:>10.1} ms  {:width$}  {process:8}  {}",
            humantime::format_rfc3339_micros(step.at),
            if step.unordered { '~' } else { ' ' },
            gap.as_secs_f64() * 1e3,
            step.node,
            step.what
        );
    }
    text
}

/// A point in time, from nanoseconds since 1970.
pub fn from_nanos(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// What another version marks in another way is no mark.
fn known<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Mark>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_nanos(*at))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(millis: u64, boot: &str) -> Step {
        Step {
            at: from_nanos(1_767_323_045_000_000_123 + millis * 1_000_000),
            boot_ns: millis,
            boot: boot.to_owned(),
            node: boot.to_owned(),
            process: Process::Guardian,
            what: "does something".to_owned(),
            mark: None,
            unordered: false,
        }
    }

    #[test]
    fn steps_of_another_boot_are_marked_where_they_follow_each_other() {
        let steps = in_order(vec![step(30, "a"), step(10, "a"), step(20, "b")]);
        let marks: Vec<_> = steps.iter().map(|step| (step.boot_ns, step.unordered)).collect();
        assert_eq!(marks, [(10, false), (20, true), (30, true)]);
        assert_eq!(
            render(&steps).lines().nth(1).unwrap(),
            "2026-01-02T03:04:05.020000Z ~      10.0 ms  b  guardian  does something"
        );
    }

    #[test]
    fn a_step_is_exact_when_it_was_written_and_read() {
        let step = step(1, "a");
        let text = serde_json::to_string(&step).unwrap();
        assert!(text.contains("\"at\":\"2026-01-02T03:04:05.001000123Z\""), "{text}");
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    }
}
