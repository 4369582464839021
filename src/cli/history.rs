//! `primacy history`: past leaderships, or how one of them began.

use clap::Args;

use super::{Asked, Exit, Options, access, client};
use crate::client::commands;
use crate::client::render::Format;

/// Show past leaderships: who was active, from when to when, why it ended, how long the gap was
///
/// With an epoch: how that leadership began, step by step, as all members that answer have recorded it, and by what the former active
/// was known to be gone.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Of this leadership: one timeline of its beginning
    #[arg(value_name = "EPOCH")]
    pub epoch: Option<u64>,
    #[command(flatten)]
    pub asked: Asked,
    /// How the history is written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Some(epoch) = arguments.epoch else {
        let client = client(options, before, arguments.asked)?;
        return Ok(commands::history(&client, arguments.output).into());
    };
    let access = access::of(options, &before, &arguments.asked)?;
    let client = client(options, before, arguments.asked)?;
    Ok(commands::beginning(&client, access, epoch, arguments.output).into())
}
