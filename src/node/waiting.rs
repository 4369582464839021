//! Whether this node may wait for the lock of the leadership before it, and whether what the lock file says then proves that
//! leadership to be over. What follows from both is the role's ([`crate::role`], "waiting").

use crate::election::port::{ElectionOutcome, OtherCandidate};
use crate::guardian::protocol::{LockRecord, NoteLevel};
use crate::role::{Event, Succession};

use super::Node;
use super::facts::Contact;

impl Node {
    /// Tells the role of the leadership before this node, where that has changed.
    pub(super) fn tend_waiting(&self) -> Option<Event> {
        let next = self.next_in_line();
        (self.machine.next_in_line() != next).then_some(Event::NextInLine(next))
    }

    /// Right behind the active one, in contact, and nobody has paused elections. Who else is to lead instead is looked at
    /// again with every change of the cluster.
    fn next_in_line(&self) -> Option<Succession> {
        let facts = &self.facts;
        let next = facts.next.as_ref()?;
        let paused = next.paused || facts.cluster.paused || self.intents.seen.control.paused.is_some();
        if facts.contact != Contact::Connected || paused {
            return None;
        }
        let predecessor = next.predecessor.as_ref().map(|predecessor| predecessor.node.as_str());
        let rows = facts.cluster.members.iter().map(|member| &member.row);
        let others = rows.filter(|row| row.node != facts.config.node && Some(row.node.as_str()) != predecessor);
        let others = others
            .map(|row| OtherCandidate { node: row.node.clone(), priority: row.priority, eligible: row.eligible })
            .collect();
        let outcome = ElectionOutcome { others, ..(**next).clone() };
        let succession = facts.own().succession(&outcome, facts.config.candidate.priority);
        Some(self.prefer(succession, &outcome))
    }

    /// Once for each leadership, for people.
    pub(super) fn say_for_whom_it_waits(&mut self) {
        let Some((next, behind)) = self.facts.next.as_ref().zip(self.facts.behind.clone()) else { return };
        let node = next.predecessor.as_ref().map_or_else(String::new, |predecessor| predecessor.node.clone());
        let (epoch, waited_for) = (next.epoch, Some((behind, next.epoch)));
        if std::mem::replace(&mut self.facts.waited_for, waited_for.clone()) != waited_for {
            self.text(NoteLevel::Info, format!("next to lead: waits for the lock of {node} (epoch {epoch})"));
        }
    }

    /// What a grant is worth, for people.
    pub(super) fn say_what_came(&mut self, over: bool, record: Option<&LockRecord>) {
        let text = match (over, record) {
            (true, Some(record)) => {
                format!(
                    "the lock came with the proof that epoch {} of {} is over: taking over",
                    record.epoch, record.node
                )
            }
            (true | false, _) => {
                "the lock came without the proof that its leadership is over: let go of it again; the session of \
                                  who led decides"
                    .to_owned()
            }
        };
        self.text(NoteLevel::Info, text);
    }

    /// Whether the lock file proves that the very leadership before this node is over.
    pub(super) fn is_over(&self, record: Option<&LockRecord>) -> bool {
        let (Some(record), Some(next)) = (record, &self.facts.next) else { return false };
        let node = record.over.as_ref().and_then(|over| over.election_node.as_ref());
        record.is_over() && record.epoch == next.epoch && node.is_some() && node == self.facts.behind.as_ref()
    }
}
