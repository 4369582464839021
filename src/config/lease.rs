//! Whether the lease that the configuration asks for is long enough to live with.
//!
//! The lease counts from before a heartbeat was sent and ends before the servers can give the role to another node:
//! session − tick / 2 − heartbeat interval − margin. Half a tick and one interval, because the ensemble's leader learns
//! of a client's life only from its followers' ping answers.

use std::time::Duration;

use super::checks::Refusal;
use super::{ZooKeeper, defaults};

impl ZooKeeper {
    /// How long the lease lasts if ZooKeeper grants the session that is asked for; zero if nothing is left.
    pub fn lease(&self) -> Duration {
        self.session_timeout.saturating_sub(spent(self))
    }
}

fn spent(zookeeper: &ZooKeeper) -> Duration {
    zookeeper.tick_time / 2 + zookeeper.heartbeat_interval + zookeeper.margin
}

/// `computed`: the heartbeat interval follows from the session timeout.
pub fn check(zookeeper: &ZooKeeper, computed: bool) -> Result<(), Refusal> {
    let ZooKeeper { session_timeout, tick_time, heartbeat_interval, margin, .. } = zookeeper;
    let needed = *heartbeat_interval * defaults::LEASE_HEARTBEATS;
    let spent = spent(zookeeper);
    if zookeeper.lease() >= needed && *session_timeout >= spent {
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
