//! Writes the node's lines into the log.

use crate::guardian::protocol::NoteLevel;
use crate::node::{Say, Unchanged};
use crate::role::{Role, Transition};

/// One line.
pub fn tell(line: Say) {
    match line {
        Say::Text(NoteLevel::Info, text) => tracing::info!("{text}"),
        Say::Text(NoteLevel::Warn, text) => tracing::warn!("{text}"),
        Say::Text(NoteLevel::Error, text) => tracing::error!("{text}"),
        Say::Stopping { signal } => {
            tracing::info!(signal = signal.as_str(), "stopping; once more kills the coordinator");
        }
        Say::StoppingAgain { signal } => {
            tracing::warn!(signal = signal.as_str(), "asked to stop again: killing the coordinator");
        }
        Say::RoleChanges { transition, detail } => role_changes(transition, &detail),
        Say::BetterCandidate => tracing::info!("a better candidate stands in the queue: going to its back"),
        Say::LockIsHeld { holder } => tracing::info!(holder, "elected, but the lock is held: waiting"),
        // Always on: it needs no lock.
        Say::CoordinatorRuns { pid, epoch: None, .. } => tracing::info!(pid, "the coordinator runs"),
        Say::CoordinatorRuns { pid, holds_lock, epoch } => {
            tracing::info!(pid, holds_lock, epoch, "the coordinator runs");
        }
        Say::CoordinatorEnded { status, pid } => tracing::warn!(?status, pid, "the coordinator ended by itself"),
        Say::ProbeFailed { failures, reason } => tracing::warn!(failures, reason, "the health probe failed"),
        Say::Unhealthy { reason } => tracing::error!(reason, "the coordinator is unhealthy"),
        Say::HookSays { hook, line } => tracing::info!(hook, "{line}"),
        Say::HookFailed { hook, error } => tracing::warn!(hook = hook.as_str(), %error, "a hook failed"),
        Say::CommandFailed { hook, detail } => tracing::error!(hook = hook.as_str(), "{detail}"),
        Say::FencingFailed { error } => {
            tracing::warn!(error, "fencing.command failed; going on, since fencing.required is false");
        }
        Say::Fences { predecessor, epoch, host, on_this_host } => {
            tracing::warn!(
                former = predecessor,
                epoch,
                host,
                on_this_host,
                "fencing the former active: it did not stop cleanly"
            );
        }
        Say::GuardianGone { pid, how } => tracing::warn!(pid, how, "the guardian is gone"),
        Say::GuardianReady { pid } => tracing::debug!(pid, "the guardian is ready"),
        Say::GuardianSilent { pid } => tracing::error!(pid, "the guardian does not answer: killing it"),
        Say::SelfFenced { deadline } => {
            tracing::error!(%deadline, "the guardian ended the leadership at its deadline");
        }
        Say::DoesNotDie(process) => {
            let (pid, command, waits_in) = (process.pid, process.command, process.waits_in);
            tracing::error!(pid, command, waits_in, "killed, but does not die");
        }
        Say::OwnSilence { silent } => {
            tracing::warn!(silent_ms = silent.as_millis(), "this process did not run for a while");
        }
        Say::WatchdogArmed { timeout } => tracing::info!(timeout_s = timeout.as_secs(), "the watchdog is armed"),
        Say::EpochNotGranted { reason } => tracing::warn!(reason, "the epoch was not granted"),
        Say::DuplicateName { holder, node } => {
            tracing::error!(holder, node, "another live member has this node's name");
        }
        Say::Behind { zookeeper, lock_file, node, since } => tracing::warn!(
            zookeeper,
            lock_file,
            node,
            since,
            "ZooKeeper is behind the lock file: its data was lost or restored from a copy, or that leadership ended before \
             ZooKeeper heard of it; the lock file says how the last one ended"
        ),
        Say::RunsAgain { gap_ms } => tracing::info!(gap_ms, "a coordinator runs again"),
        Say::PeerTested { level: NoteLevel::Info, peer, text } => tracing::info!(peer, "{text}"),
        Say::PeerTested { level: NoteLevel::Warn, peer, text } => tracing::warn!(peer, "{text}"),
        Say::PeerTested { level: NoteLevel::Error, peer, text } => tracing::error!(peer, "{text}"),
        Say::KeptWarm { files, bytes, left_out } => {
            let kept = bytesize::ByteSize(bytes);
            if left_out == 0 {
                tracing::info!("kept in the page cache: {kept} of {files} files");
            } else {
                tracing::warn!(
                    left_out,
                    "kept in the page cache: {kept} of {files} files; standby.warm_limit has no room for all"
                );
            }
        }
        Say::Reloaded { key } => tracing::info!(key, "reloaded"),
        Say::NotReloaded { key, why: Unchanged::Overruled } => {
            tracing::warn!(key, "changed in the file, but -v, -q or RUST_LOG has precedence");
        }
        Say::NotReloaded { key, why: Unchanged::NeedsRestart } => {
            tracing::warn!(key, "changed in the file, but needs a restart of primacy");
        }
    }
}

fn role_changes(transition: Transition, detail: &str) {
    let Transition { from, to, cause, epoch } = transition;
    let (from, cause) = (from.as_str(), cause.as_str());
    if to == Role::Fencing {
        tracing::error!(from, to = to.as_str(), cause, epoch, detail, "role changes");
    } else {
        tracing::info!(from, to = to.as_str(), cause, epoch, detail, "role changes");
    }
}
