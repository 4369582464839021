//! What this node may claim of itself at this instant.
//!
//! A snapshot is a memory: the supervisor that wrote it may be stuck, the host may have slept. So nothing in it that
//! could mislead a load balancer is passed on unchecked: a leadership counts only while its lease lasts on the clock
//! that is read for this very answer, and contact only while the supervisor's loop turns. The rejected alternative, to
//! trust the snapshot and withdraw it from a watchdog, needs the watchdog to run in time.

use std::sync::Arc;
use std::time::Duration;

use crate::moment::Moment;
use crate::status::{ActiveView, ClusterView, LeaseView, NodeState, Role, ServerStatus, Snapshot, StatusWord};

/// The supervisor's loop counts as turning while its last turn is younger than this. Ten seconds: several of its
/// longest waits, and shorter than the patience of a service manager.
pub const LOOP_ALIVE_FOR: Duration = Duration::from_secs(10);

/// A snapshot, looked at at one moment.
#[derive(Clone, Debug)]
pub struct SnapshotAt {
    pub snapshot: Arc<Snapshot>,
    pub now: Moment,
    /// When the supervisor's loop last turned.
    pub turned: Moment,
}

impl SnapshotAt {
    /// The supervisor's loop turns.
    pub fn alive(&self) -> bool {
        self.now.since(self.turned) < LOOP_ALIVE_FOR
    }

    /// In contact with the election backend, by a supervisor that would notice if it were not so.
    pub fn in_contact(&self) -> bool {
        self.snapshot.in_contact && self.alive()
    }

    /// What is left of the lease; none where there is no lease.
    pub fn lease_remaining(&self) -> Option<Duration> {
        self.snapshot.lease_until.map(|until| until.since(self.now))
    }

    /// Active, with a lease that lasts at this moment. One that is always on needs none, but a supervisor that looks at it.
    pub fn leads(&self) -> bool {
        if self.snapshot.always_on {
            return self.snapshot.server.role == Role::Active && self.alive();
        }
        self.snapshot.server.role == Role::Active && self.lease_remaining().is_some_and(|left| !left.is_zero())
    }

    /// The first column of the contract's table.
    pub fn active_and_ready(&self) -> bool {
        let server = &self.snapshot.server;
        self.leads() && server.state == NodeState::Active && server.coordinator.ready
    }

    /// A standby in contact with its election backend that an operator has not taken out.
    pub fn standby_in_contact(&self) -> bool {
        let server = &self.snapshot.server;
        let standby = server.role == Role::Standby && !self.snapshot.always_on;
        standby && server.state == NodeState::Active && self.in_contact()
    }

    /// A standby that could take over.
    pub fn could_take_over(&self) -> bool {
        self.standby_in_contact() && self.snapshot.eligible
    }

    pub fn healthy(&self) -> bool {
        self.active_and_ready() || self.standby_in_contact()
    }

    /// The snapshot says active, the clock says no.
    fn lease_ran_out(&self) -> bool {
        self.snapshot.server.role == Role::Active && !self.snapshot.always_on && !self.leads()
    }

    /// How old an age has become that was `millis` when the snapshot was taken.
    fn aged(&self, millis: u64) -> u64 {
        millis.saturating_add(to_millis(self.now.since(self.snapshot.taken)))
    }

    /// Who is active, as far as this node can know at this moment: itself while its lease lasts, another while it is in
    /// contact with the election backend, else nobody.
    fn active(&self, told: Option<&ActiveView>) -> Option<ActiveView> {
        let told = told?;
        let known = if told.node == self.snapshot.server.node { self.leads() } else { self.in_contact() };
        known.then(|| told.clone())
    }

    /// The body of `/server_status`.
    pub fn server(&self) -> ServerStatus {
        let mut server = self.snapshot.server.clone();
        server.active = self.active(server.active.as_ref());
        server.lease = LeaseView { remaining_ms: self.lease_remaining().map(to_millis) };
        server.zookeeper.last_heartbeat_ms = match self.snapshot.last_heartbeat {
            Some(heartbeat) => Some(to_millis(self.now.since(heartbeat))),
            None => server.zookeeper.last_heartbeat_ms.map(|age| self.aged(age)),
        };
        if self.lease_ran_out() {
            server.role = Role::Fencing;
            server.status = StatusWord::Fencing;
            server.coordinator.ready = false;
            server.reason = "the lease has run out, so this node does not lead and its coordinator is killed".into();
        } else if !self.alive() {
            if server.role == Role::Standby && server.status == StatusWord::Standby {
                server.status = StatusWord::Disconnected;
            }
            server.reason =
                format!("the supervisor's loop has not turned for {} s", self.now.since(self.turned).as_secs());
        }
        server
    }

    /// The body of `/cluster`.
    pub fn cluster(&self) -> ClusterView {
        let mut cluster = self.snapshot.cluster.clone();
        cluster.active = self.active(cluster.active.as_ref());
        for member in &mut cluster.members {
            member.last_contact_ms = member.last_contact_ms.map(|age| self.aged(age));
            let row = &mut member.row;
            if row.node != self.snapshot.server.node {
                continue;
            }
            member.last_contact_ms = Some(to_millis(self.now.since(self.turned)));
            if self.lease_ran_out() {
                let server = self.server();
                row.role = Role::Fencing;
                row.status = StatusWord::Fencing;
                row.ready = false;
                row.reason = server.reason;
            }
        }
        cluster.with_absent(crate::clock::wall())
    }
}

fn to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
