//! What supervisors and guardians have recorded, held against the code and the rules by `primacy verify`.
//!
//! It is the program under test that verifies: a build that is wrong on purpose replays itself. What it does wrong in the world the
//! rules find.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::history::Entry;

/// Where a run keeps them, below its folder.
pub const FOLDER: &str = "recorder";

#[derive(Deserialize)]
struct Verdict {
    contradictions: Vec<Contradiction>,
    counts: Counts,
}

#[derive(Deserialize)]
struct Contradiction {
    rule: String,
    found: String,
    path: String,
    line: usize,
}

#[derive(Deserialize)]
struct Counts {
    inputs: u64,
}

/// Verifies what lies in `folder`.
///
/// # Errors
/// It could not be verified: no recordings, or none that can be read.
pub fn verify(primacy: &Path, folder: &Path) -> Result<Entry> {
    let mut command = Command::new(primacy);
    let output = command.args(["-q", "verify", "-o", "json"]).arg(folder).output().context("primacy verify")?;
    let Ok(Verdict { contradictions, counts }) = serde_json::from_slice(&output.stdout) else {
        bail!("primacy verify {}: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim());
    };
    let told = |it: Contradiction| format!("{}; but {} ({}, line {})", it.rule, it.found, it.path, it.line);
    Ok(Entry::Recordings { inputs: counts.inputs, contradictions: contradictions.into_iter().map(told).collect() })
}
