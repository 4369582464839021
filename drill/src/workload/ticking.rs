//! `drill ticking -- COMMAND…`: ticks on behalf of a coordinator that does not tick itself, PostgreSQL for one.
//!
//! Nothing may stand between primacy and the real thing: primacy must start, signal and reap the very process that it
//! supervises. So this process opens a pipe, starts a **sidecar** that holds the reading end, and then *becomes* COMMAND
//! (exec: same pid, same parent, same lock descriptor), which unknowingly keeps the writing end, as does all that it
//! forks. End of file on the pipe is the kernel's word that the last of them is gone, whatever killed them, and whichever
//! of them lived longest: a backend that outlives its postmaster shows in the ticks. The sidecar ticks until then.
//!
//! - It is started by a go-between that ends at once, so it is a child of the guardian (which is a subreaper), not of the
//!   postmaster, which takes a child that dies of a signal for a crash of its own and stops.
//! - It stays in the coordinator's tree and keeps the lock's descriptor: nobody else can start while it ticks, so a tick
//!   that comes a moment after the last death can never look like two at once.
//! - The price: where the whole tree is killed, the sidecar dies among the others, some of which may live for milliseconds
//!   more. The lock covers those.
//!
//! Rejected: a parent process that ticks (primacy would supervise the wrong one), and looking at the postmaster's pid every
//! 3 ms (blind to its backends, and pids are used again).

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::SigSet;

use testbed::ticks::TICK;

use super::ticks::{self, INTERVAL};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the ticks go: a local directory.
    #[arg(long)]
    ticks: PathBuf,
    #[arg(long, env = "PRIMACY_NODE")]
    node: String,
    #[arg(long, env = "PRIMACY_EPOCH")]
    epoch: u64,
    /// Internal: the go-between's part, for this pid.
    #[arg(long, hide = true)]
    between: Option<u32>,
    /// Internal: the sidecar's part, for this pid.
    #[arg(long, hide = true)]
    sidecar: Option<u32>,
    #[arg(last = true)]
    command: Vec<OsString>,
}

pub fn run(args: Args) -> Result<()> {
    if let Some(pid) = args.sidecar {
        return tick_until_end_of_file(&args, pid);
    }
    if let Some(pid) = args.between {
        part(&args, "--sidecar", pid)?.stdin(Stdio::inherit()).spawn().context("cannot start the sidecar")?;
        return Ok(());
    }
    let Some((program, arguments)) = args.command.split_first() else {
        bail!("a command is missing: drill ticking --ticks DIR -- COMMAND…");
    };
    let pid = std::process::id();
    // The first tick is written before anything of the coordinator runs.
    drop(ticks::begin(&args.ticks, &args.node, pid, args.epoch)?);
    let (reading, writing) = std::io::pipe().context("cannot open a pipe")?;
    let status = part(&args, "--between", pid)?.stdin(reading).status().context("cannot start the go-between")?;
    if !status.success() {
        bail!("the go-between ended with {status}");
    }
    fcntl(&writing, FcntlArg::F_SETFD(FdFlag::empty())).context("cannot pass on the pipe")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot execute {}", Path::new(program).display()))
}

fn part(args: &Args, part: &str, pid: u32) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg("ticking").arg("--ticks").arg(&args.ticks);
    command.args(["--node", &args.node, "--epoch", &args.epoch.to_string(), part, &pid.to_string()]);
    command.stdout(Stdio::null());
    Ok(command)
}

fn tick_until_end_of_file(args: &Args, pid: u32) -> Result<()> {
    // A signal to the whole tree is a request to the coordinator; the sidecar sees its end, however long that takes.
    SigSet::all().thread_block().context("cannot block signals")?;
    let mut ticks = ticks::begin(&args.ticks, &args.node, pid, args.epoch)?;
    let (ended, end) = mpsc::channel::<()>();
    let until_end = move || {
        // Nobody writes: anything but a wait is the end.
        let _ = std::io::stdin().read(&mut [0]);
        drop(ended);
    };
    std::thread::Builder::new().name("pipe".to_owned()).spawn(until_end).context("cannot start a thread")?;
    while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        ticks.write(TICK)?;
    }
    Ok(())
}
