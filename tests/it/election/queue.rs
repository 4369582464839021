//! Standing, being elected, claiming, resigning.

use super::*;

#[tokio::test]
async fn the_first_is_elected_and_the_second_after_the_first_has_resigned() {
    let (server, cluster) = (Server::shared(), cluster());
    let paths = paths(&cluster);
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    a.order(ElectionOrder::Stand);
    let outcome = a.elected().await;
    assert_eq!(outcome, ElectionOutcome::default());
    let before = clock::now();
    a.claim(1);
    let claimed = a.claimed(1).await;
    assert!(before <= claimed.sent && claimed.sent <= clock::now());

    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    assert!(a.renewed().await > claimed.sent);
    a.resign(1, End::Switchover).await;

    let outcome = b.elected().await;
    assert_eq!((outcome.epoch, outcome.volume.as_deref()), (1, Some("volume-1")));
    let predecessor = outcome.predecessor.unwrap();
    assert_eq!(
        (predecessor.node.as_str(), predecessor.clean, predecessor.cause),
        ("a", true, Some(End::Switchover.into()))
    );
    b.claim(outcome.epoch + 1);
    b.claimed(2).await;

    let client = client(server).await;
    assert_eq!(client.get_data(&paths.epoch).await.unwrap().0, b"2");
    assert_eq!(read::<HistoryEntry>(&client, &paths.history_of(1)).await.cause, Some(End::Switchover.into()));
    assert_eq!(read::<HistoryEntry>(&client, &paths.history_of(2)).await.cause, None);
    assert_eq!(read::<Breadcrumb>(&client, &paths.active).await.node, "b");
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn queue_nodes_are_what_curators_leader_latch_expects() {
    let (server, cluster) = (Server::shared(), cluster());
    let mut node = Node::start(server, &cluster, "node-a");
    node.order(ElectionOrder::Stand);
    node.elected().await;
    let (client, paths) = (client(server).await, paths(&cluster));
    let queue = queue(&client, &paths).await;
    let [name] = queue.as_slice() else { panic!("{queue:?}") };
    let rest = name.strip_prefix("_c_").unwrap();
    let (uuid, sequence) = rest.split_once("-latch-").unwrap();
    assert!(Uuid::parse_str(uuid).is_ok() && sequence.len() == 10, "{name}");
    assert_eq!(client.get_data(&paths.queue_node(name)).await.unwrap().0, b"node-a");
    node.close().await;
}

#[tokio::test]
async fn a_claim_after_the_epoch_has_moved_is_refused_and_a_second_look_helps() {
    let (server, cluster) = (Server::shared(), cluster());
    let (mut a, paths) = (Node::start(server, &cluster, "a"), paths(&cluster));
    let (epoch, _) = a.lead().await;
    a.resign(epoch, End::Stopped).await;
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await.epoch, 1);
    let client = client(server).await;
    client.set_data(&paths.epoch, b"7", None).await.unwrap();
    a.claim(2);
    a.refused().await;
    assert_eq!(client.get_data(&paths.epoch).await.unwrap().0, b"7");
    assert!(read::<Breadcrumb>(&client, &paths.active).await.clean, "a refused claim leaves no breadcrumb");
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await.epoch, 7);
    a.claim(7);
    a.refused().await;
    a.claim(9);
    a.claimed(9).await;
    a.close().await;
}

#[tokio::test]
async fn a_claim_that_arrives_after_a_successors_changes_nothing() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await.epoch, 0);
    let name = queue(&client, &paths).await.remove(0);
    let mut b = Node::start(server, &cluster, "b");
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    proxy.freeze();
    a.claim(1);
    client.delete(&paths.queue_node(&name), None).await.unwrap();
    assert_eq!(b.elected().await.epoch, 0, "both have seen the same outcome");
    b.claim(1);
    b.claimed(1).await;
    proxy.heal();
    a.lost().await;
    assert!(!a.past.iter().any(|fact| matches!(fact, Fact::Claimed { .. })));
    assert_eq!(read::<Breadcrumb>(&client, &paths.active).await.node, "b");
    b.renewed().await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn fifty_candidacies_leave_neither_nodes_nor_sessions() {
    let (server, cluster) = (Server::start(), cluster());
    let (client, paths) = (client(&server).await, paths(&cluster));
    let mut a = Node::start(&server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    for _ in 0..50 {
        let (epoch, _) = a.lead().await;
        a.resign(epoch, End::Stopped).await;
        assert_eq!(queue(&client, &paths).await, Vec::<String>::new());
    }
    a.close().await;
    assert_eq!(client.list_children(&paths.members).await.unwrap(), Vec::<String>::new());
    assert_eq!(client.list_children(&paths.history).await.unwrap().len(), 50);
    let dump = server.command("dump").unwrap();
    let sessions = dump.lines().filter(|line| line.trim().starts_with("0x")).count();
    assert_eq!(sessions, 1, "only the test's own session may be left: {dump}");
    assert_eq!(client.get_data(&paths.epoch).await.unwrap().0, b"50");
}

#[tokio::test]
async fn an_epoch_that_is_given_back_before_it_is_heard_of_has_an_end_in_the_history() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    let (epoch, _) = a.lead().await;
    a.order(ElectionOrder::Resign { clean: true, ended: None });
    a.until(Fact::Resigned).await;
    let entry: HistoryEntry = read(&client, &paths.history_of(epoch)).await;
    assert_eq!((entry.cause, entry.to.is_some()), (Some(EndCause::Found(End::StartFailed)), true));
    let breadcrumb: Breadcrumb = read(&client, &paths.active).await;
    assert_eq!((breadcrumb.clean, breadcrumb.to), (true, entry.to));
    a.close().await;
}

#[tokio::test]
async fn only_the_last_hundred_leaderships_are_remembered() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(&paths.history, &options).await.unwrap();
    for epoch in 1..=120 {
        let json = serde_json::to_vec(&ended("b", epoch, EndCause::Found(End::Stopped))).unwrap();
        client.create(&paths.history_of(epoch), &json, &options).await.unwrap();
    }
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Stand);
    a.elected().await;
    a.claim(121);
    let history = a.history("a hundred", |history| history.len() == 100).await;
    assert_eq!((history[0].epoch, history[99].epoch), (121, 22));
    a.order(ElectionOrder::Amend(Box::new(HistoryEntry { gap_ms: Some(12), ..entry("a", 121) })));
    a.history("the gap", |history| history[0].gap_ms == Some(12)).await;
    a.close().await;
}

#[tokio::test]
async fn the_cluster_tells_of_a_pause_before_anybody_is_told_of_an_election_in_it() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Stand);
    a.elected().await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create(&paths.control, b"{}", &options).await.unwrap();
    let mut first = a;
    for number in 0..20 {
        let mut second = Node::start(server, &cluster, &format!("b{number}"));
        second.order(ElectionOrder::Stand);
        second.until(Fact::Standing).await;
        second.view("everything", |view| !view.paused).await;
        let mut queue = queue(&client, &paths).await;
        queue.sort_unstable_by_key(|node| node[node.len() - 10..].to_owned());
        let mut both = client.new_multi_writer();
        both.add_set_data(&paths.control, br#"{"paused":true}"#, None).unwrap();
        both.add_delete(&format!("{}/{}", paths.election, queue[0]), None).unwrap();
        both.commit().await.unwrap();
        // Whoever waits for the pause's end waits for the cluster to change: without a word of the pause it never does.
        let mut told = false;
        second
            .fact("Elected", |fact| {
                told |= matches!(fact, Fact::Cluster(view) if view.paused);
                matches!(fact, Fact::Elected(outcome) if outcome.paused).then_some(())
            })
            .await;
        assert!(told, "in round {number}");
        client.set_data(&paths.control, b"{}", None).await.unwrap();
        second.view("the pause's end", |view| !view.paused).await;
        first.close().await;
        first = second;
    }
    first.close().await;
}

#[tokio::test]
async fn who_is_first_during_a_pause_is_told_so_and_looks_again_when_asked_to() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(&paths.cluster, &options).await.unwrap();
    client.create(&paths.control, br#"{"paused":true}"#, &options).await.unwrap();
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Stand);
    a.view("the pause", |view| view.paused).await;
    assert!(a.elected().await.paused, "the node decides what follows from that");
    client.set_data(&paths.control, br#"{"paused":false,"switchover":{"to":"b"}}"#, None).await.unwrap();
    a.view("the pause's end", |view| !view.paused).await;
    a.order(ElectionOrder::Stand);
    assert!(!a.elected().await.paused);
    let control = br#"{"switchover":{"to":"c","expect_epoch":7,"by":"alice"}}"#;
    client.set_data(&paths.control, control, None).await.unwrap();
    let to = |view: &ClusterView<Member>| Some(view.switchover.as_ref()?["to"].clone());
    a.view("the switchover", |view| !view.paused && to(view) == Some(serde_json::json!("c"))).await;
    a.close().await;
}

#[tokio::test]
async fn yielding_goes_to_the_back_of_the_queue_and_names_the_others_before() {
    let (server, cluster) = (Server::shared(), cluster());
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    for (node, priority) in [(&mut a, 1), (&mut b, 200)] {
        node.order(ElectionOrder::Publish(telling(&node.name, |row| row.priority = priority)));
    }
    a.order(ElectionOrder::Stand);
    a.elected().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    a.view("both members", |view| view.members.len() == 2).await;
    a.order(ElectionOrder::Stand);
    let others = a.elected().await.others;
    assert_eq!(others.iter().map(|other| (other.node.as_str(), other.priority)).collect::<Vec<_>>(), [("b", 200)]);
    a.order(ElectionOrder::Yield);
    a.until(Fact::Standing).await;
    b.elected().await;
    b.order(ElectionOrder::Yield);
    a.elected().await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn with_the_lock_alone_everybody_is_elected_and_nothing_is_renewed() {
    let settings = lock::Settings { cluster: "c".to_owned(), timeout: Duration::from_secs(5) };
    let mut a = Node { name: "a".to_owned(), handle: lock::start(settings), past: Vec::new() };
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await, ElectionOutcome::default());
    a.claim(3);
    a.fact("Claimed", |fact| matches!(fact, Fact::Claimed { epoch: 3, last_will: None, .. }).then_some(())).await;
    a.view("itself", |view| view.members.len() == 1 && view.epoch == Some(3)).await;
    a.resign(3, End::Stopped).await;
    a.history_contains(&End::Stopped.into());
    assert!(!a.past.iter().any(|fact| matches!(fact, Fact::Renewed { .. })));
    a.close().await;
}
