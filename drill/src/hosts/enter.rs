//! `drill enter … -- COMMAND`: the last step into a host. Joins its control groups and its network, takes its name, and
//! becomes COMMAND: same pid, so whoever started it holds the real process.
//!
//! A session of its own, so that Ctrl-C on the drill's terminal reaches the drill and not every process of the lab.
//! Rejected: a shell line with nsenter, which needs quoting and costs two programs per start.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;
use nix::unistd::{sethostname, setsid};

/// What [`super::NamespaceHost`] says to the process that becomes the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A control group's directory; may be given several times.
    #[arg(long)]
    group: Vec<PathBuf>,
    /// A file to which the network namespace is bound.
    #[arg(long)]
    net: PathBuf,
    #[arg(long)]
    name: String,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Does not return unless something fails.
pub fn run(args: Args) -> Result<()> {
    for group in &args.group {
        let file = group.join("cgroup.procs");
        std::fs::write(&file, "0").with_context(|| format!("cannot join {}", file.display()))?;
    }
    let net = File::open(&args.net).with_context(|| format!("cannot open {}", args.net.display()))?;
    setns(net, CloneFlags::CLONE_NEWNET).context("cannot enter the network namespace")?;
    unshare(CloneFlags::CLONE_NEWUTS).context("cannot have a host name of its own")?;
    sethostname(&args.name).context("cannot set the host name")?;
    // Fails only for the leader of a group, which is as good.
    let _ = setsid();
    // The drill takes signals in its own way, and a mask outlives exec.
    SigSet::all().thread_unblock().context("cannot unblock signals")?;
    let Some((program, arguments)) = args.command.split_first() else { bail!("a command is missing") };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot execute {}", program.display()))
}
