//! How long nobody coordinated: from what two hosts' wall clocks say, checked against what one host's boot clock knows.
//!
//! The former active notes by its own wall clock when it ended, and either clock may have been stepped since, or have been
//! wrong from the beginning. The boot clock of this host cannot be stepped: the predecessor had ended when this node got its
//! lock, and had not when it was last seen to be active. Rejected: to measure by the boot clock alone. What was seen of the
//! predecessor's end is a session older than the end itself.

use std::time::{Duration, SystemTime};

use crate::moment::{Moment, in_words};

/// What clocks that are kept by NTP may differ by, generously.
const APART: Duration = Duration::from_secs(2);

/// What a member that looks active may have ended earlier: it is stopped, killed and waited for before it says so.
const UNSEEN: Duration = Duration::from_secs(180);

/// Beyond this somebody has set a clock: no version of primacy is so old.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What this host's boot clock knows of the gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When this node got the lock.
    pub locked: Option<Moment>,
    /// When another node, or this one, was last seen to be active.
    pub seen_active: Option<Moment>,
    /// A session's time-out: how long a member is seen that is no more.
    pub session: Duration,
}

/// The gap, or why it is not known.
pub fn measure(ended: SystemTime, wall: SystemTime, known: Known, now: Moment) -> Result<Duration, String> {
    let apart = |what: &str| Err(format!("the wall clock of this host or of the former active was set: {what}"));
    let Ok(gap) = wall.duration_since(ended) else {
        let ahead = ended.duration_since(wall).unwrap_or_default();
        return apart(&format!("the predecessor's end lies {} ahead", in_words(ahead)));
    };
    let least = known.locked.map_or(Duration::ZERO, |locked| now.since(locked));
    let most = known.seen_active.map_or(LONGEST, |seen| now.since(seen) + 2 * known.session + UNSEEN);
    if gap + APART < least {
        return apart(&format!("they make a gap of {} where it was at least {}", in_words(gap), in_words(least)));
    }
    if gap > most + APART {
        return apart(&format!("they make a gap of {} where it was at most {}", in_words(gap), in_words(most)));
    }
    Ok(gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn gap(ended: u64, wall: u64, known: Known) -> Result<Duration, String> {
        let since_1970 = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        measure(since_1970(ended), since_1970(wall), known, at(10_000))
    }

    #[test]
    fn a_gap_that_the_boot_clock_allows_is_what_the_wall_clocks_say() {
        let today = 1_800_000_000;
        assert_eq!(gap(today, today + 7, Known::default()), Ok(Duration::from_secs(7)));
        let session = Duration::from_secs(10);
        let known = Known { locked: Some(at(9_996)), seen_active: Some(at(9_990)), session };
        assert_eq!(gap(today, today + 7, known), Ok(Duration::from_secs(7)));
        assert_eq!(gap(today, today + 3, known), Ok(Duration::from_secs(3)), "clocks a second apart");
        // Everything was off for a week.
        assert_eq!(gap(today, today + 604_800, Known::default()), Ok(Duration::from_secs(604_800)));
    }

    #[test]
    fn a_gap_that_only_a_stepped_clock_can_make_is_unknown() {
        let today = 1_800_000_000;
        let session = Duration::from_secs(10);
        let known = Known { locked: Some(at(9_996)), seen_active: Some(at(9_990)), session };
        for (ended, wall) in [(today + 3600, today), (today, today + 3600), (today, today + 2_332_800_000), (0, today)]
        {
            let told = gap(ended, wall, known).unwrap_err();
            assert!(told.contains("was set"), "{told}");
        }
        assert!(gap(0, today, Known::default()).is_err(), "a host that woke up in 1970");
        let locked_long = Known { locked: Some(at(9_000)), ..known };
        assert!(gap(today, today + 7, locked_long).unwrap_err().contains("at least"));
    }
}
