//! How far this node has come with waiting for the lock of the leadership before it: [`super::waiting`].

use crate::moment::Moment;

use super::action::Action;
use super::event::Succession;

/// Whose lock is waited for, and how far that has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Waiting {
    /// The leadership before this node, where its lock may be waited for.
    pub(super) next: Option<Succession>,
    /// Its lock was granted once, without the proof: it is not waited for again.
    pub(super) void: Option<Succession>,
    pub(super) step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Step {
    #[default]
    No,
    /// Ordered; at `renew` it is said again.
    Asked {
        renew: Moment,
    },
    CallingOff(Then),
}

/// What follows once nothing is waited for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Then {
    Nothing,
    /// The election is asked again what it has told meanwhile.
    Stand,
}

impl Waiting {
    pub(super) const fn renewal(&self) -> Option<Moment> {
        if let Step::Asked { renew } = self.step { Some(renew) } else { None }
    }

    pub(super) const fn is_being_called_off(&self) -> bool {
        matches!(self.step, Step::CallingOff(_))
    }

    /// The lock is asked for by an order of its own, which a grant answers, too.
    pub(super) fn is_overtaken(&mut self) {
        self.step = Step::No;
    }

    /// Nobody stands before this node any more.
    pub(super) fn is_elected(&mut self) {
        self.next = None;
    }

    /// What a dead guardian waited for, nobody waits for.
    pub(super) fn guardian_lost(&mut self) {
        self.step = Step::No;
    }

    /// Whether there is something to let go of.
    pub(super) fn ends(&mut self) -> bool {
        std::mem::take(self).step != Step::No
    }

    /// Calls off what is waited for; false where there is nothing to call off.
    pub(super) fn is_called_off_before(&mut self, then: Then, out: &mut Vec<Action>) -> bool {
        match &mut self.step {
            Step::No => return false,
            Step::Asked { .. } => {
                self.step = Step::CallingOff(then);
                out.push(Action::CallOff);
            }
            Step::CallingOff(later) => *later = then,
        }
        true
    }
}
