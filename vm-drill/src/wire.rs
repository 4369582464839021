//! What machines tell the drill, as text, one datagram each: `KIND NODE PID EPOCH NUMBER ERROR`.

use std::fmt::{self, Display};
use std::str::FromStr;

/// Bytes of one record that a coordinator writes to the volume.
pub const RECORD: usize = 64;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// The files in a coordinator's journal that it dirties and never syncs, less `-EPOCH`: mapped and closed, mapped and open,
/// written.
pub const DIRTY: [&str; 3] = ["mapped-closed", "mapped-open", "plain"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A coordinator's first.
    Start,
    /// A coordinator lives.
    Tick,
    /// A coordinator stops because it was told to.
    End,
    /// A record was written and synced.
    Wrote,
    /// Writing a record failed.
    Failed,
    /// `kill-holder` is about to kill.
    Killed,
    /// `poll-lock` has the lock.
    Locked,
}

const WORDS: [(Kind, &str); 7] = [
    (Kind::Start, "start"),
    (Kind::Tick, "tick"),
    (Kind::End, "end"),
    (Kind::Wrote, "wrote"),
    (Kind::Failed, "failed"),
    (Kind::Killed, "killed"),
    (Kind::Locked, "locked"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub kind: Kind,
    pub node: String,
    pub pid: u32,
    pub epoch: u64,
    pub number: u64,
    /// An errno; 0 for none.
    pub error: i32,
}

impl Datagram {
    pub fn of(kind: Kind, node: &str, pid: u32, epoch: u64) -> Self {
        Self { kind, node: node.to_owned(), pid, epoch, number: 0, error: 0 }
    }
}

impl Display for Datagram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| word);
        let Self { node, pid, epoch, number, error, .. } = self;
        write!(formatter, "{word} {node} {pid} {epoch} {number} {error}")
    }
}

impl FromStr for Datagram {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(());
        let word = next()?;
        let kind = WORDS.iter().find(|(_, known)| *known == word).ok_or(())?.0;
        Ok(Self {
            kind,
            node: next()?.to_owned(),
            pid: next()?.parse().map_err(drop)?,
            epoch: next()?.parse().map_err(drop)?,
            number: next()?.parse().map_err(drop)?,
            error: next()?.parse().map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read_as_it_was_written() {
        for (kind, _) in WORDS {
            let datagram = Datagram { number: 7, error: -1, ..Datagram::of(kind, "node-a", 42, 3) };
            assert_eq!(datagram.to_string().parse(), Ok(datagram));
        }
        assert_eq!("tick node-a 42".parse::<Datagram>(), Err(()));
    }
}
