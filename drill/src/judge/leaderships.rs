//! What `primacy history` said, on the run's clock.
//!
//! It is in wall-clock time. The run's first line has both clocks, which is good to within [`TOLERANCE_NS`].

use std::time::{Duration, SystemTime};

use super::numbered::numbered;
use crate::history::{Entry, Line, Run};

/// How far a wall-clock time may be off on the run's clock: `started` may be in whole seconds, and is read a moment
/// before or after its line is written; NTP may slew by 500 ppm, a second in half an hour.
pub(super) const TOLERANCE_NS: u64 = 3_000_000_000;

/// How many `primacy history` keeps. What it knew of older ones is forgotten, which is no charge.
pub(super) const KEPT: usize = 100;

/// Whether so many came after this epoch that primacy has forgotten it, or how it ended.
pub(super) fn forgotten(leaderships: &[Leadership], epoch: u64) -> bool {
    leaderships.iter().filter(|other| other.epoch > epoch).count() >= KEPT
}

/// One entry of `primacy history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub epoch: u64,
    pub node: String,
    /// ns on CLOCK_MONOTONIC, as far as the wall clock allows.
    pub from: Option<i128>,
    pub to: Option<i128>,
    /// Whether it has an end at all, readable or not.
    pub ended: bool,
    pub cause: Option<String>,
    pub detail: Option<String>,
    pub line: usize,
}

/// All leaderships by epoch, and the lines that cannot be read as one.
pub(super) fn of(lines: &[Line], run: Option<(&Run, u64)>) -> (Vec<Leadership>, Vec<usize>) {
    let zero = run.and_then(|(run, at)| Some((humantime::parse_rfc3339(&run.started).ok()?, at)));
    let (mut leaderships, mut unreadable) = (Vec::new(), Vec::new());
    for (number, line) in numbered(lines) {
        if let Entry::Leadership(value) = &line.entry {
            match leadership(value, number, zero) {
                Some(leadership) => leaderships.push(leadership),
                None => unreadable.push(number),
            }
        }
    }
    leaderships.sort_by_key(|leadership| (leadership.epoch, leadership.line));
    (leaderships, unreadable)
}

fn leadership(value: &serde_json::Value, line: usize, zero: Option<(SystemTime, u64)>) -> Option<Leadership> {
    let text = |key: &str| value.get(key).and_then(|found| found.as_str()).map(str::to_owned);
    let moment = |key: &str| monotonic(&text(key)?, zero?);
    Some(Leadership {
        epoch: value.get("epoch")?.as_u64()?,
        node: text("node")?,
        from: moment("from"),
        to: moment("to"),
        ended: text("to").is_some(),
        cause: text("cause").filter(|cause| !cause.is_empty()),
        detail: text("detail").filter(|detail| !detail.trim().is_empty()),
        line,
    })
}

/// A wall-clock time on the run's clock. May be before that clock's zero.
fn monotonic(text: &str, (wall, at): (SystemTime, u64)) -> Option<i128> {
    let moment = humantime::parse_rfc3339(text).ok()?;
    let ns = |duration: Duration| i128::try_from(duration.as_nanos()).ok();
    let since = match moment.duration_since(wall) {
        Ok(after) => ns(after)?,
        Err(before) => -ns(before.duration())?,
    };
    Some(i128::from(at) + since)
}
