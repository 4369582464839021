//! The hook for "nobody leads".

use super::*;
use crate::status::{ActiveView, Member, MemberRow, NodeState, StatusWord};

const HOOK: &str = "[hooks]\non_no_leader = [\"/bin/true\"]\nno_leader_after = \"30s\"\n";

fn member(node: &str) -> Member {
    let row = MemberRow {
        node: node.into(),
        role: Role::Standby,
        state: NodeState::Active,
        status: StatusWord::Standby,
        epoch: None,
        since: String::new(),
        ready: false,
        api: String::new(),
        endpoints: Default::default(),
        priority: 100,
        tags: Default::default(),
        version: String::new(),
        eligible: true,
        reason: String::new(),
        always_on: false,
    };
    Member { format: 1, row, process: None, session_timeout_ms: None, election_node: None, ready_for: None }
}

fn seen(active: Option<&str>, members: &[&str]) -> Fact {
    let active = active.map(|node| ActiveView {
        node: node.into(),
        api: String::new(),
        epoch: 6,
        endpoints: Default::default(),
    });
    let members = members.iter().map(|node| member(node)).collect();
    Fact::Cluster(Box::new(ClusterView { epoch: Some(6), active, members, ..ClusterView::default() }))
}

fn runs(words: &str) -> usize {
    words.matches("Run(on_no_leader)").count()
}

#[test]
fn it_is_run_once_when_nobody_has_led_for_so_long_and_again_only_after_somebody_has() {
    let mut bench = Bench::standing(HOOK);
    bench.fact(seen(Some("b"), &["a", "b"]));
    assert_eq!(runs(&bench.pass(Duration::from_secs(60))), 0);
    bench.fact(seen(None, &["a"]));
    assert_eq!(runs(&bench.pass(Duration::from_secs(29))), 0);
    assert_eq!(runs(&bench.pass(Duration::from_secs(2))), 1);
    assert_eq!(runs(&bench.pass(Duration::from_secs(3600))), 0, "again");
    bench.fact(seen(Some("b"), &["a", "b"]));
    bench.fact(seen(None, &["a"]));
    assert_eq!(runs(&bench.pass(Duration::from_secs(31))), 1);
}

#[test]
fn of_several_the_first_runs_it_and_the_next_where_the_first_has_gone() {
    let mut bench = Bench::standing(HOOK);
    // This node is a.
    bench.fact(seen(None, &["0", "a", "b"]));
    assert_eq!(runs(&bench.pass(Duration::from_secs(60))), 0);
    assert_eq!(runs(&bench.fact(seen(None, &["a", "b"]))), 1);
}

#[test]
fn who_has_no_contact_does_not_know_and_says_nothing() {
    let mut bench = Bench::standing(HOOK);
    bench.fact(seen(None, &["a"]));
    bench.pass(Duration::from_secs(20));
    bench.fact(Fact::Disconnected { reason: "cut".to_owned() });
    assert_eq!(runs(&bench.pass(Duration::from_secs(60))), 0);
}

#[test]
fn without_the_hook_nothing_is_counted() {
    let mut bench = Bench::standing("");
    bench.fact(seen(None, &["a"]));
    assert_eq!(runs(&bench.pass(Duration::from_secs(3600))), 0);
    assert_eq!(bench.node.alarm_due(), None);
}
