//! The binary: parse, start logging, run, error kind → exit code.

use std::process::ExitCode;

use clap::Parser;
use primacy::cli::logs::Logs;
use primacy::cli::{self, Cli, Exit, exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors, too; a closed stdout is not one.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    run(cli)
        .unwrap_or_else(|error| {
            if let Some(message) = exit::message(&error) {
                eprintln!("{message}");
            }
            Exit::of(&error)
        })
        .into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let logs = if cli.command.logs() { Some(Logs::init(&cli.options)?) } else { None };
    cli::run(cli, logs)
}
