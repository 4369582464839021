//! Where the drill's coordinators tick, and what that says in a history.
//!
//! A file for each process, for they run under several accounts.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::ticks::{TICK, TickLog, Ticks};

use crate::history::Entry;

/// Short against the shortest gap between two coordinators that was measured (about 10 ms), long against a write (µs).
pub const INTERVAL: Duration = Duration::from_millis(3);

/// Opens (or goes on with) the file of one process and writes its first tick.
pub fn begin(directory: &Path, node: &str, pid: u32, epoch: u64) -> Result<Ticks> {
    let begin = || {
        let mut ticks = Ticks::open_in(directory, node, pid, epoch)?;
        ticks.write(TICK)?;
        Ok::<_, std::io::Error>(ticks)
    };
    begin().with_context(|| format!("cannot tick in {}", directory.display()))
}

/// The lives that the files in `directory` tell of, as [`Entry::Coordinator`], in the order in which they began.
/// A process that was killed before its first tick is not among them.
pub fn lives(directory: &Path) -> Result<Vec<Entry>> {
    let mut log = TickLog::new(directory.to_owned());
    log.poll().with_context(|| format!("cannot read {}", directory.display()))?;
    let lives = log.by_beginning().into_iter().map(|run| Entry::Coordinator {
        node: run.node,
        pid: run.pid,
        epoch: run.epoch,
        first: run.first,
        last: run.last,
        ticks: run.notes.lines,
    });
    Ok(lives.collect())
}
