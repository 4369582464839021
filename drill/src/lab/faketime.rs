//! A node whose clock can be set: libfaketime in front of CLOCK_REALTIME in all processes of the first candidate.
//!
//! The monotonic clocks are left alone, as they are when an operator or NTP steps the time of a real machine. One node
//! only, for the library costs a system call's time at every look at the clock.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Lab;

/// Which candidate: the first.
pub const NODE: usize = 0;

/// Where the library is; none: not installed.
pub fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|path| path.exists())
}

fn file(lab: &Lab) -> PathBuf {
    lab.scratch.join("faketime")
}

/// Puts the library in front of the node's processes.
pub fn prepare(lab: &mut Lab) -> Result<()> {
    let Some(library) = library() else { return Ok(()) };
    set(lab, 0)?;
    let timestamps = file(lab).display().to_string();
    let candidate = lab.candidates.get_mut(NODE).context("there are at least two candidates")?;
    candidate.set_environment("LD_PRELOAD", library.display().to_string());
    candidate.set_environment("FAKETIME_TIMESTAMP_FILE", timestamps);
    candidate.set_environment("FAKETIME_CACHE_DURATION", "1".to_owned());
    candidate.set_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
    candidate.set_environment("DONT_FAKE_MONOTONIC", "1".to_owned());
    Ok(())
}

/// Steps the node's clock to so many seconds beside the truth. It takes up to a second to be seen.
pub fn set(lab: &Lab, seconds: i64) -> Result<()> {
    let draft = file(lab).with_extension("draft");
    fs::write(&draft, format!("{seconds:+}\n"))?;
    fs::rename(draft, file(lab)).context("cannot set the node's clock")
}
