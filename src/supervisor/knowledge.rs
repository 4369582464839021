//! What the shell has learnt, and how it is told to people: status word, reason, snapshot, member.
//!
//! Nothing here decides anything. Everything is computed from the machine and the last facts at the moment of telling, so
//! that no text can go stale on its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ElectionKind, WatchdogUse};
use crate::election::Vacancy;
use crate::guardian::protocol::{Record, StuckProcess, VolumeView, WatchdogTerms, WatchdogView};
use crate::host::{ProcessIdentity, Whose};
use crate::moment::Moment;
use crate::role::{self, End, Machine, Phase, Recorded, Role, WatchdogTiming, Witness};
use crate::status::{
    ActiveView, Breadcrumb, ClusterView, CoordinatorView, HistoryEntry, LeaseView, LockView, Member, MemberView,
    MetricsView, NodeState, PeerResult, RoleWord, ServerStatus, Snapshot, StatusWord, WatchdogStatus, ZooKeeperView,
};

use super::former::{Own, Told};

/// The name of the lock file in `lock.directory`.
pub const LOCK_FILE: &str = "coordinator.lock";

/// Everything that is known beside the machine's own state.
pub struct Knowledge {
    pub config: Arc<Config>,
    pub config_shown: Arc<serde_json::Value>,
    /// `api.advertise`, with the port that was really bound.
    pub advertise: String,
    pub process: ProcessIdentity,
    /// The names that this node had before, as far as something may be left of them on this host.
    pub former_names: Vec<String>,
    pub role_since: String,
    pub contact: Contact,
    pub session: Option<String>,
    pub session_timeout_ms: Option<u64>,
    /// Why this node cannot be a candidate at all, whatever happens: the lease arithmetic.
    pub timing_problem: Option<String>,
    pub last_contact: Option<Moment>,
    pub vacancy: Option<Vacancy>,
    /// Whose word counts on who led before.
    pub witness: Witness,
    pub volume: VolumeView,
    /// The guardian has told of the volume. What is not known yet is not usable.
    pub volume_seen: bool,
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
    /// Nothing has come between this node and the election since it was told of the cluster.
    pub cluster_is_current: bool,
    pub lock_holder: Option<Record>,
    /// What the lock file said when the lock was acquired: the former leadership's last note.
    pub former_record: Option<Record>,
    /// When and why the former leadership ended, as far as anybody noted it.
    pub former_end: Option<(String, String)>,
    pub coordinator: CoordinatorView,
    /// How the current leadership came about, or how the last one ended: one sentence.
    pub story: String,
    /// Why the current leadership is ending, in the words of whoever noticed.
    pub detail: Option<String>,
    pub stuck: Vec<StuckProcess>,
    /// Why there is no guardian.
    pub guardian_problem: Option<String>,
    pub cluster: ClusterView,
    pub history: Vec<HistoryEntry>,
    /// The history entry of the leadership under way.
    pub entry: Option<HistoryEntry>,
    pub metrics: MetricsView,
}

/// Contact with the election backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    Connecting,
    Connected,
    Disconnected(String),
}

impl Knowledge {
    pub fn new(
        config: Arc<Config>,
        config_shown: serde_json::Value,
        advertise: String,
        process: ProcessIdentity,
        former_names: Vec<String>,
    ) -> Self {
        Self {
            config_shown: Arc::new(config_shown),
            advertise,
            process,
            former_names,
            role_since: crate::clock::timestamp(),
            contact: Contact::Connecting,
            session: None,
            session_timeout_ms: None,
            timing_problem: None,
            last_contact: None,
            vacancy: None,
            witness: Witness::Breadcrumb,
            volume: VolumeView::default(),
            volume_seen: false,
            volume_id: None,
            verified: PeerResult::Unverified,
            verified_detail: None,
            verifying: None,
            watchdog: None,
            lock_held: false,
            locked: None,
            seen_active: None,
            cluster_is_current: false,
            lock_holder: None,
            former_record: None,
            former_end: None,
            coordinator: CoordinatorView::default(),
            story: "started".to_owned(),
            detail: None,
            stuck: Vec::new(),
            guardian_problem: None,
            cluster: ClusterView { cluster: config.cluster.clone(), ..ClusterView::default() },
            history: Vec::new(),
            entry: None,
            metrics: MetricsView::default(),
            config,
        }
    }

    /// The election has told of the cluster: until now it was as it was told before.
    pub fn see(&mut self, view: ClusterView) {
        if view.active.is_some() || (self.cluster_is_current && self.cluster.active.is_some()) {
            self.seen_active = Some(crate::clock::now());
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

    fn watchdog_problem(&self) -> Option<String> {
        if self.config.fencing.watchdog == WatchdogUse::Off {
            return None;
        }
        let timeout = self.session_timeout_ms.map(std::time::Duration::from_millis);
        let watchdog = super::reload::timing(&self.config, timeout).watchdog();
        if !watchdog.fits() {
            let remedy = match self.config.election {
                ElectionKind::ZooKeeper => self.longer_session(),
                ElectionKind::Lock => "raise lock.probe_timeout".to_owned(),
            };
            return Some(format!(
                "the lease of {:?} is too short for a watchdog, whose shortest time-out is {} s; {remedy}",
                watchdog.longest, watchdog.seconds
            ));
        }
        self.watchdog.as_ref()?.problem.clone()
    }

    fn longer_session(&self) -> String {
        let granted = self.session_timeout_ms.map_or(self.config.zookeeper.session_timeout, Duration::from_millis);
        self.config.zookeeper.longer_session(granted)
    }

    /// Takes in what session was granted.
    pub fn hear_grant(&mut self, granted: Duration) {
        self.session_timeout_ms = u64::try_from(granted.as_millis()).ok();
        let timing = self.config.zookeeper.timing_under(granted);
        let problem = timing.check().err().map(|problem| {
            format!(
                "never stands for election: ZooKeeper granted a session of {granted:?}, which leaves a lease of {:?}, \
                 less than four heartbeats ({:?}); {}, or lower margin or heartbeat_interval",
                problem.lease,
                problem.least,
                self.longer_session()
            )
        });
        if let Some(problem) = problem.as_ref().filter(|_| self.timing_problem != problem) {
            tracing::error!("{problem}");
        }
        self.timing_problem = problem;
    }

    /// Whether this node stays out for the session's sake, although it asks for a longer one than was granted.
    pub fn wants_another_session(&self) -> bool {
        let Some(granted) = self.session_timeout_ms.map(Duration::from_millis) else { return false };
        let watchdog = || self.config.zookeeper.timing_under(granted).watchdog().fits();
        self.config.election == ElectionKind::ZooKeeper
            && granted < self.config.zookeeper.session_timeout
            && (self.timing_problem.is_some() || (self.config.fencing.watchdog == WatchdogUse::Required && !watchdog()))
    }

    /// What the guardian needs to set the device by.
    pub fn watchdog_terms(&self) -> WatchdogTerms {
        let timeout = self.session_timeout_ms.map(std::time::Duration::from_millis);
        let WatchdogTiming { seconds, longest, grace } = super::reload::timing(&self.config, timeout).watchdog();
        WatchdogTerms { seconds, longest, grace }
    }

    /// Takes in what the guardian sees of the device; a change is told to people.
    pub fn hear_watchdog(&mut self, view: WatchdogView) {
        let former = self.watchdog.clone().unwrap_or_default();
        match (&view.problem, &view.armed) {
            (Some(problem), _) if view.problem != former.problem => {
                if self.config.fencing.watchdog == WatchdogUse::Required {
                    tracing::error!("fencing.watchdog is \"required\": {problem}");
                } else {
                    tracing::warn!("going on without a watchdog: {problem}");
                }
            }
            (None, Some(timeout)) if former.armed.is_none() => {
                tracing::info!(timeout_s = timeout.as_secs(), "the watchdog is armed");
            }
            (None, None) if former.armed.is_some() => tracing::info!("the watchdog is disarmed"),
            _ => {}
        }
        if let Some(warning) = view.warning.as_ref().filter(|_| view.warning != former.warning) {
            tracing::warn!("{warning}");
        }
        self.watchdog = Some(view);
    }

    fn watchdog_view(&self) -> WatchdogStatus {
        let mode = self.config.fencing.watchdog;
        let device = (mode != WatchdogUse::Off).then(|| self.config.fencing.watchdog_device.display().to_string());
        let armed = self.watchdog.as_ref().and_then(|view| view.armed);
        WatchdogStatus {
            mode: mode.as_str().to_owned(),
            device,
            armed: armed.is_some(),
            timeout_ms: armed.and_then(|timeout| u64::try_from(timeout.as_millis()).ok()),
            problem: self.watchdog_problem(),
        }
    }

    /// Nothing of the leadership is left on this host: only the election has to be told, if it can be.
    fn has_let_go(&self, machine: &Machine, now: Moment) -> bool {
        matches!(machine.phase(now), Phase::Stopping | Phase::Fencing) && !machine.tree_may_live() && !self.lock_held
    }

    fn status(&self, machine: &Machine, now: Moment) -> StatusWord {
        match machine.phase(now) {
            Phase::Stopping | Phase::Fencing if self.has_let_go(machine, now) && self.contact != Contact::Connected => {
                StatusWord::Disconnected
            }
            Phase::Leading => StatusWord::Ok,
            Phase::WaitingForLock => StatusWord::WaitingForLock,
            Phase::WaitingForFence => StatusWord::WaitingForFence,
            Phase::Starting => StatusWord::Starting,
            Phase::Stopping => StatusWord::Stopping,
            Phase::Fencing => StatusWord::Fencing,
            Phase::Idle | Phase::BackingOff | Phase::Standing | Phase::Finished => {
                if self.contact == Contact::Connected { StatusWord::Standby } else { StatusWord::Disconnected }
            }
        }
    }

    /// One sentence for a person.
    pub fn reason(&self, machine: &Machine, now: Moment) -> String {
        match machine.phase(now) {
            Phase::Leading => format!("{}{}", self.story, self.scarce()),
            Phase::WaitingForLock => match &self.lock_holder {
                Some(holder) => format!(
                    "elected; waiting for the lock that {} on host {} has held since {} (epoch {})",
                    holder.node, holder.host, holder.since, holder.epoch
                ),
                None => "elected; taking the lock on the volume".to_owned(),
            },
            Phase::WaitingForFence => {
                let former = self.former().map_or_else(|| "the former active".to_owned(), |former| former.node);
                format!("elected; {former} did not stop cleanly: the fencing command is running")
            }
            Phase::Starting => format!("{}; starting the coordinator", self.story),
            Phase::Stopping | Phase::Fencing if !self.stuck.is_empty() => {
                let processes: Vec<String> = self
                    .stuck
                    .iter()
                    .map(|process| format!("{} (pid {}) in {}", process.command, process.pid, process.waits_in))
                    .collect();
                let armed = self.watchdog.as_ref().is_some_and(|view| view.armed.is_some());
                let then = if armed { "; the watchdog resets this host when the lease is over" } else { "" };
                format!("killed, but not dead: {}{then}", processes.join(", "))
            }
            Phase::Stopping | Phase::Fencing if self.has_let_go(machine, now) => match &self.contact {
                Contact::Disconnected(reason) => format!(
                    "{}; its coordinator is dead and the lock is closed, but ZooKeeper at {} cannot be told: {reason}",
                    self.ending(machine),
                    self.config.zookeeper.servers
                ),
                Contact::Connecting | Contact::Connected => {
                    format!(
                        "{}; its coordinator is dead and the lock is closed; giving the role away",
                        self.ending(machine)
                    )
                }
            },
            Phase::Stopping | Phase::Fencing if !machine.anything_may_live() && self.lock_held => format!(
                "{}; its coordinator is dead; closing the lock, which waits for the volume at {}",
                self.ending(machine),
                self.config.lock.directory.display()
            ),
            Phase::Stopping | Phase::Fencing if !machine.tree_may_live() => {
                format!("{}; its coordinator is dead; ending what ran beside it", self.ending(machine))
            }
            Phase::Stopping => format!("stopping the coordinator: {}", self.ending(machine)),
            Phase::Fencing => format!("killing the coordinator: {}", self.ending(machine)),
            Phase::BackingOff => format!("{}; waiting before it stands for election again", self.story),
            Phase::Finished => self.story.clone(),
            Phase::Idle | Phase::Standing => self.standby_reason(machine),
        }
    }

    fn ending(&self, machine: &Machine) -> String {
        let end = machine.end().map_or("it ended", sentence);
        self.detail.as_ref().map_or_else(|| end.to_owned(), |detail| format!("{end} ({detail})"))
    }

    fn standby_reason(&self, machine: &Machine) -> String {
        if let Contact::Disconnected(reason) = &self.contact {
            return format!("no contact with ZooKeeper at {}: {reason}", self.config.zookeeper.servers);
        }
        if self.contact == Contact::Connecting && self.config.election == ElectionKind::ZooKeeper {
            return format!("connecting to ZooKeeper at {}", self.config.zookeeper.servers);
        }
        if let Some(problem) = &self.timing_problem {
            return problem.clone();
        }
        if let (PeerResult::Failed, Some(detail)) = (self.verified, &self.verified_detail) {
            return format!("never stands for election: the volume's lock cannot be trusted: {detail}");
        }
        if let Some(node) = &self.verifying {
            return format!("trying the volume's lock against {node} before the first promotion");
        }
        if self.config.fencing.watchdog == WatchdogUse::Required
            && let Some(problem) = self.watchdog_problem()
        {
            return format!("never stands for election: fencing.watchdog is \"required\", and {problem}");
        }
        if let Some(problem) = self.guardian_problem.as_ref().or(self.volume.problem.as_ref()) {
            return problem.clone();
        }
        if !self.volume_seen {
            return format!("trying the volume at {} before it stands", self.config.lock.directory.display());
        }
        if self.config.candidate.priority == 0 {
            return "never stands for election: candidate.priority is 0".to_owned();
        }
        match (&self.cluster.active, machine.eligible()) {
            (Some(active), true) if active.node != self.config.node => {
                format!("ready to take over from {} (epoch {}){}", active.node, active.epoch, self.scarce())
            }
            (_, true) => format!("in the queue for the election{}", self.scarce()),
            (_, false) => "about to enter the queue for the election".to_owned(),
        }
    }

    /// What to add where the volume is nearly full. Without a number: a sentence that changes is written to the others.
    fn scarce(&self) -> &'static str {
        let free = self.metrics.volume_free_bytes.or(self.volume.free_bytes);
        if free.is_some_and(|free| free < self.config.lock.min_free_space) {
            "; the volume has less than lock.min_free_space free: free space on it"
        } else {
            ""
        }
    }

    /// Who this node is, to compare others with.
    pub fn own(&self) -> Own {
        let host = self.process.host.clone().unwrap_or_default();
        Own { node: self.config.node.clone(), host, former_names: self.former_names.clone() }
    }

    /// Who led before, by the witness that counts.
    pub fn former(&self) -> Option<Told> {
        let breadcrumb = self.vacancy.as_ref().and_then(|vacancy| vacancy.former.as_ref());
        Told::by(self.witness, breadcrumb, self.former_record.as_ref())
    }

    /// Takes in what the election found.
    pub fn hear_vacancy(&mut self, vacancy: &Vacancy) -> role::Vacancy {
        self.witness = Witness::Breadcrumb;
        self.own().vacancy(vacancy, self.config.candidate.priority)
    }

    /// Takes in what the lock file said when the lock was acquired; people hear of it where ZooKeeper is behind.
    pub fn hear_record(&mut self, record: Option<Record>) -> Recorded {
        let own = self.own();
        let vacancy = self.vacancy.clone().unwrap_or_default();
        let recorded = own.recorded(record.as_ref(), vacancy.former.as_ref());
        let (_, witness) = role::former(own.vacancy(&vacancy, 0), recorded);
        if self.config.election == ElectionKind::ZooKeeper
            && let Some(record) = record.as_ref().filter(|record| record.epoch > vacancy.epoch)
        {
            tracing::warn!(
                zookeeper = vacancy.epoch,
                lock_file = record.epoch,
                node = record.node,
                since = record.since,
                "ZooKeeper is behind the lock file: its data was lost or restored from a copy, or that leadership ended before \
                 ZooKeeper heard of it; the lock file says how the last one ended"
            );
        }
        self.former_record = record;
        if std::mem::replace(&mut self.witness, witness) != witness {
            self.tell_election();
        }
        recorded
    }

    /// How the vacancy came about, told when this node is elected, and again if the lock file knows better.
    pub fn tell_election(&mut self) {
        self.story = match self.former() {
            None => "elected as the first active of this cluster".to_owned(),
            Some(former) if self.own().whose(&former.node, former.host.as_ref()) == Whose::Own => {
                "elected again".to_owned()
            }
            Some(former) if former.clean => {
                let how = former.cause.as_deref().map_or("stopped", |cause| cause);
                format!("elected after {} ended cleanly: {}", former.node, how.replace('_', " "))
            }
            Some(former) if former.node == self.config.node => {
                format!(
                    "elected after {}, on another host or on one that nobody knows, went away without saying goodbye",
                    former.node
                )
            }
            Some(former) => format!("elected after {} went away without saying goodbye", former.node),
        };
    }

    pub fn role_word(role: Role) -> RoleWord {
        match role {
            Role::Standby => RoleWord::Standby,
            Role::Promoting => RoleWord::Promoting,
            Role::Active => RoleWord::Active,
            Role::Demoting => RoleWord::Demoting,
            Role::Fencing => RoleWord::Fencing,
        }
    }

    fn epoch(&self, machine: &Machine) -> Option<u64> {
        machine.epoch().or(self.cluster.epoch)
    }

    pub fn member(&self, machine: &Machine, now: Moment) -> Member {
        Member {
            node: self.config.node.clone(),
            role: Self::role_word(machine.role()),
            state: NodeState::Active,
            status: self.status(machine, now),
            epoch: machine.epoch(),
            since: self.role_since.clone(),
            ready: machine.role() == Role::Active && self.coordinator.ready,
            api: self.advertise.clone(),
            endpoints: self.config.coordinator.endpoints.clone(),
            priority: self.config.candidate.priority,
            tags: self.config.candidate.tags.clone(),
            version: crate::seeded_bug::version().to_owned(),
            eligible: machine.eligible(),
            reason: self.reason(machine, now),
            process: Some(self.process.clone()),
            session_timeout_ms: self.session_timeout_ms,
        }
    }

    /// What this node leaves behind when it takes `epoch`.
    pub fn breadcrumb(&self, epoch: u64, since: String) -> Breadcrumb {
        Breadcrumb {
            node: self.config.node.clone(),
            epoch,
            api: self.advertise.clone(),
            endpoints: self.config.coordinator.endpoints.clone(),
            since,
            clean: false,
            host: self.process.host.clone(),
            cause: None,
            to: None,
        }
    }

    /// The registration for service discovery: only while active and ready.
    pub fn service(&self, machine: &Machine) -> Option<Breadcrumb> {
        let entry = self.entry.as_ref().filter(|_| machine.role() == Role::Active)?;
        Some(self.breadcrumb(entry.epoch, entry.from.clone()))
    }

    fn active(&self, machine: &Machine) -> Option<ActiveView> {
        match (machine.role(), machine.epoch()) {
            (Role::Active, Some(epoch)) => Some(ActiveView {
                node: self.config.node.clone(),
                api: self.advertise.clone(),
                epoch,
                endpoints: self.config.coordinator.endpoints.clone(),
            }),
            _ => self.cluster.active.clone().filter(|active| active.node != self.config.node),
        }
    }

    /// The cluster, with this node's own row as it is this instant.
    fn cluster_view(&self, machine: &Machine, now: Moment) -> ClusterView {
        let mut view = self.cluster.clone();
        view.active = self.active(machine);
        view.epoch = self.epoch(machine);
        let own = self.member(machine, now);
        let own = MemberView {
            node: own.node,
            role: own.role,
            state: own.state,
            status: own.status,
            epoch: own.epoch,
            since: own.since,
            ready: own.ready,
            api: own.api,
            endpoints: own.endpoints,
            priority: own.priority,
            tags: own.tags,
            eligible: own.eligible,
            reason: own.reason,
            version: own.version,
            last_contact_ms: Some(0),
            process: own.process,
        };
        view.members.retain(|member| member.node != own.node);
        view.members.push(own);
        view.members.sort_by(|a, b| a.node.cmp(&b.node));
        view
    }

    pub fn snapshot(&self, machine: &Machine, now: Moment) -> Snapshot {
        let with_zookeeper = self.config.election == ElectionKind::ZooKeeper;
        let state = match &self.contact {
            Contact::Connecting => "connecting",
            Contact::Connected => "connected",
            Contact::Disconnected(_) => "disconnected",
        };
        let holder = if self.lock_held {
            Some(self.config.node.clone())
        } else {
            self.lock_holder.as_ref().map(|record| record.node.clone())
        };
        let leading = machine.epoch().is_some();
        Snapshot {
            server: ServerStatus {
                status: self.status(machine, now),
                role: Self::role_word(machine.role()),
                state: NodeState::Active,
                cluster: self.config.cluster.clone(),
                node: self.config.node.clone(),
                version: crate::seeded_bug::version().to_owned(),
                epoch: self.epoch(machine),
                since: self.role_since.clone(),
                reason: self.reason(machine, now),
                active: self.active(machine),
                coordinator: CoordinatorView {
                    ready: machine.role() == Role::Active && self.coordinator.ready,
                    restarts: machine.restarts(),
                    ..self.coordinator.clone()
                },
                zookeeper: ZooKeeperView {
                    state: with_zookeeper.then(|| state.to_owned()),
                    session: self.session.clone(),
                    session_timeout_ms: self.session_timeout_ms,
                    last_heartbeat_ms: None,
                },
                lease: LeaseView::default(),
                lock: LockView {
                    held: self.lock_held,
                    path: self.config.lock.directory.join(LOCK_FILE).display().to_string(),
                    holder,
                    verified: match self.verified {
                        PeerResult::Unverified => "unverified",
                        PeerResult::Verified => "verified",
                        PeerResult::Failed => "failed",
                    }
                    .to_owned(),
                    verified_detail: self.verified_detail.clone(),
                },
                watchdog: self.watchdog_view(),
                paused: self.cluster.paused,
                switchover: self.cluster.switchover.clone(),
            },
            taken: now,
            last_heartbeat: with_zookeeper.then_some(self.last_contact).flatten(),
            lease_until: leading.then(|| machine.lease_until()).flatten(),
            cluster: self.cluster_view(machine, now),
            history: self.history.clone(),
            eligible: machine.eligible() && self.contact == Contact::Connected,
            in_contact: self.contact == Contact::Connected,
            config: self.config_shown.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// A cause in words.
pub const fn sentence(end: End) -> &'static str {
    match end {
        End::Stopped => "a stop was asked for",
        End::CoordinatorExited => "the coordinator ended by itself",
        End::CoordinatorUnhealthy => "the health probe failed too often",
        End::StartFailed => "the coordinator could not be started",
        End::SupervisorLost => "the guardian was lost",
        End::LeaseExpired => "the lease ran out",
        End::SessionExpired => "the ZooKeeper session expired",
        End::VolumeLost => "the shared volume was lost",
        End::ElectionNodeDeleted => "the election node is gone: somebody deleted it",
    }
}
