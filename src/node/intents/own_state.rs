//! The node state: an operator takes this node out, and lets it back in.

use std::time::Duration;

use super::drain::{Drain, Next};
use super::shown;
use crate::election::port::ElectionOrder;
use crate::guardian::protocol::NoteLevel;
use crate::intents::WantedState;
use crate::moment::Moment;
use crate::node::Node;
use crate::node::commands::{Command, CommandName, Purpose};
use crate::node::input::At;
use crate::role::{End, Event, Phase};
use crate::status::NodeState;

/// How far this node has come on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum WayOut {
    /// It may lead.
    #[default]
    No,
    Draining(Drain),
    /// The role, or the place in the queue, is being given away.
    SteppingDown,
    /// Nothing of it is left in the election, nor of its coordinator.
    Out,
}

impl WayOut {
    pub const fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Draining(drain) => drain.deadline(),
            Self::No | Self::SteppingDown | Self::Out => None,
        }
    }
}

impl Node {
    /// Goes one step further towards what is wanted of this node.
    pub(in crate::node) fn tend_state(&mut self, at: At) -> Option<Event> {
        let wanted = self.intents.wanted(&self.facts.config.node).cloned();
        let event = match wanted.clone() {
            None => self.let_back_in(),
            Some(wanted) => self.go_out(at.moment, wanted),
        };
        let state = shown(&self.intents.way_out, wanted.as_ref().map(|wanted| wanted.state));
        let why = wanted.map(|wanted| match &self.intents.way_out {
            WayOut::Draining(drain) => format!("{}; {}", wanted.wish.in_words(), drain.in_words()),
            WayOut::No | WayOut::SteppingDown | WayOut::Out => wanted.wish.in_words(),
        });
        if (self.facts.state, &self.facts.state_why) != (state, &why) {
            (self.facts.state, self.facts.state_why) = (state, why);
            self.changed = true;
        }
        event
    }

    /// The end of this process is kept nowhere, or it would end again whenever it is started: it is taken out of the store, and
    /// remembered here.
    pub(in crate::node) fn take_the_last_word(&mut self) {
        let node = self.facts.config.node.clone();
        let Some(wanted) = self.intents.seen.state(&node).filter(|it| it.state == NodeState::ShuttingDown).cloned()
        else {
            return;
        };
        self.intents.unkept = Some(wanted);
        let change = self.intents.change_state(&node, None);
        if let Some(change) = self.intents.order(change, self.heard) {
            self.elect(ElectionOrder::Intend(Box::new(change)));
        }
    }

    fn let_back_in(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.intents.way_out) == WayOut::No {
            return None;
        }
        self.text(NoteLevel::Info, "activated: this node may lead".to_owned());
        self.go_by_the_rules();
        // It may stand at once.
        Some(Event::TimePassed)
    }

    fn go_out(&mut self, now: Moment, wanted: WantedState) -> Option<Event> {
        let leads = self.machine.phase(now) == Phase::Leading;
        let drains = leads && !wanted.now && wanted.state != NodeState::Isolated;
        match self.intents.way_out.clone() {
            WayOut::No => {
                self.text(NoteLevel::Info, format!("{}: {}", wanted.state.as_str(), wanted.wish.in_words()));
                let drain = &self.facts.config.drain;
                self.intents.way_out = if drains {
                    WayOut::Draining(Drain::begin(drain, drain.grace_period, now))
                } else {
                    WayOut::SteppingDown
                };
                self.go_by_the_rules();
                (!drains).then_some(Event::StepDownRequested(End::Isolated))
            }
            WayOut::Draining(mut drain) => {
                let over = !drains || self.goes_on_draining(&mut drain, now);
                self.intents.way_out = if over { WayOut::SteppingDown } else { WayOut::Draining(drain) };
                over.then_some(Event::StepDownRequested(End::Isolated))
            }
            WayOut::SteppingDown => match self.machine.phase(now) {
                Phase::Idle | Phase::BackingOff => {
                    self.intents.way_out = WayOut::Out;
                    self.stay_out(now, wanted)
                }
                Phase::Standing => Some(Event::StepDownRequested(End::Isolated)),
                Phase::WaitingForLock
                | Phase::WaitingForFence
                | Phase::Starting
                | Phase::Leading
                | Phase::Stopping
                | Phase::Fencing
                | Phase::Finished => None,
            },
            WayOut::Out => self.stay_out(now, wanted),
        }
    }

    fn stay_out(&mut self, now: Moment, wanted: WantedState) -> Option<Event> {
        match wanted.state {
            NodeState::ShuttingDown => Some(Event::StopRequested),
            NodeState::Isolating if self.intents.unkept.is_some() => {
                self.intents.unkept = Some(WantedState { state: NodeState::Isolated, ..wanted });
                None
            }
            NodeState::Isolating => {
                let node = self.facts.config.node.clone();
                let isolated = WantedState { state: NodeState::Isolated, ..wanted };
                let change = self.intents.change_state(&node, Some(isolated));
                self.order_change(change, now);
                None
            }
            NodeState::Active | NodeState::Isolated | NodeState::Inactive => None,
        }
    }

    /// Whether it is over: nothing is in flight, or the time is up.
    pub(super) fn goes_on_draining(&mut self, drain: &mut Drain, now: Moment) -> bool {
        match drain.tend(!self.facts.config.drain.command.is_empty(), now) {
            Next::Wait => false,
            Next::Run(limit) => {
                self.run_drain(limit);
                false
            }
            Next::Empty => true,
            Next::Over => {
                let text =
                    format!("drain.timeout has passed, the coordinator is stopped all the same ({})", drain.in_words());
                self.text(NoteLevel::Warn, text);
                true
            }
        }
    }

    fn run_drain(&mut self, timeout: Duration) {
        let environment = self.facts.hook_environment(self.machine.epoch());
        let argv = self.facts.config.drain.command.clone();
        self.run(Command { name: CommandName::Drain, argv, environment, timeout }, Purpose::Drain);
    }

    /// The drain command has ended.
    pub(in crate::node) fn hear_drained(&mut self, empty: bool, said: String, now: Moment) {
        self.changed = true;
        if let WayOut::Draining(drain) = &mut self.intents.way_out {
            drain.hear(empty, said, now);
        } else {
            self.intents.handover.hear_drained(empty, said, now);
        }
    }

    /// Orders a change of what people want, if it is not on its way already.
    pub(super) fn order_change(&mut self, change: crate::intents::Change, now: Moment) {
        if let Some(change) = self.intents.order(change, now) {
            self.elect(ElectionOrder::Intend(Box::new(change)));
        }
    }
}
