//! Who lived when, judged: whether two ever lived at once, when nobody did, whether epochs grew.
//!
//! All times are nanoseconds on one clock, so two lives overlap or they do not. A life covers its first and its last
//! moment, so two that only touch lived at once. Rejected: spans without their end, which acquit a successor that starts in
//! the very tick in which its predecessor still wrote.

use std::time::Duration;

use crate::lives::Life;
use crate::span::Span;

/// Two that lived at once, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub earlier: usize,
    pub later: usize,
    /// When both lived.
    pub both: Span,
}

/// Each pair that lived at once, however shortly.
#[must_use]
pub fn overlaps(spans: &[Span]) -> Vec<Overlap> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|index| spans[*index]);
    let mut found = Vec::new();
    for (place, &earlier) in order.iter().enumerate() {
        let end = spans[earlier].last;
        // By their beginning: the first that begins after this one's end ends the search.
        for &later in order[place + 1..].iter().take_while(|later| spans[**later].first <= end) {
            let both = Span { first: spans[later].first, last: end.min(spans[later].last) };
            found.push(Overlap { earlier, later, both });
        }
    }
    found
}

/// For how long two or more lived. Two that only touch come to nothing here: for the verdict see [`overlaps`].
#[must_use]
pub fn doubled(spans: &[Span]) -> Duration {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    // Up to where anybody lived, and up to where the sum is counted.
    let (mut reached, mut counted, mut sum) = (0, 0, 0);
    for span in sorted {
        let until = span.last.min(reached);
        sum += until.saturating_sub(span.first.max(counted));
        counted = counted.max(until);
        reached = reached.max(span.last);
    }
    Duration::from_nanos(sum)
}

/// What of `within` none of them covers.
#[must_use]
pub fn gaps(spans: &[Span], within: Span) -> Vec<Span> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let (mut reached, mut found) = (within.first, Vec::new());
    for span in sorted.into_iter().take_while(|span| span.first < within.last) {
        if span.first > reached {
            found.push(Span { first: reached, last: span.first });
        }
        reached = reached.max(span.last);
    }
    if reached < within.last {
        found.push(Span { first: reached, last: within.last });
    }
    found
}

/// The longest of the [`gaps`].
#[must_use]
pub fn longest_gap(spans: &[Span], within: Span) -> Duration {
    gaps(spans, within).into_iter().map(Span::length).max().unwrap_or_default()
}

/// Neighbours in time of which the later one's epoch is not higher, by their indices. `lives` are in order.
#[must_use]
pub fn epochs_not_growing<N>(lives: &[Life<N>]) -> Vec<(usize, usize)> {
    let pairs = (1..lives.len()).map(|later| (later - 1, later));
    pairs.filter(|(earlier, later)| lives[*later].epoch <= lives[*earlier].epoch).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first, last }
    }

    #[test]
    fn one_after_the_other_is_no_overlap_and_two_at_once_is() {
        assert_eq!(overlaps(&[span(0, 10), span(12, 20)]), []);
        let found = overlaps(&[span(0, 15), span(12, 20)]);
        assert_eq!(found, [Overlap { earlier: 0, later: 1, both: span(12, 15) }]);
        assert_eq!(doubled(&[span(0, 10), span(12, 20)]), Duration::ZERO);
        assert_eq!(doubled(&[span(0, 15), span(12, 20)]), Duration::from_nanos(3));
    }

    #[test]
    fn two_that_touch_lived_at_once() {
        assert_eq!(overlaps(&[span(0, 12), span(12, 20)]).len(), 1);
    }

    #[test]
    fn a_survivor_overlaps_all_that_came_after_it() {
        let found = overlaps(&[span(7, 9), span(0, 30), span(12, 20)]);
        let pairs: Vec<_> = found.iter().map(|overlap| (overlap.earlier, overlap.later)).collect();
        assert_eq!(pairs, [(1, 0), (1, 2)]);
    }

    #[test]
    fn time_that_three_share_counts_once() {
        assert_eq!(doubled(&[span(0, 30), span(5, 10), span(8, 20)]), Duration::from_nanos(15));
    }

    #[test]
    fn nobody_before_the_first_and_after_the_last_is_a_gap_too() {
        assert_eq!(gaps(&[span(50, 60), span(10, 20)], span(0, 80)), [span(0, 10), span(20, 50), span(60, 80)]);
        assert_eq!(gaps(&[span(10, 20)], span(12, 18)), []);
        assert_eq!(gaps(&[], span(3, 5)), [span(3, 5)]);
        assert_eq!(longest_gap(&[span(50, 60), span(10, 20)], span(0, 80)), Duration::from_nanos(30));
    }

    #[test]
    fn a_life_within_another_leaves_no_gap() {
        assert_eq!(gaps(&[span(0, 40), span(10, 20)], span(0, 50)), [span(40, 50)]);
    }

    #[test]
    fn an_epoch_that_stands_still_or_goes_back_is_found() {
        let life = |epoch| Life { node: "a".to_owned(), pid: 1, epoch, first: 0, last: 0, notes: () };
        assert_eq!(epochs_not_growing(&[life(1), life(2), life(3)]), []);
        assert_eq!(epochs_not_growing(&[life(1), life(1), life(3), life(2)]), [(0, 1), (2, 3)]);
        assert_eq!(epochs_not_growing::<()>(&[]), []);
    }

    /// Who covers each moment, counted one by one.
    fn living(spans: &[Span], at: u64) -> usize {
        spans.iter().filter(|span| span.covers(at)).count()
    }

    fn some_spans() -> impl Strategy<Value = Vec<Span>> {
        proptest::collection::vec((0_u64..40, 0_u64..10).prop_map(|(first, length)| span(first, first + length)), 0..8)
    }

    proptest! {
        #[test]
        fn two_are_found_exactly_where_a_count_finds_them(spans in some_spans()) {
            let found = overlaps(&spans);
            for at in 0..60 {
                prop_assert_eq!(found.iter().any(|overlap| overlap.both.covers(at)), living(&spans, at) >= 2);
            }
            // Between two moments somebody lives who lives at both.
            let between = |at: u64| spans.iter().filter(|span| span.first <= at && at < span.last).count();
            prop_assert_eq!(doubled(&spans).as_nanos(), (0..60).filter(|at| between(*at) >= 2).count() as u128);
        }

        #[test]
        fn gaps_are_exactly_where_a_count_finds_nobody(spans in some_spans()) {
            let within = span(5, 45);
            let found = gaps(&spans, within);
            for at in within.first..within.last {
                let covered = spans.iter().any(|span| span.first <= at && at < span.last);
                let inside = found.iter().any(|gap| gap.first <= at && at < gap.last);
                prop_assert_eq!(inside, !covered);
            }
        }
    }
}
