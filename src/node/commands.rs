//! Commands that the operator gave: hooks, the fencing command, command probes. The guardian runs them (argv without a shell,
//! the coordinator's environment, a time-out), for they must be dead before the lock is closed; here is what each one is for,
//! and what its end means.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::guardian::protocol::CommandOrder;

/// after_stop delays the hand-over to the next node.
pub const AFTER_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// on_active, on_standby, on_fenced and on_no_leader delay nothing.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same of an on_standby that this process waits for before it ends.
pub const LAST_NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// A command, by the key that gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandName {
    Fencing,
    BeforeStart,
    AfterStop,
    OnActive,
    OnStandby,
    OnFenced,
    OnNoLeader,
    Health,
    Drain,
}

impl CommandName {
    /// As people know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fencing => "fencing.command",
            Self::BeforeStart => "before_start",
            Self::AfterStop => "after_stop",
            Self::OnActive => "on_active",
            Self::OnStandby => "on_standby",
            Self::OnFenced => "on_fenced",
            Self::OnNoLeader => "on_no_leader",
            Self::Health => "health.command",
            Self::Drain => "drain.command",
        }
    }
}

/// Something to run.
#[derive(Clone, Debug)]
pub struct Command {
    pub name: CommandName,
    pub argv: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub timeout: Duration,
}

/// Why a command runs, and so what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Purpose {
    /// `required`: nothing is started unless it succeeds.
    FencePredecessor {
        epoch: u64,
        required: bool,
    },
    BeforeStart {
        epoch: u64,
    },
    AfterStop,
    /// on_active or on_standby: nothing depends on it.
    Notice,
    /// on_fenced or on_no_leader: nothing depends on it, and none ends another.
    Alarm,
    /// Whether anything is in flight.
    Drain,
    /// The coordinator is asked how it is.
    Probe {
        question: u64,
    },
}

/// The commands whose end is not known yet.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Commands {
    last: u64,
    running: BTreeMap<u64, (CommandName, Purpose)>,
}

impl Commands {
    /// What the guardian is to be told of a command that begins now.
    pub fn begin(&mut self, command: Command, purpose: Purpose) -> CommandOrder {
        let Command { name, argv, environment, timeout } = command;
        self.last += 1;
        self.running.insert(self.last, (name, purpose));
        let notice = purpose == Purpose::Notice;
        CommandOrder { id: self.last, name: name.as_str().to_owned(), argv, environment, timeout, notice }
    }

    /// By their numbers.
    pub fn running(&self) -> impl Iterator<Item = (u64, Purpose)> {
        self.running.iter().map(|(id, (_, purpose))| (*id, *purpose))
    }

    /// One has ended: as what it was known, and why it ran.
    pub fn end(&mut self, id: u64) -> Option<(CommandName, Purpose)> {
        self.running.remove(&id)
    }

    /// Of a guardian that is gone nothing more is heard.
    pub fn forget(&mut self) {
        self.running.clear();
    }

    /// Whether a probe could not be killed when its time was up; the next one would hang in the same place.
    pub fn has_probe(&self) -> bool {
        self.running.values().any(|(_, purpose)| matches!(purpose, Purpose::Probe { .. }))
    }

    pub fn has_notice(&self) -> bool {
        self.running.values().any(|(_, purpose)| *purpose == Purpose::Notice)
    }
}
