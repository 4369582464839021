//! That nobody leads, told to the operators' hook (`hooks.on_no_leader`): when it has lasted for `hooks.no_leader_after`, and once.
//!
//! The first member by name runs it, so not everybody at once; where that one goes before it was due, the next is the first. It is
//! for people, and decides nothing. A node without contact cannot know whether somebody leads: then it is no alarm, and the time
//! counts anew from when it can know again.

use std::time::Duration;

use super::Node;
use super::commands::{Command, CommandName, NOTICE_TIMEOUT, Purpose};
use super::facts::Contact;
use crate::config::{ElectionKind, Mode};
use crate::moment::Moment;
use crate::role::Role;

/// How long nobody has led, as far as is known.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Alarm {
    since: Option<Moment>,
    /// The hook was run for this.
    told: bool,
}

impl Alarm {
    /// `somebody`: whether somebody leads; `None` where that is not known.
    fn see(&mut self, somebody: Option<bool>, now: Moment) {
        match somebody {
            Some(true) => *self = Self::default(),
            Some(false) => self.since = self.since.or(Some(now)),
            None => self.since = None,
        }
    }

    fn due(&self, after: Duration) -> Option<Moment> {
        self.since.filter(|_| !self.told).map(|since| since + after)
    }
}

impl Node {
    /// Runs the hook if that is due.
    pub(super) fn tend_alarm(&mut self, now: Moment) {
        let hooks = &self.facts.config.hooks;
        if hooks.on_no_leader.is_empty() {
            self.alarm = Alarm::default();
            return;
        }
        let after = hooks.no_leader_after;
        let knows = self.facts.config.election == ElectionKind::ZooKeeper
            && self.facts.config.mode != Mode::AlwaysOn
            && self.facts.contact == Contact::Connected
            && self.facts.cluster_is_current;
        let somebody = self.machine.role() == Role::Active || self.facts.cluster.active.is_some();
        self.alarm.see(knows.then_some(somebody), now);
        if self.alarm.due(after).is_some_and(|due| due <= now) && self.is_first() && self.guardian.serves() {
            self.alarm.told = true;
            let command = Command {
                name: CommandName::OnNoLeader,
                argv: self.facts.config.hooks.on_no_leader.clone(),
                environment: self.facts.hook_environment(None),
                timeout: NOTICE_TIMEOUT,
            };
            self.run(command, Purpose::Alarm);
        }
    }

    /// When it would be due. What has not been run then waits for something to be heard: of a guardian, or of another member.
    pub(super) fn alarm_due(&self) -> Option<Moment> {
        self.alarm.due(self.facts.config.hooks.no_leader_after).filter(|due| *due > self.heard)
    }

    /// Of those that could lead.
    fn is_first(&self) -> bool {
        let own = &self.facts.config.node;
        self.facts.cluster.members.iter().all(|member| member.row.node >= *own || member.row.always_on)
    }
}
