//! The end of the process: a last notice, the election's goodbye, and nothing is left behind.

use crate::moment::Moment;
use crate::role::Exit;

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Leaving {
    /// Not begun.
    #[default]
    No,
    /// on_standby runs for the last time.
    Notice { exit: Exit, by: Moment },
    /// The election backend closes its session.
    Closing { exit: Exit, by: Moment },
    /// It has.
    Closed { exit: Exit },
    /// Nothing is left to be done here.
    Gone,
}

impl Leaving {
    pub const fn deadline(self) -> Option<Moment> {
        match self {
            Self::Notice { by, .. } | Self::Closing { by, .. } => Some(by),
            Self::No | Self::Closed { .. } | Self::Gone => None,
        }
    }

    /// The election backend has ended.
    pub const fn closed(&mut self) {
        if let Self::Notice { exit, .. } | Self::Closing { exit, .. } = *self {
            *self = Self::Closed { exit };
        }
    }
}
