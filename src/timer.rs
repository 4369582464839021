//! Waiting for a moment: a timer on CLOCK_BOOTTIME for the async runtime.
//!
//! Rejected: tokio's own timers. They run on CLOCK_MONOTONIC, which stands still while the host is suspended, so a deadline
//! would come late by that; and their wheel wakes the process two or three times for one that is a second away, which on an
//! idle node is most of what it does.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use crate::moment::Moment;
use crate::syscalls;

/// One alarm, set again as often as wanted.
pub struct Timer {
    timer: TimerFd,
    watched: AsyncFd<OwnedFd>,
    at: Option<Moment>,
}

impl Timer {
    /// Within a runtime.
    ///
    /// # Errors
    /// When no descriptor is to be had.
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let watched = syscalls::watch_for_reading(timer.as_fd())?;
        Ok(Self { timer, watched, at: None })
    }

    /// Rings at `at`, at once if that has passed. Replaces what was set before.
    pub fn set(&mut self, at: Moment) {
        if self.at == Some(at) {
            return;
        }
        // An absolute time of zero would disarm it.
        let spec = TimeSpec::from(Duration::from_nanos(at.as_nanos().clamp(1, i64::MAX as u64)));
        let set = self.timer.set(Expiration::OneShot(spec), TimerSetTimeFlags::TFD_TIMER_ABSTIME);
        set.expect("a timer's own descriptor and a valid time: nothing that the kernel could refuse");
        self.at = Some(at);
    }

    /// Waits until it rings; for ever if it is not set. Cancel safe.
    pub async fn rings(&mut self) {
        if self.at.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            let Ok(mut ready) = self.watched.readable().await else { std::future::pending().await };
            // Reading is what tells a ring from one that was called off in between.
            let mut count = [0; 8];
            let read = nix::unistd::read(self.timer.as_fd(), &mut count);
            ready.clear_ready();
            if read.is_ok() {
                self.at = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn it_rings_for_the_last_moment_that_was_set() {
        let mut timer = Timer::new().unwrap();
        let began = clock::now();
        timer.set(began);
        timer.set(began + Duration::from_millis(30));
        timer.rings().await;
        assert!(clock::now() >= began + Duration::from_millis(30));
        let waiting = tokio::time::timeout(Duration::from_millis(20), timer.rings());
        assert!(waiting.await.is_err(), "it rang twice");
        timer.set(began);
        timer.rings().await;
    }
}
