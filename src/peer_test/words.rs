//! What the two say to each other, and how long each waits for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::PeerTest;

/// For one step of the other, once both are there; and for one call to the volume. A file server that recalls a
/// delegation first needs a lease and some seconds.
pub const STEP: Duration = Duration::from_secs(20);

/// Whom to meet, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `None`: whoever waits for somebody, too.
    pub with: Option<String>,
    /// The other's host id, where it is known: an earlier result counts only for that host.
    pub host: Option<String>,
    pub wait: Duration,
    /// An earlier good result is enough.
    pub reuse: bool,
}

/// What one says to the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Word {
    pub node: String,
    pub host: String,
    /// This run of the test.
    pub nonce: String,
    pub volume: Option<String>,
    /// The nonce of the run that it has met.
    pub with: Option<String>,
    pub step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Here,
    Locked {
        file: String,
    },
    Tried {
        /// What kept the contender from the file or its content.
        unread: Option<String>,
        excluded: bool,
    },
    Released,
    Done {
        /// Milliseconds until the lock was free; `None`: it was not.
        got_after: Option<u64>,
    },
    /// The test is over: the verdict.
    Over(PeerTest),
}
