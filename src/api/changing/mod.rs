//! The endpoints that change something: who may, what is asked for, and one line in the log of every one.
//!
//! An order is carried out beside the API's runtime, with a session of its own: health checks never wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::api::{Shared, answer};
use crate::intents::{Asked, Fault, WantedState, Wish};
use crate::status::NodeState;
use crate::steering::Ensemble;
use crate::steering::orders::{Answer, Order, State};

mod upgrading;
pub mod who;

/// Orders that may be carried out at the same time: each opens a session, and one that waits may last.
const AT_ONCE: usize = 16;

/// How long a change of the own state is waited for before it is answered: it is written, and on its way here.
const SEEN: Duration = Duration::from_secs(2);

/// How changes are made.
#[derive(Clone)]
pub struct Steering {
    /// `None` with `election = "lock"`.
    pub ensemble: Option<Arc<Ensemble>>,
    /// Tells this node what is wanted of it, where nothing keeps it.
    pub own: Arc<dyn Fn(Asked) + Send + Sync>,
}

impl Steering {
    /// Nothing can be changed.
    pub fn none() -> Self {
        Self { ensemble: None, own: Arc::new(|_| ()) }
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").field("ensemble", &self.ensemble).finish_non_exhaustive()
    }
}

/// What is under way.
pub struct UnderWay(Arc<Semaphore>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// One row of the table.
pub struct Change {
    pub method: Method,
    pub path: &'static str,
    pub about: &'static str,
    order: fn(&Shared, &Parts, &Bytes) -> Result<Order, Refusal>,
    /// openLooKeng's way to answer.
    plain: bool,
}

type Refusal = Box<Response>;

pub static CHANGES: [Change; 11] = [
    Change {
        method: Method::PUT,
        path: "/v1/info/state",
        about: "openLooKeng's: a bare JSON string, `ACTIVE`, `ISOLATING`, `ISOLATED` or `SHUTTING_DOWN`. 200 and an empty body \
                for an allowed change, or none; 400 and plain text for a forbidden one; 409 for the last node that could lead.",
        order: own_state,
        plain: true,
    },
    Change {
        method: Method::POST,
        path: "/members/{node}/state",
        about: "The same for any member, at any member: `{\"state\":\"ISOLATED\",\"for\":\"2h\",\"now\":false,\"force\":false,\"reason\":\"…\"}`.",
        order: state,
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/switchover",
        about: "A planned hand-over: `{\"to\":NODE|null,\"now\",\"dry_run\",\"expect_epoch\",\"at\",\"reason\"}`. 200 done, with `gap_ms`; 202 accepted \
                (`?wait=false`, or with `at`); 409 one is under way, or another epoch; 412 nobody could, with the reason per candidate.",
        order: |_, _, body| Ok(Order::Switchover(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::DELETE,
        path: "/switchover",
        about: "Calls it off: 404 where none is under way, 409 where it is too late.",
        order: |_, _, body| Ok(Order::CancelSwitchover(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/pause",
        about: "Nobody is promoted until it ends: `{\"for\":\"2h\",\"reason\":\"…\"}`.",
        order: |_, _, body| Ok(Order::Pause(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/resume",
        about: "Ends a pause: `{\"reason\":\"…\"}`.",
        order: |_, _, body| Ok(Order::Resume(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/forget",
        about: "Removes a node that will not come back from the known ones: `{\"node\":\"…\",\"reason\":\"…\"}`. 404 where it is not \
                known; 409 while it is registered, may still lead, or is taken out.",
        order: |_, _, body| Ok(Order::Forget(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/confirm-fenced",
        about: "A person vouches that the former active is off, where the fencing command cannot succeed: `{\"node\":\"…\",\"reason\":\"…\"}`. \
                Counts for its last leadership on its host, and for nothing later. 404 where nobody has led; 409 where it did not lead last, ended in order, or is here.",
        order: |_, _, body| Ok(Order::ConfirmFenced(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/reload",
        about: "The configuration is read again, as at SIGHUP: `{\"changed\",\"applied\":[KEY],\"needs_restart\":[KEY]}`; 400 with the problems of a \
                file that is not valid, and everything stays as it was.",
        order: |_, _, body| Ok(Order::Reload(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/rehearse",
        about: "A fault on purpose, of `primacy rehearse`: `{\"fault\":\"coordinator\"|\"supervisor\"|\"freeze\"}`, at the active node. 403 unless `rehearsal.allowed`, \
                409 where this node is not active.",
        order: |_, _, body| Ok(Order::Rehearse(understood(body)?)),
        plain: false,
    },
    Change {
        method: Method::POST,
        path: "/upgrade",
        about: "The supervisor executes the program at its path anew, in the same process: `{\"reason\":\"…\"}`. 200 with `from` and `version` once that \
                program has said that it takes over; 409 with the reason where nothing happens. `GET /upgrade` shows what has come of it.",
        order: |_, _, body| Ok(Order::Upgrade(understood(body)?)),
        plain: false,
    },
];

fn own_state(shared: &Shared, _: &Parts, body: &Bytes) -> Result<Order, Refusal> {
    let state: NodeState = serde_json::from_slice(body).map_err(|_| {
        Box::new(plain(
            StatusCode::BAD_REQUEST,
            "the body has to be one of \"ACTIVE\", \"ISOLATING\", \"ISOLATED\", \"SHUTTING_DOWN\"",
        ))
    })?;
    let node = shared.snapshot.load().server.node.clone();
    Ok(Order::State { node, state: State { state, lasts: None, now: false, force: false, reason: None } })
}

fn state(_: &Shared, parts: &Parts, body: &Bytes) -> Result<Order, Refusal> {
    let path = parts.uri.path();
    let node = path.strip_prefix("/members/").and_then(|rest| rest.strip_suffix("/state")).unwrap_or(path).to_owned();
    Ok(Order::State { node, state: understood(body)? })
}

fn understood<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let body: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        Box::new(answer::failure(StatusCode::BAD_REQUEST, &format!("the body is not understood: {error}")))
    })
}

/// Answers a request that wants to change something. Every one leaves a line in the log, those that are refused, too.
pub async fn change(change: &'static Change, shared: Arc<Shared>, parts: Parts, body: Bytes) -> Response {
    let peer = parts.extensions.get().copied().unwrap_or(who::Peer(None));
    let mut told = Told { by: String::new(), order: format!("{} {}", change.method, parts.uri.path()), reason: None };
    let answer = decide(change, &shared, &parts, &body, &mut told).await;
    let from = peer.0.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let Told { by, order, reason } = told;
    let (status, result) = match &answer {
        Ok(answer) => (answer.status, answer.body.get("error").and_then(Value::as_str).unwrap_or("done").to_owned()),
        Err(refusal) => (refusal.status().as_u16(), "refused".to_owned()),
    };
    let reason = reason.unwrap_or_default();
    tracing::info!(by, from, order, reason, status, result, "a change was asked for");
    match answer {
        Ok(answer) => shown(change, &answer),
        Err(refusal) => *refusal,
    }
}

/// What the log is told of a change.
struct Told {
    by: String,
    order: String,
    reason: Option<String>,
}

async fn decide(
    change: &Change,
    shared: &Arc<Shared>,
    parts: &Parts,
    body: &Bytes,
    told: &mut Told,
) -> Result<Answer, Refusal> {
    let peer = parts.extensions.get().copied().unwrap_or(who::Peer(None));
    told.by = who::asks(shared, peer, &parts.headers).map_err(Box::new)?;
    if !is_json(&parts.headers, body) {
        let text = "the body has to be application/json";
        return Err(Box::new(answer::failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)));
    }
    let order = (change.order)(shared, parts, body)?;
    (told.order, told.reason) = (order.in_words(), order.reason());
    let wait = parts.uri.query().is_none_or(|query| !query.split('&').any(|part| part == "wait=false"));
    Ok(carry_out(shared, order, told.by.clone(), wait).await)
}

async fn carry_out(shared: &Arc<Shared>, order: Order, by: String, wait: bool) -> Answer {
    let refused = |status, error: &str| Answer { status, body: serde_json::json!({"error": error, "reasons": {}}) };
    let Ok(permit) = Arc::clone(&shared.under_way.0).try_acquire_owned() else {
        return refused(503, "too many changes are under way: try again");
    };
    if matches!(order, Order::Reload(_)) {
        return reloaded(shared).await;
    }
    if let Order::Rehearse(rehearse) = &order {
        return rehearsed(shared, rehearse.fault, by);
    }
    if let Order::Upgrade(upgrade) = order {
        return upgrading::upgraded(shared, by, upgrade.reason).await;
    }
    let own = own_wish(shared, &order);
    let answer = match shared.steering.ensemble.clone() {
        None => own_without_a_store(shared, &order, by).unwrap_or_else(|| {
            refused(
                409,
                "with election = \"lock\" nothing keeps what people want: only the own node's state can be changed, and without `for`",
            )
        }),
        Some(ensemble) => {
            let answer = tokio::task::spawn_blocking(move || {
                let answer = ensemble.carry_out(&order, &by, wait);
                drop(permit);
                answer
            });
            answer.await.unwrap_or_else(|_| refused(500, "defect: the order was not carried out"))
        }
    };
    if let Some(state) = own.filter(|_| answer.status == 200) {
        until_seen(shared, state).await;
    }
    answer
}

/// How long a reload is waited for: a file may lie on something that hangs.
const RELOADED: Duration = Duration::from_secs(12);

async fn reloaded(shared: &Shared) -> Answer {
    let number = 1 + shared.reloads.fetch_add(1, Ordering::Relaxed);
    (shared.steering.own)(Asked::Reload { number });
    let until = crate::clock::now() + RELOADED;
    while crate::clock::now() < until {
        let told = shared.snapshot.load().reloaded.clone().filter(|reloaded| reloaded.covers >= number);
        if let Some(reloaded) = told {
            return match reloaded.problems {
                Some(problems) => Answer { status: 400, body: serde_json::json!({"error": problems, "reasons": {}}) },
                None => Answer {
                    status: 200,
                    body: serde_json::json!({
                        "changed": !reloaded.applied.is_empty(),
                        "applied": reloaded.applied,
                        "needs_restart": reloaded.needs_restart,
                    }),
                },
            };
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = "the configuration was not read in time: see the log";
    Answer { status: 503, body: serde_json::json!({"error": error, "reasons": {}}) }
}

/// How long the answer has to leave before what is to send it may be killed.
const FAREWELL: Duration = Duration::from_millis(200);

fn rehearsed(shared: &Shared, fault: Fault, by: String) -> Answer {
    let refused = |status, error: &str| Answer { status, body: serde_json::json!({"error": error, "reasons": {}}) };
    let snapshot = shared.snapshot.load();
    if snapshot.config["rehearsal"]["allowed"] != true {
        return refused(403, "this node allows no rehearsal: rehearsal.allowed is not true");
    }
    if !shared.snapshot_at().active_and_ready() {
        return refused(409, "this node is not the active one");
    }
    let own = Arc::clone(&shared.steering.own);
    tokio::spawn(async move {
        tokio::time::sleep(FAREWELL).await;
        own(Asked::Rehearse { fault, by });
    });
    Answer { status: 200, body: serde_json::json!({"changed": true}) }
}

/// What the order wants of this very node.
fn own_wish(shared: &Shared, order: &Order) -> Option<NodeState> {
    let Order::State { node, state } = order else { return None };
    (*node == shared.snapshot.load().server.node).then_some(state.state)
}

/// Whoever asks next is to see it.
async fn until_seen(shared: &Shared, wanted: NodeState) {
    let until = crate::clock::now() + SEEN;
    while crate::clock::now() < until {
        let state = shared.snapshot.load().server.state;
        if (state == NodeState::Active) == (wanted == NodeState::Active) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn own_without_a_store(shared: &Shared, order: &Order, by: String) -> Option<Answer> {
    own_wish(shared, order)?;
    let Order::State { state, .. } = order else { return None };
    if state.lasts.is_some() {
        return None;
    }
    let present = shared.snapshot.load().server.state;
    let answer = |status, body| Some(Answer { status, body });
    if state.state == NodeState::Inactive || (present == NodeState::ShuttingDown && state.state != present) {
        let error = format!("Invalid state transition to {}", state.state.as_str());
        return answer(400, serde_json::json!({"error": error, "reasons": {}}));
    }
    let at = humantime::format_rfc3339_millis(crate::clock::wall()).to_string();
    let wish = Wish { by, at, reason: state.reason.clone() };
    let wanted = WantedState { state: state.state, now: state.now, wish, until: None };
    (shared.steering.own)(Asked::State(wanted));
    answer(200, serde_json::json!({"changed": state.state != present}))
}

/// An absent content type is forgiven where there is no body.
fn is_json(headers: &HeaderMap, body: &Bytes) -> bool {
    match headers.get(header::CONTENT_TYPE) {
        None => body.is_empty(),
        Some(kind) => kind.to_str().is_ok_and(|kind| {
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
        }),
    }
}

fn shown(change: &Change, told: &Answer) -> Response {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !change.plain {
        return answer::json(status, &told.body);
    }
    if status == StatusCode::OK {
        return plain(status, "");
    }
    plain(status, told.body.get("error").and_then(Value::as_str).unwrap_or_default())
}

fn plain(status: StatusCode, text: &str) -> Response {
    answer::text(status, "text/plain; charset=utf-8", text.to_owned())
}
