//! What the client commands use to see a cluster: through any member's API, or in ZooKeeper itself.
//!
//! Nothing here is on the way of a lease: it blocks, it times out, it reports.

use std::time::Duration;

use crate::clock;
use crate::config::{Secret, ZooKeeper};
use crate::status::{ClusterView, HistoryEntry, Role};
use crate::steering::{self, Ensemble};

pub use crate::status::verdict::{self, Sight};

mod api;
pub mod commands;
pub mod events;
pub mod plugin;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod proxy_config;
pub mod rehearsal;
pub mod render;
pub mod report;
mod screen;
pub mod sending;
pub mod timeline;
pub mod upgrading;
pub mod watch;

/// What is shown to an API, and by what an API is known.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub token: Option<Secret>,
    /// PEM text: the authorities of the members' certificates. Without it those that everybody knows.
    pub ca: Option<String>,
    /// PEM texts of a client certificate and its key.
    pub identity: Option<(String, Secret)>,
}

impl Access {
    pub fn by_token(token: Secret) -> Self {
        Self { token: Some(token), ..Self::default() }
    }
}

/// Until a cluster that is about to have an active node is asked once more.
const AGAIN: Duration = Duration::from_millis(250);

/// A way to look at a cluster.
#[derive(Debug)]
pub enum Client {
    Api(api::Api),
    ZooKeeper(Box<Ensemble>),
}

/// Why nothing could be seen; one sentence per place that was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no API given")]
    NoApi,
    #[error("no API answered: {}", .0.join("; "))]
    NoAnswer(Vec<String>),
    #[error(transparent)]
    Ensemble(#[from] steering::Error),
}

impl Error {
    /// Whether nobody could be asked; otherwise the answer is the error.
    pub const fn could_not_ask(&self) -> bool {
        match self {
            Self::NoApi | Self::NoAnswer(_) => true,
            Self::Ensemble(error) => error.could_not_ask(),
        }
    }
}

impl Client {
    /// Through the APIs at `urls`, tried in turn.
    pub fn from_api(urls: impl IntoIterator<Item = impl Into<String>>, access: Access) -> Self {
        Self::Api(api::Api::new(urls.into_iter().map(Into::into).collect(), access))
    }

    /// Through the ensemble that `config` names.
    pub fn from_zookeeper(cluster: &str, config: ZooKeeper) -> Self {
        Self::ZooKeeper(Box::new(Ensemble::new(cluster, config)))
    }

    /// The cluster, with the nodes that are here.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn cluster(&self) -> Result<ClusterView, Error> {
        self.glance().map(|sight| sight.view.present())
    }

    /// The cluster, with the known nodes that are not here, and whether who answered can know.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn sight(&self) -> Result<Sight, Error> {
        let sight = self.glance()?;
        Ok(match self {
            // With `election = "lock"` a member knows of itself alone.
            Self::Api(api) if sight.view.members.len() == 1 => api.with_the_others(sight),
            Self::Api(_) | Self::ZooKeeper(_) => sight,
        })
    }

    /// The same by one word, which says who is active.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn glance(&self) -> Result<Sight, Error> {
        let sight = self.look()?;
        // Who has just become active has told its API before it has told the others: that is no answer yet.
        let about_to_be = |view: &ClusterView| view.members.iter().any(|member| member.row.role == Role::Promoting);
        if sight.view.active.is_none() && about_to_be(&sight.view) {
            std::thread::sleep(AGAIN);
            return Ok(self.look().unwrap_or(sight));
        }
        Ok(sight)
    }

    fn look(&self) -> Result<Sight, Error> {
        match self {
            Self::Api(api) => api.cluster(),
            Self::ZooKeeper(ensemble) => Ok(ensemble.cluster()?.with_absent(clock::wall()).into()),
        }
    }

    /// Newest first.
    ///
    /// # Errors
    /// Nobody could be asked.
    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        match self {
            Self::Api(api) => api.history(),
            Self::ZooKeeper(ensemble) => Ok(ensemble.history()?),
        }
    }
}
