//! A point on CLOCK_BOOTTIME: the only clock that leases are measured on.
//!
//! CLOCK_BOOTTIME goes on while the machine is suspended and never steps, so a host that slept past its lease knows so
//! at its first instruction. CLOCK_MONOTONIC stands still during suspend; the wall clock steps. This module only does
//! arithmetic; reading the clock is [`crate::clock`]'s.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since boot, suspended time included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// A moment from nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A moment from whole milliseconds since boot.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

/// For people, in log lines, messages and tables: `9.1 ms`, `212 ms`, `2.5 s`, `1 min 30 s`, `3 h 12 min`, `2 d 5 h`. Whoever
/// reckons with a duration gets it as a number, or as the configuration writes it.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_micros(9_950) {
        decimal(duration.as_secs_f64() * 1e3, 1, "ms")
    } else if duration < Duration::from_micros(999_500) {
        decimal(duration.as_secs_f64() * 1e3, 0, "ms")
    } else if duration < Duration::from_millis(59_995) {
        decimal(duration.as_secs_f64(), 2, "s")
    } else {
        match seconds.max(60) {
            seconds @ ..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
            seconds @ ..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
            seconds => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
        }
    }
}

fn decimal(number: f64, places: usize, unit: &str) -> String {
    let text = format!("{number:.places$}");
    let text = if places > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

fn two(large: u64, unit: &str, small: u64, of_small: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {of_small}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        for (nanos, text) in [
            (9_059_735, "9.1 ms"),
            (500_000_000, "500 ms"),
            (2_500_000_000, "2.5 s"),
            (10_000_000_000, "10 s"),
            (7_501_234_567, "7.5 s"),
            (0, "0 ms"),
            (212_400_000, "212 ms"),
            (999_700_000, "1 s"),
            (59_996_000_000, "1 min"),
            (90_500_000_000, "1 min 30 s"),
            (3_600_000_000_000, "1 h"),
            (11_559_000_000_000, "3 h 12 min"),
            (86_399_000_000_000, "23 h 59 min"),
            (190_800_000_000_000, "2 d 5 h"),
        ] {
            assert_eq!(in_words(Duration::from_nanos(nanos)), text);
        }
    }
}
