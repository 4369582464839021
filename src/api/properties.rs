//! What must hold of the API, whatever it is asked: no panic, answers of the known shape, and a standby that nothing makes
//! say "I lead", not even a cluster view in which somebody names it as the active one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::body::Body;
use axum::http::{Method, Request, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::changing::Steering;
use super::changing::who::Peer;
use super::{Shared, Tokens, server};
use crate::config::Secret;
use crate::status::{
    ActiveView, ClusterView, CoordinatorView, LeaseView, LockView, MetricsView, NodeState, Role, ServerStatus,
    Snapshot, StatusWord, UpgradeView, ZooKeeperView,
};

/// What may be read only with it.
const TOKEN: &str = "the-read-token";

/// Paths whose 200 means "I lead".
const LEADERS: [&str; 6] =
    ["/server_status", "/apiv2/server_status", "/primary", "/leader", "/read-write", "/api/leader-check"];

/// Paths that need the token.
const PROTECTED: [&str; 11] = [
    "/cluster",
    "/history",
    "/events",
    "/verdict",
    "/report",
    "/config",
    "/metrics",
    "/openapi.json",
    "/v1/info/state",
    "/v1/info",
    "/v1/status",
];

/// One request from text: `METHOD TARGET`, lines of headers, an empty line, the body.
pub fn request(data: &[u8]) {
    // What hyper would have refused does not get so far.
    let Some(request) = parse(data) else { return };
    let (path, head) = (request.uri().path().to_owned(), request.method() == Method::HEAD);
    let query = request.uri().query().unwrap_or_default();
    // Whoever chooses the code of a node that does not lead gets what was asked for.
    let chosen = query.contains("standby=") || query.contains("out=");
    let authorized = request.headers().get(header::AUTHORIZATION).is_some_and(|value| {
        let value = value.as_bytes().trim_ascii_end();
        value.len() > TOKEN.len() && value.ends_with(TOKEN.as_bytes())
    });
    let service = TowerToHyperService::new(server::router(Arc::new(standby())));
    let (head_of_answer, body) = block_on(async {
        let Ok(response) = service.call(request).await;
        let (parts, body) = response.into_parts();
        // These go on and on.
        let body = if parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            Body::empty()
        } else {
            body
        };
        (parts, axum::body::to_bytes(body, usize::MAX).await.expect("a body from memory"))
    });
    let status = head_of_answer.status;
    assert_eq!(head_of_answer.headers[header::CACHE_CONTROL], "no-store");
    if LEADERS.contains(&path.as_str()) && !chosen {
        assert!(!status.is_success(), "{path} says that a standby leads: {status}");
    }
    if PROTECTED.contains(&path.as_str()) && !authorized {
        assert!(!status.is_success(), "{path} is shown to everybody: {status}");
    }
    let json = head_of_answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if json && !head {
        let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON where JSON is said");
        if let Some(active) = value.get("active") {
            assert!(active.is_null(), "{path} names {active} as the active one");
        }
    }
}

/// Any bytes as what a client sends before it hangs up.
pub fn connection(data: &[u8]) {
    let app = server::router(Arc::new(standby()));
    // Almost as old as connections get: a stream of events ends soon.
    let began = crate::clock::now() - Duration::from_secs(299);
    let seat = super::events::Connection { began, place: None };
    let answer = block_on(async {
        let (mut client, server) = tokio::io::duplex(data.len().max(1));
        let said = async {
            // The server may hang up before it has taken everything.
            let _ = client.write_all(data).await;
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        tokio::join!(said, server::talk(server, Peer(None), seat, Duration::from_secs(10), app, std::future::pending()))
            .0
    });
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
}

fn parse(data: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..at], line[at + 1..].trim_ascii());
    }
    request.body(Body::from(body.to_vec())).ok()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// node-b, out of contact, in a cluster where somebody says that node-b is the active one.
fn standby() -> Shared {
    let active = ActiveView { node: "node-b".into(), api: "http://x".into(), epoch: 7, endpoints: BTreeMap::new() };
    let snapshot = Snapshot {
        server: ServerStatus {
            status: StatusWord::Disconnected,
            role: Role::Standby,
            state: NodeState::Active,
            cluster: "c".into(),
            node: "node-b".into(),
            version: "0".into(),
            epoch: Some(7),
            since: String::new(),
            reason: String::new(),
            active: Some(active.clone()),
            coordinator: CoordinatorView::default(),
            zookeeper: ZooKeeperView::default(),
            lease: LeaseView::default(),
            lock: LockView::default(),
            watchdog: Default::default(),
            warm: None,
            paused: false,
            switchover: None,
        },
        always_on: false,
        taken: crate::clock::now(),
        last_heartbeat: None,
        lease_until: None,
        cluster: ClusterView { active: Some(active), ..ClusterView::default() },
        history: Vec::new(),
        eligible: false,
        in_contact: false,
        config: Arc::new(serde_json::json!({"cluster": "c"})),
        reloaded: None,
        upgrade: UpgradeView::default(),
        metrics: MetricsView::default(),
    };
    Shared {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        heartbeat: Arc::new(AtomicU64::new(crate::clock::now().as_nanos())),
        advertise: "http://node-b:9090".into(),
        environment: "testing".into(),
        tokens: ArcSwap::from_pointee(Tokens { full: None, read: Some(Secret::new(TOKEN)) }),
        tls: ArcSwapOption::empty(),
        tls_changes: tokio::sync::watch::Sender::new(0),
        started: crate::clock::now(),
        sampler: std::sync::Mutex::default(),
        timeline: super::timeline::Reader::new(None),
        steering: Steering::none(),
        under_way: super::changing::UnderWay::default(),
        events: super::events::Events::default(),
        reloads: AtomicU64::new(0),
        upgrades: AtomicU64::new(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(&LEADERS[..]).prop_map(str::to_owned),
            prop::sample::select(&PROTECTED[..]).prop_map(str::to_owned),
            "/api/leader-check/[0-9+-]{0,5}",
            "/[a-z/%0-9.?=-]{0,15}",
        ]
    }

    fn headers() -> impl Strategy<Value = String> {
        prop_oneof![
            "(Accept|accept): (text/plain|application/json|\\*/\\*)(;q=[0-9.a-zA-Z-]{0,5})?(,text/plain;q=[0-9.]{0,4})?",
            "Authorization: (Bearer|bearer|Basic) {0,3}(the-read-token|[a-z -]{0,16})",
            "Content-Length: [0-9-]{0,22}",
            "[a-zA-Z-]{1,12}: \\PC{0,20}",
        ]
    }

    proptest! {
        #[test]
        fn no_request_makes_a_standby_say_that_it_leads(
            method in "GET|HEAD|OPTIONS|POST|PUT|DELETE|[A-Z]{1,5}",
            path in paths(),
            lines in prop::collection::vec(headers(), 0..4),
            body in "\\PC{0,20}",
        ) {
            request(format!("{method} {path}\n{}\n\n{body}", lines.join("\n")).replace("\n\n\n", "\n\n").as_bytes());
        }

        #[test]
        fn any_bytes_on_a_connection_get_http_or_nothing(
            data in prop::collection::vec(any::<u8>(), 0..100),
            path in paths(),
            line in headers(),
        ) {
            connection(&data);
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
            connection(&[request.as_bytes(), &data].concat());
        }
    }

    #[test]
    fn the_token_opens_what_is_protected() {
        assert!(parse(b"GET /cluster\nAuthorization: Bearer the-read-token").is_some());
        request(b"GET /cluster\nAuthorization: Bearer the-read-token");
        request(b"GET /cluster");
    }
}
