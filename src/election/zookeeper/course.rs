//! How far a candidacy has come, and why it ends: what one session, or one connection, hands to the next.

use super::claim::{Found, Leadership};

/// What goes on over another connection.
#[derive(Debug)]
pub enum Going {
    /// Not in the queue.
    Idle,
    /// In the queue, by this node.
    Queued(String),
    /// First in it, and what was told of that.
    Elected(String, Box<Found>),
    Leading(Box<Leadership>),
}

/// Why a session is given up, or its connection.
#[derive(Debug)]
pub enum End {
    /// As ordered. `left`: nothing of the candidacy remains even while the session lives.
    Resigned { left: bool },
    /// As ordered, and nothing comes after it.
    Closed,
    /// It has expired, or it is unknown what it left: another one follows.
    Abandoned,
    /// Only the connection is: what is under way goes on as soon as there is another one.
    Parted(Going),
}
