//! Contact with the servers: cut, restarted, absent, through TLS.

use super::*;

#[tokio::test]
async fn a_node_that_is_cut_off_is_succeeded_and_told_that_its_session_expired() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    let mut b = Node::start(server, &cluster, "b");
    a.lead().await;
    a.renewed().await;
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    proxy.freeze();
    let predecessor = b.elected().await.predecessor.unwrap();
    assert_eq!((predecessor.node.as_str(), predecessor.clean), ("a", false));
    b.order(ElectionOrder::Claim {
        breadcrumb: breadcrumb("b", 2),
        volume: "volume-1".to_owned(),
        entry: entry("b", 2),
        predecessor_ended: Some(ended("a", 1, EndCause::HostLost)),
    });
    b.claimed(2).await;
    // With the claim, not after it: this leadership may be over in a moment, and nobody would ever complete that entry.
    let predecessor: HistoryEntry = read(&client(server).await, &paths(&cluster).history_of(1)).await;
    assert_eq!(predecessor.cause, Some(EndCause::HostLost));
    b.history("the predecessor's end", |history| history.len() == 2 && history[1].cause == Some(EndCause::HostLost))
        .await;
    a.disconnected().await;
    proxy.heal();
    assert_eq!(a.lost().await, Loss::SessionExpired);
    b.renewed().await;
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn a_restart_of_zookeeper_costs_neither_session_nor_leadership() {
    let mut server = Server::start();
    let cluster = cluster();
    let mut access = settings(&server.address(), &cluster, "a");
    access.access.session_timeout = Duration::from_secs(10);
    let mut a = Node::new(access);
    let session = a.connected().await;
    a.lead().await;
    a.renewed().await;
    server.kill();
    a.disconnected().await;
    server.launch();
    assert_eq!(a.connected().await, session);
    a.renewed().await;
    assert!(!a.lost_anything());
    a.close().await;
}

#[tokio::test]
async fn zookeeper_is_waited_for_and_the_reason_is_told() {
    let port = free_port();
    let mut a = Node::new(settings(&format!("127.0.0.1:{port}"), &cluster(), "a"));
    a.order(ElectionOrder::Stand);
    assert!(a.disconnected().await.contains("refused"));
    let garbage = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let speaker = tokio::spawn(async move {
        while let Ok((mut stream, _)) = garbage.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP ready\r\n").await;
            let mut ignored = [0; 64];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut ignored).await;
        }
    });
    let reason = a.disconnected().await;
    assert!(reason.contains("does not speak ZooKeeper"), "{reason}");
    speaker.abort();
    let _ = speaker.await;
    a.close().await;

    let mut unknown = Node::new(settings("no-such-host.invalid:2181", &cluster(), "a"));
    let reason = unknown.disconnected().await;
    assert!(reason.contains("no-such-host.invalid") && reason.contains("lookup"), "{reason}");
    unknown.order(ElectionOrder::Resign { clean: true, ended: None });
    unknown.until(Fact::Resigned).await;
    unknown.close().await;
}

#[tokio::test]
async fn a_candidate_started_before_zookeeper_is_elected_once_it_serves() {
    let mut server = Server::prepare();
    let mut a = Node::start(&server, &cluster(), "a");
    a.order(ElectionOrder::Stand);
    a.disconnected().await;
    server.launch();
    a.elected().await;
    a.close().await;
}

#[tokio::test]
async fn nothing_is_renewed_through_a_follower_that_is_cut_off_from_its_quorum() {
    let servers = tokio::task::spawn_blocking(ensemble).await.unwrap();
    let (cluster, follower) = (cluster(), servers.iter().position(|server| !server.leads()).unwrap());
    let mut a = Node::start(&servers[follower], &cluster, "a");
    a.lead().await;
    a.renewed().await;
    let others: Vec<&Server> =
        servers.iter().enumerate().filter(|(index, _)| *index != follower).map(|(_, server)| server).collect();
    for other in &others {
        other.signal(Signal::SIGSTOP);
    }
    let stopped = clock::now();
    a.disconnected().await;
    while let Ok(fact) = a.handle.facts.try_recv() {
        a.past.push(fact);
    }
    let late = a.past.iter().filter(|fact| matches!(fact, Fact::Renewed { sent, .. } if *sent > stopped)).count();
    assert_eq!(late, 0, "a heartbeat sent after the quorum was gone must not be acknowledged");
    for other in &others {
        other.signal(Signal::SIGCONT);
    }
    a.connected().await;
    a.order(ElectionOrder::Close);
    drop(a);
}

#[tokio::test]
async fn a_resignation_without_contact_is_answered_all_the_same() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    let (epoch, _) = a.lead().await;
    proxy.cut();
    a.disconnected().await;
    a.resign(epoch, End::Stopped).await;
    proxy.heal();
    a.order(ElectionOrder::Stand);
    a.elected().await;
    a.close().await;
}

#[tokio::test]
async fn a_short_cut_is_survived_and_the_heartbeat_is_the_first_to_cross() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    a.lead().await;
    for _ in 0..3 {
        a.renewed().await;
        proxy.cut();
        a.disconnected().await;
        let lost = clock::now();
        proxy.heal();
        a.connected().await;
        while a.renewed().await < lost {}
    }
    assert!(!a.lost_anything());
    a.close().await;
}

/// `a` behind a proxy, with a session that lasts while a busy host makes up its mind.
async fn behind_proxy(server: &Server, cluster: &str) -> (Proxy, Node) {
    let proxy = Proxy::start(server.address()).await;
    let mut access = settings(&proxy.address(), cluster, "a");
    access.access.session_timeout = Duration::from_secs(10);
    (proxy, Node::new(access))
}

#[tokio::test]
async fn a_leader_that_finds_nobody_says_that_its_session_is_lost_and_one_that_is_closed_meanwhile_ends() {
    for closed in [false, true] {
        let (server, cluster) = (Server::shared(), cluster());
        let proxy = Proxy::start(server.address()).await;
        let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
        a.lead().await;
        proxy.cut();
        a.disconnected().await;
        if !closed {
            assert_eq!(a.lost().await, Loss::SessionExpired);
            proxy.heal();
            a.order(ElectionOrder::Stand);
            a.elected().await;
        }
        a.close().await;
    }
}

fn carried(proxies: &[Proxy]) -> usize {
    proxies.iter().map(Proxy::carried).sum()
}

#[tokio::test]
async fn a_leader_asks_a_server_again_that_accepted_it_and_said_nothing() {
    let (proxy, mut a) = behind_proxy(Server::shared(), &cluster()).await;
    a.lead().await;
    a.renewed().await;
    proxy.cut();
    a.disconnected().await;
    proxy.heal_after_one();
    // The crate by itself would listen for two fifths of the session.
    timeout(Duration::from_secs(4), a.connected()).await.expect("asked again before half of a lease is over");
    a.renewed().await;
    assert!(!a.lost_anything());
    a.close().await;
}

/// The proxies of an ensemble's servers, and the list of them for a node.
async fn proxies(servers: &[Server]) -> (Vec<Proxy>, String) {
    let mut proxies = Vec::new();
    for server in servers {
        proxies.push(Proxy::start(server.address()).await);
    }
    let list = proxies.iter().map(Proxy::address).collect::<Vec<_>>().join(",");
    (proxies, list)
}

#[tokio::test]
async fn a_leader_takes_its_session_from_a_server_that_falls_silent_to_another_one() {
    let servers = tokio::task::spawn_blocking(ensemble).await.unwrap();
    let (proxies, list) = proxies(&servers).await;
    let mut access = settings(&list, &cluster(), "a");
    access.access.session_timeout = Duration::from_secs(10);
    let mut a = Node::new(access);
    let session = a.connected().await;
    a.lead().await;
    // The second server is as good as the first, and when it falls silent the session goes on to a third, or back.
    for _ in 0..2 {
        eventually("one session, one connection", async || carried(&proxies) == 1).await;
        a.renewed().await;
        let used = proxies.iter().find(|proxy| proxy.carried() == 1).unwrap();
        used.freeze();
        // A healed server may find a request of a closed connection in its buffers, and take the session for a moment.
        while !a.disconnected().await.contains("asking another server") {}
        assert_eq!(a.connected().await, session);
        a.renewed_again().await;
        assert!(carried(&proxies) > used.carried(), "renewed through the server that is silent?");
        used.heal();
    }
    assert!(!a.lost_anything());
    a.close().await;
}

#[tokio::test]
async fn what_is_ordered_without_contact_is_done_when_there_is_contact_again() {
    let (server, cluster) = (Server::shared(), cluster());
    let (proxy, mut a) = behind_proxy(server, &cluster).await;
    let (epoch, _) = a.lead().await;
    a.renewed().await;
    let client = client(server).await;
    let paths = paths(&cluster);
    proxy.cut();
    a.disconnected().await;
    a.order(ElectionOrder::Announce(Some(Box::new(breadcrumb("a", epoch)))));
    proxy.heal();
    a.connected().await;
    let service = paths.service("a");
    eventually("the announcement", async || client.check_stat(&service).await.unwrap().is_some()).await;
    let announced = client.check_stat(&service).await.unwrap().unwrap();

    // Another connection changes nothing that is written already.
    proxy.cut();
    a.disconnected().await;
    proxy.heal();
    a.connected().await;
    a.renewed_again().await;
    let still = client.check_stat(&service).await.unwrap().unwrap();
    assert_eq!(still.czxid, announced.czxid, "announced again for nothing");

    proxy.cut();
    a.disconnected().await;
    a.order(ElectionOrder::Resign { clean: true, ended: Some(ended("a", epoch, EndCause::Found(End::Stopped))) });
    let before: Breadcrumb = read(&client, &paths.active).await;
    assert!(!before.clean, "written without contact?");
    proxy.heal();
    a.until(Fact::Resigned).await;
    let after: Breadcrumb = read(&client, &paths.active).await;
    assert!(after.clean);
    let entry: HistoryEntry = read(&client, &paths.history_of(epoch)).await;
    assert_eq!(entry.cause, Some(EndCause::Found(End::Stopped)));
    a.close().await;
}

#[tokio::test]
async fn zookeeper_is_spoken_to_through_tls_and_a_stranger_in_its_place_is_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let ca = certificate(directory.path());
    let server = Server::start_tls(&directory.path().join("server.pem"), &directory.path().join("ca.pem"));
    let proxy = Proxy::start(server.address()).await;
    // By name, as a certificate has it.
    let mut settings = settings(&proxy.address().replace("127.0.0.1", "localhost"), &cluster(), "a");
    settings.access.session_timeout = Duration::from_secs(10);
    settings.access.tls = Some(TlsMaterial { ca: Some(ca), cert: None, key: None });
    let mut a = Node::new(settings.clone());
    let session = a.connected().await;
    a.lead().await;
    a.renewed().await;
    proxy.cut();
    a.disconnected().await;
    proxy.heal();
    assert_eq!(a.connected().await, session);
    a.renewed_again().await;
    assert!(!a.lost_anything());
    a.close().await;

    let other = tempfile::TempDir::new().unwrap();
    settings.access.tls = Some(TlsMaterial { ca: Some(certificate(other.path())), cert: None, key: None });
    let mut b = Node::new(settings);
    let reason = b.disconnected().await;
    assert!(reason.contains("TLS failed") && reason.contains("certificate"), "{reason}");
    b.close().await;
}

/// A certificate authority and a server's certificate for localhost; answers the authority's PEM text.
fn certificate(directory: &Path) -> String {
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt
        cat server.key server.crt > server.pem";
    let output = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(directory.join("ca.pem")).unwrap()
}

#[tokio::test]
async fn a_node_that_can_exchange_small_packets_only_does_not_stand_and_says_why() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    proxy.narrow();
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    a.order(ElectionOrder::Stand);
    let reason = a.disconnected().await;
    assert!(reason.contains("small packets") && reason.contains("MTU"), "{reason}");
    proxy.heal();
    a.lead().await;
    a.close().await;
}

#[tokio::test]
async fn a_standby_whose_way_becomes_narrow_leaves_the_queue_and_says_why() {
    let (server, cluster) = (Server::shared(), cluster());
    let mut a = Node::start(server, &cluster, "a");
    a.lead().await;
    let proxy = Proxy::start(server.address()).await;
    let mut b = Node::new(settings(&proxy.address(), &cluster, "b"));
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    // Nothing breaks and nothing is slow: only a large packet shows it.
    proxy.narrow();
    let Loss::Backend(reason) = b.lost().await else { panic!("{:#?}", b.past) };
    assert!(reason.contains("small packets"), "{reason}");
    let (observer, paths) = (client(server).await, paths(&cluster));
    eventually("only the leader is in the queue", async || queue(&observer, &paths).await.len() == 1).await;
    a.renewed().await;
    proxy.heal();
    b.order(ElectionOrder::Stand);
    b.until(Fact::Standing).await;
    b.close().await;
    a.close().await;
}
