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
//! What is asked next, and what an answer means, is decided by one value without I/O ([`candidacy`]). Around it are the outer
//! loop (`sessions`), what is done over one connection (`serve`), and the requests themselves (`requests`).
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
mod candidacy;
mod last_will;
mod member;
mod protection;
mod reattach;
mod requests;
mod serve;
mod service;
mod sessions;
mod settings;
mod view;

#[cfg(any(test, fuzzing))]
pub mod properties {
    pub use super::view::properties::{queue, view};
}

use tokio::sync::mpsc;

use crate::config::Config;
use crate::election::Handle;
use crate::guardian::protocol::LastWill;
use crate::zookeeper as room;

pub use self::protection::{Standing, standing};
pub use self::settings::Settings;
pub use crate::zookeeper::paths::Paths;

/// Takes over the certificates of a configuration that was read again, and tells a last will of them.
pub fn renew_tls(config: &Config, will: Option<&mut LastWill>) {
    room::renew_tls(&config.zookeeper);
    if let Some(will) = will {
        will.zookeeper = room::as_reached_now(&will.zookeeper);
    }
}

/// Starts the backend on the current tokio runtime. It ends after `ElectionOrder::Close`, or when the handle is dropped.
///
/// A `Publish` before the first `Stand` makes the candidacy wait until the node's name is proven to be its own.
pub fn start(settings: Settings) -> Handle {
    let (orders, order_receiver) = mpsc::unbounded_channel();
    let (fact_sender, facts) = mpsc::unbounded_channel();
    let backend = backend::Backend::new(settings, order_receiver, fact_sender);
    tokio::spawn(sessions::run(backend));
    Handle { orders, facts }
}
