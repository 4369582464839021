//! What the session that was granted says of the servers' `tickTime`.
//!
//! Unless `minSessionTimeout` or `maxSessionTimeout` say otherwise, a server grants between 2 and 20 of its ticks. The lease
//! is reckoned with `zookeeper.tick_time`: with a longer tick than that it would last too long.

use std::cmp::Ordering;
use std::time::Duration;

use crate::moment::in_words;
use crate::role::lease::ticks_behind;

/// How the servers' tick differs from `tick`, in one sentence, if the grant betrays it.
pub fn other_tick(asked: Duration, granted: Duration, tick: Duration) -> Option<String> {
    let ticks = ticks_behind(asked, granted);
    let (least, most) = (*ticks.start(), *ticks.end());
    let (relation, theirs, key) = match granted.cmp(&asked) {
        Ordering::Greater => ("", least, "minSessionTimeout"),
        Ordering::Less => ("", least, "maxSessionTimeout"),
        Ordering::Equal if tick > most => ("at most ", most, "minSessionTimeout"),
        Ordering::Equal if tick < least => ("at least ", least, "maxSessionTimeout"),
        Ordering::Equal => return None,
    };
    if theirs == tick {
        return None;
    }
    let consequence = if theirs > tick { ", and the lease is reckoned too long with it" } else { "" };
    Some(format!(
        "a session of {} was granted where {} was asked for, so the servers' tickTime is {relation}{}, not \
         zookeeper.tick_time = {}{consequence} (or {key} is set on them)",
        in_words(granted),
        in_words(asked),
        in_words(theirs),
        humantime::format_duration(tick),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_another_tick_explains_is_told_and_one_that_fits_is_not() {
        let told = |asked, granted, tick| {
            other_tick(Duration::from_millis(asked), Duration::from_millis(granted), Duration::from_millis(tick))
        };
        // What servers with a tick of 2 s do.
        assert_eq!(told(10_000, 10_000, 2000), None);
        assert_eq!(told(1000, 4000, 2000), None);
        assert_eq!(told(60_000, 40_000, 2000), None);
        // What others do.
        for (asked, granted, words) in [
            (10_000, 12_000, "tickTime is 6 s"),
            (10_000, 6000, "tickTime is 300 ms"),
            (3000, 3000, "at most 1.5 s"),
            (50_000, 50_000, "at least 2.5 s"),
        ] {
            let sentence = told(asked, granted, 2000).unwrap();
            assert!(sentence.contains(words) && sentence.contains("tick_time = 2s"), "{sentence}");
            assert_eq!(sentence.contains("too long"), words.contains("6 s") || words.contains("2.5"), "{sentence}");
        }
    }
}
