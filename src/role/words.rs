//! The core's vocabulary: roles, events, actions, causes.

use crate::moment::Moment;

/// What this node is permitted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    Stopped,
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
            | Self::LeaseExpired
            | Self::SessionExpired
            | Self::VolumeLost
            | Self::ElectionNodeDeleted => false,
        }
    }
}

/// Why the role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Elected,
    Ready,
    /// A local restart: the coordinator ended and is started again under the same epoch.
    Restarting,
    Ended(End),
}

impl Cause {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elected => "elected",
            Self::Ready => "ready",
            Self::Restarting => "restarting",
            Self::Ended(end) => end.as_str(),
        }
    }
}

/// A change of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    pub from: Role,
    pub to: Role,
    pub cause: Cause,
    pub epoch: Option<u64>,
}

/// The former active, as its breadcrumb tells, or the lock file's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Former {
    /// There was none.
    None,
    /// It stopped cleanly.
    Clean,
    /// It was this very node: the lock proves that nothing of it is left.
    Own,
    /// Another node, another host of this name, or one that nobody can tell, which did not say goodbye.
    Unclean,
    /// There was one, and nothing can be read of it.
    Unknown,
}

impl Former {
    /// Whether it may still write.
    pub(super) const fn may_write(self) -> bool {
        match self {
            Self::Unclean | Self::Unknown => true,
            Self::None | Self::Clean | Self::Own => false,
        }
    }
}

/// Who told of the former active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Witness {
    /// ZooKeeper's breadcrumb.
    Breadcrumb,
    /// The lock file.
    Record,
}

/// What the lock file says of the last leadership that was recorded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// 0 where there is none.
    pub epoch: u64,
    pub former: Former,
}

/// What the election found when it elected this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vacancy {
    /// The cluster's last epoch; 0 where there was none.
    pub epoch: u64,
    pub former: Former,
    /// The epoch of the breadcrumb that says so; without a readable one the cluster's last.
    pub former_epoch: u64,
    /// An eligible candidate of higher priority stands in the queue.
    pub better_candidate: bool,
}

/// How the election lost this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    SessionExpired,
    NodeDeleted,
    /// A later epoch was taken, or the epoch vanished.
    Overtaken,
}

/// A fact, told to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The guardian runs and knows its settings.
    GuardianReady,
    /// The guardian is dead; nothing of it will be heard again.
    GuardianLost,
    /// The volume may (not) be used, as far as a standby can see.
    VolumeSeen {
        usable: bool,
    },
    /// Whether the watchdog's device may be used, as far as it can be seen without arming it.
    WatchdogSeen {
        usable: bool,
    },
    Elected(Vacancy),
    LockAcquired {
        recorded: Recorded,
        /// Hosts have the volume's pages to themselves until they write them back (a network file system): an end is clean only
        /// once that has been done.
        write_back: bool,
    },
    /// Somebody else has it.
    LockRefused {
        /// The epoch in the lock file, 0 where there is none.
        recorded: u64,
    },
    /// Taking the lock or writing the record failed.
    VolumeUnusable,
    /// The fencing command ordered for `epoch` has ended.
    FormerFenced {
        epoch: u64,
        succeeded: bool,
    },
    Claimed {
        epoch: u64,
        sent: Moment,
    },
    ClaimRefused,
    RecordWritten {
        epoch: u64,
    },
    /// The before_start hook ordered for `epoch` has ended.
    Prepared {
        epoch: u64,
        succeeded: bool,
    },
    Started,
    StartFailed,
    Ready,
    Unhealthy,
    /// The coordinator's main process ended by itself.
    Exited,
    /// Nothing is left of the coordinator's tree, nor of any command that ran in this leadership's name.
    TreeDead,
    /// The after_stop hook has ended.
    Tidied,
    /// A heartbeat was acknowledged that counts from `sent`.
    Renewed {
        sent: Moment,
    },
    /// The servers have granted this session to another connection: a lease that runs is over at `until`, however long the
    /// former grant was.
    Granted {
        until: Moment,
    },
    Lost(Loss),
    VolumeLost,
    /// The guardian ended the leadership by itself: tree dead, lock closed. `clean` as for `LockClosed`.
    Fenced {
        clean: bool,
    },
    LockClosed {
        /// What this leadership wrote has reached the volume, as far as the volume needs to be told.
        clean: bool,
    },
    Resigned,
    StopRequested,
    /// The second request: no patience.
    KillRequested,
    DuplicateName,
    /// Nothing but the deadline that the machine asked for.
    TimePassed,
}

/// An order of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Stand,
    Yield,
    AcquireLock,
    /// `epoch` tells this attempt's answer from that of an attempt given up before.
    FenceFormer {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    Stopped,
    LostMastership,
    DuplicateName,
}

/// What the node is busy with: finer than the role, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// What was killed has not died.
    Stuck,
    /// The lock has been held by somebody else for so long that the former is fenced before it is free.
    Fence,
    /// The back-off is over.
    Backoff,
}
