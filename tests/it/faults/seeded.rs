//! Builds that are wrong on purpose (`src/seeded_bug.rs`): that what they promise to do wrong really happens. These tests
//! exist only in such builds, where many others must fail; run them alone (`just seeded`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
#[cfg(feature = "seeded-bug-two-coordinators")]
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::verify::verify;

use testbed::ticks::TickLog;

use crate::cluster::Cluster;
#[cfg(feature = "seeded-bug-two-coordinators")]
use crate::{
    cluster::{Run, proxy},
    zookeeper::Server,
};

/// What the judge says of the runs, and what the recordings contradict; both are forgotten afterwards, so that the cluster's own
/// judgement at its end is silent.
fn conviction(cluster: &mut Cluster, rule: &str) -> String {
    let recorded = verify(&[cluster.recordings()]).unwrap();
    assert!(recorded.contradictions.iter().any(|it| it.rule == rule), "{:#?}", recorded.contradictions);
    std::fs::rename(cluster.recordings(), cluster.path("judged")).unwrap();
    let verdict = catch_unwind(AssertUnwindSafe(|| cluster.judge())).expect_err("the judge has seen nothing");
    cluster.ledger = TickLog::new(PathBuf::new());
    verdict.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[cfg(feature = "seeded-bug-two-coordinators")]
fn two_at_once(cluster: &mut Cluster, former: &Run) {
    let next = cluster.until_run_after(former);
    assert_eq!(next.node, "b");
    let both = cluster.until("the former one writes on", |cluster| {
        let again = cluster.ledger.runs().iter().find(|run| run.pid == former.pid)?;
        (again.last > next.first + 500_000_000).then(|| again.last - next.first)
    });
    println!("two coordinators for at least {:?}", Duration::from_nanos(both));
    let verdict = conviction(cluster, "the lock is not closed before everything is dead that ran under it");
    assert!(verdict.contains("TWO COORDINATORS RAN"), "{verdict}");
}

#[cfg(feature = "seeded-bug-two-coordinators")]
#[test]
fn with_the_seeded_bug_two_coordinators_run_while_the_active_nodes_supervisor_is_frozen() {
    let mut cluster = super::pair();
    let former = cluster.running();
    cluster.signal("a", Signal::SIGSTOP);
    two_at_once(&mut cluster, &former);
}

#[cfg(feature = "seeded-bug-two-coordinators")]
#[test]
fn with_the_seeded_bug_two_coordinators_run_while_the_active_node_is_cut_off_from_zookeeper() {
    let server = Server::shared();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    proxy.freeze();
    two_at_once(&mut cluster, &former);
    proxy.heal();
}

#[cfg(feature = "seeded-bug-stale-epoch")]
#[test]
fn with_the_seeded_bug_the_second_leadership_has_the_epoch_of_the_first() {
    let mut cluster = super::pair();
    let former = cluster.running();
    cluster.signal("a", Signal::SIGTERM);
    let next = cluster.until_run_after(&former);
    assert_eq!((former.epoch, next.epoch), (1, 1));
    let verdict = conviction(&mut cluster, "a coordinator is told the epoch that is in the lock file");
    assert!(verdict.contains("the epoch did not grow"), "{verdict}");
}
