//! What a look at the queue has found.

use super::Candidacy;
use super::messages::{Failure, Looked, RequestId, Say};
use crate::election::port::{ElectionOutcome, OtherCandidate};
use crate::zookeeper::contents::{self, Control};
use crate::zookeeper::paths::{Place, place};

#[derive(Debug)]
pub enum Look {
    First(Box<Found>),
    /// The full path of the one before this node; `next`: what a claim would be guarded by, where that is the active one's.
    Behind {
        before: String,
        next: Option<Box<Found>>,
    },
    /// The own node is not there, or it is another session's.
    Gone,
}

/// What the first in the queue found, with the versions that guard its claim.
#[derive(Clone, Debug)]
pub struct Found {
    pub outcome: ElectionOutcome,
    pub epoch_version: Option<i32>,
    pub breadcrumb_version: Option<i32>,
    /// Whether anybody else is in the queue.
    pub contested: bool,
    /// The active one's election node, where this node stands right behind it; and what guards the pauses.
    pub before: Option<String>,
    pub control_version: Option<i32>,
}

/// First in the queue, and that was told.
#[derive(Debug)]
pub struct Elected {
    pub node: String,
    pub own: RequestId,
    pub found: Found,
}

impl Found {
    /// Whether the same leadership as before was the last one, and nothing is known of its end, but for its election node's.
    pub fn differs_only_by_the_queue(&self, again: &Self) -> bool {
        self.before.is_some()
            && (self.epoch_version == again.epoch_version && self.breadcrumb_version == again.breadcrumb_version)
            && (self.outcome.volume == again.outcome.volume && !again.outcome.paused)
    }

    /// Whether a claim could be made once the leadership before this node is proven to be over: it is the last one that there
    /// was, by its own word not over, and stands right before this node.
    fn is_next(&self) -> bool {
        let Some(predecessor) = &self.outcome.predecessor else { return false };
        let stands_before = self.before.is_some() && predecessor.election_node == self.before;
        stands_before
            && (!predecessor.clean && predecessor.epoch == self.outcome.epoch)
            && (self.epoch_version.is_some() && self.breadcrumb_version.is_some() && self.outcome.volume.is_some())
    }

    /// Whether the same leadership as before was the last one, and its breadcrumb has become clean since.
    pub fn differs_only_by_the_goodbye(&self, again: &Self) -> bool {
        let (Some(before), Some(after)) = (&self.outcome.predecessor, &again.outcome.predecessor) else { return false };
        (before.node == after.node && before.epoch == after.epoch)
            && (!before.clean && after.clean)
            && (self.outcome.epoch == again.outcome.epoch && self.epoch_version == again.epoch_version)
            && (self.outcome.volume == again.outcome.volume && !again.outcome.paused)
    }
}

impl Candidacy {
    /// What follows for who stands by `node`. Only what was read after the sync counts, and only while the node is this very
    /// session's.
    pub(super) fn judge(&mut self, node: &str, looked: Looked) -> Result<Look, Failure> {
        looked.synced?;
        if looked.owner? != Some(self.grant.session) {
            return Ok(Look::Gone);
        }
        let queue = looked.queue?;
        let contested = queue.len() > 1;
        let paths = &self.terms.paths;
        let before = match place(queue, &node[paths.election.len() + 1..]) {
            Place::Absent => return Ok(Look::Gone),
            Place::First => None,
            Place::Behind(before) => Some(paths.queue_node(&before)),
        };
        let (epoch, active) = (looked.epoch?, looked.active?);
        let (volume, control) = (looked.volume?, looked.control?);
        let predecessor = data(&active).map(contents::predecessor);
        let noted = data(&epoch).and_then(contents::epoch);
        if epoch.is_some() && noted.is_none() {
            self.say(Say::EpochUnreadable);
        }
        let asked = Control::parse(data(&control));
        let outcome = ElectionOutcome {
            epoch: noted.unwrap_or(0).max(predecessor.as_ref().map_or(0, |predecessor| predecessor.epoch)),
            predecessor,
            volume: data(&volume).map(contents::volume),
            paused: asked.paused.is_some(),
            vouched: asked.vouched.map(Box::new),
            others: Vec::new(),
        };
        let found = Box::new(Found {
            outcome,
            epoch_version: epoch.map(|(_, version)| version),
            breadcrumb_version: active.map(|(_, version)| version),
            contested,
            before: before.clone(),
            control_version: control.map(|(_, version)| version),
        });
        Ok(match before {
            None => Look::First(found),
            Some(before) => Look::Behind { before, next: found.is_next().then_some(found) },
        })
    }

    /// Who else could take over, by what the members say of themselves: a preference, nothing more.
    pub(super) fn others(&self) -> Vec<OtherCandidate> {
        let others = self.seen.members.values().filter(|member| member.row.node != self.terms.node);
        others
            .map(|member| OtherCandidate {
                node: member.row.node.clone(),
                priority: member.row.priority,
                eligible: member.row.eligible,
            })
            .collect()
    }
}

fn data(content: &Option<(Vec<u8>, i32)>) -> Option<&[u8]> {
    content.as_ref().map(|(data, _)| data.as_slice())
}
