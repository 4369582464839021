//! The table of keys: everything the file may say. The parser, the schema, the reference page and the answer to "does a
//! reload suffice?" are all made from it, and so is the reload itself, so that they cannot contradict each other.

use std::time::Duration;

use super::choices::{AfterLoss, CoordinatorKind, ElectionKind, LogLevel, Mode, WatchdogUse};
use super::{Config, defaults};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted.
    pub path: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// How a reload carries a change out; without it a change needs a restart.
    pub carry: Option<Carry>,
    /// One or two sentences, in Markdown.
    pub about: &'static str,
}

/// Takes over from a configuration that was read again what a key says there.
pub type Carry = fn(into: &mut Config, from: &Config);

impl Key {
    /// A reload carries a change out.
    pub const fn reloads(&self) -> bool {
        self.carry.is_some()
    }
}

/// What a key's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An absolute path of a file that holds a secret.
    SecretFile,
    /// An absolute path.
    Path,
    Choice(&'static [&'static str]),
    /// A string with units; `zero` says whether nothing at all is meaningful.
    Duration {
        zero: bool,
    },
    /// A string with units, in bytes.
    Size,
    Count {
        least: u32,
    },
    Boolean,
    /// argv, not interpreted by a shell.
    Arguments,
    /// Absolute paths.
    Paths,
    /// A table with keys of the user's choice and texts as values.
    Texts,
    /// As `Texts`; the values may be secrets and are never shown.
    SecretTexts,
}

/// What applies without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Nothing does: it must be given.
    Required,
    /// Nothing is set; said explicitly by `""`, `[]` or `{}`.
    Unset,
    Text(&'static str),
    Duration(Duration),
    /// Bytes.
    Size(u64),
    Count(u32),
    Boolean(bool),
    /// Follows from something else, as described.
    Computed(&'static str),
}

/// The key at `path`, if there is one.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether `path` is a table that holds keys of the table below.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// All tables that hold keys, the root aside.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&'static str> = Vec::new();
    for key in KEYS {
        for (dot, _) in key.path.match_indices('.') {
            if !sections.contains(&&key.path[..dot]) {
                sections.push(&key.path[..dot]);
            }
        }
    }
    sections
}

const fn key(path: &'static str, kind: Kind, default: Default, about: &'static str) -> Key {
    Key { path, kind, default, carry: None, about }
}

/// A key that a reload carries out.
const fn live(path: &'static str, kind: Kind, default: Default, about: &'static str, carry: Carry) -> Key {
    Key { path, kind, default, carry: Some(carry), about }
}

/// The place that a key has in [`Config`]; several keys may share one.
macro_rules! carries {
    ($($field:ident).+) => {
        |into, from| into.$($field).+.clone_from(&from.$($field).+)
    };
}

const SPAN: Kind = Kind::Duration { zero: false };
const SPAN_OR_ZERO: Kind = Kind::Duration { zero: true };

/// In the order in which people should read them.
pub const KEYS: &[Key] = &[
    key(
        "cluster",
        Kind::Text,
        Default::Required,
        "The cluster's name, the same on all its hosts: `[A-Za-z0-9_-]{1,64}`.",
    ),
    key(
        "node",
        Kind::Text,
        Default::Computed("the host name"),
        "This host's name in the cluster, unique there: `[A-Za-z0-9_.-]{1,64}`.",
    ),
    key(
        "election",
        Kind::Choice(ElectionKind::WORDS),
        Default::Text(ElectionKind::ZooKeeper.as_str()),
        "Who decides which node is active. `lock`: the shared lock alone, without ZooKeeper; a dead host is then \
         replaced only when the volume's server has dropped its lock (90 s for an NFS server by default).",
    ),
    key("environment", Kind::Text, Default::Text(defaults::ENVIRONMENT), "Free text, reported by `/v1/status`."),
    key(
        "mode",
        Kind::Choice(Mode::WORDS),
        Default::Text(Mode::ActiveStandby.as_str()),
        "`always-on`: the coordinator runs on every host, supervised and health-checked, without election and lock. `election` is \
         then `zookeeper`, and `lock.directory` is not needed.",
    ),
    live(
        "log_level",
        Kind::Choice(LogLevel::WORDS),
        Default::Text(LogLevel::Info.as_str()),
        "How much is logged. `-v`, `-q` and `RUST_LOG` have precedence.",
        carries!(log_level),
    ),
    key(
        "zookeeper.servers",
        Kind::Text,
        Default::Computed("none; required with `election = \"zookeeper\"`"),
        "The ensemble: `host:port`, separated by commas.",
    ),
    key(
        "zookeeper.root",
        Kind::Text,
        Default::Text(defaults::ZOOKEEPER_ROOT),
        "The znode below which every cluster has a directory of its own.",
    ),
    key(
        "zookeeper.session_timeout",
        SPAN,
        Default::Duration(defaults::SESSION_TIMEOUT),
        "Asked for; the servers raise or lower it to between 2 and 20 of their ticks, and the negotiated value is what \
         counts. It bounds how long a dead host goes unnoticed.",
    ),
    key(
        "zookeeper.tick_time",
        SPAN,
        Default::Duration(defaults::TICK_TIME),
        "The ensemble's `tickTime`, for the lease arithmetic.",
    ),
    key(
        "zookeeper.heartbeat_interval",
        SPAN,
        Default::Computed("`session_timeout` / 10"),
        "How often the active node renews its lease.",
    ),
    key(
        "zookeeper.margin",
        SPAN_OR_ZERO,
        Default::Duration(defaults::MARGIN),
        "What the lease ends earlier than it would have to. The lease is `session_timeout` − `tick_time` / 2 − \
         `heartbeat_interval` − `margin` and must last for 4 heartbeats.",
    ),
    key(
        "zookeeper.digest_file",
        Kind::SecretFile,
        Default::Unset,
        "A file with one line `user:password`, readable by its owner only. With it all znodes carry an ACL.",
    ),
    live(
        "zookeeper.tls.ca",
        Kind::Path,
        Default::Unset,
        "PEM file with the authorities that the servers' certificates are checked against.",
        carries!(zookeeper.tls),
    ),
    live(
        "zookeeper.tls.cert",
        Kind::Path,
        Default::Unset,
        "PEM file with the client's certificate; together with `key` and `ca`.",
        carries!(zookeeper.tls),
    ),
    live(
        "zookeeper.tls.key",
        Kind::SecretFile,
        Default::Unset,
        "PEM file with the client's private key.",
        carries!(zookeeper.tls),
    ),
    key(
        "lock.directory",
        Kind::Path,
        Default::Required,
        "A directory on the shared volume, for `coordinator.lock` and `volume.json`. Created only while the cluster has no volume id. \
         Not needed with `mode = \"always-on\"`.",
    ),
    key(
        "lock.probe_interval",
        SPAN,
        Default::Duration(defaults::PROBE_INTERVAL),
        "How often the active node writes to the volume, as a test.",
    ),
    key(
        "lock.probe_timeout",
        SPAN,
        Default::Duration(defaults::PROBE_TIMEOUT),
        "A test write that takes longer costs the role. Not under `probe_interval`.",
    ),
    key(
        "lock.min_free_space",
        Kind::Size,
        Default::Size(defaults::MIN_FREE_SPACE),
        "With less, a warning is given. The role stays: the others have the same volume.",
    ),
    key(
        "coordinator.command",
        Kind::Arguments,
        Default::Computed("none; required unless a command is given after `--`"),
        "The coordinator's argv. No shell is involved.",
    ),
    key(
        "coordinator.kind",
        Kind::Choice(CoordinatorKind::WORDS),
        Default::Text(CoordinatorKind::Foreground.as_str()),
        "`foreground`: the main process's exit is the coordinator's end, and the rest of its tree is killed. `forking`: the command is a start script; once that has ended with 0 the coordinator has started, and lives as long as its tree.",
    ),
    key(
        "coordinator.working_directory",
        Kind::Path,
        Default::Unset,
        "Where the coordinator is started; unset: where the supervisor was.",
    ),
    key(
        "coordinator.environment",
        Kind::SecretTexts,
        Default::Unset,
        "Added to the coordinator's environment. Names that begin with `PRIMACY_` are the supervisor's. Values are never shown.",
    ),
    key(
        "coordinator.user",
        Kind::Text,
        Default::Unset,
        "The account that the coordinator runs as, by name or number, when the supervisor runs as root.",
    ),
    key(
        "coordinator.stop_signal",
        Kind::Text,
        Default::Text(defaults::STOP_SIGNAL),
        "How the coordinator is asked to stop: a signal's name.",
    ),
    key(
        "coordinator.stop_timeout",
        SPAN_OR_ZERO,
        Default::Duration(defaults::STOP_TIMEOUT),
        "Then its whole tree gets SIGKILL.",
    ),
    key(
        "coordinator.before_kill",
        Kind::Arguments,
        Default::Unset,
        "Run with `PRIMACY_PID` when `stop_timeout` has passed, for at most 10 s; a stack dump, say.",
    ),
    key(
        "coordinator.restarts.max",
        Kind::Count { least: 0 },
        Default::Count(defaults::RESTARTS_MAX),
        "Local restarts after a crash before the role is given away.",
    ),
    key(
        "coordinator.restarts.within",
        SPAN,
        Default::Duration(defaults::RESTARTS_WITHIN),
        "The time in which `max` restarts may happen.",
    ),
    key(
        "coordinator.backoff.first",
        SPAN,
        Default::Duration(defaults::BACKOFF_FIRST),
        "Pause before the next candidacy after a failed start or a crash; doubles each time.",
    ),
    key("coordinator.backoff.max", SPAN, Default::Duration(defaults::BACKOFF_MAX), "The longest pause."),
    key(
        "coordinator.backoff.reset",
        SPAN,
        Default::Duration(defaults::BACKOFF_RESET),
        "After so long without failure the pause is `first` again.",
    ),
    key(
        "coordinator.endpoints",
        Kind::Texts,
        Default::Unset,
        "Where this node's coordinator can be reached while it is active: `http(s)://…` or `host:port`, by a name of your choice. `web` is the one that service discovery announces. At most 64, of 1024 bytes each.",
    ),
    live(
        "health.startup_timeout",
        SPAN,
        Default::Duration(defaults::HEALTH_STARTUP_TIMEOUT),
        "A coordinator that is not ready by then has failed to start. A change counts from the next start on.",
        carries!(health.startup_timeout),
    ),
    live(
        "health.http",
        Kind::Text,
        Default::Unset,
        "An `http://` URL that answers 200 when the coordinator is ready. At most one of `http`, `tcp`, `command`; without any it is ready as soon as it runs.",
        carries!(health.probe),
    ),
    live(
        "health.tcp",
        Kind::Text,
        Default::Unset,
        "`host:port` that accepts connections when the coordinator is ready.",
        carries!(health.probe),
    ),
    live(
        "health.command",
        Kind::Arguments,
        Default::Unset,
        "argv that exits with 0 when the coordinator is ready.",
        carries!(health.probe),
    ),
    live(
        "health.interval",
        SPAN,
        Default::Duration(defaults::HEALTH_INTERVAL),
        "Between two probes.",
        carries!(health.interval),
    ),
    live(
        "health.timeout",
        SPAN,
        Default::Duration(defaults::HEALTH_TIMEOUT),
        "A probe without an answer by then has failed.",
        carries!(health.timeout),
    ),
    live(
        "health.failures",
        Kind::Count { least: 1 },
        Default::Count(defaults::HEALTH_FAILURES),
        "So many failed probes in a row: unhealthy, and the role is given away.",
        carries!(health.failures),
    ),
    live(
        "drain.grace_period",
        SPAN_OR_ZERO,
        Default::Duration(defaults::DRAIN_GRACE_PERIOD),
        "How long the health checks answer 503 before draining begins: time for load balancers to notice.",
        carries!(drain.grace_period),
    ),
    live(
        "drain.command",
        Kind::Arguments,
        Default::Unset,
        "argv that exits with 0 when nothing is in flight.",
        carries!(drain.command),
    ),
    live(
        "drain.timeout",
        SPAN_OR_ZERO,
        Default::Duration(defaults::DRAIN_TIMEOUT),
        "Then the coordinator is stopped all the same.",
        carries!(drain.timeout),
    ),
    live(
        "rehearsal.allowed",
        Kind::Boolean,
        Default::Boolean(false),
        "`primacy rehearse` may kill and freeze this node's processes.",
        carries!(rehearsal.allowed),
    ),
    key(
        "fencing.command",
        Kind::Arguments,
        Default::Unset,
        "Run by the next active node when the last one did not stop cleanly: revoke its access, or cut its power.",
    ),
    key(
        "fencing.timeout",
        SPAN,
        Default::Duration(defaults::FENCING_TIMEOUT),
        "A fencing command that takes longer has failed.",
    ),
    key(
        "fencing.required",
        Kind::Boolean,
        Default::Boolean(false),
        "No start unless the fencing command exits with 0.",
    ),
    key(
        "fencing.frees_lock",
        Kind::Boolean,
        Default::Boolean(false),
        "The fencing command also ends the former host's lock (cuts its power, expires its NFS client): run it while the lock is still waited for.",
    ),
    key(
        "fencing.after_loss",
        Kind::Choice(AfterLoss::WORDS),
        Default::Text(AfterLoss::Exit.as_str()),
        "After fencing itself the supervisor exits with 3, or stands by again in the same process.",
    ),
    key(
        "fencing.watchdog",
        Kind::Choice(WatchdogUse::WORDS),
        Default::Text(WatchdogUse::Off.as_str()),
        "A device that resets this host if a coordinator could outlive its lease: never, where there is one, or no start without it.",
    ),
    key("fencing.watchdog_device", Kind::Path, Default::Text(defaults::WATCHDOG_DEVICE), "The watchdog's device."),
    live(
        "hooks.on_active",
        Kind::Arguments,
        Default::Unset,
        "argv run when this node has become active.",
        carries!(hooks.on_active),
    ),
    live(
        "hooks.on_standby",
        Kind::Arguments,
        Default::Unset,
        "argv run when this node has become a standby.",
        carries!(hooks.on_standby),
    ),
    live(
        "hooks.before_start",
        Kind::Arguments,
        Default::Unset,
        "argv run before the coordinator is started; must exit with 0, else the role is given away.",
        carries!(hooks.before_start),
    ),
    live(
        "hooks.after_stop",
        Kind::Arguments,
        Default::Unset,
        "argv run after the coordinator has ended.",
        carries!(hooks.after_stop),
    ),
    live(
        "hooks.on_fenced",
        Kind::Arguments,
        Default::Unset,
        "argv run when the fencing command has succeeded for a former active node.",
        carries!(hooks.on_fenced),
    ),
    live(
        "hooks.on_no_leader",
        Kind::Arguments,
        Default::Unset,
        "argv run, by the first member by name, when nobody has led for hooks.no_leader_after.",
        carries!(hooks.on_no_leader),
    ),
    live(
        "hooks.no_leader_after",
        SPAN,
        Default::Duration(defaults::NO_LEADER_AFTER),
        "How long nobody may lead before hooks.on_no_leader is run.",
        carries!(hooks.no_leader_after),
    ),
    live(
        "candidate.priority",
        Kind::Count { least: 0 },
        Default::Count(defaults::PRIORITY),
        "Higher is preferred at the next election; 0 never becomes active.",
        carries!(candidate.priority),
    ),
    live(
        "candidate.tags",
        Kind::Texts,
        Default::Unset,
        "Labels for people and scripts: at most 64, each with a name of at most 64 and a value of at most 256 bytes.",
        carries!(candidate.tags),
    ),
    live(
        "standby.warm",
        Kind::Paths,
        Default::Unset,
        "Files and directories that a standby keeps in its page cache, so that a start need not wait for the disk: the coordinator's programs and libraries. Read every 30 s at a low priority, in this order, up to `warm_limit`. Nothing on the volume: a path that lies or leads there is not touched, and `primacy check` fails.",
        carries!(standby.warm),
    ),
    live(
        "standby.warm_limit",
        Kind::Size,
        Default::Size(defaults::WARM_LIMIT),
        "How much of them at most.",
        carries!(standby.warm_limit),
    ),
    key(
        "recorder.directory",
        Kind::Path,
        Default::Text(defaults::RECORDER_DIRECTORY),
        "Where supervisor and guardian record what they hear, order and do, in a folder of their cluster and node; no secrets. `\"\"` switches the recorder off. On the host's own disk, never on the volume.",
    ),
    key(
        "recorder.limit",
        Kind::Size,
        Default::Size(defaults::RECORDER_LIMIT),
        "The recordings of this node take no more than this; the oldest go first. At least 1 MiB.",
    ),
    key("api.listen", Kind::Text, Default::Text(defaults::API_LISTEN), "IP address and port of the HTTP interface."),
    key(
        "api.advertise",
        Kind::Text,
        Default::Computed(
            "`http(s)://<host name>:<port of listen>`; with an address of this host where others cannot use its name (`localhost`, not resolved, 127.0.1.1)",
        ),
        "The URL under which the other members and clients reach it.",
    ),
    live(
        "api.token_file",
        Kind::SecretFile,
        Default::Unset,
        "A file readable by its owner only, with one token or with lines `NAME TOKEN`: calls that change something need one of them as bearer token, and its name is written down as who asked (a lone one is called `token`). Without the file they are taken from loopback only.",
        carries!(api.token),
    ),
    live(
        "api.read_token_file",
        Kind::SecretFile,
        Default::Unset,
        "As `token_file`; with it, reading needs a token too, the health checks aside.",
        carries!(api.read_token),
    ),
    live(
        "api.tls.cert",
        Kind::Path,
        Default::Unset,
        "PEM file with the server's certificate chain; together with `key`. Switching TLS on or off needs a restart.",
        carries!(api.tls),
    ),
    live("api.tls.key", Kind::SecretFile, Default::Unset, "PEM file with the server's private key.", carries!(api.tls)),
    live(
        "api.tls.client_ca",
        Kind::Path,
        Default::Unset,
        "PEM file with the authorities that clients' certificates are checked against; with it a client must have one.",
        carries!(api.tls),
    ),
];
