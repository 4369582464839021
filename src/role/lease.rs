//! The timing inequalities: how long after a heartbeat was *sent* this node may act on it.
//!
//! A ZooKeeper session lives between T and T + tick after the leader last heard of it, and the leader learns of a client's
//! life only from its followers' answers to pings, every half tick. So the session of a client whose heartbeat was
//! acknowledged cannot expire before `sent + T − tick/2`. One heartbeat interval is kept for the next acknowledgement's
//! way, and `margin` for killing a process tree. These two are the *grace*: what lies between the lease's end and the
//! earliest moment at which anybody else can be elected. A watchdog fires at the grace's end at the latest.

use std::time::Duration;

use crate::moment::Moment;

/// The quantities that decide how long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseTiming {
    /// Negotiated with the server, not what was asked for.
    pub session_timeout: Duration,
    /// The ensemble's `tickTime`.
    pub tick_time: Duration,
    /// Between two heartbeats.
    pub heartbeat_interval: Duration,
    /// For killing the tree, and for clocks that drift.
    pub margin: Duration,
}

/// A device may fire late by so great a part of its time-out, which is no longer than the lease: a second of an i6300esb has
/// 1,024 ms.
const LATE: u32 = 32;

/// A watchdog's timing. Devices count in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchdogTiming {
    /// What to ask the device for.
    pub seconds: u64,
    /// A device whose time-out is longer is useless: its feeding would have to stop within a grace of every heartbeat.
    pub longest: Duration,
    /// Until when after the lease's end it may fire, as it counts: [`LeaseTiming::grace`], less what a device may be late.
    pub grace: Duration,
}

impl WatchdogTiming {
    /// Whether a device that counts in seconds can be used at all under this lease.
    pub fn fits(&self) -> bool {
        Duration::from_secs(self.seconds) <= self.longest
    }

    /// Until when the device may be fed under a lease that ends at `deadline`; never past that.
    pub fn feed_until(&self, timeout: Duration, deadline: Moment) -> Moment {
        (deadline + self.grace - timeout).min(deadline)
    }

    /// What a lease must have left for a device of the wanted time-out to be armed.
    pub fn least_to_arm(&self) -> Duration {
        Duration::from_secs(self.seconds).saturating_sub(self.grace)
    }
}

/// Why these timings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingProblem {
    /// What would be left after the subtractions.
    pub lease: Duration,
    /// The least that is accepted: four heartbeats. Three must be left when a coordinator is started, and a renewal
    /// that has been on its way never leaves all of its lease.
    pub least: Duration,
}

impl LeaseTiming {
    /// With `election = "lock"` the volume's probe takes the heartbeat's place: one begun every interval must end within
    /// its time-out.
    pub fn of_probes(interval: Duration, timeout: Duration) -> Self {
        Self {
            session_timeout: interval * 2 + timeout,
            tick_time: Duration::ZERO,
            heartbeat_interval: interval,
            margin: Duration::ZERO,
        }
    }

    /// How long after a heartbeat was sent its acknowledgement lets this node act.
    pub fn length(&self) -> Duration {
        self.session_timeout
            .saturating_sub(self.tick_time / 2)
            .saturating_sub(self.heartbeat_interval)
            .saturating_sub(self.margin)
    }

    /// Between the lease's end and the earliest moment at which another node can be elected.
    pub fn grace(&self) -> Duration {
        self.heartbeat_interval + self.margin
    }

    /// What a watchdog is to be set to under this lease.
    ///
    /// A device that is fed at `t` fires at `t + timeout`, and that must not be after the grace's end. So the later a
    /// heartbeat is acknowledged, the less can it feed; with half the lease plus the grace, a lease that survives slow
    /// acknowledgements also feeds. Longer would mean resets while the lease still holds, shorter ones would make the
    /// host depend on every delay of the guardian.
    pub fn watchdog(&self) -> WatchdogTiming {
        let grace = self.grace().saturating_sub(self.length() / LATE);
        let wanted = self.length() / 2 + grace;
        WatchdogTiming { seconds: wanted.as_secs().max(1), longest: self.length(), grace }
    }

    /// What a lease must have left for a coordinator to be started under it.
    pub fn least_to_start(&self) -> Duration {
        self.heartbeat_interval * 3
    }

    /// # Errors
    /// When less than four heartbeats would be left.
    pub fn check(&self) -> Result<(), TimingProblem> {
        let (lease, least) = (self.length(), self.heartbeat_interval * 4);
        if lease < least || lease.is_zero() { Err(TimingProblem { lease, least }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(session_ms: u64, heartbeat_ms: u64) -> LeaseTiming {
        LeaseTiming {
            session_timeout: Duration::from_millis(session_ms),
            tick_time: Duration::from_secs(2),
            heartbeat_interval: Duration::from_millis(heartbeat_ms),
            margin: Duration::from_millis(500),
        }
    }

    #[test]
    fn a_lease_is_the_session_less_half_a_tick_one_heartbeat_and_the_margin() {
        assert_eq!(timing(10_000, 1_000).length(), Duration::from_millis(7_500));
        assert_eq!(timing(4_000, 400).length(), Duration::from_millis(2_100));
    }

    #[test]
    fn a_lease_that_could_never_have_three_heartbeats_left_is_refused() {
        assert!(timing(4_000, 400).check().is_ok());
        assert!(timing(10_000, 1_800).check().is_err());
        assert!(timing(4_000, 700).check().is_err());
        assert!(timing(1_000, 10).check().is_err());
    }

    #[test]
    fn a_watchdog_fires_before_anybody_else_can_be_elected_and_not_while_slow_acknowledgements_still_renew() {
        assert_eq!(timing(10_000, 1_000).watchdog().seconds, 5);
        assert_eq!(timing(4_000, 400).watchdog().seconds, 1);
        for session in (4_000..60_000).step_by(250) {
            let timing = timing(session, session / 10);
            let watchdog = timing.watchdog();
            let (sent, timeout) = (Moment::from_millis(1_000_000), Duration::from_secs(watchdog.seconds));
            assert!(timeout <= watchdog.longest, "{session}: {watchdog:?}");
            let last_fed = watchdog.feed_until(timeout, sent + timing.length());
            let fires = last_fed + timeout * 1024 / 1000;
            assert!(fires <= sent + timing.session_timeout - timing.tick_time / 2, "{session}: a slow device");
            assert!(last_fed <= sent + timing.length(), "never past the deadline");
            // Every heartbeat takes half a lease: the lease just lives on, and every acknowledgement still feeds.
            assert!(last_fed >= sent + timing.length() / 2, "{session}: {watchdog:?}");
        }
    }

    #[test]
    fn a_lease_ends_before_the_server_can_expire_the_session() {
        for session in (2_000..40_000).step_by(250) {
            let timing = timing(session, session / 10);
            assert!(
                timing.length() + timing.tick_time / 2 + timing.margin < timing.session_timeout
                    || timing.length().is_zero()
            );
        }
    }
}
