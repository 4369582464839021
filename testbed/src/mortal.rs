//! Processes that the kernel kills when this one ends, however it ends.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};

/// Begins a command: its arguments are a program and that one's, which becomes mortal when it is [`spawn`]ed.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// Starts it from a thread that lives as long as this process: a parent-death signal is sent when the parent *thread*
/// ends, and tests' threads end early.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<(Command, mpsc::Sender<io::Result<Child>>)>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<(Command, mpsc::Sender<io::Result<Child>>)>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                // Whoever asked waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}
