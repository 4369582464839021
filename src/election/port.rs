//! What is ordered from an election backend, and what it tells.

use std::time::{Duration, SystemTime};

use crate::guardian::protocol::LastWill;
use crate::intents::{Change, Intended, Vouched};
use crate::moment::Moment;
use crate::status::{Breadcrumb, ClusterView, HistoryEntry, Member};

/// What the supervisor orders.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a few orders a day")]
#[serde(rename_all = "snake_case")]
pub enum ElectionOrder {
    /// Enter the queue, connecting first where that is needed. Repeating it while standing is harmless.
    Stand,
    /// Leave the front of the queue and enter it again at the back.
    Yield,
    /// Take the epoch and leave the breadcrumb in one step, guarded by what `Elected` reported, or `Behind`: then the election node
    /// before the own one goes in the same step. Answered by `Claimed`
    /// or `ClaimRefused`, or by `Lost`. From `Claimed` on the backend sends heartbeats until `Resign`.
    Claim {
        breadcrumb: Breadcrumb,
        volume: String,
        entry: HistoryEntry,
        /// Completes the former leadership's history entry where its own node could not.
        predecessor_ended: Option<HistoryEntry>,
    },
    /// Leave the queue, and give up the leadership if there is one: `ended` completes the breadcrumb and the history;
    /// `clean` says that the tree is dead and the lock closed. Answered by `Resigned` in any case, at the latest after
    /// a session timeout. The next `Stand` uses a new session.
    Resign { clean: bool, ended: Option<HistoryEntry> },
    /// What this node tells the others of itself. Also kept until a connection exists.
    Publish(Box<Member>),
    /// Announce (or withdraw, `None`) the coordinator for service discovery: while active and ready.
    Announce(Option<Box<Breadcrumb>>),
    /// Complete a history entry (its gap is known only when the coordinator is ready).
    Amend(Box<HistoryEntry>),
    /// Change what people want, guarded by what it was decided on. Nobody answers: what has become of it is told as
    /// `Intended`.
    Intend(Box<Change>),
    /// Give up a session that no candidacy rests on, and ask the servers for the wanted one again.
    AskAgain,
    /// Resign whatever there is, close the session and end the task.
    Close,
}

/// What a backend reports.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A session has a connection. `session` is for people; `timeout` is what counts of what was granted to it; `asked`: clock
    /// before the servers were asked for this connection.
    Connected { session: Option<String>, timeout: Duration, asked: Moment },
    /// No contact at the moment; `reason` for people. Says nothing on leadership: the lease does.
    Disconnected { reason: String },
    /// In the queue.
    Standing,
    /// A place in the queue has been taken; what gives it up should this process die.
    Queued(#[serde(serialize_with = "crate::redacted::serialize_last_will")] Box<LastWill>),
    /// First in the queue, proven after a sync.
    Elected(Box<ElectionOutcome>),
    /// The leadership's epoch is taken. `counts_from`: what the lease counts from, the clock before the request or earlier.
    Claimed {
        epoch: u64,
        counts_from: Moment,
        #[serde(serialize_with = "crate::redacted::serialize_wanted_last_will")]
        last_will: Option<Box<LastWill>>,
    },
    /// Definitely not taken (the epoch had moved, say); stand again for a new look.
    ClaimRefused { reason: String },
    /// A heartbeat sent at `sent` was acknowledged at `acknowledged`; the lease counts from `counts_from`.
    Renewed { sent: Moment, counts_from: Moment, acknowledged: Moment },
    /// The candidacy or leadership is definitely gone.
    Lost(Loss),
    /// The queue and the session are left; nothing of this candidacy remains.
    Resigned,
    /// Another live member has this node's name.
    DuplicateName { holder: String },
    /// The cluster as seen through this backend; sent at every change.
    Cluster(Box<ClusterView<Member>>),
    /// What people want; sent at every change, and before `Cluster`.
    Intended(Box<Intended>),
    /// In the queue behind this election node. `next`: it is the active one's very node, and what a claim would be guarded by once
    /// that leadership is proven to be over.
    Behind {
        election_node: String,
        #[serde(default)]
        next: Option<Box<ElectionOutcome>>,
    },
    /// At that moment of this host's clock it was `server` by the clock of the servers, which all nodes share.
    Stamped { at: Moment, server: SystemTime },
    /// Past leaderships, newest first; sent at every change.
    History(Vec<HistoryEntry>),
}

/// What an elected candidate found.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ElectionOutcome {
    /// The cluster's last epoch; 0 where there was none.
    pub epoch: u64,
    /// The former active's breadcrumb.
    pub predecessor: Option<Breadcrumb>,
    /// The volume's id, once the cluster has one.
    pub volume: Option<String>,
    /// Elections are paused: whoever is first waits, and says `Stand` for another look when they are not. `Cluster` has told
    /// of the pause before, and will tell of its end.
    pub paused: bool,
    /// The leadership that a person vouches to be over, if anybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Box<Vouched>>,
    /// Other members, where anybody else stands in the queue: name, priority and whether they say that they could take
    /// over.
    pub others: Vec<OtherCandidate>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OtherCandidate {
    pub node: String,
    pub priority: u32,
    pub eligible: bool,
}

/// How a leadership or candidacy was lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Loss {
    SessionExpired,
    /// The election node is gone although the session lives: somebody deleted it.
    NodeDeleted,
    /// Another leadership has taken a later epoch, or the epoch node is gone or was replaced.
    Overtaken,
    /// The backend cannot tell whether there is a leadership (no answer, or an unknown outcome), so there is none.
    Backend(String),
}
