//! The one place that reads clocks (clippy.toml bans the others).

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

use crate::moment::Moment;

/// CLOCK_BOOTTIME, on which leases and deadlines are measured.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists on every Linux that Rust supports");
    Moment::from_nanos(u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}

/// Wall-clock time, only ever shown to people.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Wall-clock time as in `2026-01-02T03:04:05.678Z`.
pub fn timestamp() -> String {
    humantime::format_rfc3339_millis(wall()).to_string()
}
