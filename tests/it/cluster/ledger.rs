//! What the coordinators wrote of themselves (`examples/ticking-coordinator.rs`), and the judgement over it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use testbed::judge::{epochs_not_growing, overlaps};
use testbed::lives::{Life, Lives, spans};
use testbed::span::Span;

/// One coordinator: everything that wrote under the pid of its first process. Noted: everything but ticks, in order.
pub type Run = Life<Vec<String>>;

/// Reads the log as it grows.
pub struct Ledger {
    path: PathBuf,
    offset: u64,
    lives: Lives<Vec<String>>,
}

impl Ledger {
    pub const fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, lives: Lives::none() }
    }

    /// In the order of their first lines.
    pub fn runs(&self) -> &[Run] {
        self.lives.all()
    }

    /// The coordinator that wrote last.
    pub fn latest(&self) -> Option<&Run> {
        self.runs().iter().max_by_key(|run| run.last)
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
        let at = at.parse().unwrap();
        let (run, _) = self.lives.sign(node, pid.parse().unwrap(), epoch.parse().unwrap(), Span::between(at, at));
        if event != "tick" {
            run.notes.push(event.to_owned());
        }
    }

    /// Never two, and every leadership with a greater epoch than the one before. Panics with what contradicts it.
    pub fn judge(&self) {
        let runs = self.lives.clone().by_beginning();
        if let Some(two) = overlaps(&spans(&runs)).first() {
            panic!("TWO COORDINATORS RAN: {:?} and {:?}", runs[two.earlier], runs[two.later]);
        }
        for (former, latter) in epochs_not_growing(&runs) {
            let (former, latter) = (&runs[former], &runs[latter]);
            let restarted = former.epoch == latter.epoch && former.node == latter.node;
            assert!(restarted, "the epoch did not grow: {former:?}, {latter:?}");
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
