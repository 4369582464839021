//! A stretch of time, its first and its last moment included.

use std::time::Duration;

/// ns on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    /// Between two moments, whichever is the earlier.
    #[must_use]
    pub fn between(one: u64, other: u64) -> Self {
        Self { first: one.min(other), last: one.max(other) }
    }

    #[must_use]
    pub fn covers(self, at: u64) -> bool {
        self.first <= at && at <= self.last
    }

    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_nanos(self.last.saturating_sub(self.first))
    }

    /// What is left of it after `since`.
    #[must_use]
    pub fn after(self, since: u64) -> Option<Self> {
        (self.last >= since).then_some(Self { first: self.first.max(since), last: self.last })
    }

    /// What is left of it without these pauses, which are in order: a machine that stands still runs nothing. A sign of
    /// life from within a pause was on its way when that began, and is no life after its end.
    #[must_use]
    pub fn without(self, pauses: &[Self]) -> Vec<Self> {
        let (mut from, mut left) = (self.first, Vec::new());
        for pause in pauses.iter().filter(|pause| (self.first..self.last).contains(&pause.first)) {
            left.push(Self { first: from, last: pause.first });
            from = pause.last;
        }
        if from <= self.last {
            left.push(Self { first: from, last: self.last });
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn a_frozen_machine_runs_nothing_and_what_it_runs_after_the_thaw_counts() {
        assert_eq!(span(0, 150).without(&[span(20, 100)]), [span(0, 20), span(100, 150)]);
        assert_eq!(span(0, 21).without(&[span(20, 100)]), [span(0, 20)], "its last sign was late");
        assert_eq!(span(0, 10).without(&[span(20, 100)]), [span(0, 10)]);
        assert_eq!(span(0, 90).without(&[span(10, 20), span(30, 40)]), [span(0, 10), span(20, 30), span(40, 90)]);
    }

    #[test]
    fn what_is_over_before_a_moment_is_not_after_it() {
        assert_eq!(span(3, 9).after(5), Some(span(5, 9)));
        assert_eq!(span(3, 9).after(9), Some(span(9, 9)));
        assert_eq!(span(3, 9).after(10), None);
    }
}
