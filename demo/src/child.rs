//! `primacy-demo child`: becomes another program that the kernel kills when the demo dies.
//!
//! The parent-death signal must be set in the child, between fork and exec. Doing that here, in a program of its own
//! that then becomes the wanted one, needs no `unsafe` closure in the parent and no `setpriv` on the machine.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

use crate::problem::Problem;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "child";

/// Becomes `command`; returns only if that fails. `parent` is the demo.
pub fn become_program(parent: i32, command: &[OsString]) -> Problem {
    let Some((program, arguments)) = command.split_first() else {
        return Problem::Failed(format!("{SUBCOMMAND}: no command"));
    };
    if let Err(errno) = set_pdeathsig(Signal::SIGKILL) {
        return Problem::Io { context: "parent-death signal".into(), source: errno.into() };
    }
    // A parent that died before the line above sends nothing any more.
    if getppid() != Pid::from_raw(parent) {
        return Problem::Failed(format!("{SUBCOMMAND}: the demo is gone"));
    }
    let source = Command::new(program).args(arguments).exec();
    Problem::Io { context: program.to_string_lossy().into_owned(), source }
}

/// Starts `command` so that it dies with this process, in a process group of its own (Ctrl-C is the demo's to handle),
/// with its output appended to the file `output`. Only from the main thread: the signal comes when the starting
/// *thread* ends.
pub fn start(command: &[OsString], output: &Path) -> Result<Child, Problem> {
    let itself = std::env::current_exe().map_err(Problem::io("this program's own path"))?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(output)
        .map_err(Problem::io(output.display().to_string()))?;
    let errors = file.try_clone().map_err(Problem::io(output.display().to_string()))?;
    Command::new(itself)
        .arg(SUBCOMMAND)
        .arg("--parent")
        .arg(getpid().to_string())
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(Problem::io("starting a process"))
}
