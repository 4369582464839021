//! The configuration: file → plain values by the table of [`keys`] → validated types. Every problem is reported at once,
//! with its line and what to do ([`Problems`]).
//!
//! The types here are the validated ones: whoever holds a [`Config`] need not check it again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::recorder::settings as recorder;

mod always_on;
mod checks;
mod choices;
pub mod defaults;
mod effective;
mod files;
pub mod keys;
mod lease;
mod problems;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod reader;
mod reference;
mod reload;
mod schema;
mod suggest;
pub mod tokens;
mod validate;

pub use choices::{AfterLoss, CoordinatorKind, ElectionKind, LogLevel, Mode, WatchdogUse};
pub use effective::{effective, shown_url};
pub use problems::{Problem, Problems};
pub use reference::reference;
pub use reload::{KeyChange, merge, reload_differences};
pub use schema::schema;

/// Reads and validates a file. `command_override`: a command given after `--`, in the place of `coordinator.command`.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path, command_override: Option<Vec<String>>) -> Result<Config, Problems> {
    let text = files::configuration(path).map_err(|(what, remedy)| Problems::of_file(path, what, remedy))?;
    parse(&text, command_override).map_err(|problems| problems.in_file(path))
}

/// As [`load`], for a command that does not run the coordinator: then the file may leave its command to `run --`.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_for_client(path: &Path) -> Result<Config, Problems> {
    let text = files::configuration(path).map_err(|(what, remedy)| Problems::of_file(path, what, remedy))?;
    read(&text, validate::Command::Later).map_err(|problems| problems.in_file(path))
}

/// Validates the text of a configuration file; see [`load`].
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, command_override: Option<Vec<String>>) -> Result<Config, Problems> {
    read(text, command_override.map_or(validate::Command::InFile, validate::Command::Given))
}

fn read(text: &str, command: validate::Command) -> Result<Config, Problems> {
    let mut reader = reader::read(text);
    if !reader.is_readable() {
        return Err(Problems::new(reader.into_problems()));
    }
    let config = validate::config(&mut reader, &host_name(), command);
    if reader.has_problems() { Err(Problems::new(reader.into_problems())) } else { Ok(config) }
}

/// Checks the base URL of an API, `http(s)://host[:port]`; gives it without a slash at its end.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn base_url(text: &str) -> Result<String, (String, String)> {
    checks::base_url(text)
}

/// Checks the name of a node.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn node_name(text: &str) -> Result<(), (String, String)> {
    checks::node_name(text)
}

/// Checks the name of an endpoint.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn endpoint_name(text: &str) -> Result<(), (String, String)> {
    checks::endpoint_name(text)
}

/// Checks `host:port`, with IPv6 addresses in brackets.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn host_and_port(text: &str) -> Result<(), (String, String)> {
    checks::host_and_port(text)
}

/// The one token in a file that only its owner may read, without its name.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn token_file(path: &str) -> Result<String, (String, String)> {
    let text = files::tokens(path)?;
    let mut named = tokens::named(&text);
    match (named.next(), named.next()) {
        (Some(only), None) => Ok(only.token.to_owned()),
        _ => Err((format!("{path} has more than one token"), "leave only the line of whoever asks".to_owned())),
    }
}

/// The text of a PEM file with certificates.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn certificates_file(path: &str) -> Result<String, (String, String)> {
    files::certificates(path)
}

/// The text of a PEM file with a private key that others may not read.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn private_key_file(path: &str) -> Result<String, (String, String)> {
    files::private_key(path)
}

/// A commented example with every key; it loads once the paths and accounts in it exist.
pub fn default_text() -> &'static str {
    include_str!("example.toml")
}

/// This machine's name, as `hostname` prints it; empty if the kernel will not say.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The effective, validated configuration.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Config {
    pub cluster: String,
    pub node: String,
    pub election: ElectionKind,
    #[serde(default)]
    pub mode: Mode,
    pub environment: String,
    pub log_level: LogLevel,
    pub zookeeper: ZooKeeper,
    pub lock: Lock,
    pub coordinator: Coordinator,
    pub health: Health,
    pub drain: Drain,
    #[serde(default)]
    pub rehearsal: Rehearsal,
    pub fencing: Fencing,
    pub hooks: Hooks,
    pub candidate: Candidate,
    #[serde(default)]
    pub standby: Standby,
    pub recorder: Recorder,
    pub api: Api,
    /// What the file says and nothing does, one sentence each.
    pub without_effect: Vec<String>,
}

impl Config {
    /// What and where this node's processes record; `None`: nothing.
    pub fn recording(&self) -> Option<recorder::Settings> {
        let directory = self.recorder.directory.clone()?;
        let (cluster, node) = (self.cluster.clone(), self.node.clone());
        Some(recorder::Settings { directory, limit: self.recorder.limit, cluster, node })
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
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
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ZooKeeperTls {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<Secret>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Lock {
    /// Empty for an always-on coordinator, which needs none.
    pub directory: PathBuf,
    pub probe_interval: Duration,
    pub probe_timeout: Duration,
    /// Bytes.
    pub min_free_space: u64,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Coordinator {
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub command: Vec<String>,
    pub kind: CoordinatorKind,
    pub working_directory: Option<PathBuf>,
    #[serde(serialize_with = "crate::redacted::serialize_values")]
    pub environment: BTreeMap<String, String>,
    pub user: Option<String>,
    /// Signal number.
    pub stop_signal: i32,
    pub stop_timeout: Duration,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub before_kill: Vec<String>,
    pub restarts: Restarts,
    pub backoff: Backoff,
    pub endpoints: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Restarts {
    pub max: u32,
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
    pub reset: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Health {
    pub startup_timeout: Duration,
    pub probe: Option<HealthProbe>,
    pub interval: Duration,
    pub timeout: Duration,
    pub failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum HealthProbe {
    Http(#[serde(serialize_with = "crate::redacted::serialize_url")] String),
    Tcp(String),
    Command(#[serde(serialize_with = "crate::redacted::serialize_arguments")] Vec<String>),
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Drain {
    pub grace_period: Duration,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub command: Vec<String>,
    pub timeout: Duration,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Rehearsal {
    pub allowed: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Fencing {
    /// Empty: none.
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub command: Vec<String>,
    pub timeout: Duration,
    pub required: bool,
    /// It ends the former host's lock, too.
    pub frees_lock: bool,
    pub after_loss: AfterLoss,
    pub watchdog: WatchdogUse,
    pub watchdog_device: PathBuf,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Hooks {
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub on_active: Vec<String>,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub on_standby: Vec<String>,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub before_start: Vec<String>,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub after_stop: Vec<String>,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub on_fenced: Vec<String>,
    #[serde(serialize_with = "crate::redacted::serialize_arguments")]
    pub on_no_leader: Vec<String>,
    pub no_leader_after: Duration,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Candidate {
    pub priority: u32,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Standby {
    /// What it keeps in its page cache.
    pub warm: Vec<PathBuf>,
    /// Bytes.
    pub warm_limit: u64,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Recorder {
    /// `None`: switched off.
    pub directory: Option<PathBuf>,
    /// Bytes.
    pub limit: u64,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Api {
    pub listen: SocketAddr,
    pub advertise: String,
    /// The host name that `advertise` was made of, where the file does not say it.
    pub advertised_host: Option<String>,
    pub token: Option<Secret>,
    pub read_token: Option<Secret>,
    pub tls: Option<ApiTls>,
}

/// Paths of PEM files (they are read again at reload).
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ApiTls {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
}

/// A text that is never shown: `Debug` prints `(secret)`, and serde writes what may be known of it ([`crate::redacted`]). Two are equal when their texts are.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Secret {
    #[serde(serialize_with = "crate::redacted::serialize_text")]
    text: String,
    /// The file it was read from, which may be shown.
    file: Option<PathBuf>,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    pub fn from_file(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { text: text.into(), file: Some(file.into()) }
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Of a token file's text the first token alone.
    #[must_use]
    pub fn first_token(&self) -> Self {
        let token = tokens::named(&self.text).next().map(|it| it.token.to_owned()).unwrap_or_default();
        Self { text: token, file: self.file.clone() }
    }

    /// The file it was read from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}
