//! The ZooKeeper backend.
//!
//! # Theory of operation
//!
//! One task owns one session at a time, and a candidacy never outlives its session: whatever ends a candidacy
//! (resignation, a request whose outcome is unknown, expiry) ends the session, and with it every ephemeral node that
//! the candidacy may have left. So there is no clean-up code to get wrong, and no ghost of a timed-out create.
//!
//! ```text
//! connect ─► idle ─Stand► queue ─first► elected ─Claim► leading ─Resign► close ─► connect …
//!               members/<node> and the view of the cluster are kept beside, on the same session
//! ```
//!
//! * **Queue.** Curator's LeaderLatch layout. The predecessor's deletion is answered by one pipelined look (sync, list,
//!   own node, epoch, breadcrumb, volume, control): a server answers one session's requests in their order, so the look
//!   costs one round trip.
//! * **Claim.** One multi takes the epoch and leaves the breadcrumb, guarded by the own node's existence and by the
//!   versions that the look saw. Between the look and the claim the supervisor takes the lock and fences the former
//!   active, however long that lasts; a claim that is overtaken meanwhile is refused as a whole. Rejected: taking the
//!   epoch first. It costs round trips at every fail-over and burns an epoch per wait.
//! * **Contact.** Nobody waits for the crate to find a server again: the session is taken to whichever server answers first
//!   ([`crate::zookeeper::reopen`]), and goes on where it was: leading, elected, in the queue.
//! * **Lease.** Session state, pings and reads prove nothing (a follower that is cut off answers all three), so only an
//!   acknowledged heartbeat multi renews, and it counts from the clock read before it was sent.
//! * **Views** are watches, never polls; they run in the same task, so dropping them drops their hold on the session.
//!   Rejected: a recursive watch on the cluster's path, which would deliver every heartbeat to everybody.
//!
//! Rejected as a whole: the crate's own lock client. It has no loss signal and no lease.

mod backend;
mod candidate;
mod directories;
mod lead;
mod member;
mod orders;
mod paths;
mod protection;
mod pulse;
mod reattach;
mod service;
mod view;

#[cfg(any(test, fuzzing))]
pub mod properties {
    pub use super::view::properties::{queue, view};
}

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zookeeper_client::{Client, Error, EventType, SessionState};

use crate::config::Config;
use crate::election::Handle;
use crate::guardian::protocol::{Testament, ZooKeeperAccess};
use crate::host::ProcessIdentity;
use crate::moment::Moment;
use crate::role::lease::LeaseTiming;
use crate::zookeeper as room;

pub use self::paths::Paths;
pub use self::protection::{Standing, standing};

/// Takes over the certificates of a configuration that was read again, and tells a last will of them.
pub fn renew_tls(config: &Config, will: Option<&mut Testament>) {
    room::renew_tls(&config.zookeeper);
    if let Some(will) = will {
        will.zookeeper = room::bequeathed(&will.zookeeper);
    }
}

/// What the backend needs to know of the configuration and of this process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cluster: String,
    pub node: String,
    /// `zookeeper.root`
    pub root: String,
    pub access: ZooKeeperAccess,
    pub heartbeat_interval: Duration,
    /// `zookeeper.tick_time`: what the servers' tick is taken for.
    pub tick_time: Duration,
    pub margin: Duration,
    /// Tells this process's own ghosts from others that use the same name.
    pub process: ProcessIdentity,
}

impl Settings {
    /// How the lease is reckoned under a session of `granted`.
    pub fn timing(&self, granted: Duration) -> LeaseTiming {
        let asked = LeaseTiming {
            session_timeout: self.access.session_timeout,
            tick_time: self.tick_time,
            heartbeat_interval: self.heartbeat_interval,
            margin: self.margin,
        };
        asked.granted(self.access.session_timeout, granted)
    }

    /// Where the id of the cluster's volume is.
    pub fn volume_path(&self) -> String {
        paths::Paths::new(&self.root, &self.cluster).volume
    }

    /// The settings that the configuration asks for.
    pub fn new(config: &Config, process: ProcessIdentity) -> Self {
        let zookeeper = &config.zookeeper;
        Self {
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            root: zookeeper.root.clone(),
            access: room::access(zookeeper),
            heartbeat_interval: zookeeper.heartbeat_interval,
            tick_time: zookeeper.tick_time,
            margin: zookeeper.margin,
            process,
        }
    }
}

/// Starts the backend on the current tokio runtime. It ends after `Order::Close`, or when the handle is dropped.
///
/// A `Publish` before the first `Stand` makes the candidacy wait until the node's name is proven to be its own.
pub fn start(settings: Settings) -> Handle {
    let (orders, order_receiver) = mpsc::unbounded_channel();
    let (fact_sender, facts) = mpsc::unbounded_channel();
    let paths = Paths::new(&settings.root, &settings.cluster);
    let backend = backend::Backend {
        settings: Arc::new(settings),
        paths: Arc::new(paths),
        orders: orders::Orders::new(order_receiver),
        facts: fact_sender,
        member: watch::channel(None).0,
        stands: false,
        told: None,
        grant: backend::Grant {
            session: None,
            timeout: Duration::ZERO,
            latest: Duration::ZERO,
            asked: Moment::from_nanos(0),
        },
        other_tick: None,
        pause: backend::between_connections(),
        protected: Arc::default(),
        hung_up: Arc::default(),
    };
    tokio::spawn(backend.run());
    Handle { orders, facts }
}

/// How long to wait before a request that failed is tried again on the same connection.
const RETRY: Duration = Duration::from_millis(100);

/// Whether the server answered, and so did nothing of what was asked. Anything else may have been carried out.
fn is_definite(error: &Error) -> bool {
    matches!(
        error,
        Error::NoNode
            | Error::NoAuth
            | Error::BadVersion
            | Error::NoChildrenForEphemerals
            | Error::NodeExists
            | Error::NotEmpty
            | Error::InvalidAcl
            | Error::QuotaExceeded
            | Error::Throttled
            | Error::MarshallingError
            | Error::Unimplemented
            | Error::BadArguments(_)
    )
}

/// How much of a sentence others get to read, in bytes: a server hangs up on who sends more than `jute.maxbuffer` (1 MiB).
const SENTENCE: usize = 2048;

/// A sentence for people as it is written in ZooKeeper.
fn shortened(text: &str) -> String {
    if text.len() <= SENTENCE {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(SENTENCE)])
}

/// Waits until the session is connected; for ever once it has ended.
async fn until_connected(client: &Client) {
    let mut watcher = client.state_watcher();
    loop {
        match watcher.peek_state() {
            SessionState::SyncConnected => return,
            state if state.is_terminated() => std::future::pending().await,
            _ => watcher.changed().await,
        };
    }
}

/// Waits before a request is tried again: a moment, and until there is a connection.
async fn before_retry(client: &Client) {
    tokio::time::sleep(RETRY).await;
    until_connected(client).await;
}

/// Waits until a node is gone. Never says so because of a lost connection or session.
async fn until_deleted(client: &Client, path: &str) {
    loop {
        match client.check_and_watch_stat(path).await {
            Ok((None, _)) => return,
            Ok((Some(_), watcher)) => match watcher.changed().await.event_type {
                EventType::NodeDeleted => return,
                EventType::Session => std::future::pending().await,
                _ => {}
            },
            Err(_) => before_retry(client).await,
        }
    }
}
