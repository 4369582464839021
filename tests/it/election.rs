//! The ZooKeeper backend against real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use crate::proxy::Proxy;
use crate::zookeeper::{Server, TICK, ensemble, free_port};
use nix::sys::signal::Signal;
use primacy::clock;
use primacy::election::zookeeper::{self, Paths, Settings};
use primacy::election::{ElectionOrder, ElectionOutcome, Fact, Handle, Loss, lock};
use primacy::guardian::protocol::{LastWill, TlsMaterial, ZooKeeperAccess};
use primacy::host::ProcessIdentity;
use primacy::moment::Moment;
use primacy::status::{
    Breadcrumb, ClusterView, End, EndCause, HistoryEntry, Member, MemberRow, NodeState, Role, StatusWord,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, Error};

mod addresses;
mod contact;
mod grants;
mod loss;
mod names;
mod protection;
mod queue;

/// How long any single event may take on a busy host before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

const SESSION: Duration = Duration::from_secs(4);

const HEARTBEAT: Duration = Duration::from_millis(100);

/// Leaves a lease of two seconds.
const MARGIN: Duration = Duration::from_millis(1_650);

const ROOT: &str = "/primacy-test";

/// A cluster's name of its own, so that tests can share a server.
fn cluster() -> String {
    format!("c{}", Uuid::new_v4().simple())
}

fn identity() -> ProcessIdentity {
    ProcessIdentity {
        host_id: "host".into(),
        boot_id: "boot".into(),
        pid: 1,
        pid_started: 1,
        pid_namespace: None,
        host: None,
    }
}

fn settings(servers: &str, cluster: &str, node: &str) -> Settings {
    Settings {
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        root: ROOT.to_owned(),
        access: ZooKeeperAccess {
            servers: servers.to_owned(),
            session_timeout: SESSION,
            digest: None,
            tls: None,
            addresses: BTreeMap::new(),
        },
        heartbeat_interval: HEARTBEAT,
        tick_time: Duration::from_millis(TICK),
        always_on: false,
        margin: MARGIN,
        process: identity(),
    }
}

fn member(node: &str) -> Member {
    let row = MemberRow {
        node: node.to_owned(),
        role: Role::Standby,
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
        always_on: false,
        reason: String::new(),
    };
    Member { format: 1, row, process: Some(identity()), session_timeout_ms: None, election_node: None, ready_for: None }
}

/// What it tells the others once this has changed.
fn telling(node: &str, change: impl FnOnce(&mut MemberRow)) -> Box<Member> {
    let mut member = member(node);
    change(&mut member.row);
    Box::new(member)
}

fn breadcrumb(node: &str, epoch: u64) -> Breadcrumb {
    Breadcrumb {
        election_node: None,
        node: node.to_owned(),
        epoch,
        api: format!("http://{node}:9090"),
        endpoints: [("web".to_owned(), "http://web-host:9047".to_owned())].into(),
        since: clock::timestamp(),
        clean: false,
        host: None,
        cause: None,
        to: None,
    }
}

fn entry(node: &str, epoch: u64) -> HistoryEntry {
    HistoryEntry::begun(epoch, node.to_owned(), clock::timestamp())
}

fn ended(node: &str, epoch: u64, cause: EndCause) -> HistoryEntry {
    HistoryEntry { to: Some(clock::timestamp()), cause: Some(cause), ..entry(node, epoch) }
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
    last_will: LastWill,
}

impl Node {
    fn new(settings: Settings) -> Self {
        Self { name: settings.node.clone(), handle: zookeeper::start(settings), past: Vec::new() }
    }

    fn start(server: &Server, cluster: &str, node: &str) -> Self {
        Self::new(settings(&server.address(), cluster, node))
    }

    fn order(&self, order: ElectionOrder) {
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

    async fn elected(&mut self) -> ElectionOutcome {
        self.fact("Elected", |fact| match fact {
            Fact::Elected(outcome) => Some((**outcome).clone()),
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

    /// Waits for the acknowledgement of a heartbeat that is sent from now on.
    async fn renewed_again(&mut self) {
        let now = clock::now();
        while self.renewed().await < now {}
    }

    async fn refused(&mut self) -> String {
        self.fact("ClaimRefused", |fact| match fact {
            Fact::ClaimRefused { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The cluster as it is, or as it becomes.
    async fn view(&mut self, what: &str, wanted: impl Fn(&ClusterView<Member>) -> bool) -> ClusterView<Member> {
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
        self.order(ElectionOrder::Claim {
            breadcrumb: breadcrumb(&self.name, epoch),
            volume: "volume-1".to_owned(),
            entry: entry(&self.name, epoch),
            predecessor_ended: None,
        });
    }

    async fn claimed(&mut self, epoch: u64) -> Claimed {
        self.fact("Claimed", |fact| match fact {
            Fact::Claimed { epoch: taken, counts_from: sent, last_will: Some(last_will) } if *taken == epoch => {
                Some(Claimed { sent: *sent, last_will: (**last_will).clone() })
            }
            _ => None,
        })
        .await
    }

    /// Stands, is elected and takes the next epoch.
    async fn lead(&mut self) -> (u64, Claimed) {
        self.order(ElectionOrder::Stand);
        let epoch = self.elected().await.epoch + 1;
        self.claim(epoch);
        (epoch, self.claimed(epoch).await)
    }

    async fn resign(&mut self, epoch: u64, cause: impl Into<EndCause>) {
        self.order(ElectionOrder::Resign { clean: true, ended: Some(ended(&self.name, epoch, cause.into())) });
        self.until(Fact::Resigned).await;
    }

    /// Ends the task and waits until its session is closed.
    async fn close(mut self) {
        self.order(ElectionOrder::Close);
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

impl Node {
    fn history_contains(&self, cause: &EndCause) {
        let known = self.past.iter().any(|fact| match fact {
            Fact::History(history) => history.iter().any(|entry| entry.cause.as_ref() == Some(cause)),
            _ => false,
        });
        assert!(known, "{:#?}", self.past);
    }
}

/// Not a test: prints latencies and the idle load. `cargo test --features measurements --test it -- --nocapture measure`
#[cfg(feature = "measurements")]
#[tokio::test]
async fn measure() {
    let (server, cluster) = (Server::start(), cluster());
    let client = client(&server).await;
    let (mut deletions, mut elections, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    let mut nodes = [Node::start(&server, &cluster, "a"), Node::start(&server, &cluster, "b")];
    for node in &nodes {
        node.order(ElectionOrder::Publish(Box::new(member(&node.name))));
    }
    let (mut epoch, mut claimed) = nodes[0].lead().await;
    for round in 0..50 {
        let (first, second) = nodes.split_at_mut(1);
        let (old, new) = if round % 2 == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        new.order(ElectionOrder::Stand);
        new.until(Fact::Standing).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let deleted = clock::now();
        client.delete(&claimed.last_will.election_node, None).await.unwrap();
        deletions.push(clock::now().since(deleted));
        epoch = new.elected().await.epoch.max(epoch) + 1;
        let elected = clock::now();
        new.claim(epoch);
        claimed = new.claimed(epoch).await;
        claims.push(clock::now().since(elected));
        elections.push(elected.since(deleted));
        old.lost().await;
        old.order(ElectionOrder::Resign { clean: false, ended: None });
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
    a.order(ElectionOrder::Publish(Box::new(member("a"))));
    b.order(ElectionOrder::Publish(Box::new(member("b"))));
    a.lead().await;
    b.order(ElectionOrder::Stand);
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
