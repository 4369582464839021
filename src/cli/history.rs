//! `primacy history`: past leaderships.

use clap::Args;

use super::{Asked, Exit, Options, client};
use crate::client::commands;
use crate::client::render::Format;

/// Show past leaderships: who was active, from when to when, why it ended, how long the gap was
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub asked: Asked,
    /// How the history is written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let client = client(options, before, arguments.asked)?;
    Ok(commands::history(&client, arguments.output).into())
}
