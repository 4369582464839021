//! Commands that the operator gave: hooks, the fencing command, command probes. Argv without a shell, the coordinator's
//! environment, a time-out after which the whole process group is killed, output to the log.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::orphans::OwnChildren;

/// before_start may mount and check a file system; it is bounded because the volume's lock is held meanwhile.
pub const BEFORE_START_TIMEOUT: Duration = Duration::from_secs(60);
/// after_stop delays the hand-over to the next node.
pub const AFTER_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// on_active and on_standby delay nothing.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);

/// Something to run.
#[derive(Clone, Debug)]
pub struct Hook {
    /// As in the configuration: `before_start`, `fencing.command`, …
    pub name: &'static str,
    pub argv: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub timeout: Duration,
}

/// Runs it to its end. `Err` says in a few words how it failed.
///
/// # Errors
/// When it could not be started, did not exit with 0, or took too long.
pub async fn run(hook: Hook, children: OwnChildren) -> Result<(), String> {
    let Hook { name, argv, environment, timeout } = hook;
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(&environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    children.add(pid);
    if let Some(output) = child.stdout.take() {
        tokio::spawn(log_lines(name, output));
    }
    if let Some(output) = child.stderr.take() {
        tokio::spawn(log_lines(name, output));
    }
    let outcome = tokio::time::timeout(timeout, child.wait()).await;
    let result = match outcome {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = child.wait().await;
            Err(format!("no end within {}", humantime::format_duration(timeout)))
        }
    };
    children.remove(pid);
    result
}

async fn log_lines(name: &'static str, output: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(hook = name, "{line}");
    }
}
