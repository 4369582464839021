//! What people want of this node, and what that means for the role.

use std::time::Duration;

use crate::guardian::protocol::{GuardianOrder, NoteLevel, Rehearsed};
use crate::intents::{Fault, Intended, WantedState};
use crate::moment::Moment;
use crate::node::Node;
use crate::node::input::At;
use crate::node::intents::Request;
use crate::role::{End, Event, Phase, Rules};
use crate::status::NodeState;

/// How much longer than its session a supervisor is frozen in a rehearsal.
const FROZEN_ON: Duration = Duration::from_secs(2);

impl Node {
    /// What is wanted has been told.
    pub(in crate::node) fn hear_intended(&mut self, intended: Intended) {
        let before = std::mem::replace(&mut self.intents.seen, intended);
        self.intents.ordered = None;
        let paused = &self.intents.seen.control.paused;
        let line = match (&before.control.paused, paused) {
            (None, Some(pause)) => {
                let until = pause.until.as_ref().map_or_else(String::new, |until| format!(", until {until}"));
                Some((
                    NoteLevel::Warn,
                    format!("elections are paused: nobody becomes active; {}{until}", pause.wish.in_words()),
                ))
            }
            (Some(_), None) => Some((NoteLevel::Info, "elections are not paused any more".to_owned())),
            (None, None) | (Some(_), Some(_)) => None,
        };
        line.into_iter().for_each(|(level, text)| self.text(level, text));
        if !std::mem::replace(&mut self.intents.known, true) {
            self.go_by_the_rules();
        }
    }

    /// Goes one step further towards all that is wanted.
    pub(in crate::node) fn tend_intents(&mut self, at: At) -> Option<Event> {
        if !self.intents.known {
            return None;
        }
        self.intents.forget_what_took_too_long(at.moment);
        self.take_the_last_word();
        self.tend_ends(at.moment);
        let state = self.tend_state(at);
        if self.machine.is_always_on() { state } else { state.or_else(|| self.tend_handover(at)) }
    }

    pub(in crate::node) fn hear_request(&mut self, request: Request) -> Event {
        self.changed = true;
        match request {
            Request::Isolate => {
                self.hear_state_asked(WantedState::plain(NodeState::Isolated));
                Event::TimePassed
            }
            Request::Activate => {
                self.hear_state_asked(WantedState::plain(NodeState::Active));
                Event::TimePassed
            }
            Request::StepDown { epoch } if self.machine.epoch() == Some(epoch) => {
                Event::StepDownRequested(End::Switchover)
            }
            Request::StepDown { .. } => Event::TimePassed,
        }
    }

    /// Nothing keeps it but this process. The last word, that it is to end, is not taken back.
    pub(in crate::node) fn hear_state_asked(&mut self, wanted: WantedState) {
        let last = self.intents.unkept.as_ref().is_some_and(|it| it.state == NodeState::ShuttingDown);
        if !last {
            self.intents.unkept = (wanted.state != NodeState::Active).then_some(wanted);
        }
    }

    /// A fault on purpose: only where the configuration allows it, and of a coordinator that runs and is ready.
    pub(in crate::node) fn hear_rehearsed(&mut self, fault: Fault, by: &str, now: Moment) {
        if !self.facts.config.rehearsal.allowed || self.machine.phase(now) != Phase::Leading {
            self.text(NoteLevel::Warn, format!("no rehearsal of {} here: not allowed, or not active", fault.as_str()));
            return;
        }
        self.text(NoteLevel::Warn, format!("a rehearsal, asked for by {by}: {}", fault.as_str()));
        let session = self.facts.session_timeout_ms.map_or(self.facts.config.lock.probe_timeout, Duration::from_millis);
        self.order(GuardianOrder::Rehearse(match fault {
            Fault::Coordinator => Rehearsed::KillCoordinator,
            Fault::Supervisor => Rehearsed::KillSupervisor,
            Fault::Freeze => Rehearsed::FreezeSupervisor { thaw: session + FROZEN_ON },
        }));
    }

    /// Goes by the rules of the configuration and of the session there is.
    pub(in crate::node) fn go_by_the_rules(&mut self) {
        let timeout = self.facts.session_timeout_ms.map(Duration::from_millis);
        self.go_by(self.timing.reckon(&self.facts.config, timeout).rules);
    }

    /// Goes by these rules, as far as people let it.
    pub(in crate::node) fn go_by(&mut self, rules: Rules) {
        let may_stand = rules.may_stand && self.intents.known && !self.intents.isolated();
        self.machine.set_rules(Rules { may_stand, ..rules });
    }
}
