//! Tells the API at once, systemd at changes of the reason, and the other members a moment later.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::election::Order;
use crate::moment::Moment;
use crate::role::{Machine, Role};
use crate::status::{Breadcrumb, Member, Snapshot};

use super::knowledge::Knowledge;
use super::notify::Notifier;

/// The others' picture of this node may be this old. Writing it at once would put a write between the steps of a
/// fail-over, each of which waits for a ZooKeeper write already.
const SETTLE: Duration = Duration::from_millis(50);

/// What was published last.
pub struct Publisher {
    snapshot: Arc<ArcSwap<Snapshot>>,
    member: Option<Member>,
    service: Option<Breadcrumb>,
    due: Option<Moment>,
    reason: String,
    pub systemd: Notifier,
}

impl Publisher {
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        let systemd = Notifier::from_environment();
        Self { snapshot, member: None, service: None, due: None, reason: String::new(), systemd }
    }

    /// When [`Publisher::settle`] should be called.
    pub const fn due(&self) -> Option<Moment> {
        self.due
    }

    /// The others know nothing of this node any more.
    pub fn forget(&mut self) {
        self.member = None;
        self.service = None;
    }

    /// Publishes to this host.
    pub fn publish(&mut self, knowledge: &Knowledge, machine: &Machine, now: Moment) {
        let snapshot = knowledge.snapshot(machine, now);
        if snapshot.server.reason != self.reason {
            self.reason.clone_from(&snapshot.server.reason);
            self.systemd.status(format!("{}: {}", snapshot.server.status.as_str(), self.reason));
        }
        self.snapshot.store(Arc::new(snapshot));
        let changed =
            self.member.as_ref() != Some(&knowledge.member(machine, now)) || self.service != knowledge.service(machine);
        // Who has become active has no further step, and others ask who that is.
        let settles = if machine.role() == Role::Active { Duration::ZERO } else { SETTLE };
        if changed {
            self.due = Some(self.due.map_or(now + settles, |due| due.min(now + settles)));
        }
    }

    /// Publishes to the others what has settled.
    pub fn settle(&mut self, knowledge: &Knowledge, machine: &Machine, now: Moment) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.due.is_none_or(|due| now < due) {
            return orders;
        }
        self.due = None;
        let (member, service) = (knowledge.member(machine, now), knowledge.service(machine));
        if self.service != service {
            self.service.clone_from(&service);
            orders.push(Order::Announce(service.map(Box::new)));
        }
        if self.member.as_ref() != Some(&member) {
            self.member = Some(member.clone());
            orders.push(Order::Publish(Box::new(member)));
        }
        orders
    }
}
