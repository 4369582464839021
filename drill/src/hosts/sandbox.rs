//! A run's world, which vanishes with it: mount and pid namespaces around everything that a run starts.
//!
//! ```text
//! drill run …                     outside: makes the scratch directory, waits, sweeps
//!  └─ unshare --mount --pid       dies with the one above, and takes all of this with it
//!      └─ drill inside …          pid 1: reaps; its end is the end of every process of the run, by the kernel's hand
//!          └─ drill run …         the run itself
//! ```
//!
//! So nothing depends on a destructor: mounts, loop devices, network namespaces and processes go with the last process of
//! the run, after a panic or a SIGKILL as well. Control groups and the scratch directory are all that outlives it; they
//! carry the outer process's id in their name and are removed by it, or by the next run if it was killed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};

use super::cgroup::Hierarchies;

/// All that a run names begins with it and goes on with the outer process's id.
const PREFIX: &str = "drill-";
/// Where the scratch directory of a run is told to the inside.
const SCRATCH: &str = "DRILL_SCRATCH";
/// A file in the scratch directory: please come to an end.
const STOP: &str = "stop";
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long an inside that was asked to end gets: it ends the present fault and stops the cluster in order.
const PATIENCE: Duration = Duration::from_secs(120);

/// The inside of a run.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The run's own name.
    pub run: String,
    /// Scratch space in memory.
    pub scratch: PathBuf,
}

impl Sandbox {
    /// Where this process is; none: outside.
    pub fn inside() -> Option<Self> {
        let scratch = PathBuf::from(std::env::var_os(SCRATCH)?);
        let run = scratch.file_name()?.to_str()?.to_owned();
        Some(Self { run, scratch })
    }

    /// Whether the run was asked to end early.
    pub fn asked_to_stop(&self) -> bool {
        self.scratch.join(STOP).exists()
    }

    /// For the drill's own signal handler.
    pub fn ask_to_stop(scratch: &Path) {
        let _ = fs::write(scratch.join(STOP), "");
    }
}

/// Runs this very command line inside, and answers its exit code.
pub fn run_inside() -> Result<u8> {
    let hierarchies = Hierarchies::find()?;
    sweep_the_dead(&hierarchies);
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let run = format!("{PREFIX}{}", std::process::id());
    let scratch = base.join(&run);
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;

    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]);
    command.args(["--propagation", "private"]).arg(own).arg("inside").args(std::env::args_os().skip(1));
    // Ctrl-C is for this process, which passes it on as a request.
    command.process_group(0);
    let child = command.env(SCRATCH, &scratch).stdin(Stdio::null()).spawn().context("cannot start unshare")?;
    let signals = crate::workload::stop::block()?;
    let asked = scratch.clone();
    crate::workload::stop::at_signal(signals, move || Sandbox::ask_to_stop(&asked))?;
    let code = wait(child, &hierarchies, &run, &scratch);
    hierarchies.sweep(&run);
    let _ = fs::remove_dir_all(&scratch);
    code
}

fn wait(mut child: Child, hierarchies: &Hierarchies, run: &str, scratch: &Path) -> Result<u8> {
    let mut asked = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the run")? {
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(3));
        }
        sleep(LOOK_AGAIN);
        if scratch.join(STOP).exists() {
            asked += LOOK_AGAIN;
        }
        if asked > PATIENCE {
            let _ = child.kill();
            hierarchies.thaw_all(run);
        }
    }
}

/// What killed runs left: theirs is the name of a process that is gone.
fn sweep_the_dead(hierarchies: &Hierarchies) {
    let is_dead = |run: &str| {
        run.strip_prefix(PREFIX)
            .and_then(|pid| pid.parse::<u32>().ok())
            .is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    for run in hierarchies.runs(PREFIX).iter().filter(|run| is_dead(run)) {
        hierarchies.sweep(run);
    }
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_dead) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `drill inside …`: pid 1 of the run. Answers the run's exit code.
pub fn init(arguments: &[OsString]) -> Result<u8> {
    let sandbox = Sandbox::inside().context("drill inside is the drill's own: take drill run")?;
    prepare(&sandbox)?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new(own).args(arguments).spawn().context("cannot start the run")?;
    let main = i32::try_from(child.id()).context("a pid is positive")?;
    // Whoever sends it a SIGTERM means the outside, which asks in its own way.
    let _signals = crate::workload::stop::block()?;
    let code = loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == main => break u8::try_from(code).unwrap_or(3),
            Ok(WaitStatus::Signaled(pid, ..)) if pid.as_raw() == main => break 3,
            Err(Errno::ECHILD) => break 3,
            _ => {}
        }
    };
    // A process that the v1 freezer holds does not die, and pid 1 cannot end before it.
    Hierarchies::find()?.thaw_all(&sandbox.run);
    Ok(code)
}

fn prepare(sandbox: &Sandbox) -> Result<()> {
    // Hosts are told apart by their names; this machine's identity would make them one.
    let nothing = sandbox.scratch.join("nothing");
    fs::write(&nothing, "")?;
    let identity = Path::new("/etc/machine-id");
    if identity.exists() {
        let none = None::<&str>;
        mount(Some(&nothing), identity, none, MsFlags::MS_BIND, none).context("cannot hide /etc/machine-id")?;
    }
    Ok(())
}

/// How a process ended, in words.
pub fn words(status: std::process::ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => {
            format!("killed by {}", Signal::try_from(signal).map_or("a signal", Signal::as_str))
        }
        (None, None) => status.to_string(),
    }
}
