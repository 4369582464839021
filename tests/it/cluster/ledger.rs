//! What the coordinators wrote of themselves (`examples/ticking-coordinator.rs`), and the judgement over it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// One coordinator: everything that wrote under the pid of its first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub node: String,
    pub pid: i32,
    pub epoch: u64,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub first: u64,
    pub last: u64,
    /// Everything but ticks, in order.
    pub events: Vec<String>,
}

/// Reads the log as it grows.
pub struct Ledger {
    path: PathBuf,
    offset: u64,
    /// In the order of their first lines.
    pub runs: Vec<Run>,
    /// The index of the run that wrote the last line.
    latest: Option<usize>,
}

impl Ledger {
    pub const fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, runs: Vec::new(), latest: None }
    }

    /// The coordinator that wrote last.
    pub fn latest(&self) -> Option<&Run> {
        self.latest.map(|index| &self.runs[index])
    }

    pub fn update(&mut self) {
        let Ok(mut file) = File::open(&self.path) else { return };
        file.seek(SeekFrom::Start(self.offset)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // The last line may still be on its way.
        let Some(end) = text.rfind('\n') else { return };
        self.offset += end as u64 + 1;
        for line in text[..end].lines() {
            self.take(line);
        }
    }

    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [at, node, pid, epoch, event] = words[..] else { panic!("not a line of a coordinator: {line}") };
        let (at, pid, epoch): (u64, i32, u64) = (at.parse().unwrap(), pid.parse().unwrap(), epoch.parse().unwrap());
        let known = self.runs.iter().rposition(|run| run.pid == pid && run.epoch == epoch && run.node == node);
        let index = known.unwrap_or_else(|| {
            let node = node.to_owned();
            self.runs.push(Run { node, pid, epoch, first: at, last: at, events: Vec::new() });
            self.runs.len() - 1
        });
        let run = &mut self.runs[index];
        // Lines of a tree's processes may be out of order by a write.
        run.first = run.first.min(at);
        run.last = run.last.max(at);
        if event != "tick" {
            run.events.push(event.to_owned());
        }
        self.latest = Some(index);
    }

    /// Never two, and every leadership with a greater epoch than the one before. Panics with what contradicts it.
    pub fn judge(&self) {
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        runs.sort_by_key(|run| run.first);
        for pair in runs.windows(2) {
            let (former, latter) = (pair[0], pair[1]);
            assert!(former.last < latter.first, "TWO COORDINATORS RAN: {former:?} and {latter:?}");
            let restarted = former.epoch == latter.epoch && former.node == latter.node;
            assert!(former.epoch < latter.epoch || restarted, "the epoch did not grow: {former:?}, {latter:?}");
        }
    }
}

mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> bool {
        let mut ledger = Ledger::new(PathBuf::new());
        lines.iter().for_each(|line| ledger.take(line));
        std::panic::catch_unwind(|| ledger.judge()).is_ok()
    }

    #[test]
    fn the_judge_sees_overlaps_survivors_and_epochs_that_stand_still() {
        assert!(judged(&["1 a 7 1 start", "5 a 7 1 tick", "6 b 8 2 start"]));
        assert!(judged(&["1 a 7 1 start", "5 a 7 1 tick", "6 a 8 1 start"]), "a local restart keeps its epoch");
        assert!(!judged(&["1 a 7 1 start", "6 b 8 2 start", "7 a 7 1 tick"]), "ran on");
        assert!(!judged(&["1 a 7 1 start", "6 b 8 2 start", "7 a 9 3 start", "8 a 7 1 tick"]), "a survivor");
        assert!(!judged(&["1 a 7 1 start", "6 b 8 1 start"]), "the same epoch");
        assert!(!judged(&["1 a 7 2 start", "6 b 8 1 start"]), "an epoch went back");
    }
}
