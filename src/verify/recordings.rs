//! All recordings that were given, read.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::node::Node;
use crate::recorder::header::{Header, Part};
use crate::recording::reading::{self, Error, Segment, find};
use crate::recording::{guardian, supervisor};
use crate::seeded_bug;

/// A line of a supervisor's that a program of another version may have written: then not all of them can be read.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the first kind")]
pub enum Line {
    Known(supervisor::ReadLine),
    Unknown(Value),
}

/// A supervisor's segment; its node, where this program is of the version that wrote it.
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub segment: Segment<Value, Line>,
    pub node: Option<Node>,
}

/// A guardian's segment.
pub type Guardian = Segment<guardian::State, guardian::Line<'static>>;

#[derive(Clone, Debug, Default)]
pub struct Recordings {
    pub supervisors: Vec<Supervisor>,
    pub guardians: Vec<Guardian>,
    /// Of which not even the first line was written whole.
    pub cut: Vec<PathBuf>,
}

impl Recordings {
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut recordings = Self::default();
        for path in paths {
            for file in find(path)? {
                recordings.add(&file)?;
            }
        }
        recordings.supervisors.sort_by_key(|supervisor| supervisor.segment.header.at);
        recordings.guardians.sort_by_key(|guardian| guardian.header.at);
        Ok(recordings)
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        match reading::part(path)? {
            None => self.cut.push(path.to_owned()),
            Some(Part::Guardian) => self.guardians.push(reading::read(path)?),
            Some(Part::Supervisor) => {
                let mut segment: Segment<Value, Line> = reading::read(path)?;
                let state = std::mem::take(&mut segment.header.state);
                let node = if is_ours(&segment.header) {
                    let node = serde_json::from_value(state);
                    Some(node.map_err(|error| Error::Line { path: path.to_owned(), line: 1, error })?)
                } else {
                    None
                };
                self.supervisors.push(Supervisor { segment, node });
            }
        }
        Ok(())
    }
}

/// Whether a segment was written by this version of the program: then it can be replayed.
pub fn is_ours<S>(header: &Header<S>) -> bool {
    header.program == seeded_bug::version()
}
