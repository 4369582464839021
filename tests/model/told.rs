//! What a node is told of what people want and of the others, in the words of the election.

use std::sync::LazyLock;

use primacy::election::port::{Fact, OtherCandidate};
use primacy::guardian::protocol::{LastWill, ZooKeeperAccess};
use primacy::intents::{self, Intended, Pause, Switchover};
use primacy::moment::Moment;
use primacy::node::Input;
use primacy::status::{ActiveView, ClusterView, Member};

use super::mind::{Mind, OWN};
use super::steering::{Change, Control, Row, Said, View};
use super::world::Order;

/// A node's name, as this one calls it.
fn name(own: usize, node: usize) -> String {
    if node == own { OWN.to_owned() } else { format!("other-{node}") }
}

fn place(place: usize) -> String {
    format!("_c_x-latch-{place:010}")
}

fn queued(place: String) -> Fact {
    Fact::Queued(Box::new(LastWill {
        zookeeper: ZooKeeperAccess {
            servers: String::new(),
            session_timeout: std::time::Duration::from_secs(10),
            digest: None,
            tls: None,
            addresses: Default::default(),
        },
        election_node: place,
        breadcrumb: None,
        epoch: None,
        session: None,
        also_delete: Vec::new(),
    }))
}

static MEMBER: LazyLock<Member> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "node": "", "role": "standby", "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "", "ready": false,
        "api": "", "priority": 100, "version": "0", "eligible": true, "reason": "",
    }))
    .expect("that is a member")
});

fn member(own: usize, row: &Row) -> Member {
    let mut member = MEMBER.clone();
    member.row.node = name(own, row.node);
    member.row.eligible = row.said.eligible;
    member.election_node = Some(place(row.place));
    member.ready_for = row.said.ready_for.map(i64::from);
    member
}

fn intended(view: &View) -> Intended {
    let Control { written, wanted } = view.control;
    let switchover = wanted.map(|wanted| Switchover {
        to: name(view.own, wanted.to),
        not_before: None,
        expect_epoch: wanted.epoch,
        now: false,
        wish: intents::Wish::default(),
        asked: u64::from(wanted.asked),
    });
    let paused = view.paused.then(Pause::default);
    Intended {
        control: intents::Control { switchover, paused, ..intents::Control::default() },
        version: i32::try_from(written).ok(),
        written: i64::from(written),
        ..Intended::default()
    }
}

impl Mind {
    /// It has read what has changed.
    pub fn be_told(&mut self, now: Moment, view: &View) -> Vec<Order> {
        let mut orders = self.hear(now, Input::Election(Fact::Intended(Box::new(intended(view)))));
        self.others = view.rows.iter().filter(|row| row.node != view.own).map(|row| candidate(view.own, row)).collect();
        if view.control.wanted.is_none() {
            return orders;
        }
        let own = view.rows.iter().find(|row| row.node == view.own);
        let waits = self.machine().epoch().is_none();
        if let Some(own) = own.filter(|_| waits) {
            orders.extend(self.hear(now, Input::Election(queued(place(own.place)))));
            if let Some(before) = own.place.checked_sub(1) {
                let behind = Fact::Behind { election_node: place(before), next: None };
                orders.extend(self.hear(now, Input::Election(behind)));
            }
        }
        let active = view.active.map(|(node, epoch)| {
            let node = name(view.own, node);
            ActiveView { node, api: String::new(), epoch, endpoints: Default::default() }
        });
        let cluster = ClusterView {
            epoch: Some(1),
            active,
            paused: view.paused,
            members: view.rows.iter().map(|row| member(view.own, row)).collect(),
            ..ClusterView::default()
        };
        orders.extend(self.hear(now, Input::Election(Fact::Cluster(Box::new(cluster)))));
        orders
    }

    /// As if nothing were.
    pub fn forget_what_is_wanted(&mut self, now: Moment) {
        self.hear(now, Input::Election(Fact::Intended(Box::default())));
    }

    /// What it tells the others.
    pub fn said(&self) -> Said {
        let machine = self.machine();
        Said {
            leads: machine.epoch().filter(|_| machine.role() == primacy::role::Role::Active),
            eligible: machine.eligible(),
            ready_for: self.ready_for().and_then(|written| u32::try_from(written).ok()),
        }
    }
}

fn candidate(own: usize, row: &Row) -> OtherCandidate {
    let priority = if row.preferred { u32::MAX } else { 100 };
    OtherCandidate { node: name(own, row.node), priority, eligible: row.said.eligible }
}

/// A change that it wants, of `control`.
pub fn change(change: &intents::Change) -> Option<Order> {
    let (seen, control) = change.control.as_ref()?;
    let seen = seen.and_then(|seen| u32::try_from(seen).ok()).unwrap_or(0);
    let asked = control.switchover.as_ref().and_then(|wanted| u32::try_from(wanted.asked).ok());
    Some(Change { seen, asked }.into())
}
