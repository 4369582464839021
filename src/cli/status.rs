//! `primacy status`: the cluster in one sentence and a table, or for a monitoring system.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::{Asked, Exit, Options, client, exit};
use crate::client::commands;
use crate::client::plugin;
use crate::client::render::Format;
use crate::client::verdict::Health;
use crate::client::watch;
use crate::output;

/// Show the cluster: who leads, for how long, who could take over, what is wrong; then its nodes
///
/// The first line is the answer. OK: somebody leads, and at least one other node could take over. WARNING: nobody could, or a known
/// node is missing. PAUSED: somebody leads, and no other would. CRITICAL: nobody leads. UNKNOWN: nobody who could know was reached.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub asked: Asked,
    /// How the cluster is written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Format,
    /// Repeat every SECONDS, in place on a terminal; Ctrl-C ends it
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub watch: Option<u32>,
    /// Print one line for Icinga, Nagios and their like, and exit with 0 OK, 1 WARNING (a pause, too), 2 CRITICAL or 3 UNKNOWN (wrong usage, too)
    #[arg(long, conflicts_with_all = ["output", "watch"])]
    pub check: bool,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let source = client(options, before, arguments.asked);
    if arguments.check {
        return Ok(Exit::Plugin(match source {
            Ok(source) => commands::check(source),
            Err(error) => unknown(&exit::message(&error).unwrap_or_default()),
        }));
    }
    let source = source?;
    Ok(match arguments.watch {
        Some(seconds) => watch::watch(source, arguments.output, Duration::from_secs(seconds.into())),
        None => commands::status(&source, arguments.output),
    }
    .into())
}

/// Whether this command line, which is wrong, would have been a monitoring system's.
pub fn is_check(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|it| it == "status") && arguments.any(|it| it == "--check")
}

/// Tells a monitoring system that it has asked in vain.
pub fn unknown(why: &str) -> Health {
    let why = why.trim().trim_start_matches("primacy: ").trim_start_matches("error: ");
    let line = plugin::without_figures(Health::Unknown, why);
    // Where that cannot be written either, the exit code says it.
    let _ = output::print(&line);
    Health::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_of_a_monitoring_system_is_known_by_its_words() {
        let is_check = |line: &str| is_check(line.split(' ').map(OsString::from));
        assert!(is_check("primacy status --check --no-such"));
        assert!(is_check("primacy --api nonsense status --no-such --check"));
        assert!(!is_check("primacy status --no-such"));
        assert!(!is_check("primacy check --check"));
    }
}
