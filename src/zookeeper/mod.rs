//! How this program reaches ZooKeeper: names, addresses, TLS, sessions, and why there is none.
//!
//! # Theory of operation
//!
//! Election, guardian, client commands and preflight all come in by [`open`], so that what one of them reaches the others
//! reach, and what one of them says of a server the others say, too.
//!
//! ```text
//! open ─► names: the last good address first, then every address of every server ─► one attempt each, with its own time
//!            │ looked up on threads of their own, remembered while the name service is down
//!            └─► plain: the client crate connects to the address
//!                TLS:   a gate connects to the address, shakes hands with the *name*, and the crate connects to the gate
//! none ─► diagnosis: every address is asked directly what is wrong with it
//! ```
//!
//! The client crate takes host and port and knows no more: it looks the name up itself, on threads without a limit, and
//! leaves the choice among several addresses, and how long each may take, to the kernel. So it is only ever given an
//! address. What it has no words for (a certificate is for a name, a connection is to an address) is the [`gate`]'s.
//!
//! Rejected: a changed copy of the crate, which would have to be kept.

mod backoff;
pub mod breadth;
mod connect;
pub mod contents;
mod diagnosis;
pub mod directories;
mod executor;
mod gate;
mod grant;
pub mod intents;
pub mod known;
pub mod last_will;
mod names;
pub mod paths;
mod tls;

use crate::config;
use crate::guardian::protocol::{TlsMaterial, ZooKeeperAccess};

pub use self::backoff::Backoff;
pub use self::connect::{Parted, Session, Stake, close, has_alternatives, open, open_or_not, open_within, reopen};
pub use self::diagnosis::{Clause, Failure, Trouble};
pub use self::grant::other_tick;

/// As this process would reach it at this moment, for another one that may have to when no name service answers.
pub fn as_reached_now(access: &ZooKeeperAccess) -> ZooKeeperAccess {
    ZooKeeperAccess {
        addresses: names::remembered(&access.servers),
        tls: tls::current(access.tls.as_ref()),
        ..access.clone()
    }
}

/// Takes over the certificates of a configuration that was read again, for every connection that is made from here on.
pub fn renew_tls(zookeeper: &config::ZooKeeper) {
    if let Some(material) = access(zookeeper).tls {
        tls::renew(material);
    }
}

/// How the configuration says that ZooKeeper is to be reached.
pub fn access(zookeeper: &config::ZooKeeper) -> ZooKeeperAccess {
    let tls = zookeeper.tls.as_ref().map(|tls| TlsMaterial {
        ca: tls.ca.clone(),
        cert: tls.cert.clone(),
        key: tls.key.as_ref().map(|key| key.reveal().to_owned()),
    });
    ZooKeeperAccess {
        servers: zookeeper.servers.clone(),
        session_timeout: zookeeper.session_timeout,
        digest: zookeeper.digest.as_ref().map(|digest| digest.reveal().to_owned()),
        tls,
        addresses: Default::default(),
    }
}
