//! `primacy demo`, and the two hidden commands that it starts itself with.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Exit;
use crate::demo::{self, Fault};

/// Two candidates on this machine, five faults, and what each of them cost
///
/// Starts a ZooKeeper and two candidates of its own in a temporary folder and leaves nothing behind. Exits with 0 only
/// if no two coordinators ever ran at once and each fault was recovered from.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Leave the cluster up afterwards, to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Elect by the lock on the shared folder alone; needs no Java
    #[arg(long)]
    no_zookeeper: bool,
    /// Only these faults, in this order; "none" for none
    #[arg(long, value_delimiter = ',', value_name = "FAULT,...", value_parser = fault_or_none)]
    faults: Option<Vec<Option<Fault>>>,
    /// Run the candidates with this program instead of this one
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
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

/// The coordinator of the demo
#[derive(Args, Debug)]
#[command(hide = true)]
pub struct CoordinatorArguments {
    #[arg(long)]
    node: String,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
}

/// Becomes another program that dies with the demo
#[derive(Args, Debug)]
#[command(hide = true)]
pub struct ChildArguments {
    #[arg(long)]
    parent: i32,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Must run on the main thread: the demo's children die with the thread that started them.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let faults = match &arguments.faults {
        Some(chosen) => chosen.iter().copied().flatten().collect(),
        None => Fault::value_variants().to_vec(),
    };
    let options = demo::Options {
        keep: arguments.keep,
        zookeeper: !arguments.no_zookeeper,
        faults,
        binary: arguments.binary.clone(),
    };
    Ok(if demo::run(&options)? { Exit::Done } else { Exit::Failed })
}

pub fn run_coordinator(arguments: &CoordinatorArguments) -> anyhow::Result<Exit> {
    let settings = demo::coordinator::Settings {
        node: arguments.node.clone(),
        folder: arguments.folder.clone(),
        listen: arguments.listen,
    };
    demo::coordinator::run(&settings)?;
    Ok(Exit::Done)
}

/// Returns only if it failed.
pub fn run_child(arguments: &ChildArguments) -> anyhow::Result<Exit> {
    Err(demo::child::become_program(arguments.parent, &arguments.command).into())
}
