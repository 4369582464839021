//! `primacy warm`: what a supervisor runs beside itself while it is a standby. See [`warm`].

use clap::Args;

use super::Exit;
use crate::warm;

/// Keep in the page cache what standard input says, and say on standard output what is there
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> anyhow::Result<Exit> {
    warm::run()?;
    Ok(Exit::Done)
}
