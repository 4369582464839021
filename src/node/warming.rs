//! That a standby keeps the coordinator's files in its page cache (`[standby] warm`): when, and what is said of it. It decides
//! nothing of who may run, and nobody waits for it.

use super::{Node, Output, Say};
use crate::config::Mode;
use crate::guardian::protocol::NoteLevel;
use crate::role::Role;
use crate::status::{NodeState, Warm};
use crate::warm::order::Order;

impl Node {
    /// A node that could become active, and has not. One that is isolated is being worked on.
    fn warm_order(&self) -> Option<Order> {
        let config = &self.facts.config;
        let standby = self.machine.role() == Role::Standby && self.facts.state == NodeState::Active;
        let wanted =
            standby && !self.is_leaving() && config.mode == Mode::ActiveStandby && !config.standby.warm.is_empty();
        wanted.then(|| Order {
            paths: config.standby.warm.clone(),
            limit: config.standby.warm_limit,
            volume: config.lock.directory.clone(),
        })
    }

    pub(super) fn tend_warming(&mut self) {
        let wanted = self.warm_order();
        if wanted != self.warming {
            self.warming.clone_from(&wanted);
            self.changed |= self.facts.warm.take().is_some();
            self.outputs.push_back(Output::KeepWarm(wanted));
        }
    }

    /// What was kept after a pass. A word of a process that was ended meanwhile is void.
    pub(super) fn hear_warmed(&mut self, warm: Warm) {
        if self.warming.is_none() || self.facts.warm.as_ref() == Some(&warm) {
            return;
        }
        let former = self.facts.warm.replace(warm.clone());
        self.changed = true;
        let counts = |warm: &Warm| (warm.files, warm.left_out);
        if former.as_ref().map(counts) != Some(counts(&warm)) {
            let Warm { files, bytes, left_out, .. } = warm;
            self.say(Say::KeptWarm { files, bytes, left_out });
        }
        let told = |problem: &String| former.as_ref().is_some_and(|former| former.problems.contains(problem));
        for problem in warm.problems.iter().filter(|problem| !told(problem)) {
            self.text(NoteLevel::Warn, format!("standby.warm: {problem}"));
        }
    }
}
