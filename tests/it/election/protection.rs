//! A digest that is set later: strangers may change nothing any more, and a leader without it keeps its role.

use super::*;
use zookeeper_client::Permission;

/// What the contract says is below the cluster's directory, while somebody leads and is announced.
async fn everything(client: &Client, path: &str) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = next.pop() {
        let Ok(children) = client.list_children(&path).await else { continue };
        next.extend(children.iter().map(|name| format!("{path}/{name}")));
        all.push(path);
    }
    all
}

fn with_digest(server: &Server, cluster: &str, node: &str, digest: &str) -> Settings {
    let mut settings = settings(&server.address(), cluster, node);
    settings.access.digest = Some(digest.to_owned());
    settings
}

/// A client that knows the digest, to see what strangers may not.
async fn insider(server: &Server, digest: &str) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    connector.with_auth("digest", digest.as_bytes()).connect(&server.address()).await.unwrap()
}

async fn open_nodes(client: &Client, path: &str) -> Vec<String> {
    let mut open = Vec::new();
    for path in everything(client, path).await {
        if let Ok((acl, _)) = client.get_acl(&path).await
            && acl.iter().any(|acl| acl.scheme() == "world" && acl.permission() != Permission::READ)
        {
            open.push(path);
        }
    }
    open
}

#[tokio::test]
async fn a_digest_that_is_set_later_closes_every_node_to_strangers() {
    let (server, cluster) = (Server::shared(), cluster());
    let paths = paths(&cluster);
    let mut a = Node::start(server, &cluster, "a");
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    for cause in [End::Stopped, End::Switchover] {
        let (epoch, _) = a.lead().await;
        a.renewed().await;
        a.resign(epoch, cause).await;
    }
    a.close().await;
    let stranger = client(server).await;
    let anybody = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for path in [paths.control.clone(), format!("{}/a", paths.states), format!("{}/x", paths.peers)] {
        stranger.mkdir(path.rsplit_once('/').unwrap().0, &anybody).await.unwrap();
        stranger.create(&path, b"{}", &anybody).await.unwrap();
    }
    let before = everything(&stranger, &paths.cluster).await;

    let mut b = Node::new(with_digest(server, &cluster, "b", "user:secret"));
    b.order(ElectionOrder::Publish(Box::new(member("b"))));
    let (epoch, _) = b.lead().await;
    b.order(ElectionOrder::Announce(Some(Box::new(breadcrumb("b", epoch)))));
    let insider = insider(server, "user:secret").await;
    let service = paths.service("b");
    eventually("the announcement", async || insider.check_stat(&service).await.unwrap().is_some()).await;
    let now = everything(&insider, &paths.cluster).await;
    for path in [&paths.epoch, &paths.active, &paths.volume, &paths.control, &paths.history_of(1), &paths.heartbeat] {
        assert!(before.contains(path) && now.contains(path), "{path}");
    }
    for path in now {
        assert_eq!(stranger.set_data(&path, b"", None).await.unwrap_err(), Error::NoAuth, "{path}");
        assert_eq!(stranger.get_data(&path).await.unwrap_err(), Error::NoAuth, "{path}");
        let child = format!("{path}/stranger");
        let created = stranger.create(&child, b"", &anybody).await.unwrap_err();
        assert!(matches!(created, Error::NoAuth | Error::NoChildrenForEphemerals), "{path}: {created}");
        assert_eq!(stranger.set_acl(&path, Acls::anyone_all().as_ref(), None).await.unwrap_err(), Error::NoAuth);
        if path != paths.cluster {
            assert_eq!(stranger.delete(&path, None).await, Err(Error::NoAuth), "{path}");
        }
    }
    b.renewed_again().await;
    b.close().await;
}

#[tokio::test]
async fn a_leader_without_the_digest_keeps_its_role_and_the_next_one_with_it_closes_the_nodes() {
    let (server, cluster) = (Server::shared(), cluster());
    let paths = paths(&cluster);
    let mut a = Node::start(server, &cluster, "a");
    let (epoch, _) = a.lead().await;
    a.renewed().await;
    let mut b = Node::new(with_digest(server, &cluster, "b", "user:secret"));
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    a.renewed_again().await;
    assert!(!a.lost_anything(), "{:#?}", a.past);
    a.resign(epoch, End::Stopped).await;
    let epoch = b.elected().await.epoch + 1;
    b.claim(epoch);
    b.claimed(epoch).await;
    let insider = insider(server, "user:secret").await;
    eventually("everything is closed", async || open_nodes(&insider, &paths.cluster).await.is_empty()).await;
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn a_cluster_that_belongs_to_another_digest_is_named() {
    let (server, cluster) = (Server::shared(), cluster());
    let mut a = Node::new(with_digest(server, &cluster, "a", "user:secret"));
    a.lead().await;
    for digest in [Some("user:other"), None] {
        let mut settings = settings(&server.address(), &cluster, "b");
        settings.access.digest = digest.map(str::to_owned);
        let mut b = Node::new(settings);
        let reason = b.disconnected().await;
        assert!(reason.contains("not authorized") && reason.contains("digest"), "{digest:?}: {reason}");
        b.close().await;
    }
    a.renewed_again().await;
    a.close().await;
}
