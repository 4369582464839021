//! How long killing a tree really takes, and whether the lease leaves enough for it.
//!
//! `zookeeper.margin` is what lies between the lease's end and the first moment at which another node can be elected: the kill has to
//! be over by then. A JVM of many GiB, or one that hangs in a file system, takes longer than it did when it was tried.

use std::time::Duration;

use crate::config::ElectionKind;
use crate::guardian::protocol::NoteLevel;
use crate::moment::{Moment, in_words};

use super::Node;

impl Node {
    /// The tree is to be killed.
    pub(super) fn kill_begins(&mut self, now: Moment) {
        if self.machine.tree_may_live() {
            self.facts.killing.get_or_insert(now);
        }
    }

    /// Nothing of it lives.
    pub(super) fn kill_is_over(&mut self, now: Moment) {
        let Some(began) = self.facts.killing.take() else { return };
        let took = now.since(began);
        self.facts.metrics.kill_seconds.observe(took.as_secs_f64());
        let reserved = self.facts.config.zookeeper.margin;
        if self.facts.config.election == ElectionKind::ZooKeeper && nears(took, reserved) {
            let (took, reserved) = (in_words(took), in_words(reserved));
            let text = format!(
                "killing the coordinator took {took}; the lease reserves {reserved} for it: raise zookeeper.margin to twice that time at least"
            );
            self.text(NoteLevel::Warn, text);
        }
    }
}

/// More than half of it: the next kill may be the slow one.
fn nears(took: Duration, reserved: Duration) -> bool {
    took * 2 > reserved
}
