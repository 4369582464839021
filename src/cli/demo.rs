//! `primacy demo`: becomes `primacy-demo`, which lies beside this program. Nothing of the demo is in here.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use super::Exit;

const PROGRAM: &str = "primacy-demo";

/// Two candidates on this machine, five faults, and what each of them cost
///
/// Starts a ZooKeeper and two candidates of its own in a temporary folder and leaves nothing behind. Exits with 0 only
/// if no two coordinators ever ran at once and each fault was recovered from. Executes `primacy-demo`, which lies beside
/// this program.
#[derive(Args, Debug)]
pub struct Arguments {
    /// --keep, --no-zookeeper, --faults FAULT,...:
    ///
    /// --keep              Leave the cluster up afterwards, to play with, until Ctrl-C
    /// --no-zookeeper      Elect by the lock on the shared folder alone; needs no Java
    /// --faults FAULT,...  Only these faults, in this order; "none" for none
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true, verbatim_doc_comment)]
    options: Vec<OsString>,
}

/// Returns only if it failed.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let program = std::env::current_exe().context("this program's own path")?.with_file_name(PROGRAM);
    let error = Command::new(&program).args(&arguments.options).exec();
    if error.kind() == ErrorKind::NotFound {
        bail!("no {} here. In the sources: ./scripts/demo, or cargo build -p {PROGRAM}", program.display());
    }
    Err(error).with_context(|| program.display().to_string())
}
