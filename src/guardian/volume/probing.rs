//! Where the probe is, for the main thread to read at any time: it has to see a probe that hangs, and need not be woken for
//! those that do not.

use std::sync::atomic::{AtomicU64, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
