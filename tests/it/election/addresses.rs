//! Names with several addresses: each is asked, the silent ones keep nobody from the good ones.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::deaf::Deaf;

/// Not resolvable, so that what is told of it beforehand counts: `addresses`.
const NAME: &str = "zookeeper.invalid";

/// A node that knows the servers by one name, which has these addresses.
fn by_name(port: u16, addresses: &[IpAddr], cluster: &str, node: &str) -> Settings {
    let mut settings = settings(&format!("{NAME}:{port}"), cluster, node);
    settings.access.session_timeout = Duration::from_secs(10);
    settings.access.addresses = BTreeMap::from([(NAME.to_owned(), addresses.to_vec())]);
    settings
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_name_whose_first_addresses_are_dead_leads_to_the_server_behind_the_last_one() {
    let (server, cluster) = (Server::shared(), cluster());
    // Silent, refused, and of another family.
    let _deaf = Deaf::at(SocketAddr::new(ip("127.0.0.3"), server.port));
    let addresses = ["127.0.0.3", "127.0.0.4", "::1", "127.0.0.1"].map(ip);
    let began = clock::now();
    let mut a = Node::new(by_name(server.port, &addresses, &cluster, "a"));
    a.connected().await;
    let took = clock::now().since(began);
    assert!(took < Duration::from_secs(15), "one dead address must not use up everybody's time: {took:?}");
    a.lead().await;
    a.renewed().await;
    a.close().await;
}

#[tokio::test]
async fn a_leader_and_a_standby_go_on_at_another_address_of_the_name_with_their_sessions() {
    let (server, cluster) = (Server::shared(), cluster());
    let first = Proxy::start_at("127.0.0.5:0", server.address()).await;
    let port = first.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let second = Proxy::start_at(&format!("127.0.0.6:{port}"), server.address()).await;
    let _deaf = Deaf::at(SocketAddr::new(ip("127.0.0.3"), port));
    let addresses = ["127.0.0.3", "127.0.0.5", "127.0.0.6"].map(ip);
    let (mut a, mut b) =
        (Node::new(by_name(port, &addresses, &cluster, "a")), Node::new(by_name(port, &addresses, &cluster, "b")));
    let session = a.connected().await;
    let (_, claimed) = a.lead().await;
    a.renewed().await;
    let other = b.connected().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    for (away, back) in [(&first, &second), (&second, &first)] {
        away.cut();
        back.heal();
        eventually("both are carried by the other one", async || back.carried() == 2).await;
        a.renewed_again().await;
    }
    for (node, session) in [(&mut a, &session), (&mut b, &other)] {
        assert!(!node.lost_anything(), "{:#?}", node.past);
        let last = node.past.iter().rev().find_map(|fact| match fact {
            Fact::Connected { session, .. } => Some(session.clone().unwrap()),
            _ => None,
        });
        assert_eq!(last.as_ref(), Some(session));
    }
    // The standby is still where it was: next.
    client(server).await.delete(&claimed.last_will.election_node, None).await.unwrap();
    assert_eq!(b.elected().await.epoch, 1);
    a.order(ElectionOrder::Close);
    drop(a);
    b.close().await;
}

#[tokio::test]
async fn one_name_that_has_no_address_keeps_nobody_from_the_good_server_beside_it() {
    let (server, cluster) = (Server::shared(), cluster());
    let mut settings = settings(&format!("no-such-host.invalid:2181,{}", server.address()), &cluster, "a");
    settings.access.session_timeout = Duration::from_secs(10);
    let mut a = Node::new(settings);
    a.lead().await;
    a.renewed().await;
    a.close().await;
}

#[tokio::test]
async fn each_address_is_named_with_what_is_wrong_with_it() {
    let port = free_port();
    let _deaf = Deaf::at(SocketAddr::new(ip("127.0.0.3"), port));
    let mut a = Node::new(by_name(port, &["127.0.0.3", "127.0.0.4"].map(ip), &cluster(), "a"));
    let reason = a.disconnected().await;
    for words in [
        format!("{NAME}:{port} (127.0.0.3): no answer to the connection"),
        format!("{NAME}:{port} (127.0.0.4): Connection refused"),
    ] {
        assert!(reason.contains(&words), "{reason}");
    }
    a.close().await;
}

/// How often somebody connects within a while.
async fn knocks(listener: &TcpListener, duration: Duration) -> usize {
    let mut count = 0;
    let counting = async {
        while listener.accept().await.is_ok() {
            count += 1;
        }
    };
    let _ = timeout(duration, counting).await;
    count
}

#[tokio::test]
async fn servers_that_hang_up_are_asked_less_and_less_often() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = Node::new(settings(&listener.local_addr().unwrap().to_string(), &cluster(), "a"));
    knocks(&listener, Duration::from_secs(2)).await;
    // A session's attempt, a question what is wrong and one in TLS, once a second at most.
    let knocks = knocks(&listener, Duration::from_secs(4)).await;
    assert!((2..=36).contains(&knocks), "{knocks} connections in 4 s");
    a.close().await;
}

#[tokio::test]
async fn a_leader_that_is_hung_up_on_asks_as_often_as_what_is_left_of_its_lease_demands() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    a.lead().await;
    a.renewed().await;
    let before = proxy.accepted();
    proxy.cut();
    assert_eq!(a.lost().await, Loss::SessionExpired);
    let attempts = proxy.accepted() - before;
    // Fifty a second for as long as the session may live would be 280; the lease is 2 s.
    assert!((10..=150).contains(&attempts), "{attempts} attempts");
    a.order(ElectionOrder::Close);
}

#[tokio::test]
async fn a_member_that_the_servers_hang_up_on_costs_neither_the_leadership_nor_a_connection_after_another() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut settings = settings(&proxy.address(), &cluster, "a");
    settings.access.session_timeout = Duration::from_secs(10);
    let mut a = Node::new(settings);
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    a.lead().await;
    a.renewed().await;
    let before = proxy.accepted();
    // A server takes 1 MiB at once.
    let tags = BTreeMap::from([("note".to_owned(), "x".repeat(2 << 20))]);
    a.order(ElectionOrder::Publish(telling("a", |row| row.tags = tags)));
    a.disconnected().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    a.renewed_again().await;
    assert!(!a.lost_anything(), "{:#?}", a.past);
    let connections = proxy.accepted() - before;
    assert!((1..=10).contains(&connections), "{connections} connections in 12 s");
    // What fits is published again at once.
    a.order(ElectionOrder::Publish(telling("a", |row| row.priority = 7)));
    let (client, path) = (client(server).await, paths(&cluster).member("a"));
    eventually("the member is published", async || read::<Member>(&client, &path).await.row.priority == 7).await;
    a.close().await;
}
