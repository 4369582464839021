//! How long a kill takes, and what is said of it.

use super::*;

/// Somebody deletes the election node, so the coordinator is killed; nothing of it is left after so long.
fn killed_within(more: &str, took: Duration) -> (u64, Vec<String>) {
    let mut bench = Bench::started(more);
    assert_eq!(bench.role(), Role::Active);
    let words = bench.fact(Fact::Lost(crate::election::port::Loss::NodeDeleted));
    assert!(words.contains("Kill"), "{words}");
    bench.now = bench.now + took;
    bench.report(Report::TreeDead);
    let lines = bench.lines().iter().map(|line| format!("{line:?}")).filter(|line| line.contains("margin")).collect();
    (bench.node.facts.metrics.kill_seconds.count(), lines)
}

#[test]
fn a_kill_is_measured_and_one_that_nears_what_the_lease_reserves_is_told() {
    let (count, said) = killed_within("", Duration::from_millis(100));
    assert_eq!((count, said.len()), (1, 0), "{said:?}");
    let (count, said) = killed_within("", Duration::from_millis(300));
    assert_eq!(count, 1);
    assert!(said[0].contains("took 300 ms; the lease reserves 500 ms"), "{said:?}");
}
