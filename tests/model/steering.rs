//! What people want of the cluster as the model has it: a switchover, kept in ZooKeeper, and what nodes tell each other for its sake.
//!
//! `control` is changed by compare-and-set. A node writes into its member what it is able to, and whether it is ready for the
//! transaction that it saw; as long as something is wanted, everybody who can reads whatever has changed. All of that happens
//! within the instant for who is neither frozen nor cut off.

use primacy::moment::Moment;
use primacy::role::End;

use super::world::{Breach, Heard, Order, Setup, World, units};

/// `control`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Control {
    /// Counts its transactions; 0: it was never written.
    pub written: u32,
    pub wanted: Option<Wanted>,
}

/// The role is to go to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub to: usize,
    /// The epoch that is to end.
    pub epoch: u64,
    /// How often the target has been asked.
    pub asked: u32,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Said {
    /// It is active, with that epoch.
    pub leads: Option<u64>,
    pub eligible: bool,
    pub ready_for: Option<u32>,
}

/// A change of `control` that a node wants: guarded by the transaction that it saw. `asked`: what it is asked again; `None`: nothing is
/// wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    pub seen: u32,
    pub asked: Option<u32>,
}

/// A node's place in the queue, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    pub node: usize,
    pub place: usize,
    pub said: Said,
    pub preferred: bool,
}

/// What a node reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub own: usize,
    pub control: Control,
    pub paused: bool,
    /// Who is active, with that epoch.
    pub active: Option<(usize, u64)>,
    pub rows: Vec<Row>,
}

/// The question that was asked last. For the observer only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub at: Moment,
    /// The target, alive, has answered to this very question.
    pub answered: bool,
}

impl World {
    /// Whom somebody may want to lead instead of who leads.
    pub fn targets(&self) -> Vec<usize> {
        let leads = self.nodes.iter().position(|node| node.tree.is_some_and(|tree| !tree.doomed));
        let fresh = self.control == Control::default();
        leads
            .filter(|_| fresh)
            .map_or(Vec::new(), |leads| (0..self.nodes.len()).filter(|node| *node != leads).collect())
    }

    pub fn want_switchover(&mut self, to: usize) {
        self.remember();
        self.control = Control { written: 1, wanted: Some(Wanted { to, epoch: self.epoch, asked: 0 }) };
    }

    /// A node wants `control` to be changed.
    pub fn intend(&mut self, node: usize, change: Change) {
        let cut = self.nodes[node].cut;
        let Some(supervisor) = &mut self.nodes[node].supervisor else { return };
        if cut {
            supervisor.client.to_intend = Some(change);
            return;
        }
        if change.seen != self.control.written {
            return;
        }
        self.remember();
        self.control.written += 1;
        self.control.wanted = match (self.control.wanted, change.asked) {
            (Some(wanted), Some(asked)) => Some(Wanted { asked, ..wanted }),
            (None, _) | (_, None) => None,
        };
        self.question = self.control.wanted.map(|_| Question { at: self.now, answered: false });
    }

    /// Who can tells of itself, and reads what has changed.
    pub fn tell_each_other(&mut self, setup: &Setup) {
        if self.control == Control::default() {
            return;
        }
        let able = |world: &Self, node: usize| !world.nodes[node].cut && world.nodes[node].supervisor_runs();
        for node in (0..self.nodes.len()).filter(|node| able(self, *node)).collect::<Vec<_>>() {
            let Some(supervisor) = &self.nodes[node].supervisor else { continue };
            let said = supervisor.core.said();
            if let Some(seat) = self.seat(node) {
                self.queue[seat].said = said;
                self.note_answer(node, said);
            }
        }
        for node in (0..self.nodes.len()).filter(|node| able(self, *node)).collect::<Vec<_>>() {
            let view = self.view(setup, node);
            let Some(supervisor) = &mut self.nodes[node].supervisor else { continue };
            if supervisor.client.shown.as_ref() != Some(&view) {
                supervisor.client.shown = Some(view.clone());
                supervisor.mailbox.push(Heard::Told(view));
            }
        }
    }

    fn note_answer(&mut self, node: usize, said: Said) {
        let Control { written, wanted } = self.control;
        if let (Some(wanted), Some(question)) = (wanted, &mut self.question)
            && wanted.to == node
            && said.ready_for == Some(written)
        {
            question.answered = true;
        }
    }

    fn view(&self, setup: &Setup, own: usize) -> View {
        let control = self.control;
        let nothing = View { own, control, paused: false, active: None, rows: Vec::new() };
        if control.wanted.is_none() {
            return nothing;
        }
        // A node's own seat; where that is not there any more, or nobody knows of it, a member is a ghost of its session.
        let seats = || self.queue.iter().enumerate();
        let row = |node| {
            let known = seats().find(|(_, seat)| seat.node == node && seat.known);
            let (place, seat) = known.or_else(|| seats().find(|(_, seat)| seat.node == node))?;
            let preferred = setup.ranked && node < own;
            Some(Row { node, place, said: seat.said, preferred })
        };
        let rows: Vec<Row> = (0..self.nodes.len()).filter_map(row).collect();
        let leads = |row: &&Row| {
            let breadcrumb = self.breadcrumb.filter(|breadcrumb| !breadcrumb.clean);
            breadcrumb.is_some_and(|it| it.node == row.node && row.said.leads == Some(it.epoch))
        };
        let active = rows.iter().find(leads).map(|row| (row.node, self.epoch));
        View { paused: self.paused, active, rows, ..nothing }
    }

    /// A node begins to give the role away for a switchover: only because the target has said so, of a moment that is not longer ago
    /// than a heartbeat interval.
    pub fn observe_step_down(&mut self, before: Option<End>, after: Option<End>) {
        let now = self.now;
        let well = |question: Question| question.answered && now < question.at + units(1);
        if before.is_none() && after == Some(End::Switchover) && !self.question.is_some_and(well) {
            self.breach(Breach::StopWithoutAnswer);
        }
    }

    /// Whether a node is told that it is elected while the node to which the role is to go, as it knows, stands there and is able.
    pub fn is_a_rival(&self, node: usize) -> bool {
        let Some(wanted) = self.control.wanted.filter(|wanted| wanted.epoch == self.epoch) else { return false };
        let shown = self.nodes[node].supervisor.as_ref().and_then(|it| it.client.shown.as_ref());
        wanted.to != node
            && self.nodes[node].made_way != Some(self.epoch)
            && shown.is_some_and(|shown| {
                shown.control.wanted.is_some_and(|it| it.epoch == wanted.epoch)
                    && shown.rows.iter().any(|row| row.node == wanted.to && row.said.eligible)
            })
    }
}

impl From<Change> for Order {
    fn from(change: Change) -> Self {
        Self::Intend(change)
    }
}
