//! `primacy status`: the cluster as a table.

use std::time::Duration;

use clap::Args;

use super::{Asked, Exit, Options, client};
use crate::client::commands;
use crate::client::render::Format;

/// Show the cluster: its nodes, their roles and states, who is active
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub asked: Asked,
    /// How the cluster is written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
    /// Repeat every SECONDS
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub watch: Option<u32>,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let client = client(options, before, arguments.asked)?;
    let watch = arguments.watch.map(|seconds| Duration::from_secs(seconds.into()));
    Ok(commands::status(&client, arguments.output, watch).into())
}
