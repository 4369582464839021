//! What happens to the lock file: the lock stays with a file that has no name any more, and another may be locked.

use std::fs;

use anyhow::{Context, Result};

use super::{Draw, Fault, Hit};
use crate::lab::Lab;

const NAME: &str = "volume";

/// rm.
pub struct Deleted;

impl Fault for Deleted {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        match fs::remove_file(lab.volume.lock_file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Hit::of(NAME, "there was no lock file")),
            other => other.context("cannot delete the lock file").map(|()| Hit::of(NAME, "the lock file was deleted")),
        }
    }
}

/// What editors and restored backups do.
pub struct Replaced;

impl Fault for Replaced {
    fn begin(&mut self, lab: &mut Lab, _draw: &Draw) -> Result<Hit> {
        let file = lab.volume.lock_file();
        let copy = file.with_extension("copy");
        if !file.exists() {
            return Ok(Hit::of(NAME, "there was no lock file"));
        }
        fs::copy(&file, &copy).context("cannot copy the lock file")?;
        fs::rename(&copy, &file).context("cannot replace the lock file")?;
        Ok(Hit::of(NAME, "a copy took the lock file's place"))
    }
}
