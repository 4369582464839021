//! What a node tells of itself: the snapshot that the API serves, its row among the members, its breadcrumb.

use crate::config::{ElectionKind, Mode, WatchdogUse};
use crate::moment::Moment;
use crate::role::{Role, RoleMachine};
use crate::status::{
    ActiveView, Breadcrumb, ClusterView, ContactWord, CoordinatorView, LeaseView, LockView, Member, MemberRow,
    MetricsView, NO_EPOCH, NodeState, ServerStatus, Snapshot, UpgradeView, WatchdogStatus, ZOOKEEPER_FORMAT,
    ZooKeeperView,
};

use super::facts::{Contact, Facts, LOCK_FILE};

impl Facts {
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

    fn epoch(&self, machine: &RoleMachine) -> Option<u64> {
        // The cluster's is the elected one's.
        if machine.is_always_on() { None } else { machine.epoch().or(self.cluster.epoch) }
    }

    pub fn member(&self, machine: &RoleMachine, now: Moment) -> Member {
        let row = MemberRow {
            node: self.config.node.clone(),
            role: machine.role(),
            state: self.state,
            status: self.status(machine, now),
            epoch: machine.epoch(),
            since: self.role_since.clone(),
            ready: machine.role() == Role::Active && self.coordinator.ready,
            api: self.identity.advertise.clone(),
            endpoints: self.config.coordinator.endpoints.clone(),
            priority: self.config.candidate.priority,
            tags: self.config.candidate.tags.clone(),
            version: crate::seeded_bug::version().to_owned(),
            eligible: machine.eligible(),
            always_on: machine.is_always_on(),
            reason: self.reason_for_others(machine, now),
        };
        let (process, session_timeout_ms) = (Some(self.identity.process.clone()), self.session_timeout_ms);
        let (election_node, ready_for) = (self.election_node.clone(), self.ready_for);
        Member { format: ZOOKEEPER_FORMAT, row, process, session_timeout_ms, election_node, ready_for }
    }

    /// What this node leaves behind when it takes `epoch`.
    pub fn breadcrumb(&self, epoch: u64, since: String) -> Breadcrumb {
        Breadcrumb {
            election_node: None,
            node: self.config.node.clone(),
            epoch,
            api: self.identity.advertise.clone(),
            endpoints: self.config.coordinator.endpoints.clone(),
            since,
            clean: false,
            host: self.identity.process.host.clone(),
            cause: None,
            to: None,
        }
    }

    /// The registration for service discovery: only while active and ready.
    pub fn service(&self, machine: &RoleMachine) -> Option<Breadcrumb> {
        let serves = machine.role() == Role::Active && self.state == NodeState::Active;
        if machine.is_always_on() && serves && self.coordinator.ready {
            return Some(self.breadcrumb(NO_EPOCH, self.role_since.clone()));
        }
        let entry = self.entry.as_ref().filter(|_| serves)?;
        Some(self.breadcrumb(entry.epoch, entry.from.clone()))
    }

    fn active(&self, machine: &RoleMachine) -> Option<ActiveView> {
        match (machine.role(), machine.epoch()) {
            (Role::Active, Some(epoch)) => Some(ActiveView::from(&self.breadcrumb(epoch, String::new()))),
            _ => self.cluster.active.clone().filter(|active| active.node != self.config.node),
        }
    }

    /// The cluster, with this node's own row as it is this instant.
    fn cluster_view(&self, machine: &RoleMachine, now: Moment) -> ClusterView {
        let mut view = self.cluster.clone();
        view.active = self.active(machine);
        view.epoch = machine.epoch().or(self.cluster.epoch);
        view.members.retain(|member| member.row.node != self.config.node);
        view.members.push(self.member(machine, now));
        view.members.sort_by(|a, b| a.row.node.cmp(&b.row.node));
        // Who is present has been heard of within its session: its age is given as zero.
        view.shown(Some(0))
    }

    pub fn snapshot(&self, machine: &RoleMachine, now: Moment) -> Snapshot {
        let with_zookeeper = self.config.election == ElectionKind::ZooKeeper;
        let state = match &self.contact {
            Contact::Connecting => ContactWord::Connecting,
            Contact::Connected => ContactWord::Connected,
            Contact::Disconnected(_) => ContactWord::Disconnected,
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
                role: machine.role(),
                state: self.state,
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
                    state: with_zookeeper.then_some(state),
                    session: self.session.clone(),
                    session_timeout_ms: self.session_timeout_ms,
                    last_heartbeat_ms: None,
                },
                lease: LeaseView::default(),
                lock: LockView {
                    held: self.lock_held,
                    path: match self.config.mode {
                        Mode::ActiveStandby => self.config.lock.directory.join(LOCK_FILE).display().to_string(),
                        Mode::AlwaysOn => String::new(),
                    },
                    holder,
                    verified: self.verified,
                    verified_detail: self.verified_detail.clone(),
                },
                watchdog: self.watchdog_view(),
                warm: self.warm.clone(),
                paused: self.cluster.paused,
                switchover: self.cluster.switchover.clone(),
            },
            always_on: machine.is_always_on(),
            taken: now,
            last_heartbeat: with_zookeeper.then_some(self.last_contact).flatten(),
            lease_until: leading.then(|| machine.lease_until()).flatten(),
            cluster: self.cluster_view(machine, now),
            history: self.history.clone(),
            eligible: machine.eligible() && self.contact == Contact::Connected,
            in_contact: self.contact == Contact::Connected,
            config: self.config_shown.clone(),
            reloaded: self.reloaded.clone(),
            upgrade: UpgradeView { upgrades: self.identity.upgrades, ..self.upgrade.clone() },
            metrics: MetricsView { volume_free_bytes: self.free_bytes, ..self.metrics.clone() },
        }
    }
}
