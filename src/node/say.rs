//! Lines of the log. They are public: their words and fields are in docs/operations.md.

use std::time::Duration;

use crate::guardian::protocol::{ExitStatus, NoteLevel, StuckProcess};
use crate::moment::Moment;
use crate::role::Transition;

use super::commands::CommandName;
use super::input::StopSignal;

/// One line: what has fields of its own as a variant, all else as text.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    Text(NoteLevel, String),
    Stopping {
        signal: StopSignal,
    },
    StoppingAgain {
        signal: StopSignal,
    },
    RoleChanges {
        transition: Transition,
        detail: String,
    },
    BetterCandidate,
    LockIsHeld {
        holder: String,
    },
    CoordinatorRuns {
        pid: i32,
        holds_lock: bool,
        epoch: Option<u64>,
    },
    CoordinatorEnded {
        status: ExitStatus,
        pid: Option<i32>,
    },
    ProbeFailed {
        failures: u32,
        reason: String,
    },
    Unhealthy {
        reason: String,
    },
    HookSays {
        hook: String,
        #[serde(serialize_with = "crate::redacted::serialize_text")]
        line: String,
    },
    HookFailed {
        hook: CommandName,
        error: String,
    },
    CommandFailed {
        hook: CommandName,
        detail: String,
    },
    FencingFailed {
        error: String,
    },
    Fences {
        predecessor: Option<String>,
        epoch: Option<u64>,
        host: String,
        on_this_host: String,
    },
    GuardianGone {
        pid: i32,
        how: String,
    },
    GuardianReady {
        pid: i32,
    },
    GuardianSilent {
        pid: i32,
    },
    SelfFenced {
        deadline: Moment,
    },
    DoesNotDie(StuckProcess),
    OwnSilence {
        silent: Duration,
    },
    WatchdogArmed {
        timeout: Duration,
    },
    EpochNotGranted {
        reason: String,
    },
    DuplicateName {
        holder: String,
        node: String,
    },
    Behind {
        zookeeper: u64,
        lock_file: u64,
        node: String,
        since: String,
    },
    RunsAgain {
        gap_ms: Option<u64>,
    },
    PeerTested {
        level: NoteLevel,
        peer: String,
        text: String,
    },
    /// In a standby's page cache.
    KeptWarm {
        files: u64,
        bytes: u64,
        left_out: u64,
    },
    Reloaded {
        key: String,
    },
    NotReloaded {
        key: String,
        why: Unchanged,
    },
}

/// Why a key that differs in the file stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchanged {
    /// -v, -q or RUST_LOG decides.
    Overruled,
    NeedsRestart,
}
