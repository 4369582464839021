//! Pauses between attempts: longer from one to the next, and never the same for two nodes.

use std::time::Duration;

use uuid::Uuid;

/// Doubles from the first to the longest; each pause is spread over half to all of that.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        spread(pause)
    }

    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Something between half of it and all of it.
pub fn spread(pause: Duration) -> Duration {
    pause / 2 + pause * u32::from(random()) / 512
}

/// A byte that nobody else has.
fn random() -> u8 {
    Uuid::new_v4().as_bytes()[0]
}

/// A random order: so that not every node asks the same server first.
pub fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, usize::from(random()) % (last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, longest);
        for expected in [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!((expected / 2..=expected).contains(&pause), "{pause:?} of {expected:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
        let pauses: std::collections::BTreeSet<_> = (0..64).map(|_| spread(longest)).collect();
        assert!(pauses.len() > 8, "{pauses:?}");
    }

    #[test]
    fn a_random_order_loses_nobody() {
        let mut items: Vec<u32> = (0..20).collect();
        shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }
}
