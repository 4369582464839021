//! A person's word in place of a fencing that cannot succeed.

use super::*;
use crate::faults::kills::kill_supervisor_and_guardian;

/// `b` cannot fence `a`, whose host is as good as off.
fn waiting(server: &str) -> Cluster {
    let mut cluster = Cluster::new(server);
    cluster.set("fencing.command", vec!["false"]);
    cluster.set("fencing.required", true);
    cluster.set("coordinator.backoff.max", "1s");
    start(&mut cluster, &["a", "b"]);
    kill_supervisor_and_guardian(&mut cluster, "a");
    cluster
        .until("b has tried to fence", |cluster| cluster.log("b").contains("primacy confirm-fenced a").then_some(()));
    cluster
}

#[test]
fn a_candidate_that_cannot_fence_starts_once_a_person_vouches_for_the_former_active_and_the_history_says_who() {
    let mut cluster = waiting(&Server::shared().address());
    let (code, said) = refused(&cluster, &["confirm-fenced", "b", "--yes"]);
    assert!(code == 1 && said.contains("the last active was a (epoch 1)"), "{said}");
    let (code, said) = refused(&cluster, &["confirm-fenced", "a"]);
    assert!(code == 2 && said.contains("--yes"), "{said}");
    assert_eq!(cluster.judge().len(), 1, "it was started although nobody was fenced");
    let said = done(&cluster, &["confirm-fenced", "a", "--yes", "-m", "the plug is pulled"]);
    assert!(said.contains("a (epoch 1) is vouched for"), "{said}");
    cluster.until_active_is("b");
    let begun = cluster
        .until("the entry is there", |cluster| cluster.history("b").into_iter().find(|entry| entry["epoch"] == 2));
    let detail = begun["detail"].as_str().unwrap();
    assert!(detail.contains("vouches that it is off (the plug is pulled)") && detail.contains('@'), "{begun}");
    assert_eq!(begun["evidence"], "fenced");
    assert!(cluster.log("b").contains("a (epoch 1) is not fenced: "), "said in the log");
    // The word was for that leadership. b's own end is another matter.
    cluster.start("a");
    cluster.until_eligible("a");
    kill_supervisor_and_guardian(&mut cluster, "b");
    cluster
        .until("a has tried to fence", |cluster| cluster.log("a").contains("primacy confirm-fenced b").then_some(()));
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn nobody_is_vouched_for_who_is_here_or_ended_in_order() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    let (code, said) = refused(&cluster, &["confirm-fenced", "a", "--yes"]);
    assert!(code == 1 && said.contains("a is registered"), "{said}");
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_exit("a");
    cluster.until_active_is("b");
    let api = format!("http://127.0.0.1:{}", cluster.port("b").unwrap());
    let (code, said) = refused(&cluster, &["confirm-fenced", "b", "--yes", "--api", &api]);
    assert!(code == 1 && said.contains("b is registered"), "{said}");
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_exit("b");
    let (code, said) = refused(&cluster, &["confirm-fenced", "b", "--yes"]);
    assert!(code == 1 && said.contains("b ended in order (epoch 2)"), "{said}");
    cluster.judge();
}
