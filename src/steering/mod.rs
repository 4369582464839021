//! To look at a cluster in ZooKeeper, and to change what people want of it, with one short session each.
//!
//! For commands and for the API, never on the way of a lease: what is asked for here is read, decided ([`decide`]) and written
//! where nothing has changed since it was read; else it is decided anew.

use crate::config::ZooKeeper;
use crate::intents::decide::{Decision, Picture, Refusal};
use crate::zookeeper::Failure;

pub mod adoption;
mod ensemble;
pub mod following;
mod forgetting;
pub mod orders;
mod waiting;

pub use self::ensemble::Ensemble;

/// How often a change is decided anew because something else was written meanwhile.
const ATTEMPTS: usize = 5;

/// Why nothing could be seen or done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    NoSession(#[from] Failure),
    #[error("ZooKeeper at {servers}: {reason}")]
    ZooKeeper { servers: String, reason: String },
    #[error("there is no cluster {cluster:?} below {root} in ZooKeeper: {}", instead(.known))]
    UnknownCluster { cluster: String, root: String, known: Vec<String> },
    #[error("{0}")]
    Refused(Refusal),
}

impl Error {
    /// Whether nobody could be asked; otherwise the answer is the error.
    pub const fn could_not_ask(&self) -> bool {
        match self {
            Self::NoSession(_) | Self::ZooKeeper { .. } => true,
            Self::UnknownCluster { .. } | Self::Refused(_) => false,
        }
    }
}

fn instead(known: &[String]) -> String {
    if known.is_empty() {
        "no node of any cluster has ever connected with this root; are cluster and zookeeper.root right?".to_owned()
    } else {
        format!("there is {}; no node of this one has ever connected, or its name is another", known.join(", "))
    }
}

/// What a change was decided on, and what was written; nothing where it was so already.
#[derive(Debug)]
pub struct Changed {
    pub picture: Picture,
    pub written: bool,
}

impl Ensemble {
    /// Changes what people want, as `decide` says.
    ///
    /// # Errors
    /// It is refused, or ZooKeeper could not be asked. Where no answer came to the write, the change may have been made.
    pub fn change(&self, decide: impl Fn(&Picture) -> Result<Decision, Refusal>) -> Result<Changed, Error> {
        for _ in 0..ATTEMPTS {
            let picture = self.picture()?;
            match decide(&picture).map_err(Error::Refused)? {
                Decision::Unchanged => return Ok(Changed { picture, written: false }),
                Decision::Write(change) => {
                    if self.write(&change)? {
                        return Ok(Changed { picture, written: true });
                    }
                }
            }
        }
        let reason = "something else was written each time: try again".to_owned();
        Err(Error::ZooKeeper { servers: self.config().servers.clone(), reason })
    }

    fn config(&self) -> &ZooKeeper {
        &self.config
    }
}
