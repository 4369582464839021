//! All that a node can hear.

use std::time::SystemTime;

use crate::config::Config;
use crate::election::port::Fact;
use crate::guardian::protocol::Report;
use crate::intents::Asked;
use crate::moment::Moment;
use crate::status::{PeerTest, Warm};

use super::intents::Request;

/// When something is heard: the boot clock, by which everything is decided, and the wall clock, which people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub moment: Moment,
    pub wall: SystemTime,
}

impl At {
    /// As in `2026-01-02T03:04:05.678Z`.
    pub fn timestamp(self) -> String {
        humantime::format_rfc3339_millis(self.wall).to_string()
    }
}

/// Something that has happened.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    Guardian(GuardianInput),
    Election(Fact),
    /// The backend is gone, whatever it held.
    ElectionEnded,
    /// Nothing is left of what a dead guardian left behind in the leadership of that number.
    OrphansDead {
        leadership: u64,
    },
    /// What the coordinator answered to the question of that number.
    Answered {
        question: u64,
        answer: Result<(), String>,
    },
    /// The volume's lock was tried against the host of another node.
    PeerTested {
        node: String,
        test: PeerTest,
    },
    /// What is in the page cache after a pass over `[standby] warm`.
    Warmed(Warm),
    /// A signal asks for a clean stop, or for a quick one.
    StopAsked {
        signal: StopSignal,
    },
    /// Somebody wants something of this node.
    Requested(Request),
    /// Something is asked of this process, and kept nowhere.
    Asked(Asked),
    /// The configuration is to be read again.
    ReloadAsked,
    /// It has been read, or why not.
    Reread(Result<Box<Reread>, String>),
    /// The program at its path was asked whether it would take over: its version, or why not.
    ProgramChecked(Result<String, String>),
    /// Nothing but the deadline that the node asked for.
    TimePassed,
}

/// What comes of a guardian's process.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardianInput {
    /// It lives; `started`: in clock ticks, as `/proc/PID/stat` has it.
    Spawned {
        pid: i32,
        started: u64,
    },
    /// There is no process for it.
    NotStarted(String),
    /// Its process is gone, and everything that it said has been heard.
    Lost(String),
    Report(#[serde(serialize_with = "crate::redacted::serialize_report")] Box<Report>),
}

/// A configuration that was read again.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Reread {
    pub config: Config,
    /// Nothing stronger than the file decides on the log's level.
    pub level_applies: bool,
}

/// By which a stop is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    Terminate,
    Interrupt,
}

impl StopSignal {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}
