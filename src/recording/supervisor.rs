//! What is in a supervisor's recording: every input of its node, and every output that followed from it.
//!
//! The state at a segment's beginning is the whole [`Node`], between one input and the next.

use serde::{Deserialize, Serialize};

use crate::election::port::Fact;
use crate::guardian::protocol::{GuardianOrder, Report};
use crate::moment::Moment;
use crate::node::{GuardianInput, Input, Node, Output};
use crate::recorder::header::Header;

/// A line, to be written.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Line<'a> {
    /// `wall`: nanoseconds since 1970.
    Heard {
        at: Moment,
        wall: u64,
        heard: &'a Input,
    },
    Wanted {
        wanted: &'a Output,
    },
}

/// A line that was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "read one at a time")]
pub enum ReadLine {
    Heard { at: Moment, wall: u64, heard: Input },
    Wanted { wanted: Output },
}

/// The first line that was read.
pub type ReadHeader = Header<Node>;

/// Whether an input belongs to the daily round, and may be recorded a little later.
pub fn is_routine(input: &Input) -> bool {
    match input {
        Input::TimePassed => true,
        Input::Election(fact) => matches!(fact, Fact::Renewed { .. }),
        Input::Guardian(GuardianInput::Report(report)) => {
            matches!(**report, Report::Pong { .. } | Report::Probed { .. })
        }
        Input::Answered { answer, .. } => answer.is_ok(),
        _ => false,
    }
}

/// The same of an output.
pub const fn is_routine_output(output: &Output) -> bool {
    matches!(
        output,
        Output::Publish
            | Output::Ask { .. }
            | Output::Guardian(GuardianOrder::SetDeadline { .. } | GuardianOrder::Ping { .. })
    )
}
