//! `primacy guardian`: started by the supervisor, never by people.

use clap::Args;

use super::Exit;

/// The process between supervisor and coordinator
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {}

pub fn run(_arguments: &Arguments) -> Exit {
    if crate::guardian::run() == 0 { Exit::Done } else { Exit::Failed }
}
