//! The HTTP API on real sockets, and the client on top of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use primacy::api::timeline::Reader;
use primacy::api::{ApiThread, Settings, Tokens};
use primacy::clock;
use primacy::moment::Moment;
use primacy::status::{
    ActiveView, Cause, ClusterView, ContactWord, CoordinatorView, EndCause, HistoryEntry, LeaseView, LockView,
    MemberRow, MemberView, MetricsView, NodeState, PeerResult, Role, ServerStatus, Snapshot, StatusWord,
    WatchdogStatus, ZooKeeperView,
};

mod bodies;
mod client;
mod codes;
mod events;
mod hostile;
mod tls;
mod zookeeper;

/// No answer takes this long unless the server hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A running API with everything that a supervisor would hold of it.
pub struct Fixture {
    pub api: ApiThread,
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub heartbeat: Arc<AtomicU64>,
}

pub struct Answer {
    pub code: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Fixture {
    pub fn new(snapshot: Snapshot) -> Self {
        Self::with(snapshot, |_| ())
    }

    pub fn with(snapshot: Snapshot, adjust: impl FnOnce(&mut Settings)) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), snapshot, adjust)
    }

    pub fn at(listener: TcpListener, snapshot: Snapshot, adjust: impl FnOnce(&mut Settings)) -> Self {
        let heartbeat = Arc::new(AtomicU64::new(clock::now().as_nanos()));
        let mut settings = Settings {
            advertise: "http://node-a:9090".into(),
            environment: "testing".into(),
            tokens: Tokens::default(),
            tls: None,
            heartbeat: heartbeat.clone(),
            timeline: Reader::new(Some(Arc::new(|_, _| Ok(Vec::new())))),
            steering: primacy::api::changing::Steering::none(),
        };
        adjust(&mut settings);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let api = primacy::api::start(listener, settings, snapshot.clone()).unwrap();
        Self { api, snapshot, heartbeat }
    }

    /// The supervisor's loop last turned so long ago.
    pub fn turned(&self, ago: Duration) {
        self.heartbeat.store((clock::now() - ago).as_nanos(), Ordering::Relaxed);
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.api.address())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// `headers`: whole lines.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        self.send(request.as_bytes()).expect("an answer")
    }

    /// Sends and reads until the server closes.
    pub fn send(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        Answer::parse(&received)
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8(bytes.to_vec()).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let code = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Some(Self { code, headers, body: body.to_owned() })
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An active and ready node-a with five minutes of lease.
pub fn active() -> Snapshot {
    let now = clock::now();
    let view = ActiveView {
        node: "node-a".into(),
        api: "http://node-a:9090".into(),
        epoch: 7,
        endpoints: [("web".to_owned(), "http://node-a:9047".to_owned())].into(),
    };
    Snapshot {
        always_on: false,
        server: ServerStatus {
            status: StatusWord::Ok,
            role: Role::Active,
            state: NodeState::Active,
            cluster: "dremio".into(),
            node: "node-a".into(),
            version: "0.1.0".into(),
            epoch: Some(7),
            since: "2026-01-02T03:04:05.678Z".into(),
            reason: "elected after node-b stopped cleanly".into(),
            active: Some(view.clone()),
            coordinator: CoordinatorView {
                pid: Some(std::process::id().cast_signed()),
                started_at: Some("2026-01-02T03:04:00.000Z".into()),
                ready: true,
                restarts: 0,
                holds_lock: Some(true),
            },
            zookeeper: ZooKeeperView {
                state: Some(ContactWord::Connected),
                session: Some("0x1000".into()),
                session_timeout_ms: Some(10_000),
                last_heartbeat_ms: None,
            },
            lease: LeaseView::default(),
            watchdog: WatchdogStatus { mode: "off".into(), ..WatchdogStatus::default() },
            warm: None,
            lock: LockView {
                held: true,
                path: "/mnt/coordinator.lock".into(),
                holder: Some("node-a".into()),
                verified: PeerResult::Verified,
                verified_detail: None,
            },
            paused: false,
            switchover: None,
        },
        taken: now,
        last_heartbeat: Some(now),
        lease_until: Some(now + Duration::from_secs(300)),
        cluster: ClusterView {
            cluster: "dremio".into(),
            epoch: Some(7),
            active: Some(view),
            paused: false,
            switchover: None,
            action: None,
            last_switchover: None,
            members: vec![member("node-a", Role::Active), member("node-b", Role::Standby)],
            absent: Vec::new(),
        },
        history: vec![HistoryEntry {
            epoch: 7,
            node: "node-a".into(),
            from: "2026-01-02T03:04:05.678Z".into(),
            to: None,
            cause: None,
            gap_ms: Some(1_234),
            evidence: None,
            detail: None,
            by: None,
            reason: None,
        }],
        eligible: false,
        in_contact: true,
        config: std::sync::Arc::new(serde_json::json!({"cluster": "dremio", "api": {"listen": "0.0.0.0:9090"}})),
        reloaded: None,
        upgrade: primacy::status::UpgradeView::default(),
        metrics: MetricsView::default(),
    }
}

fn member(node: &str, role: Role) -> MemberView {
    let leads = role == Role::Active;
    let row = MemberRow {
        node: node.into(),
        role,
        state: NodeState::Active,
        status: if leads { StatusWord::Ok } else { StatusWord::Standby },
        epoch: leads.then_some(7),
        since: "2026-01-02T03:04:05.678Z".into(),
        ready: leads,
        api: format!("http://{node}:9090"),
        endpoints: BTreeMap::new(),
        priority: 100,
        tags: BTreeMap::new(),
        eligible: !leads,
        always_on: false,
        reason: "as it should be".into(),
        version: "0.1.0".into(),
    };
    MemberView { row, last_contact_ms: Some(5) }
}

/// node-b, which could take over.
pub fn standby() -> Snapshot {
    let mut snapshot = active();
    snapshot.server.node = "node-b".into();
    snapshot.server.role = Role::Standby;
    snapshot.server.status = StatusWord::Standby;
    snapshot.server.coordinator = CoordinatorView::default();
    snapshot.server.lock.held = false;
    snapshot.lease_until = None;
    snapshot.eligible = true;
    snapshot
}

pub fn standby_out_of_contact() -> Snapshot {
    let mut snapshot = standby();
    snapshot.server.status = StatusWord::Disconnected;
    snapshot.server.zookeeper.state = Some(ContactWord::Disconnected);
    snapshot.in_contact = false;
    snapshot
}

pub fn starting() -> Snapshot {
    let mut snapshot = active();
    snapshot.server.role = Role::Promoting;
    snapshot.server.status = StatusWord::Starting;
    snapshot.server.coordinator.ready = false;
    snapshot.server.active = None;
    snapshot
}

/// The snapshot of an active node that nobody has touched since before its lease ran out.
pub fn expired() -> Snapshot {
    let mut snapshot = active();
    snapshot.taken = snapshot.taken - Duration::from_secs(20);
    snapshot.lease_until = Some(clock::now());
    snapshot
}

pub fn without_lease() -> Snapshot {
    Snapshot { lease_until: None, ..active() }
}

pub fn isolated() -> Snapshot {
    let mut snapshot = standby();
    snapshot.server.state = NodeState::Isolated;
    snapshot.server.status = StatusWord::Isolated;
    snapshot.eligible = false;
    snapshot
}

pub fn isolating() -> Snapshot {
    let mut snapshot = active();
    snapshot.server.state = NodeState::Isolating;
    snapshot.server.status = StatusWord::Isolating;
    snapshot
}

pub fn unready() -> Snapshot {
    let mut snapshot = active();
    snapshot.server.coordinator.ready = false;
    snapshot
}

/// A moment that lies `ago` in the past.
pub fn past(ago: Duration) -> Moment {
    clock::now() - ago
}
