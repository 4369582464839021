//! `drill`: breaks a cluster in a box and judges what happened.
//!
//! Exit codes: 0 convicted of nothing, 1 convicted, 2 usage, 3 could not run here (the reason is said).

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use drill::hosts::{enter, sandbox};
use drill::{judge, report, runner, workload};

#[derive(Debug, Parser)]
#[command(name = "drill", version, about = "Breaks a cluster in a box and judges what happened")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A cluster, faults, a verdict. Needs root.
    Run(runner::Options),
    /// Judges recorded histories again.
    Judge {
        /// Directories of runs.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
    },
    /// One page about several runs.
    Report {
        /// Directories of runs.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
        /// Where it goes.
        #[arg(long)]
        out: PathBuf,
    },
    /// The faults.
    List,
    /// The schedule of a seed, without running it.
    Plan {
        #[command(flatten)]
        options: runner::Options,
        /// How many steps of it.
        #[arg(long, default_value_t = 50)]
        steps: usize,
    },
    /// The last step into a host.
    #[command(hide = true)]
    Enter(enter::Args),
    /// Process 1 of a run.
    #[command(hide = true, disable_help_flag = true)]
    Inside {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(flatten)]
    Workload(workload::Command),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // A coordinator that fails is no drill that cannot be run.
    let failed = if matches!(command, Command::Workload(_)) { 1 } else { 3 };
    match act(command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("drill: {error:#}");
            ExitCode::from(failed)
        }
    }
}

fn act(command: Command) -> Result<u8> {
    match command {
        Command::Run(options) => match sandbox::Sandbox::inside() {
            None => {
                options.kinds()?;
                options.primacy()?;
                sandbox::run_inside()
            }
            Some(sandbox) => {
                // The outside asks for an early end in its own way.
                workload::stop::block()?;
                Ok(u8::from(runner::run(&options, &sandbox)? == runner::End::Convicted))
            }
        },
        Command::Judge { dirs } => Ok(u8::from(judge::cli(&dirs)?)),
        Command::Report { dirs, out } => report::cli(&dirs, &out).map(|()| 0),
        Command::List => {
            runner::list();
            Ok(0)
        }
        Command::Plan { options, steps } => runner::plan(&options, steps).map(|()| 0),
        Command::Enter(arguments) => enter::run(arguments).map(|()| 0),
        Command::Inside { arguments } => sandbox::init(&arguments),
        Command::Workload(command) => command.run().map(|()| 0),
    }
}
