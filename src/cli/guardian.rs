//! `primacy guardian`: started by the supervisor, never by people.

use clap::Args;

use super::{Exit, unconnected};

/// The process between supervisor and coordinator
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {}

pub fn run(_arguments: &Arguments) -> anyhow::Result<Exit> {
    // UNFINISHED: crate::guardian::run() gives an i32, 0 or not.
    Err(unconnected("guardian"))
}
