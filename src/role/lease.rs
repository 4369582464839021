//! The timing inequalities: how long after a heartbeat was *sent* this node may act on it.
//!
//! A ZooKeeper session lives between T and T + tick after the leader last heard of it, and the leader learns of a client's
//! life only from its followers' answers to pings, every half tick. So the session of a client whose heartbeat was
//! acknowledged cannot expire before `sent + T − tick/2`. One heartbeat interval is kept for the next acknowledgement's
//! way, and `margin` for killing a process tree.

use std::time::Duration;

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
    /// How long after a heartbeat was sent its acknowledgement lets this node act.
    pub fn length(&self) -> Duration {
        self.session_timeout
            .saturating_sub(self.tick_time / 2)
            .saturating_sub(self.heartbeat_interval)
            .saturating_sub(self.margin)
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
