//! `primacy history`: past leaderships.

use clap::Args;

use super::{ApiArguments, Exit, Options, client};
use crate::client::commands;
use crate::client::render::Format;

/// Show past leaderships: who was active, from when to when, why it ended, how long the gap was
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub api: ApiArguments,
    /// How the history is written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
}

pub fn run(options: &Options, before: Vec<String>, arguments: Arguments) -> anyhow::Result<Exit> {
    let client = client(options, before, arguments.api.api)?;
    Ok(commands::history(&client, arguments.output).into())
}
