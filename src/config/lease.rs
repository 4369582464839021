//! Whether the lease that the configuration asks for is long enough to live with. Its arithmetic: [`crate::role::lease`].

use std::time::Duration;

use super::checks::Refusal;
use super::{Config, ElectionKind, ZooKeeper, defaults};
use crate::role::lease::{HEARTBEATS_TO_STAND, LeaseTiming, TimingProblem};

impl Config {
    /// How the lease is reckoned, with the session that ZooKeeper has granted if there is one.
    pub fn timing(&self, granted: Option<Duration>) -> LeaseTiming {
        match self.election {
            ElectionKind::ZooKeeper => {
                let timing = self.zookeeper.timing();
                granted.map_or(timing, |granted| timing.granted(self.zookeeper.session_timeout, granted))
            }
            ElectionKind::Lock => LeaseTiming::of_probes(self.lock.probe_interval, self.lock.probe_timeout),
        }
    }
}

impl ZooKeeper {
    /// How the lease is reckoned if ZooKeeper grants the session that is asked for.
    pub const fn timing(&self) -> LeaseTiming {
        LeaseTiming {
            session_timeout: self.session_timeout,
            tick_time: self.tick_time,
            heartbeat_interval: self.heartbeat_interval,
            margin: self.margin,
        }
    }

    /// What makes a granted session longer, in one clause.
    pub fn longer_session(&self, granted: Duration) -> String {
        if granted < self.session_timeout {
            format!(
                "the servers cut the session ({} are asked for): raise maxSessionTimeout in their zoo.cfg (20 ticks unless it is \
                 set there)",
                seconds(self.session_timeout)
            )
        } else {
            "raise zookeeper.session_timeout".to_owned()
        }
    }
}

/// `computed`: the heartbeat interval follows from the session timeout.
pub fn check(zookeeper: &ZooKeeper, computed: bool) -> Result<(), Refusal> {
    let timing = zookeeper.timing();
    let Err(TimingProblem { least, .. }) = timing.check() else { return Ok(()) };
    let lease = timing.session_timeout.as_secs_f64() - timing.spent().as_secs_f64();
    let what = format!(
        "leaves too short a lease: session_timeout {} − tick_time / 2 {} − heartbeat_interval {} − margin {} = {} s, under \
         {HEARTBEATS_TO_STAND} heartbeats ({})",
        seconds(timing.session_timeout),
        seconds(timing.tick_time / 2),
        seconds(timing.heartbeat_interval),
        seconds(timing.margin),
        (lease * 1000.0).round() / 1000.0,
        seconds(least),
    );
    let shortest =
        if computed { timing.shortest_session_of(defaults::HEARTBEATS_PER_SESSION) } else { timing.shortest_session() };
    let shortest = Duration::from_millis(u64::try_from(shortest.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
    let remedy = format!(
        "raise session_timeout to at least {}, or lower heartbeat_interval or margin (or tick_time, if the ensemble's is \
         lower)",
        humantime::format_duration(shortest)
    );
    Err((what, remedy))
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
