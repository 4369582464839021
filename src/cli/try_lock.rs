//! `primacy try-lock FILE`: the other process of `check`'s test that locks exclude.

use std::path::PathBuf;

use clap::Args;

use super::Exit;
use crate::preflight;

/// Exit with 0 if the file's lock can be taken
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {
    /// The file
    pub file: PathBuf,
}

pub fn run(arguments: &Arguments) -> Exit {
    if preflight::try_lock(&arguments.file) { Exit::Done } else { Exit::Failed }
}
