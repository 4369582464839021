//! The first line of a segment. What the others say is [`crate::recording`]'s.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

use super::settings::Settings;

/// Which recordings these are: raised whenever a line changes in a way that an older program would misunderstand.
pub const FORMAT: u32 = 1;

/// Whose recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Supervisor,
    Guardian,
}

impl Part {
    pub const ALL: [Self; 2] = [Self::Supervisor, Self::Guardian];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Guardian => "guardian",
        }
    }
}

/// The first line of a segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header<S> {
    /// [`FORMAT`].
    pub recording: u32,
    pub part: Part,
    /// The version of the program: a replay is bit by bit for the same one.
    pub program: String,
    pub cluster: String,
    pub node: String,
    /// Of this boot of the host: moments of one boot can be compared.
    pub boot: String,
    pub pid: i32,
    pub at: Moment,
    /// Nanoseconds since 1970, by the host's wall clock, at [`Header::at`].
    pub wall: u64,
    /// All that the process knows.
    pub state: S,
}

impl<S> Header<S> {
    pub fn new(part: Part, settings: &Settings, boot: &str, at: Moment, wall: SystemTime, state: S) -> Self {
        Self {
            recording: FORMAT,
            part,
            program: crate::seeded_bug::version().to_owned(),
            cluster: settings.cluster.clone(),
            node: settings.node.clone(),
            boot: boot.to_owned(),
            pid: nix::unistd::getpid().as_raw(),
            at,
            wall: nanos(wall),
            state,
        }
    }
}

/// Nanoseconds since 1970; what was before is 1970.
pub fn nanos(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}
