//! Tells the API at once, systemd at changes of the reason, and the other members a moment later.

use std::sync::Arc;
use std::time::Duration;

use crate::election::port::ElectionOrder;
use crate::moment::Moment;
use crate::role::{Role, RoleMachine};
use crate::status::{Breadcrumb, Member};

use super::facts::Facts;
use super::output::Output;

/// The others' picture of this node may be this old. Writing it at once would put a write between the steps of a
/// fail-over, each of which waits for a ZooKeeper write already.
const SETTLE: Duration = Duration::from_millis(50);

/// What was published last.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Published {
    member: Option<Arc<Member>>,
    service: Option<Breadcrumb>,
    due: Option<Moment>,
    reason: String,
}

impl Published {
    /// When [`Published::settle`] should be called.
    pub const fn due(&self) -> Option<Moment> {
        self.due
    }

    /// The others know nothing of this node any more.
    pub fn forget(&mut self) {
        self.member = None;
        self.service = None;
    }

    /// What this host is told, at once; what the others are told is due a moment later.
    pub fn publish(&mut self, facts: &Facts, machine: &RoleMachine, now: Moment) -> Vec<Output> {
        let mut outputs = Vec::new();
        outputs.push(Output::Publish);
        let member = facts.member(machine, now);
        let reason = facts.reason(machine, now);
        if reason != self.reason {
            self.reason = reason;
            outputs.push(Output::Status(format!("{}: {}", member.row.status.as_str(), self.reason)));
        }
        let changed = self.member.as_deref() != Some(&member) || self.service != facts.service(machine);
        // Who has become active has no further step, and others ask who that is.
        // Who is asked whether it is ready has been given little time to answer.
        let asked = self.member.as_deref().map(|told| told.ready_for) != Some(facts.ready_for);
        let settles = if machine.role() == Role::Active || asked { Duration::ZERO } else { SETTLE };
        if changed {
            self.due = Some(self.due.map_or(now + settles, |due| due.min(now + settles)));
        }
        outputs
    }

    /// Publishes to the others what has settled.
    pub fn settle(&mut self, facts: &Facts, machine: &RoleMachine, now: Moment) -> Vec<ElectionOrder> {
        let mut orders = Vec::new();
        if self.due.is_none_or(|due| now < due) {
            return orders;
        }
        self.due = None;
        let (member, service) = (facts.member(machine, now), facts.service(machine));
        if self.service != service {
            self.service.clone_from(&service);
            orders.push(ElectionOrder::Announce(service.map(Box::new)));
        }
        if self.member.as_deref() != Some(&member) {
            self.member = Some(Arc::new(member.clone()));
            orders.push(ElectionOrder::Publish(Box::new(member)));
        }
        orders
    }
}
