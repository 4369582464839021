//! `primacy man`: the manual page.

use clap::{Args, CommandFactory};

use super::{Cli, Exit, print};

/// Print the manual page: `primacy man | man -l -`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Of this command alone
    pub command: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut root = Cli::command();
    root.build();
    let command = match &arguments.command {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(super::exit::Usage(format!("there is no command {name}")).into()),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&String::from_utf8(page)?)?;
    Ok(Exit::Done)
}
