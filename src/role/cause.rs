//! The role, and why it changes: words that are public, too.

use serde::{Deserialize, Serialize};

/// What this node is permitted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs no coordinator.
    Standby,
    /// Elected: getting the lock, fencing, starting.
    Promoting,
    /// Its coordinator runs and is ready.
    Active,
    /// Stopping its coordinator.
    Demoting,
    /// Killing it.
    Fencing,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Standby, Self::Promoting, Self::Active, Self::Demoting, Self::Fencing];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Promoting => "promoting",
            Self::Active => "active",
            Self::Demoting => "demoting",
            Self::Fencing => "fencing",
        }
    }
}

/// Why a leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Stopped,
    /// This node is not to lead.
    Isolated,
    /// Another node is to lead.
    Switchover,
    CoordinatorExited,
    CoordinatorUnhealthy,
    StartFailed,
    /// The guardian died or fell silent.
    SupervisorLost,
    LeaseExpired,
    SessionExpired,
    VolumeLost,
    ElectionNodeDeleted,
}

impl End {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Isolated => "isolated",
            Self::Switchover => "switchover",
            Self::CoordinatorExited => "coordinator_exited",
            Self::CoordinatorUnhealthy => "coordinator_unhealthy",
            Self::StartFailed => "start_failed",
            Self::SupervisorLost => "supervisor_lost",
            Self::LeaseExpired => "lease_expired",
            Self::SessionExpired => "session_expired",
            Self::VolumeLost => "volume_lost",
            Self::ElectionNodeDeleted => "election_node_deleted",
        }
    }

    /// The node could no longer prove that it leads: what runs is killed, not stopped.
    pub const fn is_loss(self) -> bool {
        match self {
            Self::LeaseExpired | Self::SessionExpired | Self::VolumeLost | Self::ElectionNodeDeleted => true,
            Self::Stopped
            | Self::Isolated
            | Self::Switchover
            | Self::CoordinatorExited
            | Self::CoordinatorUnhealthy
            | Self::StartFailed
            | Self::SupervisorLost => false,
        }
    }

    /// Something is wrong on this node: it waits before it stands again.
    pub const fn backs_off(self) -> bool {
        match self {
            Self::CoordinatorExited | Self::CoordinatorUnhealthy | Self::StartFailed | Self::SupervisorLost => true,
            Self::Stopped
            | Self::Isolated
            | Self::Switchover
            | Self::LeaseExpired
            | Self::SessionExpired
            | Self::VolumeLost
            | Self::ElectionNodeDeleted => false,
        }
    }
}

/// Why the role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    Elected,
    Ready,
    /// It runs on every host: there was nothing to be elected to.
    AlwaysOn,
    /// A local restart: the coordinator ended and is started again under the same epoch.
    Restarting,
    Ended(End),
}

impl Cause {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elected => "elected",
            Self::Ready => "ready",
            Self::AlwaysOn => "always_on",
            Self::Restarting => "restarting",
            Self::Ended(end) => end.as_str(),
        }
    }
}

/// A change of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transition {
    pub from: Role,
    pub to: Role,
    pub cause: Cause,
    pub epoch: Option<u64>,
}

/// What the node is busy with: finer than the role, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    Idle,
    BackingOff,
    Standing,
    WaitingForLock,
    WaitingForFence,
    Starting,
    Leading,
    Stopping,
    Fencing,
    Finished,
}

/// Why the machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeadlineReason {
    /// The lease runs out.
    Lease,
    /// The volume has not answered.
    Volume,
    /// The coordinator has not become ready.
    Startup,
    /// What was asked to stop has not stopped.
    Stop,
    /// A command has neither ended nor died.
    Command,
    /// The guardian must be told that a lock is still wanted.
    HoldLock,
    /// The guardian is to be told to wait on for the lock.
    AwaitLock,
    /// What was killed has not died.
    Stuck,
    /// The lock has been held by somebody else for so long that the predecessor is fenced before it is free.
    Fence,
    /// The back-off is over.
    Backoff,
}
