//! To execute the program at its path anew, in the same process.
//!
//! A standby leaves as at a clean stop: its candidacy is resigned, its session closed, its guardian gone. What follows is not the
//! end of the process but the next program in it. Nothing of it is in doubt then, so nothing has to cross.
//!
//! ```text
//! No ─asked► Checking ─yes► Due ─(the answer has left)► Leaving ─► Execute
//!   ◄──refused──┘  ◄─not any more──┘      a stop that is asked for in the meantime has precedence
//! ```

use std::time::Duration;

use crate::guardian::protocol::NoteLevel;
use crate::moment::Moment;
use crate::role::{Event, Phase};
use crate::status::UpgradeView;

use super::Node;
use super::output::Output;

/// How long whoever asked over the API has to be told before the connection ends with the program.
const FAREWELL: Duration = Duration::from_millis(200);

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Upgrading {
    #[default]
    No,
    /// The program at the path is asked.
    Checking { number: u64 },
    /// It would take over.
    Due { at: Moment },
    /// This one leaves.
    Leaving,
}

impl Upgrading {
    pub const fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Due { at } => Some(*at),
            Self::No | Self::Checking { .. } | Self::Leaving => None,
        }
    }

    pub const fn leaves(&self) -> bool {
        matches!(self, Self::Leaving)
    }
}

impl Node {
    pub(super) fn hear_upgrade_asked(&mut self, number: u64, by: &str, reason: Option<String>, now: Moment) {
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let text = format!("asked by {by} to execute the program at its path anew{reason}");
        self.text(NoteLevel::Info, text);
        if let Some(why) = self.not_to_be_upgraded(now) {
            return self.refuse_upgrade(number, why);
        }
        match &mut self.upgrading {
            Upgrading::Checking { number: latest } => *latest = number.max(*latest),
            Upgrading::No => {
                self.upgrading = Upgrading::Checking { number };
                self.outputs.push_back(Output::CheckProgram);
            }
            // It is under way: who asks now gets it, too.
            Upgrading::Due { .. } | Upgrading::Leaving => self.facts.upgrade.covers = number,
        }
        self.changed = true;
    }

    pub(super) fn hear_program_checked(&mut self, checked: Result<String, String>, now: Moment) {
        let Upgrading::Checking { number } = self.upgrading else { return };
        let (why, version) = match checked {
            Ok(version) => (self.not_to_be_upgraded(now), version),
            Err(why) => (Some(why), String::new()),
        };
        if let Some(why) = why {
            self.upgrading = Upgrading::No;
            return self.refuse_upgrade(number, why);
        }
        self.text(NoteLevel::Info, format!("the program at its path, version {version}, takes over in this process"));
        self.facts.upgrade = UpgradeView { covers: number, version: Some(version), ..UpgradeView::default() };
        self.upgrading = Upgrading::Due { at: now + FAREWELL };
        self.changed = true;
    }

    /// Begins to leave, if it is time to.
    pub(super) fn tend_upgrade(&mut self, now: Moment) -> Option<Event> {
        self.upgrading.deadline().filter(|at| *at <= now)?;
        if let Some(why) = self.not_to_be_upgraded(now) {
            self.upgrading = Upgrading::No;
            self.refuse_upgrade(self.facts.upgrade.covers, why);
            return None;
        }
        self.upgrading = Upgrading::Leaving;
        Some(Event::StopRequested)
    }

    /// A stop is asked for.
    pub(super) fn call_upgrade_off(&mut self) {
        if let Upgrading::Checking { number } = self.upgrading {
            self.refuse_upgrade(number, "this node is asked to stop".to_owned());
        }
        self.upgrading = Upgrading::No;
    }

    fn refuse_upgrade(&mut self, number: u64, why: String) {
        self.text(NoteLevel::Warn, format!("nothing happened: {why}"));
        self.facts.upgrade = UpgradeView { covers: number, refused: Some(why), ..UpgradeView::default() };
        self.changed = true;
    }

    /// Why this node cannot execute its program anew at this moment.
    fn not_to_be_upgraded(&self, now: Moment) -> Option<String> {
        let why = match self.machine.phase(now) {
            _ if self.stops > 0 || self.is_leaving() => "this node is about to end",
            Phase::Leading if self.machine.is_always_on() => {
                "this node's coordinator runs, and cannot be handed to another program yet: take the node out (primacy \
                 isolate), then upgrade it"
            }
            Phase::Leading => {
                "this node's coordinator runs, and cannot be handed to another program yet: hand the role over \
                 (primacy switchover), then upgrade this node"
            }
            Phase::WaitingForLock | Phase::WaitingForFence | Phase::Starting => {
                "this node is about to become active: ask again when it is"
            }
            Phase::Stopping | Phase::Fencing => "this node is giving the role away: ask again when it has",
            Phase::Finished => "this node is about to end",
            Phase::Idle | Phase::BackingOff | Phase::Standing if self.facts.lock_held => {
                "this node's guardian has the lock still: ask again when it has let go of it"
            }
            Phase::Idle | Phase::BackingOff | Phase::Standing if self.is_the_target() => {
                "a switchover to this node is under way: ask again when it is over"
            }
            Phase::Idle | Phase::BackingOff | Phase::Standing => return None,
        };
        Some(why.to_owned())
    }

    fn is_the_target(&self) -> bool {
        let switchover = self.intents.seen.control.switchover.as_ref();
        switchover.is_some_and(|switchover| switchover.to == self.facts.config.node)
    }
}
