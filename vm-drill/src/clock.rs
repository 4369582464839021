//! The one clock that everything is judged by: CLOCK_MONOTONIC of the machine that runs the drill.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment: time since some point in the past that is the same for the whole run.
pub type At = Duration;

pub fn now() -> At {
    Duration::from_nanos(testbed::clock::now())
}

/// As the history counts.
pub fn nanoseconds(at: At) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// When a packet arrived, from the kernel's stamp, which is in wall-clock time. Both clocks are read here, so a wall
/// clock that steps disturbs no more than the packets in flight at that moment.
pub fn of_stamp(stamp: Duration) -> At {
    let wall: Duration = clock_gettime(ClockId::CLOCK_REALTIME).expect("Linux has this clock").into();
    now().saturating_sub(wall.saturating_sub(stamp))
}
