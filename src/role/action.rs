//! What the machine orders: actions in the imperative.

use crate::moment::Moment;

use super::cause::{End, Transition};
use super::event::Witness;

/// An order of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Stand,
    Yield,
    AcquireLock,
    /// Wait for the lock of the leadership before this node, until then at the latest; said again, with a later moment, it goes
    /// on. Answered by `LockGranted`, or, if the time is up before, by `CalledOff`.
    AwaitLock {
        until: Moment,
    },
    /// Wait for it no more, and let go of it if it was granted meanwhile. Answered by `CalledOff`.
    CallOff,
    /// `epoch` tells this attempt's answer from that of an attempt given up before.
    FencePredecessor {
        epoch: u64,
        named_by: Witness,
    },
    Claim {
        epoch: u64,
    },
    WriteRecord {
        epoch: u64,
    },
    /// The guardian must have ended everything by then.
    SetDeadline(Moment),
    RunBeforeStart {
        epoch: u64,
    },
    Start {
        epoch: u64,
        deadline: Moment,
    },
    /// Of an always-on coordinator, which has neither.
    StartAlwaysOn,
    /// The stop signal for the coordinator; commands that run in the leadership's name are killed. Answered by `TreeDead`.
    StopTree,
    /// SIGKILL for the coordinator's tree and for every command that runs in the leadership's name.
    KillTree,
    /// The guardian is gone: kill what it left.
    KillOrphans,
    RunAfterStop,
    CloseLock(End),
    Resign {
        clean: bool,
        end: Option<End>,
    },
    /// End the guardian, if it lives, and start another.
    ReplaceGuardian,
    Announce(Transition),
    Exit(Exit),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Exit {
    Stopped,
    LostMastership,
    DuplicateName,
}
