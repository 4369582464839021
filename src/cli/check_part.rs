//! `primacy check-part PART`: what of `check` may hang, in a process that can be left behind. See [`preflight`].

use std::time::Duration;

use clap::Args;

use super::{Exit, Options};
use crate::{config, peer_test, preflight};

/// Make one part of the checks, and say on standard output what is begun and found
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {
    #[arg(value_enum)]
    pub part: preflight::Part,
    /// The id of the cluster's volume
    #[arg(long)]
    pub volume: Option<String>,
    /// Say nothing up to this step
    #[arg(long)]
    pub after: Option<String>,
    /// The other node
    #[arg(long)]
    pub with_peer: Option<String>,
    /// How long to wait for it
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// The coordinator's command
    #[arg(last = true)]
    pub command: Vec<String>,
}

pub fn run(options: &Options, arguments: Arguments) -> anyhow::Result<Exit> {
    let command = (!arguments.command.is_empty()).then_some(arguments.command);
    let config = config::load(options.config_file(), command)?;
    let plan = peer_test::Plan { with: arguments.with_peer, host: None, wait: arguments.wait, reuse: false };
    preflight::run_part(arguments.part, &config, arguments.volume.as_deref(), arguments.after, &plan);
    Ok(Exit::Done)
}
