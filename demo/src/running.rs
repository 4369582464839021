//! Who runs the coordinator, by the coordinators' own log.

use std::time::Duration;

use testbed::clock;
use testbed::judge::doubled;
use testbed::lives::spans;
use testbed::ticks::{Run, TickLog};

/// How often a coordinator writes a line; the resolution of every figure that the demo prints.
pub const PERIOD: Duration = Duration::from_millis(5);

/// One that has written nothing for this long is shown as stopped: 30 periods, so that a busy machine does not show.
const SILENCE: Duration = Duration::from_millis(150);

/// On the clock that all lines are stamped with.
pub fn now() -> Duration {
    Duration::from_nanos(clock::now())
}

/// Those that have written lately.
pub fn running(log: &TickLog, now: Duration) -> Vec<&Run> {
    log.runs().iter().filter(|run| now.saturating_sub(Duration::from_nanos(run.last)) <= SILENCE).collect()
}

/// How long two or more ran at the same time.
pub fn overlap(log: &TickLog) -> Duration {
    doubled(&spans(log.runs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> TickLog {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut log = TickLog::new(file.path().to_owned());
        log.poll().unwrap();
        log
    }

    #[test]
    fn a_coordinator_that_paused_between_two_lines_counts_as_running_all_the_while() {
        let log = log("0 a 1 1 start\n500000000 b 2 2 start\n600000000 b 2 2 tick\n900000000 a 1 1 tick\n");
        assert_eq!(overlap(&log), Duration::from_millis(100));
    }

    #[test]
    fn who_was_silent_for_long_is_not_shown_as_running() {
        let log = log("0 a 1 1 start\n500000000 b 2 2 start\n");
        let running: Vec<_> = running(&log, Duration::from_millis(600)).iter().map(|run| run.pid).collect();
        assert_eq!(running, [2]);
    }
}
