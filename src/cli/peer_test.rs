//! `primacy peer-test NODE`: what a supervisor runs beside itself when it first sees another node. See [`peer_test`].

use std::time::Duration;

use clap::Args;

use super::{Exit, Options, print};
use crate::{config, peer_test};

/// Try the volume's lock against another node, and say what came of it as JSON
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Arguments {
    /// The other node
    pub with: String,
    /// Its host id: an earlier result counts only for that host
    #[arg(long)]
    pub host: Option<String>,
    /// How long to wait for it
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

pub fn run(options: &Options, arguments: Arguments) -> anyhow::Result<Exit> {
    let config = config::load_for_client(options.config_file())?;
    let Arguments { with, host, wait } = arguments;
    let test = peer_test::run(&config, &peer_test::Plan { with: Some(with), host, wait, reuse: true });
    print(&(serde_json::to_string(&test)? + "\n"))?;
    Ok(Exit::Done)
}
