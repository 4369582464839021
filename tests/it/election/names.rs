//! Who may use a name, who may touch the nodes, and who is announced.

use super::*;

#[tokio::test]
async fn a_stranger_without_the_digest_can_delete_nothing() {
    let (server, cluster) = (Server::shared(), cluster());
    let with_digest = |node: &str, digest: &str| {
        let mut settings = settings(&server.address(), &cluster, node);
        settings.root = format!("{ROOT}-protected-{cluster}");
        settings.access.digest = Some(digest.to_owned());
        settings
    };
    let protected = Paths::new(&with_digest("a", "").root, &cluster);
    let mut a = Node::new(with_digest("a", "user:secret"));
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    let (_, claimed) = a.lead().await;
    let stranger = client(server).await;
    for path in [
        &claimed.last_will.election_node,
        &protected.member("a"),
        &protected.epoch,
        &protected.active,
        &protected.election,
    ] {
        assert_eq!(stranger.delete(path, None).await, Err(Error::NoAuth), "{path}");
        assert_eq!(stranger.set_data(path, b"", None).await.unwrap_err(), Error::NoAuth, "{path}");
    }
    let mut wrong = Node::new(with_digest("b", "user:wrong"));
    let reason = wrong.disconnected().await;
    assert!(reason.contains("not authorized"), "{reason}");
    a.renewed().await;
    wrong.close().await;
    a.close().await;
}

#[tokio::test]
async fn directories_made_without_a_digest_are_closed_by_the_first_node_with_one() {
    let (server, cluster) = (Server::shared(), cluster());
    let paths = paths(&cluster);
    let mut open = Node::start(server, &cluster, "a");
    open.connected().await;
    open.close().await;
    let mut settings = settings(&server.address(), &cluster, "a");
    settings.access.digest = Some("user:secret".to_owned());
    let mut a = Node::new(settings);
    let (_, claimed) = a.lead().await;
    let stranger = client(server).await;
    assert_eq!(stranger.delete(&claimed.last_will.election_node, None).await, Err(Error::NoAuth));
    assert_eq!(stranger.delete(&paths.heartbeat, None).await, Err(Error::NoAuth));
    a.close().await;
}

/// Leaves a member as another supervisor would; it lives as long as the client.
async fn squat(server: &Server, cluster: &str, process: Option<ProcessIdentity>) -> Client {
    let client = client(server).await;
    let paths = paths(cluster);
    client.mkdir(&paths.members, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let json = serde_json::to_vec(&Member { process, ..member("a") }).unwrap();
    client.create(&paths.member("a"), &json, &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
    client
}

#[tokio::test]
async fn a_ghost_of_the_own_name_is_removed_at_once() {
    let (server, cluster) = (Server::shared(), cluster());
    let pid = i32::MAX;
    let ghost = squat(server, &cluster, Some(ProcessIdentity { pid, ..identity() })).await;
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.order(ElectionOrder::Stand);
    a.elected().await;
    let own: Member = read(&ghost, &paths(&cluster).member("a")).await;
    assert_eq!(own.process, Some(identity()));
    a.close().await;
}

#[tokio::test]
async fn a_live_holder_of_the_own_name_is_reported_and_nobody_stands_beside_it() {
    let (server, cluster) = (Server::shared(), cluster());
    let other_host = ProcessIdentity { host_id: "elsewhere".into(), ..identity() };
    let holder = squat(server, &cluster, Some(other_host)).await;
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.order(ElectionOrder::Stand);
    let name = a
        .fact("DuplicateName", |fact| match fact {
            Fact::DuplicateName { holder } => Some(holder.clone()),
            _ => None,
        })
        .await;
    assert!(name.contains("elsewhere"), "{name}");
    assert!(queue(&holder, &paths(&cluster)).await.is_empty());
    drop(holder);
    a.elected().await;
    a.close().await;
}

#[tokio::test]
async fn an_unknown_holder_of_the_own_name_is_reported_after_a_session_timeout() {
    let (server, cluster) = (Server::shared(), cluster());
    let _holder = squat(server, &cluster, None).await;
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.fact("DuplicateName", |fact| matches!(fact, Fact::DuplicateName { .. }).then_some(())).await;
    a.close().await;
}

#[tokio::test]
async fn an_active_node_is_announced_as_curator_expects_and_withdrawn() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    let (epoch, claimed) = a.lead().await;
    a.order(ElectionOrder::Publish(telling("a", |row| (row.role, row.epoch) = (Role::Active, Some(epoch)))));
    let view = a.view("itself as active", |view| view.active.is_some()).await;
    assert_eq!((view.epoch, view.active.unwrap().node.as_str()), (Some(1), "a"));
    a.order(ElectionOrder::Announce(Some(Box::new(breadcrumb("a", epoch)))));
    let path = paths.service("a");
    eventually("announced", || async { client.check_stat(&path).await.unwrap().is_some() }).await;
    let instance: serde_json::Value = read(&client, &path).await;
    assert_eq!(
        (&instance["name"], &instance["id"], &instance["address"], &instance["port"], &instance["serviceType"]),
        (&"coordinator".into(), &"a".into(), &"web-host".into(), &9047.into(), &"DYNAMIC".into())
    );
    assert_eq!(instance["payload"]["epoch"], 1);
    assert!(claimed.last_will.also_delete.contains(&path));
    a.order(ElectionOrder::Announce(None));
    eventually("withdrawn", || async { client.check_stat(&path).await.unwrap().is_none() }).await;
    a.close().await;
}
