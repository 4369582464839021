//! Planned hand-overs.

use super::*;

#[test]
fn the_role_goes_to_the_target_past_whoever_stands_before_it_and_past_every_priority() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set_for("b", "candidate.priority", 900);
    start(&mut cluster, &["a", "b", "c"]);
    let said = done(&cluster, &["switchover", "--to", "c", "--yes", "-m", "a new kernel"]);
    assert!(said.contains("c leads, epoch 2, gap "), "{said}");
    cluster.until_active_is("c");
    let ended = entry(&mut cluster, "c", 1);
    assert_eq!((&ended["cause"], &ended["reason"]), (&"switchover".into(), &"a new kernel".into()), "{ended}");
    assert!(ended["by"].as_str().unwrap().contains('@'), "{ended}");
    cluster.until("the intent is gone", |cluster| cluster.get("c", "/cluster")?["switchover"].is_null().then_some(()));
    // Nobody has led in between.
    let runs = cluster.judge();
    assert_eq!(runs.iter().map(|run| run.node.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_dry_run_names_every_candidate_and_changes_nothing() {
    let mut cluster = three();
    let said = done(&cluster, &["switchover", "--dry-run"]);
    for part in [
        "a leads (epoch 1); the role would go to b",
        "it is the active node",
        "could take over",
        "expected gap: unknown",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(cluster.get("a", "/cluster").unwrap()["switchover"].is_null());
    assert!(cluster.is_active("a"));
    cluster.judge();
}

#[test]
fn what_cannot_be_is_refused_with_the_reason_before_anybody_is_stopped() {
    let mut cluster = three();
    let (code, said) = refused(&cluster, &["switchover", "--to", "nobody", "--yes"]);
    assert!(code == 1 && said.contains("nobody is not a member") && said.contains("b: it could take over"), "{said}");
    let (code, said) = refused(&cluster, &["switchover", "--expect-epoch", "7", "--yes"]);
    assert!(code == 1 && said.contains("epoch 7 was expected, but a leads with epoch 1"), "{said}");
    let (code, said) = refused(&cluster, &["switchover", "--at", "tomorrow", "--yes"]);
    assert!(code == 2 && said.contains("\"tomorrow\" is neither"), "{said}");
    let (code, said) = refused(&cluster, &["switchover", "--to", "b"]);
    assert!(code == 2 && said.contains("--yes"), "{said}");
    assert!(done(&cluster, &["switchover", "--to", "a", "--yes"]).contains("a is the active node already"));
    let (code, said) = refused(&cluster, &["switchover", "--cancel", "--yes"]);
    assert!(code == 1 && said.contains("no switchover is under way"), "{said}");
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn one_for_later_can_be_called_off_and_a_second_one_is_refused_meanwhile() {
    let mut cluster = three();
    done(&cluster, &["switchover", "--to", "b", "--at", "+1h", "--yes", "-m", "tonight"]);
    cluster.until("it is shown", |cluster| {
        let action = cluster.get("c", "/cluster")?["action"].clone();
        (action["kind"] == "switchover" && action["node"] == "b" && action["reason"] == "tonight").then_some(())
    });
    let (code, said) = refused(&cluster, &["switchover", "--to", "c", "--yes"]);
    assert!(code == 1 && said.contains("a switchover to b is under way, by "), "{said}");
    done(&cluster, &["switchover", "--cancel", "--yes"]);
    cluster.until("it is gone", |cluster| cluster.get("c", "/cluster")?["switchover"].is_null().then_some(()));
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_target_that_dies_before_it_has_answered_costs_nobody_anything() {
    let mut cluster = three();
    // Frozen, it is a member for a session, and eligible as far as anybody knows.
    cluster.signal("c", Signal::SIGSTOP);
    let (code, said) = refused(&cluster, &["switchover", "--to", "c", "--yes"]);
    assert!(code == 1 && said.contains("c was not ready within 30 s"), "{said}");
    assert!(cluster.is_active("a"));
    cluster.signal("c", Signal::SIGCONT);
    cluster.until_eligible("c");
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn an_active_node_that_dies_in_the_middle_leaves_no_intent_behind() {
    let mut cluster = three();
    done(&cluster, &["switchover", "--to", "c", "--at", "+1h", "--yes"]);
    cluster.signal("a", Signal::SIGKILL);
    let next = cluster.until_any_active(&["b", "c"]);
    cluster
        .until("the intent is gone", |cluster| cluster.get(&next, "/cluster")?["switchover"].is_null().then_some(()));
    cluster.judge();
}
