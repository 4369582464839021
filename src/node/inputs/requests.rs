//! What people want of this node, and what that means for the role.

use std::time::Duration;

use crate::guardian::protocol::NoteLevel;
use crate::node::Node;
use crate::node::intents::Request;
use crate::role::{End, Event, Rules};

impl Node {
    pub(in crate::node) fn hear_request(&mut self, request: Request) -> Event {
        self.changed = true;
        match request {
            Request::Isolate => {
                self.text(NoteLevel::Info, "isolated: this node does not lead until it is activated".to_owned());
                self.intents.isolated = true;
                self.go_by(self.machine.rules().clone());
                Event::StepDownRequested(End::Isolated)
            }
            Request::Activate => {
                self.text(NoteLevel::Info, "activated: this node may lead".to_owned());
                self.intents.isolated = false;
                let timeout = self.facts.session_timeout_ms.map(Duration::from_millis);
                self.go_by(self.timing.reckon(&self.facts.config, timeout).rules);
                Event::TimePassed
            }
            Request::StepDown { epoch } if self.machine.epoch() == Some(epoch) => {
                Event::StepDownRequested(End::Switchover)
            }
            Request::StepDown { .. } => Event::TimePassed,
        }
    }

    /// Goes by these rules, as far as people let it.
    pub(in crate::node) fn go_by(&mut self, rules: Rules) {
        let may_stand = rules.may_stand && !self.intents.isolated;
        self.machine.set_rules(Rules { may_stand, ..rules });
    }
}
