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

/// For people: `9.1 ms`, `2.5 s`.
pub fn in_words(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        let text = format!("{:.1}", duration.as_secs_f64() * 1e3);
        format!("{} ms", text.strip_suffix(".0").unwrap_or(&text))
    } else {
        let text = format!("{:.2}", duration.as_secs_f64());
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    }
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
        ] {
            assert_eq!(in_words(Duration::from_nanos(nanos)), text);
        }
    }
}
