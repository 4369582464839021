//! What the other members are told, and how often.

use super::*;
use crate::status::ActiveView;

fn led_by(node: Option<&str>, epoch: u64) -> Fact {
    let active =
        node.map(|node| ActiveView { node: node.to_owned(), api: String::new(), epoch, endpoints: Default::default() });
    Fact::Cluster(Box::new(ClusterView { epoch: Some(epoch), active, ..ClusterView::default() }))
}

/// What is published while so much time passes.
fn published(bench: &mut Bench, time: Duration) -> Vec<String> {
    let until = bench.now + time;
    let mut told = Vec::new();
    while bench.now < until {
        bench.now = bench.now.max(bench.node.deadline().min(until));
        bench.hear(Input::TimePassed);
        told.extend(bench.wanted.iter().filter_map(|output| match output {
            Output::Election(ElectionOrder::Publish(member)) => Some(member.row.reason.clone()),
            _ => None,
        }));
    }
    told
}

#[test]
fn a_standby_tells_the_others_nothing_at_a_fail_over_for_all_of_them_would_read_it() {
    let mut bench = Bench::standing("");
    bench.fact(led_by(Some("b"), 6));
    let said = published(&mut bench, Duration::from_millis(200));
    assert_eq!(said.last().map(String::as_str), Some("ready to take over"));
    let own = |bench: &Bench| bench.node.snapshot(bench.now).server.reason.clone();
    assert_eq!(own(&bench), "ready to take over from b (epoch 6)");
    // Nobody leads for longer than anything takes to settle; then somebody else does.
    for view in [led_by(None, 6), led_by(Some("c"), 7)] {
        bench.fact(view);
        assert_eq!(published(&mut bench, Duration::from_millis(200)), Vec::<String>::new());
    }
    assert_eq!(own(&bench), "ready to take over from c (epoch 7)");
}
