//! When a coordinator was alive, by its own hand: `DIR/<node>-<pid>-<epoch>.ticks`, a line of nanoseconds every 3 ms.
//!
//! Not synced, and on a disk that no fault touches: a tick says that the process ran, not that anything is durable. A
//! frozen process's life spans its freeze, for it may go on at any moment and whoever started another one meanwhile must
//! have made sure that it does not. A life is a lower bound at its end: between the last tick and death lie up to 3 ms.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::history::Entry;

/// Short against the shortest gap between two coordinators that was measured (about 10 ms), long against a write (µs).
pub const INTERVAL: Duration = Duration::from_millis(3);

pub struct Ticks {
    file: File,
    path: PathBuf,
}

impl Ticks {
    /// Opens (or goes on with) the file of one process and writes its first tick.
    pub fn open(directory: &Path, node: &str, pid: u32, epoch: u64) -> Result<Self> {
        let path = directory.join(format!("{node}-{pid}-{epoch}.ticks"));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let mut ticks = Self { file, path };
        ticks.tick()?;
        Ok(ticks)
    }

    pub fn tick(&mut self) -> Result<()> {
        // One write, so that a kill leaves no half line.
        let line = format!("{}\n", clock::now());
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Ticks until a write fails. A coordinator whose life is not on record must not live on.
    pub fn forever(mut self) -> anyhow::Error {
        loop {
            std::thread::sleep(INTERVAL);
            if let Err(error) = self.tick() {
                return error;
            }
        }
    }
}

/// The lives that the files in `directory` tell of, as [`Entry::Coordinator`], in the order in which they began.
/// A process that was killed before its first tick is not among them.
pub fn lives(directory: &Path) -> Result<Vec<Entry>> {
    let mut lives = Vec::new();
    for file in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "ticks")
            && let Some(life) = life(&path).with_context(|| format!("cannot read {}", path.display()))?
        {
            lives.push(life);
        }
    }
    lives.sort_by_key(|life| match life {
        Entry::Coordinator { first, .. } => *first,
        _ => 0,
    });
    Ok(lives)
}

fn life(path: &Path) -> Result<Option<Entry>> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).context("its name is no text")?;
    // From the right: a node's name may contain the separator.
    let mut parts = name.rsplitn(3, '-');
    let (Some(epoch), Some(pid), Some(node)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("its name is not <node>-<pid>-<epoch>");
    };
    let text = fs::read_to_string(path)?;
    // What stands after the last newline is torn.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let (mut first, mut last, mut ticks) = (u64::MAX, 0_u64, 0_u64);
    for line in whole.lines() {
        let at: u64 = line.parse().map_err(|_| io::Error::other(format!("\"{line}\" is no time")))?;
        first = first.min(at);
        last = last.max(at);
        ticks += 1;
    }
    if ticks == 0 {
        return Ok(None);
    }
    let (pid, epoch) = (pid.parse()?, epoch.parse()?);
    Ok(Some(Entry::Coordinator { node: node.to_owned(), pid, epoch, first, last, ticks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_spans_the_ticks_of_its_file_and_a_torn_one_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("node-b-43-8.ticks"), "30\n40\n5").unwrap();
        fs::write(directory.path().join("node-a-42-7.ticks"), "10\n13\n16\n").unwrap();
        fs::write(directory.path().join("node-c-44-9.ticks"), "").unwrap();
        let life = |node: &str, pid, epoch, first, last, ticks| Entry::Coordinator {
            node: node.to_owned(),
            pid,
            epoch,
            first,
            last,
            ticks,
        };
        assert_eq!(
            lives(directory.path()).unwrap(),
            [life("node-a", 42, 7, 10, 16, 3), life("node-b", 43, 8, 30, 40, 2)]
        );
    }

    #[test]
    fn a_process_ticks_into_a_file_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let before = clock::now();
        let mut ticks = Ticks::open(directory.path(), "a.b-c", 5, 6).unwrap();
        ticks.tick().unwrap();
        let [Entry::Coordinator { node, pid: 5, epoch: 6, first, last, ticks: 2 }] =
            &lives(directory.path()).unwrap()[..]
        else {
            panic!("not one life of two ticks");
        };
        assert_eq!(node, "a.b-c");
        assert!(before <= *first && first <= last && *last <= clock::now());
    }
}
