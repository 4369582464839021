//! `primacy check`: the preflight.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Exit, Options, print};
use crate::{config, peer_test, preflight};

/// Check configuration, ZooKeeper, the shared volume and this host before the first start
///
/// One line per check: ok, warn or FAIL, with what to do. Exits with 1 if any check fails.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How the results are written
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Output,
    /// Also try the volume's lock against another host: run this on both at the same time. With NODE against that one,
    /// else against whichever other node is doing the same
    #[arg(long, value_name = "NODE", num_args = 0..=1, require_equals = true)]
    pub with_peer: Option<Option<String>>,
    /// How long to wait for the other node
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration, requires = "with_peer")]
    pub wait: Duration,
    /// The coordinator's command, where it is given to `primacy run` in this way too
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One line per check
    Text,
    /// An array of objects: name, result, detail, remedy
    Json,
}

pub fn run(options: &Options, arguments: Arguments) -> anyhow::Result<Exit> {
    let command = (!arguments.command.is_empty()).then_some(arguments.command);
    let task = preflight::Task { file: options.config_file(), command: command.clone() };
    let results = match task.unreadable() {
        Some(hangs) => vec![hangs],
        None => {
            let mut results = task.check(&config::load(options.config_file(), command)?);
            if let Some(with) = arguments.with_peer {
                let plan = peer_test::Plan { with, host: None, wait: arguments.wait, reuse: false };
                results.extend(task.check_with_peer(&plan));
            }
            results
        }
    };
    match arguments.output {
        Output::Text => print(&preflight::render(&results))?,
        Output::Json => print(&(serde_json::to_string_pretty(&results)? + "\n"))?,
    }
    Ok(if preflight::failed(&results) { Exit::Failed } else { Exit::Done })
}
