//! The session that the servers grant, today; and from when a lease counts.

use super::*;

const LIMIT_OF_SERVERS: u64 = 20_000;

/// A server that grants no longer sessions than so many milliseconds.
fn limited(server: &Server, longest: u64) {
    let port = server.port;
    server.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\nmaxSessionTimeout={longest}\n"));
}

fn restart(server: &mut Server, longest: u64) {
    server.kill();
    limited(server, longest);
    server.launch();
}

fn server(longest: u64) -> Server {
    let mut server = Server::prepare();
    limited(&server, longest);
    server.launch();
    server.until_serving();
    server
}

fn ten_seconds(server: &Server, cluster: &str, node: &str) -> Node {
    let mut settings = settings(&server.address(), cluster, node);
    settings.access.session_timeout = Duration::from_secs(10);
    Node::new(settings)
}

impl Node {
    /// Session, time-out and when the connection was asked for.
    async fn granted(&mut self) -> (String, Duration, Moment) {
        self.fact("Connected", |fact| match fact {
            Fact::Connected { session: Some(session), timeout, asked } => Some((session.clone(), *timeout, *asked)),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn who_waits_learns_of_a_shorter_grant_and_asks_for_a_longer_one_in_a_session_of_its_own() {
    let mut server = server(LIMIT_OF_SERVERS);
    let mut a = ten_seconds(&server, &cluster(), "a");
    let (first, timeout, _) = a.granted().await;
    assert_eq!(timeout, Duration::from_secs(10));
    a.order(ElectionOrder::Stand);
    a.until(Fact::Standing).await;
    // Elections that are paused keep it in the queue.
    a.elected().await;
    let before = clock::now();
    restart(&mut server, 4_000);
    let (second, timeout, asked) = a.granted().await;
    assert_eq!((&second, timeout), (&first, Duration::from_secs(4)), "the session goes on, and is shorter");
    assert!(asked > before);
    restart(&mut server, LIMIT_OF_SERVERS);
    // First in the queue, it may be about to claim: what was granted before counts.
    let (_, timeout, _) = a.granted().await;
    assert_eq!(timeout, Duration::from_secs(4));
    a.order(ElectionOrder::Resign { clean: false, ended: None });
    a.until(Fact::Resigned).await;
    let (third, timeout, _) = a.granted().await;
    assert_ne!(third, first);
    assert_eq!(timeout, Duration::from_secs(10));
    a.close().await;
}

#[tokio::test]
async fn a_place_in_the_queue_is_given_up_for_a_longer_session() {
    let mut server = server(4_000);
    let cluster = cluster();
    let (mut a, mut b) = (ten_seconds(&server, &cluster, "a"), ten_seconds(&server, &cluster, "b"));
    a.lead().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    assert_eq!(b.granted_last(), Duration::from_secs(4));
    restart(&mut server, LIMIT_OF_SERVERS);
    let Loss::Backend(reason) = b.lost().await else { panic!("not that") };
    assert!(reason.contains("longer session"), "{reason}");
    b.order(ElectionOrder::Resign { clean: false, ended: None });
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    assert_eq!(b.granted_last(), Duration::from_secs(10));
    // A lease rests on the leader's.
    a.renewed_again().await;
    assert_eq!(a.granted_last(), Duration::from_secs(4));
    assert!(!a.lost_anything());
    b.close().await;
    a.close().await;
}

impl Node {
    fn granted_last(&self) -> Duration {
        let granted = self.past.iter().rev().find_map(|fact| match fact {
            Fact::Connected { timeout, .. } => Some(*timeout),
            _ => None,
        });
        granted.expect("it was connected")
    }
}

#[tokio::test]
async fn a_leader_learns_of_a_shorter_grant_before_anything_is_renewed_under_it() {
    let mut server = server(LIMIT_OF_SERVERS);
    let mut a = ten_seconds(&server, &cluster(), "a");
    a.lead().await;
    a.renewed().await;
    let before = clock::now();
    restart(&mut server, 4_000);
    let (_, timeout, asked) = a.granted().await;
    assert_eq!(timeout, Duration::from_secs(4));
    assert!(asked > before);
    assert!(a.renewed().await > asked);
    let of_the_former = |fact: &Fact| matches!(fact, Fact::Renewed { sent, .. } if *sent > before);
    let told =
        a.past.iter().position(|fact| matches!(fact, Fact::Connected { asked: at, .. } if *at == asked)).unwrap();
    assert!(!a.past[..told].iter().any(of_the_former), "{:#?}", a.past);
    assert!(!a.lost_anything());
    a.close().await;
}

#[tokio::test]
async fn a_longer_session_can_be_asked_for_while_nothing_rests_on_the_one_there_is() {
    let server = Server::shared();
    let mut a = Node::start(server, &cluster(), "a");
    let (first, ..) = a.granted().await;
    a.order(ElectionOrder::AskAgain);
    let (second, ..) = a.granted().await;
    assert_ne!(first, second);
    a.lead().await;
    a.order(ElectionOrder::AskAgain);
    a.renewed_again().await;
    assert!(!a.lost_anything());
    a.close().await;
}

#[tokio::test]
async fn a_claim_after_a_long_wait_counts_from_when_it_was_sent() {
    let (server, cluster) = (Server::shared(), cluster());
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    let (epoch, _) = a.lead().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    // Longer than its session: its own pings alone would leave it silent for most of a second.
    tokio::time::sleep(SESSION + SESSION / 4).await;
    a.resign(epoch, End::Stopped).await;
    b.elected().await;
    let now = clock::now();
    b.claim(epoch + 1);
    assert!(b.claimed(epoch + 1).await.sent >= now, "it was not silent");
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn a_claim_after_a_silence_counts_from_the_silences_beginning() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    a.order(ElectionOrder::Stand);
    let epoch = a.elected().await.epoch + 1;
    tokio::time::sleep(SESSION / 4).await;
    // Nothing comes through for a while, and then everything at once: the crate waits two fifths of the session.
    proxy.freeze();
    let silent = clock::now();
    tokio::time::sleep(SESSION / 4).await;
    a.claim(epoch);
    proxy.heal();
    let counts_from = a.claimed(epoch).await.sent;
    let reckoned_with = HEARTBEAT + Duration::from_millis(TICK / 2);
    assert!(counts_from <= silent + reckoned_with, "{:?} after it fell silent", counts_from.since(silent));
    a.close().await;
}
