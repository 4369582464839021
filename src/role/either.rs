//! The two kinds of role that a node can have, behind one face.

use crate::moment::Moment;

use super::always_on::AlwaysOn;
use super::{Action, DeadlineReason, End, Event, Machine, Phase, Role, Rules, Succession};

/// The machine of a node's role: fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum RoleMachine {
    /// One coordinator in the cluster; it is elected who runs it.
    Elected(Machine),
    /// A coordinator on every host.
    AlwaysOn(AlwaysOn),
}

macro_rules! either {
    ($self:ident, $machine:ident => $answer:expr) => {
        match $self {
            Self::Elected($machine) => $answer,
            Self::AlwaysOn($machine) => $answer,
        }
    };
}

impl RoleMachine {
    pub const fn is_always_on(&self) -> bool {
        matches!(self, Self::AlwaysOn(_))
    }

    pub const fn role(&self) -> Role {
        either!(self, machine => machine.role())
    }

    pub const fn rules(&self) -> &Rules {
        either!(self, machine => machine.rules())
    }

    /// As [`Machine::set_rules`].
    pub fn set_rules(&mut self, rules: Rules) {
        either!(self, machine => machine.set_rules(rules));
    }

    /// As [`Machine::lease_until`].
    pub const fn lease_until(&self) -> Option<Moment> {
        if let Self::Elected(machine) = self { machine.lease_until() } else { None }
    }

    /// As [`Machine::epoch`].
    pub const fn epoch(&self) -> Option<u64> {
        if let Self::Elected(machine) = self { machine.epoch() } else { None }
    }

    /// As [`Machine::restarts`].
    pub fn restarts(&self) -> u32 {
        either!(self, machine => machine.restarts())
    }

    /// As [`Machine::tree_may_live`].
    pub const fn tree_may_live(&self) -> bool {
        either!(self, machine => machine.tree_may_live())
    }

    /// As [`Machine::anything_may_live`].
    pub const fn anything_may_live(&self) -> bool {
        either!(self, machine => machine.anything_may_live())
    }

    /// As [`Machine::end`].
    pub const fn end(&self) -> Option<End> {
        either!(self, machine => machine.end())
    }

    /// A standby that could take over at once. One that is always on never takes over.
    pub const fn eligible(&self) -> bool {
        if let Self::Elected(machine) = self { machine.eligible() } else { false }
    }

    /// As [`Machine::waits`].
    pub const fn waits(&self) -> bool {
        if let Self::Elected(machine) = self { machine.waits() } else { false }
    }

    /// As [`Machine::waits_for_nothing`].
    pub const fn waits_for_nothing(&self) -> bool {
        if let Self::Elected(machine) = self { machine.waits_for_nothing() } else { true }
    }

    /// As [`Machine::next_in_line`].
    pub const fn next_in_line(&self) -> Option<Succession> {
        if let Self::Elected(machine) = self { machine.next_in_line() } else { None }
    }

    /// As [`Machine::phase`].
    pub fn phase(&self, now: Moment) -> Phase {
        either!(self, machine => machine.phase(now))
    }

    /// As [`Machine::deadline`].
    pub fn deadline(&self) -> Option<(Moment, DeadlineReason)> {
        either!(self, machine => machine.deadline())
    }

    /// As [`Machine::step`].
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        either!(self, machine => machine.step(now, event))
    }
}
