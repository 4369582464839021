//! `primacy try-lock FILE`: the other process of `check`'s tests that locks exclude.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, print};
use crate::{peer_test, preflight};

/// Exit with 0 if the file's lock can be taken
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {
    /// Say on standard output what came of it, and keep the lock until standard input ends
    #[arg(long)]
    pub hold: bool,
    /// The file
    pub file: PathBuf,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.hold {
        let otherwise = peer_test::hold_lock(&arguments.file);
        if otherwise.is_empty() {
            return Ok(Exit::Done);
        }
        print(&format!("{otherwise}\n"))?;
        return Ok(Exit::Failed);
    }
    Ok(if preflight::try_lock(&arguments.file) { Exit::Done } else { Exit::Failed })
}
