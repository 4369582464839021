//! `primacy completions`: for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, print};

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct Arguments {
    pub shell: Shell,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "primacy", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}
