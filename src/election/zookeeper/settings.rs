//! What the backend is told at its start.

use std::time::Duration;

use crate::config::{Config, Mode};
use crate::guardian::protocol::ZooKeeperAccess;
use crate::host::ProcessIdentity;
use crate::role::lease::LeaseTiming;
use crate::zookeeper;
use crate::zookeeper::paths::Paths;

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
    /// `mode = "always-on"`
    pub always_on: bool,
    /// Tells this process's own ghosts from others that use the same name.
    pub process: ProcessIdentity,
}

impl Settings {
    /// How the lease is reckoned with the session that is asked for.
    pub fn timing(&self) -> LeaseTiming {
        LeaseTiming {
            session_timeout: self.access.session_timeout,
            tick_time: self.tick_time,
            heartbeat_interval: self.heartbeat_interval,
            margin: self.margin,
        }
    }

    /// Where the id of the cluster's volume is.
    pub fn volume_path(&self) -> String {
        Paths::new(&self.root, &self.cluster).volume
    }

    /// The settings that the configuration asks for.
    pub fn new(config: &Config, process: ProcessIdentity) -> Self {
        Self {
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            root: config.zookeeper.root.clone(),
            access: zookeeper::access(&config.zookeeper),
            heartbeat_interval: config.zookeeper.heartbeat_interval,
            tick_time: config.zookeeper.tick_time,
            margin: config.zookeeper.margin,
            always_on: config.mode == Mode::AlwaysOn,
            process,
        }
    }
}
