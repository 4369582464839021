//! What the machine is told: events in the past tense, and what they tell of who led before.

use crate::moment::Moment;

use super::cause::End;

/// The former active, as its breadcrumb tells, or the lock file's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Predecessor {
    /// There was none.
    None,
    /// It stopped cleanly.
    Clean,
    /// It was this very node: the lock proves that nothing of it is left.
    Own,
    /// Another node's, unclean, and a person vouches that this very one is off.
    Vouched,
    /// Another node, another host of this name, or one that nobody can tell, which did not say goodbye.
    Unclean,
    /// There was one, and nothing can be read of it.
    Unknown,
}

impl Predecessor {
    /// Whether it may still write.
    pub const fn may_write(self) -> bool {
        match self {
            Self::Unclean | Self::Unknown => true,
            Self::None | Self::Clean | Self::Own | Self::Vouched => false,
        }
    }
}

/// Who told of the former active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Witness {
    /// ZooKeeper's breadcrumb.
    Breadcrumb,
    /// The lock file.
    Record,
}

/// What the lock file says of the last leadership that was recorded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Recorded {
    /// 0 where there is none.
    pub epoch: u64,
    pub predecessor: Predecessor,
}

/// What the election found when it elected this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Succession {
    /// The cluster's last epoch; 0 where there was none.
    pub epoch: u64,
    pub predecessor: Predecessor,
    /// The epoch of the breadcrumb that says so; without a readable one the cluster's last.
    pub predecessor_epoch: u64,
    /// An eligible candidate of higher priority stands in the queue.
    pub better_candidate: bool,
}

/// How the election lost this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    Elected(Succession),
    LockAcquired {
        recorded: Recorded,
        /// Hosts have the volume's pages to themselves until they write them back (a network file system): an end is clean only
        /// once that has been done.
        write_back: bool,
    },
    /// Nobody stands between this node and the active leadership that is told of, and it may wait for that one's lock; or not
    /// (any more).
    NextInLine(Option<Succession>),
    /// The lock that was waited for is this node's.
    LockGranted {
        /// The lock file proves that the leadership before this node is over: that very one, and nothing of it is left.
        over: bool,
        recorded: Recorded,
        write_back: bool,
    },
    /// The lock is not waited for, and not held.
    CalledOff,
    /// Somebody else has it.
    LockRefused {
        /// The epoch in the lock file, 0 where there is none.
        recorded: u64,
    },
    /// Taking the lock or writing the record failed.
    VolumeUnusable,
    /// The fencing command ordered for `epoch` has ended.
    PredecessorFenced {
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
    /// The role is to be given away in order; this process stays.
    StepDownRequested(End),
    StopRequested,
    /// The second request: no patience.
    KillRequested,
    DuplicateName,
    /// Nothing but the deadline that the machine asked for.
    TimePassed,
}
