//! What is deleted or overtaken under a candidate.

use super::*;

#[tokio::test]
async fn a_heartbeat_node_deleted_by_hand_is_made_again() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.lead().await;
    for _ in 0..3 {
        client.delete(&paths.heartbeat, None).await.unwrap();
        let deleted = clock::now();
        while a.renewed().await < deleted {}
    }
    assert!(!a.lost_anything());
    a.close().await;
}

#[tokio::test]
async fn a_clean_end_is_noted_even_after_the_election_node_was_deleted() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    let (epoch, claimed) = a.lead().await;
    client.delete(&claimed.last_will.election_node, None).await.unwrap();
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    a.resign(epoch, End::ElectionNodeDeleted).await;
    assert!(read::<Breadcrumb>(&client, &paths.active).await.clean);
    let entry: HistoryEntry = read(&client, &paths.history_of(epoch)).await;
    assert_eq!(entry.cause, Some(EndCause::Found(End::ElectionNodeDeleted)));
    a.close().await;
}

#[tokio::test]
async fn an_election_node_deleted_by_hand_is_a_loss_for_leader_and_standby() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    let (epoch, claimed) = a.lead().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    let name = queue(&client, &paths).await.into_iter().max_by_key(|name| name[name.len() - 10..].to_owned()).unwrap();
    client.delete(&paths.queue_node(&name), None).await.unwrap();
    assert_eq!(b.lost().await, Loss::NodeDeleted);
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;

    client.delete(&claimed.last_will.election_node, None).await.unwrap();
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    assert_eq!(
        b.elected().await.predecessor.map(|predecessor| (predecessor.node, predecessor.clean)),
        Some(("a".to_owned(), false))
    );
    a.order(ElectionOrder::Resign {
        clean: true,
        ended: Some(ended("a", epoch, EndCause::Found(End::ElectionNodeDeleted))),
    });
    a.until(Fact::Resigned).await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_cluster_path_deleted_by_hand_is_a_loss_and_is_made_again() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.lead().await;
    delete_tree(&client, &paths.cluster).await;
    assert!(matches!(a.lost().await, Loss::NodeDeleted | Loss::Overtaken));
    a.order(ElectionOrder::Resign { clean: true, ended: None });
    a.until(Fact::Resigned).await;
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await, ElectionOutcome::default());
    a.claim(5);
    a.claimed(5).await;
    a.view("itself as a member", |view| view.members.len() == 1).await;
    a.close().await;
}

#[tokio::test]
async fn an_epoch_node_that_was_replaced_is_a_loss() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.lead().await;
    client.set_data(&paths.epoch, b"99", None).await.unwrap();
    assert_eq!(a.lost().await, Loss::Overtaken);
    assert_eq!(queue(&client, &paths).await.len(), 1, "the node is kept until the supervisor has let go");
    a.order(ElectionOrder::Resign { clean: true, ended: None });
    a.until(Fact::Resigned).await;
    assert_eq!(queue(&client, &paths).await.len(), 0);
    assert!(!read::<Breadcrumb>(&client, &paths.active).await.clean);
    a.close().await;
}

#[tokio::test]
async fn a_zookeeper_that_has_forgotten_everything_is_a_loss_and_a_fresh_start() {
    let mut server = Server::start();
    let mut a = Node::start(&server, &cluster(), "a");
    a.lead().await;
    a.renewed().await;
    server.kill();
    server.wipe();
    server.launch();
    assert_eq!(a.lost().await, Loss::SessionExpired);
    a.order(ElectionOrder::Stand);
    assert_eq!(a.elected().await, ElectionOutcome::default());
    a.claim(8);
    a.claimed(8).await;
    a.renewed().await;
    a.close().await;
}

#[tokio::test]
async fn a_last_will_lets_the_next_one_in_and_marks_the_end_as_clean() {
    let (server, cluster) = (Server::shared(), cluster());
    let client = client(server).await;
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    let (_, claimed) = a.lead().await;
    a.renewed().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    // What the guardian does once the tree is dead and the lock closed.
    let (path, version, json) = claimed.last_will.breadcrumb.unwrap();
    client.set_data(&path, json.as_bytes(), Some(version)).await.unwrap();
    client.delete(&claimed.last_will.election_node, None).await.unwrap();
    let predecessor = b.elected().await.predecessor.unwrap();
    assert_eq!((predecessor.clean, predecessor.cause), (true, Some(EndCause::Found(End::SupervisorLost))));
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_last_will_undoes_nothing_once_another_epoch_has_begun_and_no_candidacy_of_another_session() {
    let (server, cluster) = (Server::shared(), cluster());
    let client = client(server).await;
    let mut a = Node::start(server, &cluster, "a");
    let (_, claimed) = a.lead().await;
    let will = claimed.last_will;
    let node = will.election_node.clone();
    a.close().await;
    let execute = async |will: &LastWill| {
        let will = will.clone();
        let code = tokio::task::spawn_blocking(move || primacy::zookeeper::last_will::execute(&will)).await.unwrap();
        assert_eq!(code, 0);
    };
    // The name is taken again, as by a later session of whoever leads.
    let again = async || {
        let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        client.create(&node, b"a", &ephemeral).await.unwrap();
    };
    again().await;
    let (path, _) = will.epoch.clone().unwrap();
    let stat = client.set_data(&path, b"99", None).await.unwrap();
    execute(&will).await;
    assert!(client.check_stat(&node).await.unwrap().is_some(), "another epoch has begun");
    let current = LastWill { epoch: Some((path, stat.version)), ..will.clone() };
    execute(&current).await;
    assert!(client.check_stat(&node).await.unwrap().is_none(), "it is this epoch's");
    again().await;
    let candidate = LastWill { epoch: None, breadcrumb: None, ..will };
    execute(&candidate).await;
    assert!(client.check_stat(&node).await.unwrap().is_some(), "another session's");
    let own = LastWill { session: Some(client.session_id().0), ..candidate };
    execute(&own).await;
    assert!(client.check_stat(&node).await.unwrap().is_none());
}
