//! `primacy-demo`, which `primacy demo` becomes: what primacy is for, shown on one machine in a minute.
//!
//! The demo starts a ZooKeeper and two candidates (`primacy run`, as child processes with a configuration each) around a
//! small coordinator that appends the time to a log on the shared folder every 5 ms. Then it breaks one thing after the
//! other. What it says about gaps and overlaps comes from that log alone, never from what the candidates claim of
//! themselves: a demo that asked the supervisor whether all was well would show nothing.
//!
//! It uses the program from outside (command line, configuration file, HTTP, exit codes), as a user would, and nothing of
//! its insides. Plain threads and one loop that looks every 10 ms: an async runtime would buy nothing here.
//!
//! Nothing outlives the demo, however it ends. Children are started through [`child`], which has the kernel kill them
//! when the demo dies; the demo is a subreaper, so that what they leave behind comes back to it; and a guard stops all of
//! it on every orderly way out.

mod child;
mod cluster;
mod coordinator;
mod faults;
mod problem;
mod relay;
mod running;
mod screen;
mod show;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::faults::Fault;
use crate::problem::Problem;

/// Two candidates on this machine, five faults, and what each of them cost
///
/// Starts a ZooKeeper and two candidates of its own in a temporary folder and leaves nothing behind. Exits with 0 only
/// if no two coordinators ever ran at once and each fault was recovered from.
#[derive(Debug, Parser)]
#[command(
    bin_name = "primacy demo",
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Arguments {
    /// Leave the cluster up afterwards, to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Elect by the lock on the shared folder alone; needs no Java
    #[arg(long)]
    no_zookeeper: bool,
    /// Only these faults, in this order; "none" for none
    #[arg(long, value_delimiter = ',', value_name = "FAULT,...", value_parser = fault_or_none)]
    faults: Option<Vec<Option<Fault>>>,
    /// Run the candidates with this program instead of the one beside this one
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the demo starts itself with.
#[derive(Debug, Subcommand)]
enum Part {
    /// The coordinator of the demo
    #[command(hide = true)]
    Coordinator(coordinator::Settings),
    /// Becomes another program that dies with the demo
    #[command(hide = true)]
    Child {
        #[arg(long)]
        parent: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn fault_or_none(text: &str) -> Result<Option<Fault>, String> {
    if text == "none" {
        return Ok(None);
    }
    Fault::from_str(text, true).map(Some).map_err(|_| {
        let names: Vec<_> = Fault::value_variants()
            .iter()
            .filter_map(Fault::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        format!("one of none, {}", names.join(", "))
    })
}

/// On the main thread: the demo's children die with the thread that started them.
fn main() -> ExitCode {
    let good = match Arguments::parse() {
        Arguments { part: Some(Part::Child { parent, command }), .. } => Err(child::become_program(parent, &command)),
        Arguments { part: Some(Part::Coordinator(settings)), .. } => coordinator::run(&settings).map(|()| true),
        arguments => demo(arguments),
    };
    good.map_or_else(complain, |good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn demo(arguments: Arguments) -> Result<bool, Problem> {
    let faults = match arguments.faults {
        Some(chosen) => chosen.into_iter().flatten().collect(),
        None => Fault::value_variants().to_vec(),
    };
    let (keep, zookeeper) = (arguments.keep, !arguments.no_zookeeper);
    show::run(&show::Options { keep, zookeeper, faults, binary: arguments.binary })
}

fn complain(problem: Problem) -> ExitCode {
    eprintln!("primacy: {problem}");
    ExitCode::FAILURE
}
