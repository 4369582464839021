//! Faults against the whole program, end to end. Whatever happens: never two coordinators; and where it is possible at
//! all, one runs again.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

mod by_the_volume;
mod contact;
mod coordinators;
mod deletions;
mod fencing;
mod health;
mod hooks;
mod identity;
pub mod kills;
mod lease;
mod limits;
mod operations;
mod output;
mod partition;
#[cfg(any(feature = "seeded-bug-two-coordinators", feature = "seeded-bug-stale-epoch"))]
mod seeded;
mod series;
mod sessions;
mod stops;
mod volume;
mod waits;
mod watchdog;

/// Of the cluster's default session of 4 s.
const TWO_AND_A_HALF_SESSIONS: Duration = Duration::from_secs(10);

/// `a` is active, `b` could take over.
fn pair() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start_with_active(&["a", "b"]);
    cluster
}
