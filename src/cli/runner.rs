//! `primacy runner`: started by the guardian, never by people.

use clap::Args;

use super::Exit;

/// The process below which a command of the configuration runs
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {}

pub fn run(_arguments: &Arguments) -> Exit {
    if crate::guardian::runner::run() == 0 { Exit::Done } else { Exit::Failed }
}
