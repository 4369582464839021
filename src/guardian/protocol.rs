//! What supervisor and guardian say to each other over their socketpair.
//!
//! Frames are a big-endian u32 length and that many bytes of JSON: JSON because a person with strace should be able to
//! read it, and because the rate (a few messages a second) makes its cost irrelevant. End of file means that the other
//! side is gone, whatever killed it. Lengths above [`MAX_FRAME`] are an error, never an allocation.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::HostIdentity;
use crate::moment::{Moment, in_words};
use crate::recorder::settings as recorder;
use crate::status::cause::EndCause;

/// The largest frame either side accepts, in bytes. The largest real one is `Configure`: argv and environment.
pub const MAX_FRAME: usize = 1 << 20;

/// Which frames these are: raised whenever one of them changes in a way that an older side would misunderstand. The frames
/// of every version are kept in tests/it/formats/.
pub const VERSION: u32 = 1;

/// Which records of the lock file these are. As [`VERSION`].
pub const RECORD_FORMAT: u32 = 1;

/// The descriptor on which the guardian finds its end of the socketpair.
pub const GUARDIAN_FD: i32 = 0;

/// The environment's variable by which a supervisor finds what the program before it has left in this process: `PID:DESCRIPTOR`.
pub const UPGRADED: &str = "PRIMACY_UPGRADED";

/// From the supervisor: an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardianOrder {
    /// First message, once. The guardian opens the volume (still as a standby) and clears leftovers.
    Configure(Box<Settings>),
    /// Take the lock; answered by `LockAcquired`, `LockRefused` (again after each change of holder) or
    /// `VolumeUnusable`. The guardian goes on trying until it has it, or `Abandon`, or the end of this process.
    AcquireLock {
        /// The volume's id as the cluster knows it; `None` while it has none: then one is created or adopted.
        expected_volume: Option<String>,
        /// Nothing but the lock decides here, so wait for it indefinitely, quietly and without polling it often.
        patient: bool,
    },
    /// Wait for the lock of the leadership before this node, until that time unless this is said again with a later one; answered
    /// by `LockAcquired` or `CalledOff`. A lock that is granted is let go of, and the last will carried out, where no order has
    /// moved the deadline within `grace`.
    AwaitLock { until: Moment, grace: Duration, expected_volume: Option<String> },
    /// Wait for it no more, and let go of it if it was granted; answered by `CalledOff`.
    CallOff,
    /// Look at the volume now rather than at the next probe; answered by `Volume` if that differs. Ignored while the lock is
    /// held or wanted.
    Look,
    /// Write `record` into the lock file and fsync; answered by `RecordWritten` or `VolumeUnusable`.
    WriteRecord(LockRecord),
    /// The coordinator must be dead at `deadline` unless this is said again with a later one.
    SetDeadline { deadline: Moment },
    /// How the watchdog is to be set at the next start. Without it, or without a device in the settings, none is armed.
    SetWatchdog(WatchdogTerms),
    /// Start the coordinator; answered by `Started` (a forking one: when its start script has ended) or `StartFailed`. Refused unless the lock is held, the record of
    /// this epoch is written and `deadline` lies ahead.
    Start { epoch: u64, deadline: Moment },
    /// Start an always-on coordinator; answered as `Start`. Refused by a guardian that was not made for one.
    StartAlwaysOn,
    /// Run a command; answered by `CommandEnded` once nothing of it is left. Not while something is being stopped or killed.
    Run(Box<CommandOrder>),
    /// Stop signal, `stop_timeout`, before_kill, SIGKILL; commands are killed at once. Answered by `TreeDead`.
    Stop,
    /// SIGKILL to the whole tree and to every command now; answered by `TreeDead`.
    Kill,
    /// Close the lock's descriptor, once nothing is left of tree and commands (what is left is killed); answered by
    /// `LockClosed`.
    CloseLock {
        /// How this epoch ended, noted in the lock file before it is closed.
        cause: EndCause,
    },
    /// What the guardian must undo when it ends without its supervisor: the place in the queue, or the leadership.
    LastWill(Option<LastWill>),
    /// Make a fault on purpose: what comes of it is what comes of the real one.
    Rehearse(Rehearsed),
    /// Answered at once by `Pong` with the same number.
    Ping { number: u64 },
}

/// A fault that a guardian makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsed {
    /// SIGKILL to the coordinator's main process.
    KillCoordinator,
    /// SIGKILL to the supervisor.
    KillSupervisor,
    /// SIGSTOP to the supervisor, and SIGCONT after so long.
    FreezeSupervisor { thaw: Duration },
}

/// From the guardian: a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The guardian runs and has its settings; the volume is being opened.
    Ready {
        pid: i32,
    },
    /// The volume as it is seen while standby and after each change; also names what is wrong with it.
    Volume(VolumeView),
    /// The watchdog's device as it is seen without arming it, and whether it is armed. Repeated on change.
    Watchdog(WatchdogView),
    LockAcquired {
        volume: String,
        record: Option<LockRecord>,
        /// Hosts keep what they write to this volume to themselves until they write it back: a network file system.
        write_back: bool,
    },
    /// The lock is not waited for, and was not granted or is let go of.
    CalledOff,
    /// Somebody else holds the lock: who, as far as the record in the file says.
    LockRefused {
        holder: Option<LockRecord>,
    },
    RecordWritten {
        epoch: u64,
    },
    /// The volume cannot be used for a start; `AcquireLock`/`WriteRecord` failed. One sentence, with the remedy.
    VolumeUnusable {
        problem: String,
    },
    /// The lock or the volume was lost while this node held it. Latched: said once, never taken back.
    VolumeLost {
        problem: String,
    },
    /// A probe (pwrite + fsync through the locked descriptor) that was begun at `started` completed.
    Probed {
        started: Moment,
        took: Duration,
        free_bytes: u64,
    },
    Started {
        pid: i32,
        holds_lock: bool,
    },
    /// Said after `Started` when it changes: whether every process of the coordinator's holds the lock. Some close inherited
    /// descriptors while they start.
    HoldsLock {
        holds_lock: bool,
    },
    StartFailed {
        problem: String,
    },
    /// The main process ended by itself (nobody had ordered a stop), or the last one of a forking coordinator's. The
    /// guardian clears the rest of the tree and then says `TreeDead`.
    Exited {
        status: ExitStatus,
    },
    /// A command has ended, and nothing of it is left.
    CommandEnded {
        id: u64,
        outcome: CommandOutcome,
    },
    /// One line that a command has printed.
    Output {
        /// As in [`CommandOrder::name`].
        name: String,
        line: String,
    },
    /// No process of the tree is left, and none of a command.
    TreeDead,
    /// Processes that got SIGKILL and have not gone yet, each with the kernel function it waits in. Repeated on change.
    Stuck {
        processes: Vec<StuckProcess>,
    },
    LockClosed {
        /// What was written to the volume has reached it, as far as it needs to be told (`LockAcquired::write_back`).
        clean: bool,
    },
    /// The guardian ended the leadership by itself at the deadline: tree dead, lock closed.
    Fenced {
        deadline: Moment,
        /// As of `LockClosed`.
        clean: bool,
    },
    Pong {
        number: u64,
    },
    /// A warning for the operator's log that also belongs to what the history says of this leadership.
    Remark {
        text: String,
    },
    /// One line for the operator's log.
    Note {
        level: NoteLevel,
        text: String,
    },
}

/// Everything the guardian needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// [`VERSION`] of whoever says this. A guardian of another version takes no orders.
    #[serde(default)]
    pub version: u32,
    pub cluster: String,
    pub node: String,
    /// Which kind of coordinator it may start.
    #[serde(default, skip_serializing_if = "PermissionKind::is_lock")]
    pub permission: PermissionKind,
    /// `lock.directory`; empty for an always-on coordinator.
    pub lock_directory: PathBuf,
    pub probe_interval: Duration,
    pub probe_timeout: Duration,
    /// Bytes.
    pub min_free_space: u64,
    pub command: Vec<String>,
    /// `coordinator.kind = "forking"`: it lives as long as its tree.
    pub forking: bool,
    pub working_directory: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    pub user: Option<String>,
    /// Signal number.
    pub stop_signal: i32,
    pub stop_timeout: Duration,
    pub before_kill: Vec<String>,
    /// `None`: `fencing.watchdog = "off"`.
    #[serde(default)]
    pub watchdog: Option<WatchdogSettings>,
    /// The configuration's file: who has the same one under another name is this node, renamed.
    #[serde(default)]
    pub configuration: Option<PathBuf>,
    /// The names that this node had before, as far as something may be left of them on this host.
    #[serde(default)]
    pub former_names: Vec<String>,
    /// `None`: nothing is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorder: Option<recorder::Settings>,
}

/// What permits a guardian's starts. It is made for one kind, and refuses the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionKind {
    /// The lock, with the record of the epoch in its file, until a deadline.
    #[default]
    Lock,
    /// None is needed: the coordinator runs on every host.
    AlwaysOn,
}

impl PermissionKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    pub(crate) const fn is_lock(&self) -> bool {
        matches!(self, Self::Lock)
    }
}

/// `fencing.watchdog` and its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogSettings {
    pub device: PathBuf,
    /// Nothing starts unless it could be armed.
    pub required: bool,
}

/// A watchdog's timing under the lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogTerms {
    /// What to ask the device for.
    pub seconds: u64,
    /// The longest time-out that is of use.
    pub longest: Duration,
    /// How long after the deadline it may fire at the latest, a slow one, too.
    pub grace: Duration,
}

/// The watchdog's device as the guardian sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogView {
    /// Why it cannot be used, one sentence with the remedy.
    pub problem: Option<String>,
    /// What is questionable but permitted.
    pub warning: Option<String>,
    /// Armed, with this time-out.
    pub armed: Option<Duration>,
}

/// The content of `coordinator.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// [`RECORD_FORMAT`]; 0 of versions that had no number for it.
    #[serde(default)]
    pub format: u32,
    pub node: String,
    pub host: String,
    /// `/etc/machine-id`, or the host name where there is none: for people, and for versions that know nothing else.
    #[serde(default)]
    pub host_id: String,
    /// `/proc/sys/kernel/random/boot_id`.
    #[serde(default)]
    pub boot_id: String,
    /// The guardian's process id and its start time in clock ticks (field 22 of `/proc/PID/stat`).
    pub pid: i32,
    #[serde(default)]
    pub pid_started: u64,
    /// In which the pid counts; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
    /// The host; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<HostIdentity>,
    /// The node's API.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api: String,
    pub epoch: u64,
    /// RFC 3339.
    pub since: String,
    /// By which name the NFS server knows the holder's host; the guardian notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs_client: Option<String>,
    /// Set when the leadership ended: when, and why. For people: no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The proof that the leadership is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

impl LockRecord {
    /// Of a leadership of which nothing else is known.
    pub fn of(node: &str, epoch: u64) -> Self {
        Self {
            format: 0,
            node: node.to_owned(),
            host: String::new(),
            host_id: String::new(),
            boot_id: String::new(),
            pid: 0,
            pid_started: 0,
            pid_namespace: None,
            identity: None,
            api: String::new(),
            epoch,
            since: String::new(),
            nfs_client: None,
            ended: None,
            over: None,
        }
    }

    /// Whether this very leadership is proven to be over: nothing of it lives, and nothing that it wrote is still to come.
    pub fn is_over(&self) -> bool {
        self.over.as_ref().is_some_and(|over| over.epoch == self.epoch)
    }
}

/// Written and synced under the lock, after the tree is dead: a proof, as long as it is the record's own epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    pub epoch: u64,
    /// Of the leadership; `None` where there is none, or it never came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_node: Option<String>,
}

/// How an epoch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// RFC 3339.
    pub at: String,
    pub cause: EndCause,
}

/// The volume as this host sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeView {
    /// The id in `volume.json`, if it could be read.
    pub id: Option<String>,
    /// File system type, e.g. `nfs4`, `ext4`.
    pub file_system: Option<String>,
    /// Why this volume must not be used; `None` when it may.
    pub problem: Option<String>,
    /// `lock.directory` does not exist. Also said in `problem`, but harmless while the cluster has no volume id yet: the
    /// first active creates it.
    #[serde(default)]
    pub missing: bool,
    /// What is questionable but permitted (not nfs4, soft mount, low free space).
    pub warnings: Vec<String>,
    pub free_bytes: Option<u64>,
    /// What the lock file says.
    pub record: Option<LockRecord>,
}

/// Stands for a name that cannot be read, and that no node can have.
pub const UNREADABLE: &str = "(unreadable)";

/// The longest volume id, in bytes; those that are made have 36.
const LONGEST_VOLUME_ID: usize = 128;

/// Whether a text can be a volume's id: one word that fits into a message, a log line and a znode.
pub fn is_volume_id(text: &str) -> bool {
    (1..=LONGEST_VOLUME_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Something that the operator has configured to be run: a hook, a probe, a fencing command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOrder {
    /// By which its end is told from others'.
    pub id: u64,
    /// As in the configuration: `before_start`, `fencing.command`, …
    pub name: String,
    /// Program and arguments, without a shell.
    pub argv: Vec<String>,
    /// Beside the guardian's own.
    pub environment: BTreeMap<String, String>,
    /// Then it is killed, with all that it has left.
    pub timeout: Duration,
    /// on_active or on_standby: one at a time. A later one ends an earlier one, and runs once nothing of that is left.
    pub notice: bool,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    Ended(ExitStatus),
    /// It was not run, and why.
    NotStarted(String),
    /// It took longer than it may, and was killed.
    TimedOut(Duration),
    /// What it ran for has ended first.
    Killed,
}

impl CommandOutcome {
    pub fn succeeded(&self) -> bool {
        *self == Self::Ended(ExitStatus::Code(0))
    }
}

impl std::fmt::Display for CommandOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(status) => status.fmt(f),
            Self::NotStarted(problem) => f.write_str(problem),
            Self::TimedOut(limit) => {
                write!(f, "no end within {}: it was killed", in_words(*limit))
            }
            Self::Killed => f.write_str("killed, since what it ran for has ended"),
        }
    }
}

/// How the coordinator's main process, or a command, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status: {code}"),
            Self::Signal(signal) => write!(f, "signal: {signal}"),
        }
    }
}

/// A process that cannot be killed at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckProcess {
    pub pid: i32,
    /// `/proc/PID/comm`.
    pub command: String,
    /// `/proc/PID/wchan`.
    pub waits_in: String,
}

/// What the guardian deletes, and marks as clean, with a ZooKeeper session of its own after it has ended a leadership
/// without its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWill {
    pub zookeeper: ZooKeeperAccess,
    /// Full path of the election node, unique by its uuid.
    pub election_node: String,
    /// Full path and expected version of the breadcrumb, and the bytes that mark it clean.
    pub breadcrumb: Option<(String, i32, String)>,
    /// Whose ephemeral nodes these are: one that another session has made since under the same name stays.
    #[serde(default)]
    pub session: Option<i64>,
    /// Full path and version of the epoch in this leadership: once it is another's, nothing of this will is to be undone any more. `None`:
    /// there is no leadership, only a place in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<(String, i32)>,
    /// Further nodes of this leadership that should go (the service registration), best effort.
    pub also_delete: Vec<String>,
}

impl LastWill {
    /// What remains to be undone after an end that may have left something unwritten: nothing may call that clean.
    pub fn of_an_end(self, written_back: bool) -> Self {
        Self { breadcrumb: self.breadcrumb.filter(|_| written_back), ..self }
    }
}

/// How to reach ZooKeeper.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZooKeeperAccess {
    /// `host:port,host:port`
    pub servers: String,
    pub session_timeout: Duration,
    /// `user:password` of the digest scheme.
    pub digest: Option<String>,
    /// PEM texts.
    pub tls: Option<TlsMaterial>,
    /// What the servers' names meant when this was written down, for whoever finds no name service later.
    #[serde(default)]
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// PEM texts for a TLS client.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsMaterial {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

impl std::fmt::Debug for ZooKeeperAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZooKeeperAccess")
            .field("servers", &self.servers)
            .field("session_timeout", &self.session_timeout)
            .field("digest", &self.digest.as_ref().map(|_| "(secret)"))
            .field("tls", &self.tls.as_ref().map(|_| "(secret)"))
            .finish()
    }
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsMaterial(secret)")
    }
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteLevel {
    Info,
    Warn,
    Error,
}
