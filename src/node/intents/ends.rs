//! What has an end ends by itself: one node removes it, by the servers' clock and never by a host's.

use crate::guardian::protocol::NoteLevel;
use crate::intents::{Change, moment};
use crate::moment::Moment;
use crate::node::Node;
use crate::role::Role;

impl Node {
    /// Removes what is over, where that is this node's to do: the active one's, or else that of the first name.
    pub(in crate::node) fn tend_ends(&mut self, now: Moment) {
        self.intents.ends = None;
        let seen = &self.intents.seen;
        let pause = seen.control.paused.as_ref().and_then(|pause| pause.until.as_deref());
        let states = seen.states.iter().filter_map(|(node, (wanted, _))| Some((node, wanted.until.as_deref()?)));
        let mut ends: Vec<(Option<&String>, &str)> = states.map(|(node, until)| (Some(node), until)).collect();
        ends.extend(pause.map(|until| (None, until)));
        if ends.is_empty() || !self.tends_the_ends() {
            return;
        }
        let Some(server) = self.facts.server_now(now) else { return };
        let mut over: Option<(Change, String)> = None;
        let mut next = None;
        for (node, until) in ends {
            // What cannot be read has no end but by a person.
            let Some(until) = moment(until) else { continue };
            match until.duration_since(server) {
                Ok(left) if !left.is_zero() => {
                    let at = now + left;
                    next = Some(next.map_or(at, |other: Moment| other.min(at)));
                }
                Ok(_) | Err(_) => {
                    over = Some(match node {
                        Some(node) => (
                            self.intents.change_state(node, None),
                            format!("the time for which {node} was isolated is over"),
                        ),
                        None => (
                            self.intents.change_control(|control| control.paused = None),
                            "the pause has come to its end".to_owned(),
                        ),
                    });
                }
            }
        }
        self.intents.ends = next;
        if let Some((change, text)) = over {
            if self.intents.ordered.as_ref().is_none_or(|(ordered, _)| *ordered != change) {
                self.text(NoteLevel::Info, text);
            }
            self.order_change(change, now);
        }
    }

    fn tends_the_ends(&self) -> bool {
        let own = &self.facts.config.node;
        if self.machine.role() == Role::Active {
            return true;
        }
        let mut others = self.facts.cluster.members.iter().map(|member| &member.row);
        self.facts.cluster_is_current && self.facts.cluster.active.is_none() && others.all(|row| row.node >= *own)
    }
}
