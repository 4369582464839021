//! The ZooKeeper backend against real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::clock;
use primacy::election::zookeeper::{self, Paths, Settings};
use primacy::election::{Fact, Handle, Loss, Order, Vacancy, lock};
use primacy::guardian::protocol::{Testament, TlsMaterial, ZooKeeperAccess};
use primacy::moment::Moment;
use primacy::status::{
    Breadcrumb, ClusterView, HistoryEntry, Member, NodeState, ProcessIdentity, RoleWord, StatusWord,
};
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::proxy::Proxy;
use crate::zookeeper::{Server, ensemble, free_port};

/// How long any single event may take on a busy host before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
const SESSION: Duration = Duration::from_secs(4);
const HEARTBEAT: Duration = Duration::from_millis(100);
const ROOT: &str = "/primacy-test";

/// A cluster's name of its own, so that tests can share a server.
fn cluster() -> String {
    format!("c{}", Uuid::new_v4().simple())
}

fn identity() -> ProcessIdentity {
    ProcessIdentity { host_id: "host".into(), boot_id: "boot".into(), pid: 1, pid_started: 1 }
}

fn settings(servers: &str, cluster: &str, node: &str) -> Settings {
    Settings {
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        root: ROOT.to_owned(),
        access: ZooKeeperAccess { servers: servers.to_owned(), session_timeout: SESSION, digest: None, tls: None },
        heartbeat_interval: HEARTBEAT,
        process: identity(),
    }
}

fn member(node: &str) -> Member {
    Member {
        node: node.to_owned(),
        role: RoleWord::Standby,
        state: NodeState::Active,
        status: StatusWord::Standby,
        epoch: None,
        since: clock::timestamp(),
        ready: false,
        api: format!("http://{node}:9090"),
        endpoints: BTreeMap::new(),
        priority: 100,
        tags: BTreeMap::new(),
        version: "0".to_owned(),
        eligible: true,
        reason: String::new(),
        process: Some(identity()),
    }
}

fn breadcrumb(node: &str, epoch: u64) -> Breadcrumb {
    Breadcrumb {
        node: node.to_owned(),
        epoch,
        api: format!("http://{node}:9090"),
        endpoints: [("web".to_owned(), "http://web-host:9047".to_owned())].into(),
        since: clock::timestamp(),
        clean: false,
        cause: None,
        to: None,
    }
}

fn entry(node: &str, epoch: u64) -> HistoryEntry {
    HistoryEntry {
        epoch,
        node: node.to_owned(),
        from: clock::timestamp(),
        to: None,
        cause: None,
        gap_ms: None,
        detail: None,
    }
}

fn ended(node: &str, epoch: u64, cause: &str) -> HistoryEntry {
    HistoryEntry { to: Some(clock::timestamp()), cause: Some(cause.to_owned()), ..entry(node, epoch) }
}

/// A candidate as the supervisor sees it.
struct Node {
    name: String,
    handle: Handle,
    /// Facts that were skipped while another was waited for.
    past: Vec<Fact>,
}

struct Claimed {
    sent: Moment,
    testament: Testament,
}

impl Node {
    fn new(settings: Settings) -> Self {
        Self { name: settings.node.clone(), handle: zookeeper::start(settings), past: Vec::new() }
    }

    fn start(server: &Server, cluster: &str, node: &str) -> Self {
        Self::new(settings(&server.address(), cluster, node))
    }

    fn order(&self, order: Order) {
        self.handle.orders.send(order).unwrap();
    }

    async fn fact<T>(&mut self, what: &str, mut wanted: impl FnMut(&Fact) -> Option<T>) -> T {
        let found = timeout(LIMIT, async {
            loop {
                let fact = self.handle.facts.recv().await.unwrap_or_else(|| panic!("ended before {what}"));
                let found = wanted(&fact);
                self.past.push(fact);
                if let Some(found) = found {
                    return found;
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("{} waited in vain for {what}, and saw {:#?}", self.name, self.past),
        }
    }

    async fn until(&mut self, fact: Fact) {
        self.fact(&format!("{fact:?}"), |seen| (*seen == fact).then_some(())).await;
    }

    async fn connected(&mut self) -> String {
        self.fact("Connected", |fact| match fact {
            Fact::Connected { session, .. } => session.clone(),
            _ => None,
        })
        .await
    }

    async fn disconnected(&mut self) -> String {
        self.fact("Disconnected", |fact| match fact {
            Fact::Disconnected { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    async fn elected(&mut self) -> Vacancy {
        self.fact("Elected", |fact| match fact {
            Fact::Elected(vacancy) => Some((**vacancy).clone()),
            _ => None,
        })
        .await
    }

    async fn lost(&mut self) -> Loss {
        self.fact("Lost", |fact| match fact {
            Fact::Lost(loss) => Some(loss.clone()),
            _ => None,
        })
        .await
    }

    async fn renewed(&mut self) -> Moment {
        self.fact("Renewed", |fact| match fact {
            Fact::Renewed { sent, .. } => Some(*sent),
            _ => None,
        })
        .await
    }

    async fn refused(&mut self) -> String {
        self.fact("ClaimRefused", |fact| match fact {
            Fact::ClaimRefused { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The cluster as it is, or as it becomes.
    async fn view(&mut self, what: &str, wanted: impl Fn(&ClusterView) -> bool) -> ClusterView {
        let latest = self.past.iter().rev().find_map(|fact| match fact {
            Fact::Cluster(view) => Some(view),
            _ => None,
        });
        if let Some(view) = latest.filter(|view| wanted(view)) {
            return (**view).clone();
        }
        self.fact(what, |fact| match fact {
            Fact::Cluster(view) if wanted(view) => Some((**view).clone()),
            _ => None,
        })
        .await
    }

    async fn history(&mut self, what: &str, wanted: impl Fn(&[HistoryEntry]) -> bool) -> Vec<HistoryEntry> {
        self.fact(what, |fact| match fact {
            Fact::History(history) if wanted(history) => Some(history.clone()),
            _ => None,
        })
        .await
    }

    fn claim(&self, epoch: u64) {
        self.order(Order::Claim {
            breadcrumb: breadcrumb(&self.name, epoch),
            volume: "volume-1".to_owned(),
            entry: entry(&self.name, epoch),
            former_ended: None,
        });
    }

    async fn claimed(&mut self, epoch: u64) -> Claimed {
        self.fact("Claimed", |fact| match fact {
            Fact::Claimed { epoch: taken, sent, testament: Some(testament) } if *taken == epoch => {
                Some(Claimed { sent: *sent, testament: (**testament).clone() })
            }
            _ => None,
        })
        .await
    }

    /// Stands, is elected and takes the next epoch.
    async fn lead(&mut self) -> (u64, Claimed) {
        self.order(Order::Stand);
        let epoch = self.elected().await.epoch + 1;
        self.claim(epoch);
        (epoch, self.claimed(epoch).await)
    }

    async fn resign(&mut self, epoch: u64, cause: &str) {
        self.order(Order::Resign { clean: true, ended: Some(ended(&self.name, epoch, cause)) });
        self.until(Fact::Resigned).await;
    }

    /// Ends the task and waits until its session is closed.
    async fn close(mut self) {
        self.order(Order::Close);
        self.until(Fact::Resigned).await;
        while timeout(LIMIT, self.handle.facts.recv()).await.unwrap().is_some() {}
    }

    fn lost_anything(&mut self) -> bool {
        while let Ok(fact) = self.handle.facts.try_recv() {
            self.past.push(fact);
        }
        self.past.iter().any(|fact| matches!(fact, Fact::Lost(_)))
    }
}

async fn client(server: &Server) -> Client {
    Client::connector().with_session_timeout(Duration::from_secs(10)).connect(&server.address()).await.unwrap()
}

fn paths(cluster: &str) -> Paths {
    Paths::new(ROOT, cluster)
}

async fn queue(client: &Client, paths: &Paths) -> Vec<String> {
    client.list_children(&paths.election).await.unwrap()
}

async fn read<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> T {
    serde_json::from_slice(&client.get_data(path).await.unwrap().0).unwrap()
}

/// Waits until a condition about the server holds that no event tells of.
async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let attempts = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(LIMIT, attempts).await.is_ok(), "in vain: {what}");
}

fn delete_tree<'a>(client: &'a Client, path: &'a str) -> futures::future::BoxFuture<'a, ()> {
    Box::pin(async move {
        // Nodes come and go while this runs.
        loop {
            for child in client.list_children(path).await.unwrap_or_default() {
                delete_tree(client, &format!("{path}/{child}")).await;
            }
            match client.delete(path, None).await {
                Err(Error::NotEmpty) => {}
                _ => return,
            }
        }
    })
}

#[tokio::test]
async fn the_first_is_elected_and_the_second_after_the_first_has_resigned() {
    let (server, cluster) = (Server::shared(), cluster());
    let paths = paths(&cluster);
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    a.order(Order::Stand);
    let vacancy = a.elected().await;
    assert_eq!(vacancy, Vacancy::default());
    let before = clock::now();
    a.claim(1);
    let claimed = a.claimed(1).await;
    assert!(before <= claimed.sent && claimed.sent <= clock::now());

    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    assert!(a.renewed().await > claimed.sent);
    a.resign(1, "switchover").await;

    let vacancy = b.elected().await;
    assert_eq!((vacancy.epoch, vacancy.volume.as_deref()), (1, Some("volume-1")));
    let former = vacancy.former.unwrap();
    assert_eq!((former.node.as_str(), former.clean, former.cause.as_deref()), ("a", true, Some("switchover")));
    b.claim(vacancy.epoch + 1);
    b.claimed(2).await;

    let client = client(server).await;
    assert_eq!(client.get_data(&paths.epoch).await.unwrap().0, b"2");
    assert_eq!(read::<HistoryEntry>(&client, &paths.history_of(1)).await.cause.as_deref(), Some("switchover"));
    assert_eq!(read::<HistoryEntry>(&client, &paths.history_of(2)).await.cause, None);
    assert_eq!(read::<Breadcrumb>(&client, &paths.active).await.node, "b");
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn queue_nodes_are_what_curators_leader_latch_expects() {
    let (server, cluster) = (Server::shared(), cluster());
    let mut node = Node::start(server, &cluster, "node-a");
    node.order(Order::Stand);
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
async fn a_node_that_is_cut_off_is_succeeded_and_told_that_its_session_expired() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    let mut b = Node::start(server, &cluster, "b");
    a.lead().await;
    a.renewed().await;
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    proxy.freeze();
    let former = b.elected().await.former.unwrap();
    assert_eq!((former.node.as_str(), former.clean), ("a", false));
    b.order(Order::Claim {
        breadcrumb: breadcrumb("b", 2),
        volume: "volume-1".to_owned(),
        entry: entry("b", 2),
        former_ended: Some(ended("a", 1, "host_lost")),
    });
    b.claimed(2).await;
    b.history("the former's end", |history| history.len() == 2 && history[1].cause.as_deref() == Some("host_lost"))
        .await;
    a.disconnected().await;
    proxy.heal();
    assert_eq!(a.lost().await, Loss::SessionExpired);
    b.renewed().await;
    b.close().await;
    a.close().await;
}

#[tokio::test]
async fn a_claim_after_the_epoch_has_moved_is_refused_and_a_second_look_helps() {
    let (server, cluster) = (Server::shared(), cluster());
    let (mut a, paths) = (Node::start(server, &cluster, "a"), paths(&cluster));
    let (epoch, _) = a.lead().await;
    a.resign(epoch, "stopped").await;
    a.order(Order::Stand);
    assert_eq!(a.elected().await.epoch, 1);
    let client = client(server).await;
    client.set_data(&paths.epoch, b"7", None).await.unwrap();
    a.claim(2);
    a.refused().await;
    assert_eq!(client.get_data(&paths.epoch).await.unwrap().0, b"7");
    assert!(read::<Breadcrumb>(&client, &paths.active).await.clean, "a refused claim leaves no breadcrumb");
    a.order(Order::Stand);
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
    a.order(Order::Stand);
    assert_eq!(a.elected().await.epoch, 0);
    let name = queue(&client, &paths).await.remove(0);
    let mut b = Node::start(server, &cluster, "b");
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    proxy.freeze();
    a.claim(1);
    client.delete(&paths.queue_node(&name), None).await.unwrap();
    assert_eq!(b.elected().await.epoch, 0, "both have seen the same vacancy");
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
    client.delete(&claimed.testament.election_node, None).await.unwrap();
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    a.resign(epoch, "election_node_deleted").await;
    assert!(read::<Breadcrumb>(&client, &paths.active).await.clean);
    let entry: HistoryEntry = read(&client, &paths.history_of(epoch)).await;
    assert_eq!(entry.cause.as_deref(), Some("election_node_deleted"));
    a.close().await;
}

#[tokio::test]
async fn an_election_node_deleted_by_hand_is_a_loss_for_leader_and_standby() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    let (epoch, claimed) = a.lead().await;
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    let name = queue(&client, &paths).await.into_iter().max_by_key(|name| name[name.len() - 10..].to_owned()).unwrap();
    client.delete(&paths.queue_node(&name), None).await.unwrap();
    assert_eq!(b.lost().await, Loss::NodeDeleted);
    b.order(Order::Stand);
    b.until(Fact::Standing).await;

    client.delete(&claimed.testament.election_node, None).await.unwrap();
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    assert_eq!(b.elected().await.former.map(|former| (former.node, former.clean)), Some(("a".to_owned(), false)));
    a.order(Order::Resign { clean: true, ended: Some(ended("a", epoch, "election_node_deleted")) });
    a.until(Fact::Resigned).await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_cluster_path_deleted_by_hand_is_a_loss_and_is_made_again() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.order(Order::Publish(Box::new(member("a"))));
    a.lead().await;
    delete_tree(&client, &paths.cluster).await;
    assert!(matches!(a.lost().await, Loss::NodeDeleted | Loss::Overtaken));
    a.order(Order::Resign { clean: true, ended: None });
    a.until(Fact::Resigned).await;
    a.order(Order::Stand);
    assert_eq!(a.elected().await, Vacancy::default());
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
    a.order(Order::Resign { clean: true, ended: None });
    a.until(Fact::Resigned).await;
    assert_eq!(queue(&client, &paths).await.len(), 0);
    assert!(!read::<Breadcrumb>(&client, &paths.active).await.clean);
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
    a.order(Order::Stand);
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
    unknown.order(Order::Resign { clean: true, ended: None });
    unknown.until(Fact::Resigned).await;
    unknown.close().await;
}

#[tokio::test]
async fn a_candidate_started_before_zookeeper_is_elected_once_it_serves() {
    let mut server = Server::prepare();
    let mut a = Node::start(&server, &cluster(), "a");
    a.order(Order::Stand);
    a.disconnected().await;
    server.launch();
    a.elected().await;
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
    a.order(Order::Stand);
    assert_eq!(a.elected().await, Vacancy::default());
    a.claim(8);
    a.claimed(8).await;
    a.renewed().await;
    a.close().await;
}

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
    a.order(Order::Publish(Box::new(member("a"))));
    let (_, claimed) = a.lead().await;
    let stranger = client(server).await;
    for path in [
        &claimed.testament.election_node,
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
    assert_eq!(stranger.delete(&claimed.testament.election_node, None).await, Err(Error::NoAuth));
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
    a.order(Order::Publish(Box::new(member("a"))));
    a.order(Order::Stand);
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
    a.order(Order::Publish(Box::new(member("a"))));
    a.order(Order::Stand);
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
    a.order(Order::Publish(Box::new(member("a"))));
    a.fact("DuplicateName", |fact| matches!(fact, Fact::DuplicateName { .. }).then_some(())).await;
    a.close().await;
}

#[tokio::test]
async fn fifty_candidacies_leave_neither_nodes_nor_sessions() {
    let (server, cluster) = (Server::start(), cluster());
    let (client, paths) = (client(&server).await, paths(&cluster));
    let mut a = Node::start(&server, &cluster, "a");
    a.order(Order::Publish(Box::new(member("a"))));
    for _ in 0..50 {
        let (epoch, _) = a.lead().await;
        a.resign(epoch, "stopped").await;
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
async fn only_the_last_hundred_leaderships_are_remembered() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(&paths.history, &options).await.unwrap();
    for epoch in 1..=120 {
        let json = serde_json::to_vec(&ended("b", epoch, "stopped")).unwrap();
        client.create(&paths.history_of(epoch), &json, &options).await.unwrap();
    }
    let mut a = Node::start(server, &cluster, "a");
    a.order(Order::Stand);
    a.elected().await;
    a.claim(121);
    let history = a.history("a hundred", |history| history.len() == 100).await;
    assert_eq!((history[0].epoch, history[99].epoch), (121, 22));
    a.order(Order::Amend(Box::new(HistoryEntry { gap_ms: Some(12), ..entry("a", 121) })));
    a.history("the gap", |history| history[0].gap_ms == Some(12)).await;
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
    a.order(Order::Close);
    drop(a);
}

#[tokio::test]
async fn nobody_is_elected_during_a_pause() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(&paths.cluster, &options).await.unwrap();
    client.create(&paths.control, br#"{"paused":true}"#, &options).await.unwrap();
    let mut a = Node::start(server, &cluster, "a");
    a.order(Order::Stand);
    a.view("the pause", |view| view.paused).await;
    // A second look at whatever it did not do: it stands, and it would have been elected long before this.
    eventually("a stands", || async { queue(&client, &paths).await.len() == 1 }).await;
    a.order(Order::Publish(Box::new(member("a"))));
    a.view("itself", |view| view.members.len() == 1).await;
    assert!(!a.past.iter().any(|fact| matches!(fact, Fact::Elected(_))));
    client.set_data(&paths.control, br#"{"paused":false,"switchover":{"to":"b"}}"#, None).await.unwrap();
    a.elected().await;
    let control = client.set_data(&paths.control, br#"{"switchover":{"to":"c"}}"#, None);
    control.await.unwrap();
    a.view("the switchover", |view| !view.paused && view.switchover == Some(serde_json::json!({"to": "c"}))).await;
    a.close().await;
}

#[tokio::test]
async fn yielding_goes_to_the_back_of_the_queue_and_names_the_rivals_before() {
    let (server, cluster) = (Server::shared(), cluster());
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    for (node, priority) in [(&mut a, 1), (&mut b, 200)] {
        node.order(Order::Publish(Box::new(Member { priority, ..member(&node.name) })));
    }
    a.order(Order::Stand);
    a.elected().await;
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    a.view("both members", |view| view.members.len() == 2).await;
    a.order(Order::Stand);
    let rivals = a.elected().await.rivals;
    assert_eq!(rivals.iter().map(|rival| (rival.node.as_str(), rival.priority)).collect::<Vec<_>>(), [("b", 200)]);
    a.order(Order::Yield);
    a.until(Fact::Standing).await;
    b.elected().await;
    b.order(Order::Yield);
    a.elected().await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn an_active_node_is_announced_as_curator_expects_and_withdrawn() {
    let (server, cluster) = (Server::shared(), cluster());
    let (client, paths) = (client(server).await, paths(&cluster));
    let mut a = Node::start(server, &cluster, "a");
    a.order(Order::Publish(Box::new(member("a"))));
    let (epoch, claimed) = a.lead().await;
    a.order(Order::Publish(Box::new(Member { role: RoleWord::Active, ..member("a") })));
    let view = a.view("itself as active", |view| view.active.is_some()).await;
    assert_eq!((view.epoch, view.active.unwrap().node.as_str()), (Some(1), "a"));
    a.order(Order::Announce(Some(Box::new(breadcrumb("a", epoch)))));
    let path = paths.service("a");
    eventually("announced", || async { client.check_stat(&path).await.unwrap().is_some() }).await;
    let instance: serde_json::Value = read(&client, &path).await;
    assert_eq!(
        (&instance["name"], &instance["id"], &instance["address"], &instance["port"], &instance["serviceType"]),
        (&"coordinator".into(), &"a".into(), &"web-host".into(), &9047.into(), &"DYNAMIC".into())
    );
    assert_eq!(instance["payload"]["epoch"], 1);
    assert!(claimed.testament.also_delete.contains(&path));
    a.order(Order::Announce(None));
    eventually("withdrawn", || async { client.check_stat(&path).await.unwrap().is_none() }).await;
    a.close().await;
}

#[tokio::test]
async fn a_testament_lets_the_next_one_in_and_marks_the_end_as_clean() {
    let (server, cluster) = (Server::shared(), cluster());
    let client = client(server).await;
    let (mut a, mut b) = (Node::start(server, &cluster, "a"), Node::start(server, &cluster, "b"));
    let (_, claimed) = a.lead().await;
    a.renewed().await;
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    // What the guardian does once the tree is dead and the lock closed.
    let (path, version, json) = claimed.testament.breadcrumb.unwrap();
    client.set_data(&path, json.as_bytes(), Some(version)).await.unwrap();
    client.delete(&claimed.testament.election_node, None).await.unwrap();
    let former = b.elected().await.former.unwrap();
    assert_eq!((former.clean, former.cause.as_deref()), (true, Some("supervisor_lost")));
    assert_eq!(a.lost().await, Loss::NodeDeleted);
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_resignation_without_contact_is_answered_all_the_same() {
    let (server, cluster) = (Server::shared(), cluster());
    let proxy = Proxy::start(server.address()).await;
    let mut a = Node::new(settings(&proxy.address(), &cluster, "a"));
    let (epoch, _) = a.lead().await;
    proxy.cut();
    a.disconnected().await;
    a.resign(epoch, "stopped").await;
    proxy.heal();
    a.order(Order::Stand);
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

#[tokio::test]
async fn zookeeper_is_spoken_to_through_tls_and_a_stranger_in_its_place_is_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let ca = certificate(directory.path());
    let server = Server::start_tls(&directory.path().join("server.pem"), &directory.path().join("ca.pem"));
    let mut settings = settings(&format!("localhost:{}", server.port), &cluster(), "a");
    settings.access.tls = Some(TlsMaterial { ca: Some(ca), cert: None, key: None });
    let mut a = Node::new(settings.clone());
    a.lead().await;
    a.renewed().await;
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
async fn with_the_lock_alone_everybody_is_elected_and_nothing_is_renewed() {
    let settings = lock::Settings { cluster: "c".to_owned(), timeout: Duration::from_secs(5) };
    let mut a = Node { name: "a".to_owned(), handle: lock::start(settings), past: Vec::new() };
    a.order(Order::Publish(Box::new(member("a"))));
    a.order(Order::Stand);
    assert_eq!(a.elected().await, Vacancy::default());
    a.claim(3);
    a.fact("Claimed", |fact| matches!(fact, Fact::Claimed { epoch: 3, testament: None, .. }).then_some(())).await;
    a.view("itself", |view| view.members.len() == 1 && view.epoch == Some(3)).await;
    a.resign(3, "stopped").await;
    a.history_contains("stopped");
    assert!(!a.past.iter().any(|fact| matches!(fact, Fact::Renewed { .. })));
    a.close().await;
}

impl Node {
    fn history_contains(&self, cause: &str) {
        let known = self.past.iter().any(|fact| match fact {
            Fact::History(history) => history.iter().any(|entry| entry.cause.as_deref() == Some(cause)),
            _ => false,
        });
        assert!(known, "{:#?}", self.past);
    }
}

/// Not a test: prints latencies and the idle load. `cargo test --test it -- --ignored --nocapture measure`
#[tokio::test]
#[ignore = "measures"]
async fn measure() {
    let (server, cluster) = (Server::start(), cluster());
    let client = client(&server).await;
    let (mut deletions, mut elections, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    let mut nodes = [Node::start(&server, &cluster, "a"), Node::start(&server, &cluster, "b")];
    for node in &nodes {
        node.order(Order::Publish(Box::new(member(&node.name))));
    }
    let (mut epoch, mut claimed) = nodes[0].lead().await;
    for round in 0..50 {
        let (first, second) = nodes.split_at_mut(1);
        let (old, new) = if round % 2 == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        new.order(Order::Stand);
        new.until(Fact::Standing).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let deleted = clock::now();
        client.delete(&claimed.testament.election_node, None).await.unwrap();
        deletions.push(clock::now().since(deleted));
        epoch = new.elected().await.epoch.max(epoch) + 1;
        let elected = clock::now();
        new.claim(epoch);
        claimed = new.claimed(epoch).await;
        claims.push(clock::now().since(elected));
        elections.push(elected.since(deleted));
        old.lost().await;
        old.order(Order::Resign { clean: false, ended: None });
        old.until(Fact::Resigned).await;
    }
    deletions.sort();
    elections.sort();
    claims.sort();
    println!("delete, acknowledged: median {:?}, max {:?}", deletions[25], deletions[49]);
    println!("delete → Elected: median {:?}, max {:?}", elections[25], elections[49]);
    println!("Elected → Claimed: median {:?}, max {:?}", claims[25], claims[49]);
    let [a, b] = nodes;
    a.close().await;
    b.close().await;

    let at = |node: &str| {
        let mut settings = settings(&server.address(), &cluster, node);
        settings.access.session_timeout = Duration::from_secs(10);
        settings.heartbeat_interval = Duration::from_secs(1);
        Node::new(settings)
    };
    let (mut a, mut b) = (at("a"), at("b"));
    a.order(Order::Publish(Box::new(member("a"))));
    b.order(Order::Publish(Box::new(member("b"))));
    a.lead().await;
    b.order(Order::Stand);
    b.until(Fact::Standing).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let received = || -> u64 {
        let text = server.command("mntr").unwrap();
        let line = text.lines().find(|line| line.starts_with("zk_packets_received")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = received();
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Each four-letter command counts as one.
    println!("requests a minute, active and standby together: {}", (received() - before - 1) * 2);
    a.close().await;
    b.close().await;
}
