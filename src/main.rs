//! The binary: parse, start logging, run, error kind → exit code.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "both may panic, and wait: primacy::output prints")]

use std::io::{self, IsTerminal as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use primacy::cli::logs::Logs;
use primacy::cli::{self, Cli, Exit, exit};
use primacy::output::{self, AfterPanic};

fn main() -> ExitCode {
    output::take_over_panics(AfterPanic::Unwind);
    // A panic has been shown where it happened.
    let exit = catch_unwind(AssertUnwindSafe(parse_and_run)).unwrap_or(Exit::Failed);
    output::settle();
    exit.into()
}

fn parse_and_run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return show(&error),
    };
    output::take_over_panics(cli.command.after_panic());
    run(cli).unwrap_or_else(|error| {
        if let Some(message) = exit::message(&error) {
            output::complain(&message);
        }
        Exit::of(&error)
    })
}

/// Help and version come as errors, too.
fn show(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        let text = error.render();
        if cli::status::is_check(std::env::args_os()) {
            return Exit::Plugin(cli::status::unknown(&text.to_string()));
        }
        let text = if io::stderr().is_terminal() { text.ansi().to_string() } else { text.to_string() };
        output::complain(text.trim_end());
        return Exit::Usage;
    }
    match error.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            output::complain(&format!("primacy: standard output: {error}"));
            Exit::Failed
        }
        _ => Exit::Done,
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let logs = if cli.command.logs() { Some(Logs::init(&cli.options)?) } else { None };
    cli::run(cli, logs)
}
