//! The newest lines of the log, kept in memory for `primacy report`: the log itself is with whoever reads standard error.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Bytes: some two thousand lines.
const CAPACITY: usize = 256 * 1024;

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { lines: VecDeque::new(), bytes: 0 });

impl Kept {
    fn push(&mut self, line: &[u8], capacity: usize) {
        // One that is too long by itself is not worth all the others.
        if line.len() > capacity {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.bytes > capacity {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| String::from_utf8_lossy(line)).collect()
    }
}

/// Keeps a line; an older one goes where there are too many.
pub(super) fn keep(line: &[u8]) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(line, CAPACITY);
}

/// What is kept, oldest first.
pub fn text() -> String {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_a_monster_costs_no_others() {
        let mut kept = Kept::default();
        for line in ["one\n", "two\n", "three\n"] {
            kept.push(line.as_bytes(), 10);
        }
        assert_eq!(kept.text(), "two\nthree\n");
        kept.push(&[b'x'; 11], 10);
        assert_eq!(kept.text(), "two\nthree\n");
    }
}
