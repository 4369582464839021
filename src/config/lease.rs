//! Whether the lease that the configuration asks for is long enough to live with. Its arithmetic: [`crate::role::lease`].

use std::time::Duration;

use super::checks::Refusal;
use super::{ZooKeeper, defaults};
use crate::role::lease::LeaseTiming;

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

    /// How it is reckoned under the session that ZooKeeper has granted.
    pub fn timing_under(&self, granted: Duration) -> LeaseTiming {
        self.timing().granted(self.session_timeout, granted)
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
    let ZooKeeper { session_timeout, tick_time, heartbeat_interval, margin, .. } = zookeeper;
    let needed = *heartbeat_interval * defaults::LEASE_HEARTBEATS;
    let spent = *tick_time / 2 + *heartbeat_interval + *margin;
    if zookeeper.timing().length() >= needed && *session_timeout >= spent {
        return Ok(());
    }
    let lease = session_timeout.as_secs_f64() - spent.as_secs_f64();
    let what = format!(
        "leaves too short a lease: session_timeout {} − tick_time / 2 {} − heartbeat_interval {} − margin {} = {} s, under \
         {} heartbeats ({})",
        seconds(*session_timeout),
        seconds(*tick_time / 2),
        seconds(*heartbeat_interval),
        seconds(*margin),
        (lease * 1000.0).round() / 1000.0,
        defaults::LEASE_HEARTBEATS,
        seconds(needed),
    );
    let shortest = if computed {
        // With one interval = session / n, the session less (1 + heartbeats) / n of itself must cover tick and margin.
        let parts = defaults::HEARTBEATS_PER_SESSION;
        (*tick_time / 2 + *margin) * parts / (parts - 1 - defaults::LEASE_HEARTBEATS)
    } else {
        spent + needed
    };
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
