//! When a coordinator was alive, by its own hand: every few milliseconds a line `TIME NODE PID EPOCH EVENT`, where TIME is
//! in ns on CLOCK_MONOTONIC and EVENT is mostly `tick`.
//!
//! All processes write to one file, or each to one of its own in a directory, where they run under several accounts. Not
//! synced, and on a disk that no fault touches: a tick says that the process ran, not that anything is durable. A life is a
//! lower bound at its end: between the last tick and death lies up to one period.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::lives::{Life, Lives};
use crate::span::Span;

/// What most lines say.
pub const TICK: &str = "tick";
/// Of the files in a directory that count.
const EXTENSION: &str = "ticks";

/// Writes the lines of one process.
pub struct Ticks {
    file: File,
    /// What follows the time.
    who: String,
}

impl Ticks {
    /// Goes on with this file, or begins it.
    pub fn open(file: &Path, node: &str, pid: u32, epoch: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(file)?;
        Ok(Self { file, who: format!("{node} {pid} {epoch}") })
    }

    /// The same with the process's own file in this directory.
    pub fn open_in(directory: &Path, node: &str, pid: u32, epoch: u64) -> io::Result<Self> {
        Self::open(&directory.join(format!("{node}-{pid}-{epoch}.{EXTENSION}")), node, pid, epoch)
    }

    pub fn write(&mut self, event: &str) -> io::Result<()> {
        // One write: lines of several processes do not mix, and a kill leaves no half one.
        self.file.write_all(format!("{} {} {event}\n", clock::now(), self.who).as_bytes())
    }

    /// Ticks until that fails. A coordinator whose life is not on record must not live on.
    pub fn forever(mut self, period: Duration) -> io::Error {
        loop {
            std::thread::sleep(period);
            if let Err(error) = self.write(TICK) {
                return error;
            }
        }
    }
}

/// What else is known of who wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many lines.
    pub lines: u64,
    /// Everything but ticks, in order.
    pub events: Vec<String>,
}

/// One coordinator: everything that wrote under the pid of its first process.
pub type Run = Life<Written>;

/// Reads what they write as it grows.
#[derive(Debug)]
pub struct TickLog {
    path: PathBuf,
    /// How much of each file was read.
    offsets: BTreeMap<PathBuf, u64>,
    lives: Lives<Written>,
}

impl TickLog {
    /// Of a file, or of all in a directory.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, offsets: BTreeMap::new(), lives: Lives::none() }
    }

    /// Reads what was appended since the last time.
    pub fn poll(&mut self) -> io::Result<()> {
        if !self.path.is_dir() {
            return self.read(self.path.clone());
        }
        let entries = fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()?;
        let files = entries.into_iter().map(|entry| entry.path());
        files.filter(|path| path.extension() == Some(OsStr::new(EXTENSION))).try_for_each(|path| self.read(path))
    }

    fn read(&mut self, path: PathBuf) -> io::Result<()> {
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let offset = self.offsets.entry(path).or_default();
        file.seek(SeekFrom::Start(*offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may still be on its way, or torn for ever.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        *offset += whole as u64;
        text[..whole].lines().try_for_each(|line| self.take(line))
    }

    fn take(&mut self, line: &str) -> io::Result<()> {
        let (process, at, event) =
            read_line(line).ok_or_else(|| io::Error::other(format!("no line of a coordinator: {line}")))?;
        let (node, pid, epoch) = process;
        let (run, _) = self.lives.sign(node, pid, epoch, Span::between(at, at));
        run.notes.lines += 1;
        if event != TICK {
            run.notes.events.push(event.to_owned());
        }
        Ok(())
    }

    /// In the order of their first lines.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        self.lives.all()
    }

    /// The coordinator that wrote last.
    #[must_use]
    pub fn latest(&self) -> Option<&Run> {
        self.runs().iter().max_by_key(|run| run.last)
    }

    /// By their beginning.
    #[must_use]
    pub fn by_beginning(&self) -> Vec<Run> {
        self.lives.clone().by_beginning()
    }
}

fn read_line(line: &str) -> Option<((&str, u32, u64), u64, &str)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [at, node, pid, epoch, event] = words[..] else { return None };
    Some(((node, pid.parse().ok()?, epoch.parse().ok()?), at.parse().ok()?, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn told(log: &TickLog) -> Vec<(&str, u32, u64, u64, u64, u64)> {
        let runs = log.runs().iter();
        runs.map(|run| (run.node.as_str(), run.pid, run.epoch, run.first, run.last, run.notes.lines)).collect()
    }

    #[test]
    fn a_line_that_is_half_written_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log");
        let mut log = TickLog::new(file.clone());
        log.poll().unwrap();
        append(&file, "1 node-a 7 1 start\n6");
        log.poll().unwrap();
        assert_eq!(told(&log), [("node-a", 7, 1, 1, 1, 1)]);
        append(&file, "0 node-a 7 1 tick\n70 node-b 8 2 start\n");
        log.poll().unwrap();
        assert_eq!(told(&log), [("node-a", 7, 1, 1, 60, 2), ("node-b", 8, 2, 70, 70, 1)]);
        assert_eq!(log.runs()[0].notes.events, ["start"]);
        assert_eq!(log.latest().unwrap().node, "node-b");
    }

    #[test]
    fn all_files_of_a_directory_are_read_and_a_torn_line_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        append(&directory.path().join("b.ticks"), "30 b 43 8 tick\n40 b 43 8 tick\n5");
        append(&directory.path().join("a.ticks"), "10 a 42 7 tick\n16 a 42 7 tick\n");
        append(&directory.path().join("empty.ticks"), "");
        append(&directory.path().join("other"), "what\n");
        let mut log = TickLog::new(directory.path().to_owned());
        log.poll().unwrap();
        log.poll().unwrap();
        let nodes: Vec<_> = log.by_beginning().into_iter().map(|run| (run.node, run.first, run.last)).collect();
        assert_eq!(nodes, [("a".to_owned(), 10, 16), ("b".to_owned(), 30, 40)]);
    }

    #[test]
    fn what_is_no_line_of_a_coordinator_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("log");
        append(&file, "1 node-a 7 start\n");
        assert!(TickLog::new(file).poll().unwrap_err().to_string().contains("1 node-a 7 start"));
    }

    #[test]
    fn a_process_writes_what_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let before = clock::now();
        let mut ticks = Ticks::open_in(directory.path(), "a.b-c", 5, 6).unwrap();
        ticks.write("start").unwrap();
        ticks.write(TICK).unwrap();
        let mut log = TickLog::new(directory.path().to_owned());
        log.poll().unwrap();
        let [run] = log.runs() else { panic!("not one: {log:?}") };
        assert_eq!((run.node.as_str(), run.pid, run.epoch, run.notes.lines), ("a.b-c", 5, 6, 2));
        assert!(before <= run.first && run.first <= run.last && run.last <= clock::now());
    }
}
