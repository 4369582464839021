//! The one clock that everything is judged by: CLOCK_MONOTONIC of the machine that runs the drill.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment: time since some point in the past that is the same for the whole run.
pub type At = Duration;

pub fn now() -> At {
    read(ClockId::CLOCK_MONOTONIC)
}

/// When a packet arrived, from the kernel's stamp, which is in wall-clock time. Both clocks are read here, so a wall
/// clock that steps disturbs no more than the packets in flight at that moment.
pub fn of_stamp(stamp: Duration) -> At {
    now().saturating_sub(read(ClockId::CLOCK_REALTIME).saturating_sub(stamp))
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("Linux has this clock").into()
}
