//! Holds recordings against the very code that decides, and against the rules that the model assumes.
//!
//! # Theory of operation
//! A supervisor's recording is replayed: its node as it was, told what it heard, has to want what it wanted, bit by bit
//! ([`replay`]). That shows that nothing was decided anywhere else. It says nothing of the world, so what the model takes for granted of
//! guardian, ZooKeeper and volume is held against what they did ([`rules`]). Each rule looks at one recording, or at the
//! recordings of one boot of one host, whose moments can be compared; what only wall clocks order proves nothing.
//!
//! A recording that ends early proves less and never accuses anybody: a process that was killed has not said its last words.
//! What nobody recorded is not shown.

mod recordings;
mod replay;
mod rules;
pub mod timeline;

use std::path::PathBuf;

use crate::recording::reading::Error;
use crate::status::timeline::Step;

use self::recordings::Recordings;

/// What recordings show.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// In the order in which they happened, as far as anything orders them.
    pub steps: Vec<Step>,
    pub contradictions: Vec<Contradiction>,
    pub counts: Counts,
    /// What could not be held against anything, and why.
    pub remarks: Vec<String>,
}

/// How much was looked at: a verdict on nothing is worth nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub segments: usize,
    /// Inputs that were replayed.
    pub inputs: usize,
    /// Outputs that were compared.
    pub outputs: usize,
    /// Lines of guardians that were held against the rules.
    pub guardian_lines: usize,
    /// Starts of coordinators.
    pub starts: usize,
    pub leaderships: usize,
}

/// Something that is recorded and cannot be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Contradiction {
    /// The rule, in one sentence.
    pub rule: &'static str,
    /// What was found instead.
    pub found: String,
    pub path: PathBuf,
    /// In the file.
    pub line: usize,
}

/// Looks at the recordings at these paths: files, or folders with all below them.
///
/// # Errors
/// One cannot be read.
pub fn verify(paths: &[PathBuf]) -> Result<Verdict, Error> {
    let recordings = Recordings::read(paths)?;
    let mut verdict = Verdict::default();
    verdict.counts.segments = recordings.supervisors.len() + recordings.guardians.len() + recordings.cut.len();
    verdict.remarks.extend(recordings.cut.iter().map(|path| format!("{}: not even begun", path.display())));
    let leaderships = replay::all(&recordings, &mut verdict);
    rules::check(&recordings, &leaderships, &mut verdict);
    verdict.steps = timeline::of(&recordings);
    Ok(verdict)
}
