//! What a node has been told: by guardian, election, volume, probes and other nodes. What follows from that for what it may
//! do is here, too; what follows for people is in [`super::reasons`] and [`super::view`].

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{self, Config, ElectionKind, WatchdogUse};
use crate::election::port::ElectionOutcome;
use crate::guardian::protocol::{Ended, LockRecord, NoteLevel, StuckProcess, VolumeView, WatchdogTerms, WatchdogView};
use crate::host::{ProcessIdentity, Whose};
use crate::intents::Vouched;
use crate::moment::{Moment, in_words};
use crate::role::{self, End, Recorded, WatchdogTiming, Witness};
use crate::status::{
    Breadcrumb, ClusterView, CoordinatorView, EndCause, Evidence, HistoryEntry, Member, MetricsView, NodeState,
    PeerResult, Reloaded, UpgradeView, Warm,
};

use super::input::At;
use super::predecessor::{self, Own};
use super::say::Say;

/// The name of the lock file in `lock.directory`.
pub const LOCK_FILE: &str = "coordinator.lock";

/// What is so from the start of this process to its end.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The configuration's file.
    pub configuration: Option<PathBuf>,
    /// `api.advertise`, with the port that was really bound.
    pub advertise: String,
    /// This host's name.
    pub host_name: String,
    pub process: ProcessIdentity,
    /// The names that this node had before, as far as something may be left of them on this host.
    pub former_names: Vec<String>,
    /// For tests: every other node counts as one on another host.
    pub every_node_is_a_host: bool,
    /// How often this process has executed its program anew.
    #[serde(default)]
    pub upgrades: u64,
}

/// Everything that is known beside the machine's own state.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    pub config: Arc<Config>,
    /// The same as people are shown it.
    #[serde(skip)]
    pub config_shown: Arc<serde_json::Value>,
    pub identity: Arc<Identity>,
    pub role_since: String,
    pub contact: Contact,
    pub session: Option<String>,
    pub session_timeout_ms: Option<u64>,
    /// Why this node cannot be a candidate at all, whatever happens: the lease arithmetic.
    pub timing_problem: Option<String>,
    pub last_contact: Option<Moment>,
    pub election_outcome: Option<ElectionOutcome>,
    /// Whose word counts on who led before.
    pub witness: Witness,
    pub volume: VolumeView,
    /// The guardian has told of the volume. What is not known yet is not usable.
    pub volume_seen: bool,
    /// As the last probe or look has seen it.
    pub free_bytes: Option<u64>,
    pub volume_id: Option<String>,
    /// Whether the lock was seen to exclude other hosts.
    pub verified: PeerResult,
    pub verified_detail: Option<String>,
    /// The node with which that is being tried before the first promotion.
    pub verifying: Option<String>,
    /// `None` until the guardian has told; for ever without a watchdog.
    pub watchdog: Option<WatchdogView>,
    pub lock_held: bool,
    /// When the lock was acquired last.
    pub locked: Option<Moment>,
    /// When some node was last seen to be active: as long as contact lasts, what was seen lasts.
    pub seen_active: Option<Moment>,
    /// The own place in the queue.
    #[serde(default)]
    pub election_node: Option<String>,
    /// Whose place is the one before it.
    #[serde(default)]
    pub behind: Option<String>,
    /// Whose lock it was told that this node waits for: election node and epoch.
    #[serde(default)]
    pub waited_for: Option<(String, u64)>,
    /// Where that is the active one's: what would be found if this node were elected.
    #[serde(default)]
    pub next: Option<Box<ElectionOutcome>>,
    /// What is told of a switchover to this node: see [`crate::status::Member::ready_for`].
    #[serde(default)]
    pub ready_for: Option<i64>,
    /// The node state, and who wants it and why.
    #[serde(default = "active")]
    pub state: NodeState,
    #[serde(default)]
    pub state_why: Option<String>,
    /// What became of the last reload.
    #[serde(default)]
    pub reloaded: Option<Reloaded>,
    /// What is in the page cache, as last told.
    #[serde(default)]
    pub warm: Option<Warm>,
    /// What became of the last request to execute the program anew.
    #[serde(default)]
    pub upgrade: UpgradeView,
    /// What the servers' clock said, and when.
    #[serde(default)]
    pub server_clock: Option<(Moment, SystemTime)>,
    /// Nothing has come between this node and the election since it was told of the cluster.
    pub cluster_is_current: bool,
    pub lock_holder: Option<LockRecord>,
    /// What the lock file said when the lock was acquired: the former leadership's last note.
    pub predecessor_record: Option<LockRecord>,
    /// The fencing command has succeeded in this promotion.
    pub predecessor_fenced: bool,
    /// When and why the former leadership ended, as far as anybody noted it.
    pub predecessor_end: Option<Ended>,
    pub coordinator: CoordinatorView,
    /// How the current leadership came about, or how the last one ended: one sentence.
    pub story: String,
    /// Why the current leadership is ending, in the words of whoever noticed.
    pub detail: Option<String>,
    pub stuck: Vec<StuckProcess>,
    /// Since when the tree is being killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killing: Option<Moment>,
    /// Why there is no guardian.
    pub guardian_problem: Option<String>,
    pub cluster: ClusterView<Member>,
    pub history: Vec<HistoryEntry>,
    /// The history entry of the leadership under way.
    pub entry: Option<HistoryEntry>,
    /// Only counted: nothing is decided on it, and none of it is recorded.
    #[serde(skip)]
    pub metrics: MetricsView,
}

/// Contact with the election backend.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Contact {
    Connecting,
    Connected,
    Disconnected(String),
}

const fn active() -> NodeState {
    NodeState::Active
}

impl Facts {
    pub fn new(config: Arc<Config>, identity: Identity, at: At) -> Self {
        Self {
            config_shown: Arc::new(config::effective(&config)),
            identity: Arc::new(identity),
            role_since: at.timestamp(),
            contact: Contact::Connecting,
            session: None,
            session_timeout_ms: None,
            timing_problem: None,
            last_contact: None,
            election_outcome: None,
            witness: Witness::Breadcrumb,
            volume: VolumeView::default(),
            volume_seen: false,
            free_bytes: None,
            volume_id: None,
            verified: PeerResult::Unverified,
            verified_detail: None,
            verifying: None,
            watchdog: None,
            lock_held: false,
            locked: None,
            seen_active: None,
            election_node: None,
            behind: None,
            next: None,
            waited_for: None,
            ready_for: None,
            state: NodeState::Active,
            state_why: None,
            reloaded: None,
            warm: None,
            upgrade: UpgradeView::default(),
            server_clock: None,
            cluster_is_current: false,
            lock_holder: None,
            predecessor_record: None,
            predecessor_fenced: false,
            predecessor_end: None,
            coordinator: CoordinatorView::default(),
            story: "started".to_owned(),
            detail: None,
            stuck: Vec::new(),
            killing: None,
            guardian_problem: None,
            cluster: ClusterView { cluster: config.cluster.clone(), ..ClusterView::default() },
            history: Vec::new(),
            entry: None,
            metrics: MetricsView::default(),
            config,
        }
    }

    /// What the servers' clock says at this moment, as far as it can be known.
    pub fn server_now(&self, now: Moment) -> Option<SystemTime> {
        let (then, server) = self.server_clock?;
        Some(server + now.since(then))
    }

    /// This node has no place in the queue.
    pub fn leave_queue(&mut self) {
        self.election_node = None;
        self.stands_behind(None, None);
    }

    /// Whose place is before the own one, and whether it is the active one's.
    pub fn stands_behind(&mut self, election_node: Option<String>, next: Option<Box<ElectionOutcome>>) {
        (self.behind, self.next) = (election_node, next);
    }

    /// Hashes what can bear on a decision.
    pub fn hash_bearing(&self, state: &mut impl Hasher) {
        let outcome = self.election_outcome.as_ref();
        let breadcrumb = outcome.and_then(|outcome| outcome.predecessor.as_ref());
        (outcome.map(|outcome| outcome.epoch), self.witness).hash(state);
        breadcrumb.map(|it| (&it.node, it.epoch, it.clean)).hash(state);
        outcome.and_then(|outcome| outcome.vouched.as_deref()).map(|it| (&it.node, it.epoch)).hash(state);
        self.predecessor_record.as_ref().map(|it| (&it.node, it.epoch, it.is_over())).hash(state);
        (&self.election_node, &self.behind, self.contact == Contact::Connected).hash(state);
        self.next.as_ref().map(|next| (next.epoch, next.paused)).hash(state);
        (self.volume_usable(), self.volume_seen, self.watchdog_usable(), self.session_timeout_ms).hash(state);
    }

    /// Hashes what is known of the others, which bears on a switchover alone.
    pub fn hash_others(&self, state: &mut impl Hasher) {
        (self.cluster_is_current, self.ready_for).hash(state);
        self.cluster.active.as_ref().map(|active| (&active.node, active.epoch)).hash(state);
        for Member { row, election_node, ready_for, .. } in &self.cluster.members {
            (&row.node, row.eligible, election_node, ready_for).hash(state);
        }
    }

    /// The election has told of the cluster: until now it was as it was told before.
    pub fn see(&mut self, view: ClusterView<Member>, now: Moment) {
        if view.active.is_some() || (self.cluster_is_current && self.cluster.active.is_some()) {
            self.seen_active = Some(now);
        }
        self.cluster_is_current = true;
        self.cluster = view;
    }

    /// There is no contact: what was told held when there was some.
    pub fn lose_contact(&mut self, reason: String) {
        if self.cluster_is_current && self.cluster.active.is_some() {
            self.seen_active = self.seen_active.max(self.last_contact);
        }
        self.cluster_is_current = false;
        self.contact = Contact::Disconnected(reason);
    }

    /// The environment of hooks and probes: what the coordinator's gains.
    pub fn hook_environment(&self, epoch: Option<u64>) -> BTreeMap<String, String> {
        let mut environment = self.config.coordinator.environment.clone();
        environment.insert("PRIMACY_CLUSTER".to_owned(), self.config.cluster.clone());
        environment.insert("PRIMACY_NODE".to_owned(), self.config.node.clone());
        if let Some(epoch) = epoch {
            environment.insert("PRIMACY_EPOCH".to_owned(), epoch.to_string());
        }
        environment
    }

    /// Whether this node could start a coordinator on what it sees of the volume. A directory that is missing is created by
    /// the first active of a cluster that has no volume yet, and by nobody else.
    pub fn volume_usable(&self) -> bool {
        let fresh = self.config.election == ElectionKind::ZooKeeper
            && self.contact == Contact::Connected
            && self.cluster.epoch.unwrap_or(0) == 0;
        self.volume_seen
            && (self.volume.problem.is_none() || (self.volume.missing && fresh))
            && self.verified != PeerResult::Failed
            && self.verifying.is_none()
    }

    /// Whether the watchdog's device may be used, as far as the guardian has told.
    pub fn watchdog_usable(&self) -> bool {
        self.watchdog_problem().is_none()
    }

    pub(super) fn watchdog_problem(&self) -> Option<String> {
        if self.config.fencing.watchdog == WatchdogUse::Off {
            return None;
        }
        let timeout = self.session_timeout_ms.map(Duration::from_millis);
        let watchdog = self.config.timing(timeout).watchdog();
        if !watchdog.fits() {
            let remedy = match self.config.election {
                ElectionKind::ZooKeeper => self.longer_session(),
                ElectionKind::Lock => "raise lock.probe_timeout".to_owned(),
            };
            return Some(format!(
                "the lease of {} is too short for a watchdog, whose shortest time-out is {} s; {remedy}",
                in_words(watchdog.longest),
                watchdog.seconds
            ));
        }
        self.watchdog.as_ref()?.problem.clone()
    }

    pub(super) fn longer_session(&self) -> String {
        let granted = self.session_timeout_ms.map_or(self.config.zookeeper.session_timeout, Duration::from_millis);
        self.config.zookeeper.longer_session(granted)
    }

    /// Takes in what session was granted.
    pub fn hear_grant(&mut self, granted: Duration) -> Option<Say> {
        let mut said = None;
        self.session_timeout_ms = u64::try_from(granted.as_millis()).ok();
        let timing = self.config.timing(Some(granted));
        let problem = timing.check().err().map(|problem| {
            format!(
                "never stands for election: ZooKeeper granted a session of {}, which leaves a lease of {}, \
                 less than four heartbeats ({}); {}, or lower margin or heartbeat_interval",
                in_words(granted),
                in_words(problem.lease),
                in_words(problem.least),
                self.longer_session()
            )
        });
        if let Some(problem) = problem.as_ref().filter(|_| self.timing_problem != problem) {
            said = Some(Say::Text(NoteLevel::Error, problem.clone()));
        }
        self.timing_problem = problem;
        said
    }

    /// Whether this node stays out for the session's sake, although it asks for a longer one than was granted.
    pub fn wants_another_session(&self) -> bool {
        let Some(granted) = self.session_timeout_ms.map(Duration::from_millis) else { return false };
        let watchdog = || self.config.timing(Some(granted)).watchdog().fits();
        self.config.election == ElectionKind::ZooKeeper
            && granted < self.config.zookeeper.session_timeout
            && (self.timing_problem.is_some() || (self.config.fencing.watchdog == WatchdogUse::Required && !watchdog()))
    }

    /// What the guardian needs to set the device by.
    pub fn watchdog_terms(&self) -> WatchdogTerms {
        let timeout = self.session_timeout_ms.map(Duration::from_millis);
        let WatchdogTiming { seconds, longest, grace } = self.config.timing(timeout).watchdog();
        WatchdogTerms { seconds, longest, grace }
    }

    /// Takes in what the guardian sees of the device; a change is told to people.
    pub fn hear_watchdog(&mut self, view: WatchdogView) -> Vec<Say> {
        let mut said = Vec::new();
        let before = self.watchdog.clone().unwrap_or_default();
        match (&view.problem, &view.armed) {
            (Some(problem), _) if view.problem != before.problem => {
                said.push(if self.config.fencing.watchdog == WatchdogUse::Required {
                    Say::Text(NoteLevel::Error, format!("fencing.watchdog is \"required\": {problem}"))
                } else {
                    Say::Text(NoteLevel::Warn, format!("going on without a watchdog: {problem}"))
                });
            }
            (None, Some(timeout)) if before.armed.is_none() => said.push(Say::WatchdogArmed { timeout: *timeout }),
            (None, None) if before.armed.is_some() => {
                said.push(Say::Text(NoteLevel::Info, "the watchdog is disarmed".to_owned()));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        if let Some(warning) = view.warning.as_ref().filter(|_| view.warning != before.warning) {
            said.push(Say::Text(NoteLevel::Warn, warning.clone()));
        }
        self.watchdog = Some(view);
        said
    }

    /// Who this node is, to compare others with.
    pub fn own(&self) -> Own {
        let host = self.identity.process.host.clone().unwrap_or_default();
        Own { node: self.config.node.clone(), host, former_names: self.identity.former_names.clone() }
    }

    /// Who led before, by the witness that counts.
    pub fn predecessor(&self) -> Option<Breadcrumb> {
        let breadcrumb = self.election_outcome.as_ref().and_then(|outcome| outcome.predecessor.as_ref());
        predecessor::by(self.witness, breadcrumb, self.predecessor_record.as_ref())
    }

    /// The person's word that whoever led before is off: only where that one neither ended in order nor was this host's.
    pub fn word_on_the_predecessor(&self) -> Option<&Vouched> {
        let predecessor = self.predecessor().filter(|predecessor| !predecessor.clean)?;
        let (node, host) = (&predecessor.node, predecessor.host.as_ref());
        let vouched = self.election_outcome.as_ref()?.vouched.as_deref()?;
        (vouched.covers(node, predecessor.epoch, host) && self.own().whose(node, host) != Whose::Own).then_some(vouched)
    }

    /// By what whoever led before is known to be gone.
    pub fn evidence(&self) -> Evidence {
        match (self.predecessor(), self.witness) {
            (None, _) => Evidence::NoneBefore,
            (Some(_), _) if self.predecessor_fenced || self.word_on_the_predecessor().is_some() => Evidence::Fenced,
            // A guardian's last will leaves out when it ended: it was composed before.
            (Some(Breadcrumb { clean: true, to: Some(_), .. }), Witness::Breadcrumb) => Evidence::CleanEnd,
            (Some(Breadcrumb { clean: true, .. }), _) => Evidence::GuardianRecord,
            (Some(_), _) => Evidence::LockAndSession,
        }
    }

    /// Takes in what the election found.
    pub fn hear_outcome(&mut self, outcome: &ElectionOutcome) -> role::Succession {
        self.witness = Witness::Breadcrumb;
        self.predecessor_fenced = false;
        self.own().succession(outcome, self.config.candidate.priority)
    }

    /// Takes in what the lock file said when the lock was acquired; people hear of it where ZooKeeper is behind.
    pub fn hear_record(&mut self, record: Option<LockRecord>) -> (Recorded, Option<Say>) {
        let mut said = None;
        let own = self.own();
        let outcome = self.election_outcome.clone().unwrap_or_default();
        let recorded = own.recorded(record.as_ref(), &outcome);
        let (_, witness) = role::predecessor(own.succession(&outcome, 0), recorded);
        if self.config.election == ElectionKind::ZooKeeper
            && let Some(record) = record.as_ref().filter(|record| record.epoch > outcome.epoch)
        {
            said = Some(Say::Behind {
                zookeeper: outcome.epoch,
                lock_file: record.epoch,
                node: record.node.clone(),
                since: record.since.clone(),
            });
        }
        self.predecessor_record = record;
        if std::mem::replace(&mut self.witness, witness) != witness {
            self.tell_election();
        }
        (recorded, said)
    }

    /// How the election came about, told when this node is elected, and again if the lock file knows better.
    pub fn tell_election(&mut self) {
        self.story = match self.predecessor() {
            None => "elected as the first active of this cluster".to_owned(),
            Some(predecessor) if self.own().whose(&predecessor.node, predecessor.host.as_ref()) == Whose::Own => {
                "elected again".to_owned()
            }
            Some(predecessor) if predecessor.clean => {
                let how = predecessor.cause.unwrap_or(EndCause::Found(End::Stopped)).in_words();
                format!("elected after {} ended cleanly: {how}", predecessor.node)
            }
            Some(predecessor) if predecessor.node == self.config.node => {
                format!(
                    "elected after {}, on another host or on one that nobody knows, went away without saying goodbye",
                    predecessor.node
                )
            }
            Some(predecessor) => format!("elected after {} went away without saying goodbye", predecessor.node),
        };
        if let Some(vouched) = self.word_on_the_predecessor() {
            self.story = format!("{}; {}", self.story, vouched.in_words());
        }
    }
}
