//! What is in a guardian's recording.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::guardian::protocol::{GuardianOrder, PermissionKind, Report};
use crate::moment::Moment;
use crate::status::cause::EndCause;

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line<'a> {
    pub at: Moment,
    #[serde(flatten)]
    pub what: What<'a>,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What<'a> {
    /// An order of the supervisor's.
    Heard(Cow<'a, GuardianOrder>),
    /// Told to the supervisor, whether or not that is there to hear it.
    Reported(Cow<'a, Report>),
    Did(Deed),
}

/// What it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A coordinator was forked in this epoch, and told that one. `checked`: when it was seen for the last time that it might be.
    Forked { epoch: u64, told: u64, checked: Moment },
    /// An always-on coordinator was forked.
    ForkedAlwaysOn,
    /// A command was started.
    Ran { id: u64 },
    /// The kernel says that nothing is left of coordinator and commands.
    SawAllDead,
    /// The volume's thread was asked to close the lock; `proof`: with the proof that this leadership is over.
    AskedToClose { proof: bool },
    /// It began to end a leadership by itself.
    BeganToEnd { cause: EndCause },
    /// Nothing of it is left but its last will, if it has one, which it is about to execute.
    Left { election_node: Option<String> },
}

/// What it knows, as far as rules need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// `lock.directory`; `None` before it was configured.
    pub lock: Option<PathBuf>,
    /// Which kind of coordinator it may start.
    #[serde(default, skip_serializing_if = "PermissionKind::is_lock")]
    pub permission: PermissionKind,
    /// The lock is held, or being closed.
    pub held: bool,
    pub lost: bool,
    /// The epoch whose record is in the lock file.
    pub written: Option<u64>,
    pub deadline: Option<Moment>,
    /// Something may live of the coordinator or of commands.
    pub alive: bool,
    pub ending: bool,
}

impl What<'_> {
    /// Whether it belongs to the daily round, and may be recorded a little later.
    pub fn is_routine(&self) -> bool {
        match self {
            Self::Heard(order) => {
                matches!(**order, GuardianOrder::SetDeadline { .. } | GuardianOrder::Ping { .. })
            }
            Self::Reported(report) => {
                matches!(**report, Report::Probed { .. } | Report::Pong { .. } | Report::Volume(_))
            }
            Self::Did(_) => false,
        }
    }
}
