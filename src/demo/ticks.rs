//! The coordinator's log, and what it proves: how long nobody ran, how long two ran.
//!
//! A line is `<CLOCK_MONOTONIC ns> <node> <pid> <event>`, one every [`PERIOD`]. A coordinator counts as running from its
//! first to its last line, whatever lies between: one that only wrote nothing for a while still ran. So overlaps are
//! never understated by more than one period.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How often a coordinator writes a line; the resolution of every figure that the demo prints.
pub const PERIOD: Duration = Duration::from_millis(5);

/// One that has written nothing for this long is shown as stopped: 30 periods, so that a busy machine does not show.
const SILENCE: Duration = Duration::from_millis(150);

/// CLOCK_MONOTONIC, the one that all processes' lines are stamped with.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every Linux").into()
}

/// One coordinator process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    pub node: String,
    pub pid: i32,
    pub first: Duration,
    pub last: Duration,
}

/// Reads the log as it grows.
pub struct TickLog {
    path: PathBuf,
    offset: u64,
    rest: String,
    spells: Vec<Spell>,
}

impl TickLog {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), offset: 0, rest: String::new(), spells: Vec::new() }
    }

    /// Reads what was appended since the last time.
    pub fn poll(&mut self) -> std::io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        self.offset += file.read_to_string(&mut text)? as u64;
        self.take(&text);
        Ok(())
    }

    fn take(&mut self, text: &str) {
        self.rest.push_str(text);
        let Some(end) = self.rest.rfind('\n') else { return };
        let lines: String = self.rest.drain(..=end).collect();
        for line in lines.lines() {
            let mut words = line.split(' ');
            let (Some(at), Some(node), Some(pid)) = (words.next(), words.next(), words.next()) else { continue };
            let (Ok(at), Ok(pid)) = (at.parse().map(Duration::from_nanos), pid.parse()) else { continue };
            match self.spells.iter_mut().rev().find(|spell| spell.pid == pid && spell.node == node) {
                Some(spell) => spell.last = spell.last.max(at),
                None => self.spells.push(Spell { node: node.to_owned(), pid, first: at, last: at }),
            }
        }
    }

    /// In the order of their first lines in the log.
    pub fn spells(&self) -> &[Spell] {
        &self.spells
    }

    /// Those that have written lately.
    pub fn running(&self, now: Duration) -> Vec<&Spell> {
        self.spells.iter().filter(|spell| now.saturating_sub(spell.last) <= SILENCE).collect()
    }
}

/// How long two or more ran at the same time.
pub fn overlap(spells: &[Spell]) -> Duration {
    let mut edges: Vec<(Duration, i32)> =
        spells.iter().flat_map(|spell| [(spell.first, 1), (spell.last, -1)]).collect();
    edges.sort_unstable();
    let (mut running, mut since, mut sum) = (0, Duration::ZERO, Duration::ZERO);
    for (at, change) in edges {
        if running >= 2 {
            sum += at.saturating_sub(since);
        }
        running += change;
        since = at;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(node: &str, pid: i32, first: u64, last: u64) -> Spell {
        Spell { node: node.into(), pid, first: Duration::from_millis(first), last: Duration::from_millis(last) }
    }

    #[test]
    fn a_line_that_is_half_written_is_read_when_it_is_whole() {
        let mut log = TickLog::new(Path::new("/nonexistent"));
        log.take("1000000 node-a 7 start\n60000");
        assert_eq!(log.spells(), [spell("node-a", 7, 1, 1)]);
        log.take("00 node-a 7 tick\n7000000 node-b 8 start\n");
        assert_eq!(log.spells(), [spell("node-a", 7, 1, 6), spell("node-b", 8, 7, 7)]);
    }

    #[test]
    fn one_after_the_other_is_no_overlap_and_two_at_once_is() {
        assert_eq!(overlap(&[spell("a", 1, 0, 10), spell("b", 2, 12, 20)]), Duration::ZERO);
        assert_eq!(overlap(&[spell("a", 1, 0, 15), spell("b", 2, 12, 20)]), Duration::from_millis(3));
        assert_eq!(
            overlap(&[spell("a", 1, 0, 30), spell("b", 2, 5, 10), spell("c", 3, 8, 20)]),
            Duration::from_millis(15)
        );
    }

    #[test]
    fn a_coordinator_that_paused_between_two_lines_counts_as_running_all_the_while() {
        let mut log = TickLog::new(Path::new("/nonexistent"));
        log.take("0 a 1 start\n500000000 b 2 start\n600000000 b 2 tick\n900000000 a 1 tick\n");
        assert_eq!(overlap(log.spells()), Duration::from_millis(100));
    }

    #[test]
    fn who_was_silent_for_long_is_not_shown_as_running() {
        let mut log = TickLog::new(Path::new("/nonexistent"));
        log.take("0 a 1 start\n500000000 b 2 start\n");
        let running: Vec<_> = log.running(Duration::from_millis(600)).iter().map(|spell| spell.pid).collect();
        assert_eq!(running, [2]);
    }
}
