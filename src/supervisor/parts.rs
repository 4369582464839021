//! What is made of the configuration, at the start and again when it is needed anew.

use crate::api;
use crate::config::{Config, ElectionKind};
use crate::election::{self, Handle};
use crate::host::ProcessIdentity;

/// Starts the election backend that the configuration asks for.
pub fn backend(config: &Config, process: ProcessIdentity) -> Handle {
    match config.election {
        ElectionKind::ZooKeeper => election::zookeeper::start(election::zookeeper::Settings::new(config, process)),
        ElectionKind::Lock => election::lock::start(election::lock::Settings {
            cluster: config.cluster.clone(),
            timeout: config.lock.probe_timeout,
        }),
    }
}

/// The tokens that the API asks for.
pub fn tokens(config: &Config) -> api::Tokens {
    api::Tokens { full: config.api.token.clone(), read: config.api.read_token.clone() }
}
