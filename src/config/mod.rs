//! The configuration: file → raw (serde) → validated types. Every problem is reported at once.
//!
//! The types here are the validated ones: whoever holds a [`Config`] need not check it again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The effective, validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: String,
    pub node: String,
    pub election: ElectionKind,
    pub environment: String,
    pub zookeeper: ZooKeeper,
    pub lock: Lock,
    pub coordinator: Coordinator,
    pub health: Health,
    pub drain: Drain,
    pub fencing: Fencing,
    pub hooks: Hooks,
    pub candidate: Candidate,
    pub api: Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    ZooKeeper,
    Lock,
}

#[derive(Clone, Debug)]
pub struct ZooKeeper {
    /// `host:port,host:port`; empty with `election = "lock"`.
    pub servers: String,
    pub root: String,
    pub session_timeout: Duration,
    pub tick_time: Duration,
    pub heartbeat_interval: Duration,
    pub margin: Duration,
    /// The content of `digest_file`: `user:password`.
    pub digest: Option<Secret>,
    pub tls: Option<ZooKeeperTls>,
}

/// PEM texts, read at start.
#[derive(Clone, Debug)]
pub struct ZooKeeperTls {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct Lock {
    pub directory: PathBuf,
    pub probe_interval: Duration,
    pub probe_timeout: Duration,
    /// Bytes.
    pub min_free_space: u64,
}

#[derive(Clone, Debug)]
pub struct Coordinator {
    pub command: Vec<String>,
    pub kind: CoordinatorKind,
    pub working_directory: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    pub user: Option<String>,
    /// Signal number.
    pub stop_signal: i32,
    pub stop_timeout: Duration,
    pub before_kill: Vec<String>,
    pub restarts: Restarts,
    pub backoff: Backoff,
    pub endpoints: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorKind {
    Foreground,
    Forking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    pub max: u32,
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
    pub reset: Duration,
}

#[derive(Clone, Debug)]
pub struct Health {
    pub startup_timeout: Duration,
    pub probe: Option<HealthProbe>,
    pub interval: Duration,
    pub timeout: Duration,
    pub failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProbe {
    Http(String),
    Tcp(String),
    Command(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Drain {
    pub grace_period: Duration,
    pub command: Vec<String>,
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Fencing {
    /// Empty: none.
    pub command: Vec<String>,
    pub timeout: Duration,
    pub required: bool,
    pub after_loss: AfterLoss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    Exit,
    Rejoin,
}

#[derive(Clone, Debug, Default)]
pub struct Hooks {
    pub on_active: Vec<String>,
    pub on_standby: Vec<String>,
    pub before_start: Vec<String>,
    pub after_stop: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Candidate {
    pub priority: u32,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Api {
    pub listen: SocketAddr,
    pub advertise: String,
    pub token: Option<Secret>,
    pub read_token: Option<Secret>,
    pub tls: Option<ApiTls>,
}

/// Paths of PEM files (they are read again at reload).
#[derive(Clone, Debug)]
pub struct ApiTls {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
}

/// A text that is never shown: `Debug` prints `(secret)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}
