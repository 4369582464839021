//! The one clock: CLOCK_MONOTONIC of the kernel that runs everything, which is what makes "never two at once" decidable.

use nix::time::{ClockId, clock_gettime};

/// ns on CLOCK_MONOTONIC.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC is always there");
    let seconds = u64::try_from(time.tv_sec()).expect("the monotonic clock starts at zero");
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).expect("nanoseconds are not negative")
}
