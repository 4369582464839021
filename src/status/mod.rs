//! What a node tells the world: plain data, shared by the supervisor (which writes it), the election backends (which
//! store some of it), the API (which serves it) and the client (which reads it back). No behaviour beyond formatting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::{HostIdentity, ProcessIdentity};
pub use crate::role::cause::{Cause, End, Role};

pub mod cause;
pub mod changes;
pub mod evidence;
pub mod spans;
pub mod timeline;
pub mod verdict;
mod warm;

pub use cause::EndCause;
pub use evidence::Evidence;
pub use warm::Warm;

/// One of the words in the `status` field: what this node is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusWord {
    Ok,
    Standby,
    WaitingForLock,
    WaitingForFence,
    Starting,
    Stopping,
    Fencing,
    Isolating,
    Isolated,
    ShuttingDown,
    Disconnected,
}

impl StatusWord {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Standby => "STANDBY",
            Self::WaitingForLock => "WAITING_FOR_LOCK",
            Self::WaitingForFence => "WAITING_FOR_FENCE",
            Self::Starting => "STARTING",
            Self::Stopping => "STOPPING",
            Self::Fencing => "FENCING",
            Self::Isolating => "ISOLATING",
            Self::Isolated => "ISOLATED",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Disconnected => "DISCONNECTED",
        }
    }
}

/// What an operator wants of the node (openLooKeng's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NodeState {
    Active,
    Isolating,
    Isolated,
    ShuttingDown,
    Inactive,
}

impl NodeState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Isolating => "ISOLATING",
            Self::Isolated => "ISOLATED",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// The body of `/server_status`, plus what only other endpoints show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub status: StatusWord,
    pub role: Role,
    pub state: NodeState,
    pub cluster: String,
    pub node: String,
    pub version: String,
    /// The epoch this node leads with, else the cluster's last one that it knows of.
    pub epoch: Option<u64>,
    /// Since when it has this role; RFC 3339.
    pub since: String,
    /// One sentence for a person.
    pub reason: String,
    pub active: Option<ActiveView>,
    pub coordinator: CoordinatorView,
    /// Null fields where `election = "lock"`.
    pub zookeeper: ZooKeeperView,
    pub lease: LeaseView,
    pub lock: LockView,
    pub watchdog: WatchdogStatus,
    /// Null where nothing is kept: no `[standby] warm`, no standby, or not looked at yet.
    #[serde(default)]
    pub warm: Option<Warm>,
    pub paused: bool,
    pub switchover: Option<serde_json::Value>,
}

/// Who is active, as far as this node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveView {
    pub node: String,
    pub api: String,
    pub epoch: u64,
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorView {
    pub pid: Option<i32>,
    pub started_at: Option<String>,
    pub ready: bool,
    pub restarts: u32,
    /// Whether every process of the coordinator has the lock's descriptor; null while none runs.
    pub holds_lock: Option<bool>,
}

/// Contact with ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactWord {
    Connecting,
    Connected,
    Disconnected,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZooKeeperView {
    /// Null with `election = "lock"`.
    pub state: Option<ContactWord>,
    /// Hexadecimal, `0x…`.
    pub session: Option<String>,
    pub session_timeout_ms: Option<u64>,
    /// Age of the last acknowledged heartbeat (or contact, on a standby).
    pub last_heartbeat_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    pub remaining_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    pub held: bool,
    pub path: String,
    pub holder: Option<String>,
    /// Whether the lock was seen to exclude other hosts.
    pub verified: PeerResult,
    /// One sentence on that; null while nothing was tried.
    pub verified_detail: Option<String>,
}

/// The watchdog that resets this host if its coordinator could outlive the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogStatus {
    /// `off`, `automatic`, `required`.
    pub mode: String,
    /// Null with `off`.
    pub device: Option<String>,
    pub armed: bool,
    /// The time-out that counts; null while it is not armed.
    pub timeout_ms: Option<u64>,
    /// Why it cannot be used; null while it can.
    pub problem: Option<String>,
}

/// Which contents in ZooKeeper these are: raised whenever one of them changes in a way that an older version would
/// misunderstand. Those of every version are kept in tests/it/formats/.
pub const ZOOKEEPER_FORMAT: u32 = 1;

/// In the place of an epoch where there is none.
pub const NO_EPOCH: u64 = 0;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_false(it: &bool) -> bool {
    !*it
}

/// What a member says of itself to everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    pub node: String,
    pub role: Role,
    pub state: NodeState,
    pub status: StatusWord,
    pub epoch: Option<u64>,
    pub since: String,
    pub ready: bool,
    pub api: String,
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    pub priority: u32,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub version: String,
    /// Whether it could take over.
    pub eligible: bool,
    /// Its coordinator runs whoever leads: it is neither a standby nor the active one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub always_on: bool,
    pub reason: String,
}

/// `members/<node>`: with what is for the other supervisors alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// [`ZOOKEEPER_FORMAT`]; 0 of versions that had no number for it.
    #[serde(default)]
    pub format: u32,
    #[serde(flatten)]
    pub row: MemberRow,
    /// Who this process is, for the search of one's own ghost: host id, boot id, pid and its start time.
    #[serde(default)]
    pub process: Option<ProcessIdentity>,
    /// How long its session was granted, in ms: for as long it may be here after its death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout_ms: Option<u64>,
    /// Its place in the queue: the full path of its election node, the active one's, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_node: Option<String>,
    /// The transaction that wrote `control` last, where that asks this node to take over, and it could this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_for: Option<i64>,
}

/// One row of `/cluster`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    #[serde(flatten)]
    pub row: MemberRow,
    /// How long ago this member was last known to be alive.
    pub last_contact_ms: Option<u64>,
}

/// The cluster: with what is for the other supervisors alone (`Member`), or as `/cluster` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView<M = MemberView> {
    pub cluster: String,
    pub epoch: Option<u64>,
    pub active: Option<ActiveView>,
    pub paused: bool,
    pub switchover: Option<serde_json::Value>,
    /// What an operator has asked for, and is under way or lasts.
    #[serde(default)]
    pub action: Option<ActionView>,
    /// What became of the last switchover: `failed` says why nobody was stopped for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_switchover: Option<serde_json::Value>,
    pub members: Vec<M>,
    /// Nodes that are known and not here, until [`ClusterView::with_absent`] has put them among the members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<MemberRow>,
}

/// What an operator has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionView {
    /// `switchover`, `isolate`, `shutdown`, `pause`, `upgrade`, `rehearse`.
    pub kind: String,
    pub node: Option<String>,
    pub by: String,
    /// RFC 3339.
    pub at: String,
    pub reason: Option<String>,
    /// RFC 3339; null where only a person ends it.
    pub until: Option<String>,
}

impl<M> Default for ClusterView<M> {
    fn default() -> Self {
        let (cluster, epoch, active, paused, switchover) = Default::default();
        Self {
            cluster,
            epoch,
            active,
            paused,
            switchover,
            action: None,
            last_switchover: None,
            members: Vec::new(),
            absent: Vec::new(),
        }
    }
}

impl ClusterView<Member> {
    /// As it is shown, with how long ago its members were heard of.
    pub fn shown(self, last_contact_ms: Option<u64>) -> ClusterView {
        let Self { cluster, epoch, active, paused, switchover, action, last_switchover, members, absent } = self;
        let members = members.into_iter().map(|member| MemberView { row: member.row, last_contact_ms }).collect();
        ClusterView { cluster, epoch, active, paused, switchover, action, last_switchover, members, absent }
    }
}

impl ClusterView {
    /// With those that are not here among the members, in the order of their names. `now`: the wall clock's.
    pub fn with_absent(mut self, now: std::time::SystemTime) -> Self {
        let rows = std::mem::take(&mut self.absent);
        let present = |row: &MemberRow| self.members.iter().any(|member| member.row.node == row.node);
        let rows: Vec<MemberRow> = rows.into_iter().filter(|row| !present(row)).collect();
        self.members.extend(rows.into_iter().map(|row| {
            let seen = humantime::parse_rfc3339(&row.since).ok();
            let age = seen.map(|seen| now.duration_since(seen).unwrap_or_default());
            let last_contact_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            MemberView { row, last_contact_ms }
        }));
        self.members.sort_by(|a, b| a.row.node.cmp(&b.row.node));
        self
    }

    /// Without those that are not here.
    pub fn present(mut self) -> Self {
        self.absent.clear();
        self.members.retain(|member| member.row.state != NodeState::Inactive);
        self
    }
}

/// The breadcrumb in `active`: who was last permitted to run a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breadcrumb {
    pub node: String,
    pub epoch: u64,
    pub api: String,
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// RFC 3339.
    pub since: String,
    /// True once it stopped cleanly: tree dead, lock closed.
    pub clean: bool,
    /// Its host; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostIdentity>,
    /// The full path of its election node; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_node: Option<String>,
    /// Why and when it ended, set together with `clean`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<EndCause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl From<&Breadcrumb> for ActiveView {
    fn from(breadcrumb: &Breadcrumb) -> Self {
        Self {
            node: breadcrumb.node.clone(),
            api: breadcrumb.api.clone(),
            epoch: breadcrumb.epoch,
            endpoints: breadcrumb.endpoints.clone(),
        }
    }
}

/// One leadership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub epoch: u64,
    pub node: String,
    /// RFC 3339: when its coordinator was started.
    pub from: String,
    pub to: Option<String>,
    pub cause: Option<EndCause>,
    /// Between the former coordinator's end and this one's readiness, where both are known.
    pub gap_ms: Option<u64>,
    /// By what the former active was known to be gone when this one began; `None` where an older version has not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    pub detail: Option<String>,
    /// Who asked for its end, where a person did, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HistoryEntry {
    /// Of a leadership that has begun.
    pub const fn begun(epoch: u64, node: String, from: String) -> Self {
        Self {
            epoch,
            node,
            from,
            to: None,
            cause: None,
            gap_ms: None,
            evidence: None,
            detail: None,
            by: None,
            reason: None,
        }
    }
}

/// One line of `primacy check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub result: CheckOutcome,
    pub detail: String,
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Ok,
    Warn,
    Fail,
}

/// What two nodes found when they tried the volume's lock against each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTest {
    pub result: PeerResult,
    /// The other node.
    pub with: Option<String>,
    /// The volume's id, where it has one and both see the same.
    pub volume: Option<String>,
    /// RFC 3339.
    pub at: String,
    /// One sentence for a person.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerResult {
    /// Not tried, or not to its end.
    #[default]
    Unverified,
    Verified,
    Failed,
}

/// What became of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reloaded {
    /// The number of the latest request that it answers.
    pub covers: u64,
    /// Keys that have taken effect, and keys that differ and need a restart.
    pub applied: Vec<String>,
    pub needs_restart: Vec<String>,
    /// Why nothing was reloaded.
    pub problems: Option<String>,
}

/// How often this process has executed its program anew, and what became of the last request to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UpgradeView {
    /// 0 in a process that was started by others.
    pub upgrades: u64,
    /// The number of the latest request that is answered here.
    pub covers: u64,
    /// Why nothing happened then.
    pub refused: Option<String>,
    /// The version that takes over, where it does.
    pub version: Option<String>,
}

/// What the supervisor publishes for its API at every change.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Ages in it are as of `taken`; the API adds the time since.
    pub server: ServerStatus,
    /// It has no lease: its coordinator runs whoever leads.
    pub always_on: bool,
    pub taken: crate::moment::Moment,
    /// When the last heartbeat was acknowledged; `lease_until`: the guardian's deadline.
    pub last_heartbeat: Option<crate::moment::Moment>,
    pub lease_until: Option<crate::moment::Moment>,
    pub cluster: ClusterView,
    pub history: Vec<HistoryEntry>,
    /// A standby that could take over now.
    pub eligible: bool,
    /// In contact with the election backend.
    pub in_contact: bool,
    /// The effective configuration, secrets hidden.
    pub config: std::sync::Arc<serde_json::Value>,
    /// The last reload that this process has finished.
    pub reloaded: Option<Reloaded>,
    pub upgrade: UpgradeView,
    pub metrics: MetricsView,
}

/// The counters and gauges behind `/metrics`; histograms are bucket counts by upper bound in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsView {
    pub heartbeat_seconds: Histogram,
    pub lock_probe_seconds: Histogram,
    pub kill_seconds: Histogram,
    /// By (from, to, cause).
    pub transitions: BTreeMap<(Role, Role, Cause), u64>,
    pub failover_gap_seconds: BTreeMap<EndCause, Histogram>,
    pub coordinator_restarts: u64,
    pub volume_free_bytes: Option<u64>,
}

/// Upper bounds in seconds of all latency histograms: from an idle ZooKeeper's millisecond to a session's length.
pub const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Counts per bucket (not cumulative); the last one is above the largest bound.
    pub counts: [u64; BUCKETS.len() + 1],
    pub sum: f64,
}

impl Histogram {
    pub fn observe(&mut self, seconds: f64) {
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_and_in_a_line() {
        let roles = Role::ALL.map(|it| (serde_json::to_value(it), it.as_str()));
        let states = [
            NodeState::Active,
            NodeState::Isolating,
            NodeState::Isolated,
            NodeState::ShuttingDown,
            NodeState::Inactive,
        ];
        let states = states.map(|it| (serde_json::to_value(it), it.as_str()));
        let words = [
            StatusWord::Ok,
            StatusWord::Standby,
            StatusWord::WaitingForLock,
            StatusWord::WaitingForFence,
            StatusWord::Starting,
            StatusWord::Stopping,
            StatusWord::Fencing,
            StatusWord::Isolating,
            StatusWord::Isolated,
            StatusWord::ShuttingDown,
            StatusWord::Disconnected,
        ];
        let words = words.map(|it| (serde_json::to_value(it), it.as_str()));
        for (json, line) in roles.into_iter().chain(states).chain(words) {
            assert_eq!(json.unwrap(), line);
        }
    }
}
