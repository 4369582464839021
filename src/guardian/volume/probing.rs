//! Where the probe is, or a standby's look, for the main thread to read at any time: it has to see one that hangs, and need
//! not be woken for those that do not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::moment::Moment;

/// The probe of a volume whose lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// The next one should begin then.
    Due(Moment),
    /// One is under way since then.
    Since(Moment),
}

/// Written by the volume thread: nanoseconds of CLOCK_BOOTTIME, the lowest bit set while a probe is under way; 0: none is
/// wanted.
#[derive(Debug, Default)]
pub struct ProbeClock(AtomicU64);

impl ProbeClock {
    pub fn due(&self, at: Moment) {
        self.0.store(at.as_nanos() & !1, Ordering::Release);
    }

    pub fn began(&self, at: Moment) {
        self.0.store(at.as_nanos() | 1, Ordering::Release);
    }

    pub fn none(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub fn read(&self) -> Option<Probing> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            nanos if nanos & 1 == 1 => Some(Probing::Since(Moment::from_nanos(nanos & !1))),
            nanos => Some(Probing::Due(Moment::from_nanos(nanos))),
        }
    }
}

/// Watches a [`ProbeClock`] from the other thread. What should have begun and has not is given its time from when that was
/// noticed: it may be this process that was frozen.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was due, and when it was noticed that it had not begun.
    overdue: Option<(Moment, Moment)>,
}

impl Watch {
    /// Whether what the clock shows has taken longer than `timeout`.
    pub fn hangs(&mut self, seen: Option<Probing>, timeout: Duration, now: Moment) -> bool {
        let since = match seen {
            None => {
                self.overdue = None;
                return false;
            }
            Some(Probing::Since(began)) => began,
            Some(Probing::Due(due)) if now < due + timeout => {
                self.overdue = None;
                return false;
            }
            Some(Probing::Due(due)) => match self.overdue {
                Some((known, noticed)) if known == due => noticed,
                _ => {
                    self.overdue = Some((due, now));
                    return false;
                }
            },
        };
        now >= since + timeout
    }

    /// When to ask again.
    pub fn due(&self, seen: Option<Probing>, timeout: Duration) -> Option<Moment> {
        Some(match (seen?, self.overdue) {
            (Probing::Due(due), Some((known, noticed))) if known == due => noticed + timeout,
            (Probing::Due(at) | Probing::Since(at), _) => at + timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_for_too_long_hangs_and_what_has_not_begun_gets_its_time_from_when_it_is_noticed() {
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let timeout = Duration::from_secs(5);
        let mut watch = Watch::default();
        assert!(!watch.hangs(None, timeout, at(100)));
        assert_eq!(watch.due(None, timeout), None);
        let under_way = Some(Probing::Since(at(100)));
        assert!(!watch.hangs(under_way, timeout, at(104)));
        assert_eq!(watch.due(under_way, timeout), Some(at(105)));
        assert!(watch.hangs(under_way, timeout, at(105)));
        let due = Some(Probing::Due(at(200)));
        assert_eq!(watch.due(due, timeout), Some(at(205)));
        // Frozen until 300.
        assert!(!watch.hangs(due, timeout, at(300)));
        assert_eq!(watch.due(due, timeout), Some(at(305)));
        assert!(!watch.hangs(due, timeout, at(304)));
        assert!(watch.hangs(due, timeout, at(305)));
        assert!(!watch.hangs(Some(Probing::Due(at(310))), timeout, at(311)), "it has begun and ended meanwhile");
    }

    #[test]
    fn a_probe_is_due_then_under_way_then_due_again() {
        let clock = ProbeClock::default();
        assert_eq!(clock.read(), None);
        clock.due(Moment::from_nanos(1001));
        assert_eq!(clock.read(), Some(Probing::Due(Moment::from_nanos(1000))));
        clock.began(Moment::from_nanos(1002));
        assert_eq!(clock.read(), Some(Probing::Since(Moment::from_nanos(1002))));
        clock.none();
        assert_eq!(clock.read(), None);
    }
}
