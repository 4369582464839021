//! The judgement over what the coordinators wrote of themselves (`examples/ticking-coordinator.rs`).

use testbed::judge::{epochs_not_growing, overlaps};
use testbed::lives::spans;
use testbed::ticks::TickLog;

/// Never two, and every leadership with a greater epoch than the one before. Panics with what contradicts it.
pub fn judge(log: &TickLog) {
    let runs = log.by_beginning();
    if let Some(two) = overlaps(&spans(&runs)).first() {
        panic!("TWO COORDINATORS RAN: {:?} and {:?}", runs[two.earlier], runs[two.later]);
    }
    for (former, latter) in epochs_not_growing(&runs) {
        let (former, latter) = (&runs[former], &runs[latter]);
        let restarted = former.epoch == latter.epoch && former.node == latter.node;
        assert!(restarted, "the epoch did not grow: {former:?}, {latter:?}");
    }
}

mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
        let mut log = TickLog::new(file.path().to_owned());
        log.poll().unwrap();
        std::panic::catch_unwind(|| judge(&log)).is_ok()
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
