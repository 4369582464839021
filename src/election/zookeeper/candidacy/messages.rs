//! What goes into a candidacy, and what comes out of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::election::port::{ElectionOrder, Fact};
use crate::intents::Change;
use crate::moment::Moment;
use crate::status::{Breadcrumb, HistoryEntry, Member};

/// When an input is told. The wall clock is only written down, for people.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub moment: Moment,
    pub wall: SystemTime,
}

impl At {
    /// As in `2026-01-02T03:04:05.678Z`.
    pub fn timestamp(self) -> String {
        humantime::format_rfc3339_millis(self.wall).to_string()
    }
}

/// A connection of a session, and what the server has granted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub session: i64,
    /// The session's id, for people.
    pub name: String,
    pub granted: Duration,
    /// Clock before the servers were asked for this connection.
    pub asked: Moment,
    /// Whether there is more than one address to go to.
    pub several: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Input {
    Order(ElectionOrder),
    /// A session was opened, or the one there is goes on.
    Connected(Connection),
    /// Nobody gave a session: why.
    NotConnected(String),
    /// The connection is lost; the session may live on.
    Disconnected,
    /// A connection was found for the session that carries no large packets.
    Narrow(String),
    /// The session has expired, or nobody can tell whether it has.
    SessionLost,
    /// What was to be closed is.
    Closed,
    /// Whether the name is proven to be this node's own, over this connection.
    Registered(bool),
    /// The cluster as ZooKeeper shows it.
    Viewed(Seen),
    Answered(RequestId, Answer),
    /// The deadline is there.
    TimePassed,
}

/// The part of the view that the election itself looks at: who there is, and whether elections are paused.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub paused: bool,
    /// What people want, by its version.
    pub control: Option<i32>,
    /// Who led last, and is not known to have ended: epoch and election node.
    pub active: Option<(u64, String)>,
    pub members: BTreeMap<String, Member>,
}

/// No two requests of a process have the same.
pub type RequestId = u64;

/// What is asked of ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// An ephemeral node of a unique name at the back of the queue.
    Enter,
    /// The cluster's directories.
    EnsureDirectories,
    /// Everything that a claim needs, in one round trip that begins with a sync.
    Look {
        node: String,
    },
    /// Answered when the node is gone, and never because of a lost connection. `synced`: asked only after a sync.
    UntilDeleted {
        node: String,
        synced: bool,
    },
    Delete {
        node: String,
    },
    /// Anything that a server answers; `large`: by a large packet.
    Touch {
        large: bool,
    },
    /// All or nothing.
    Write(Vec<Write>),
    /// Likewise; no answer ends the lease.
    Heartbeat(Vec<Write>),
}

impl Request {
    /// Whether it has to be answered within a session's time-out. Not so what is waited for: a deletion; a touch, on which
    /// nothing depends; a heartbeat, without whose answer the lease runs out.
    pub fn has_time_out(&self) -> bool {
        match self {
            Self::UntilDeleted { .. } | Self::Touch { .. } | Self::Heartbeat(_) => false,
            Self::Enter | Self::EnsureDirectories | Self::Look { .. } | Self::Delete { .. } | Self::Write(_) => true,
        }
    }
}

/// A part of a transaction. Whatever is created is persistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// `None`: any version, as long as it is there.
    Check {
        path: String,
        version: Option<i32>,
    },
    Create {
        path: String,
        data: Vec<u8>,
    },
    Set {
        path: String,
        data: Vec<u8>,
        version: Option<i32>,
    },
    Delete {
        path: String,
    },
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// The own election node's full path.
    Entered(Result<String, Failure>),
    /// Deleted, touched, ensured.
    Done(Result<(), Failure>),
    Looked(Result<Box<Looked>, Failure>),
    Deleted,
    /// The versions after each write, or which of them failed; `None` where it is not known to be one of them.
    Written(Result<Vec<i32>, (Option<usize>, Failure)>),
}

/// A node's content and version; `None` where there is none.
pub type Content = Result<Option<(Vec<u8>, i32)>, Failure>;

/// The answers to one look, in the order in which they were asked for.
#[derive(Clone, Debug)]
pub struct Looked {
    pub synced: Result<(), Failure>,
    pub queue: Result<Vec<String>, Failure>,
    /// Whose session the own node is; `None` if it is not there.
    pub owner: Result<Option<i64>, Failure>,
    pub epoch: Content,
    pub active: Content,
    pub volume: Content,
    pub control: Content,
}

/// Why something was not done, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NoNode,
    NodeExists,
    BadVersion,
    /// Refused for another reason: nothing was done.
    Refused,
    /// It may have been done.
    Unknown,
    /// No answer in time; it may have been done.
    NoAnswer,
}

impl Failure {
    /// Whether the server answered, and so did nothing of what was asked.
    pub fn is_definite(&self) -> bool {
        match self.kind {
            Kind::NoNode | Kind::NodeExists | Kind::BadVersion | Kind::Refused => true,
            Kind::Unknown | Kind::NoAnswer => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// A leadership that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub node: String,
    pub breadcrumb: Breadcrumb,
    pub epoch_version: i32,
    pub breadcrumb_version: i32,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Output {
    Ask(RequestId, Request),
    /// Nobody waits for its answer any more.
    Forget(RequestId),
    Tell(Fact),
    /// [`Fact::Queued`], with how a guardian would reach ZooKeeper.
    TellQueued {
        session: i64,
        node: String,
    },
    /// [`Fact::Claimed`], likewise.
    TellClaimed {
        session: i64,
        counts_from: Moment,
        leadership: Leadership,
    },
    Say(Say),
    Publish(Box<Member>),
    Announce(Option<Box<Breadcrumb>>),
    Amend(Box<HistoryEntry>),
    Intend(Box<Change>),
    /// What goes on beside the election may use the connection, too: the member, the view.
    Share,
    /// So may what a leader keeps: its announcement, its chores.
    Attend {
        epoch_version: i32,
    },
    /// Likewise the announcement of an always-on coordinator. `fresh`: nothing of it is written in this session.
    AttendAlwaysOn {
        fresh: bool,
    },
    /// It leads no more: what it kept is left as it is.
    Desist,
    Turn(Turn),
}

/// What becomes of the session and its connection. All that was asked over the connection is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is none: open one.
    Open,
    /// Take it to another connection. `stake`: what the lease's length is, if one depends on that.
    Reattach { stake: Option<Duration> },
    /// Close it, and say so; `quiet`: after a moment, for others are busy and nothing depends on it.
    Close { quiet: bool },
    /// Nothing comes after this.
    Finish,
}

/// Lines of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    EpochTaken { epoch: u64, node: String },
    EpochUnreadable,
    GrantChanged { session: String, before: Duration, latest: Duration },
    HeartbeatFailed(Failure),
    ResignationUntold,
    SessionEnded { session: String },
}
