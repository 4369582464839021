//! `primacy events`: what changes, a line each, until somebody has seen enough.

use clap::Args;

use super::{Asked, Exit, Options, access, client};
use crate::client::events::{self, Form};

/// Show what changes in the cluster, a line each, until interrupted: who leads, how each node is, what operators ask for
///
/// It begins with how things are. Members are asked in turn: the next one goes on where one does not answer any more.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub asked: Asked,
    /// How a change is written
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Form,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let access = access::of(options, &before, &arguments.asked)?;
    let client = client(options, before, arguments.asked)?;
    Ok(events::events(&client, access, arguments.output).into())
}
