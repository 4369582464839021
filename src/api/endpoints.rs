//! The table of endpoints: the router is built from it, and so is docs/reference/api.md.
//!
//! An endpoint is a plain function from what is known at this moment to an answer: no await, no lock that another
//! thread could hold, so nothing can make a health check wait. The one that needs a disk is [`super::timeline`]'s.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::api::asked::Asked;
use crate::api::{answer, metrics, openlookeng, page};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, always.
    HealthCheck,
    /// Everybody, too: it holds nothing about a cluster.
    Everybody,
    /// With `api.read_token_file` only who shows a token.
    Read,
}

/// One row of the table. Every endpoint answers GET and HEAD, a health check OPTIONS, too.
pub struct Endpoint {
    pub path: &'static str,
    pub access: Access,
    /// The answer of the active and ready node.
    pub active: &'static str,
    /// The answer of any other node.
    pub other: &'static str,
    pub about: &'static str,
    pub answer: Answer,
}

/// Where an answer comes from.
#[derive(Clone, Copy)]
pub enum Answer {
    /// From what is known at this moment.
    Known(fn(&Asked<'_>) -> Response),
    /// From this node's recordings: it may take its time.
    Recorded,
    /// From its recordings, and its log: the same.
    Reported,
    /// As it changes.
    Streamed,
    /// From this very table.
    Described,
}

impl Endpoint {
    /// Its answer goes on and on.
    pub const fn is_stream(&self) -> bool {
        matches!(self.answer, Answer::Streamed)
    }
}

const fn check(
    path: &'static str,
    active: &'static str,
    other: &'static str,
    about: &'static str,
    answer: fn(&Asked<'_>) -> Response,
) -> Endpoint {
    Endpoint { path, access: Access::HealthCheck, active, other, about, answer: Answer::Known(answer) }
}

const fn read(path: &'static str, about: &'static str, answer: fn(&Asked<'_>) -> Response) -> Endpoint {
    Endpoint { path, access: Access::Read, active: "200", other: "200", about, answer: Answer::Known(answer) }
}

const fn page(path: &'static str, about: &'static str, answer: fn(&Asked<'_>) -> Response) -> Endpoint {
    let (active, other) = ("200", "200");
    Endpoint { path, access: Access::Everybody, active, other, about, answer: Answer::Known(answer) }
}

pub const ENDPOINTS: &[Endpoint] = &[
    check(
        "/server_status",
        "200",
        "503",
        "The status of this node. With `Accept: text/plain` the status word alone.",
        primary,
    ),
    check("/apiv2/server_status", "200 `\"OK\"`", "503 `\"MASTER_DOWN\"`", "As Dremio's own.", dremio),
    check("/primary", "200", "503", "As `/server_status`, by Patroni's name.", primary),
    check("/leader", "200", "503", "As `/primary`.", primary),
    check("/read-write", "200", "503", "As `/primary`.", primary),
    check("/standby", "503", "200 on a standby that could take over, else 503", "Body as `/server_status`.", standby),
    check("/replica", "503", "200 on a standby that could take over, else 503", "As `/standby`.", standby),
    check("/api/leader-check", "200 `\"OK\"`", "404 `\"Not leader\"`", "As orchestrator's.", leader_check),
    check(
        "/api/leader-check/{code}",
        "200 `\"OK\"`",
        "the code asked for, `\"Not leader\"`",
        "For load balancers that insist on a code: 200 to 599; anything else means 404.",
        leader_check,
    ),
    check("/api/lb-check", "200 `\"OK\"`", "200 `\"OK\"`", "This API answers.", ok),
    check("/api/_ping", "200 `\"OK\"`", "200 `\"OK\"`", "As `/api/lb-check`.", ok),
    check(
        "/health",
        "200",
        "200 on a standby in contact with its election backend, else 503",
        "Body as `/server_status`.",
        health,
    ),
    check(
        "/readiness",
        "200",
        "200 on a standby in contact with its election backend, else 503",
        "As `/health`.",
        health,
    ),
    check(
        "/liveness",
        "200",
        "200",
        "503 once the supervisor's loop has not turned for 10 s. Body as `/server_status`.",
        liveness,
    ),
    check(
        "/api/health",
        "200",
        "200 or 500, where `/health` answers 200 or 503",
        "`{\"Code\",\"Message\",\"Details\"}` as orchestrator's; `Code` is `OK` or `ERROR`.",
        node_health,
    ),
    check("/api/status", "200", "200 or 500", "As `/api/health`.", node_health),
    page("/", "The page for people; `/?wall` for a monitor on a wall. `OPTIONS` is answered 405.", page::page),
    page("/page/{file}", "What it is made of.", page::file),
    page("/operations.md", "What to do, for people: docs/operations.md of this version.", page::operations),
    read(
        "/verdict",
        "`primacy status`'s first lines: `{\"node\",\"word\",\"sentence\",\"asked_for\":[…],\"advice\":{\"title\",\"paragraphs\",\"link\"}}`; \
         `word` is `OK`, `WARNING`, `PAUSED`, `CRITICAL` or `UNKNOWN`.",
        page::verdict::answer,
    ),
    read("/cluster", "The cluster as this node sees it: `primacy status -o json`.", cluster),
    read("/history", "Past leaderships, newest first: `primacy history -o json`.", history),
    Endpoint {
        path: "/history/{epoch}",
        access: Access::Read,
        active: "200",
        other: "200",
        about: "What this node has recorded of that epoch's beginning, from what ended the one before until a coordinator ran again: \
                `{\"node\",\"entry\",\"steps\"}`. `primacy history EPOCH` joins it with what the others have. 404 for an epoch that is not \
                in the history, 503 where nothing is recorded or the disk does not answer.",
        answer: Answer::Recorded,
    },
    Endpoint {
        path: "/events",
        access: Access::Read,
        active: "200",
        other: "200",
        about: "What changes, as [server-sent events](#events).",
        answer: Answer::Streamed,
    },
    Endpoint {
        path: "/report",
        access: Access::Read,
        active: "200",
        other: "200",
        about: "This node's part of `primacy report`: `{\"node\",\"version\",\"log\",\"recordings\":[{\"name\",\"text\"}],\"problem\"}`, the newest lines of its \
                log and its newest flight recordings, without secrets; `problem` says why there are none.",
        answer: Answer::Reported,
    },
    read("/config", "The effective configuration, secrets hidden.", config),
    read("/metrics", "Prometheus' text format.", metrics_page),
    Endpoint {
        path: "/openapi.json",
        access: Access::Read,
        active: "200",
        other: "200",
        about: "This interface in OpenAPI 3.1.",
        answer: Answer::Described,
    },
    read(
        "/upgrade",
        "How often this process has executed its program anew, and what became of the last request to: \
         `{\"version\",\"pid\",\"upgrades\",\"refused\"}`.",
        upgrade,
    ),
    read("/v1/info/state", "openLooKeng's: the node state, a bare JSON string.", openlookeng::state),
    read("/v1/info", "openLooKeng's: version, environment, uptime.", openlookeng::info),
    read(
        "/v1/status",
        "openLooKeng's: loads and memory of the coordinator's process tree. `heapUsed` is its resident bytes, \
         `heapAvailable` its memory limit or the machine's memory, `nonHeapUsed` always 0. Loads are means since the \
         previous sample, which is at least a second old.",
        openlookeng::status,
    ),
];

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn server_status(asked: &Asked<'_>, status: StatusCode) -> Response {
    let server = asked.seen.server();
    if answer::prefers_text(asked.headers) {
        return answer::text(status, "text/plain; charset=utf-8", server.status.as_str());
    }
    answer::json(status, &server)
}

fn primary(asked: &Asked<'_>) -> Response {
    server_status(asked, code(asked.seen.active_and_ready()))
}

fn standby(asked: &Asked<'_>) -> Response {
    server_status(asked, code(asked.seen.could_take_over()))
}

fn health(asked: &Asked<'_>) -> Response {
    server_status(asked, code(asked.seen.healthy()))
}

fn liveness(asked: &Asked<'_>) -> Response {
    server_status(asked, code(asked.seen.alive()))
}

fn dremio(asked: &Asked<'_>) -> Response {
    let good = asked.seen.active_and_ready();
    answer::json(code(good), &if good { "OK" } else { "MASTER_DOWN" })
}

fn ok(_: &Asked<'_>) -> Response {
    answer::json(StatusCode::OK, &"OK")
}

fn leader_check(asked: &Asked<'_>) -> Response {
    if asked.seen.active_and_ready() {
        return answer::json(StatusCode::OK, &"OK");
    }
    let asked_for = asked.uri.path().strip_prefix("/api/leader-check/").and_then(|code| code.parse::<u16>().ok());
    let status = asked_for
        .filter(|code| (200..600).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or(StatusCode::NOT_FOUND);
    answer::json(status, &"Not leader")
}

fn node_health(asked: &Asked<'_>) -> Response {
    let server = asked.seen.server();
    let healthy = asked.seen.healthy();
    let (status, code, message) = if healthy {
        (StatusCode::OK, "OK", "Application node is healthy".to_owned())
    } else {
        let message = format!("Application node is unhealthy: {}", server.reason);
        (StatusCode::INTERNAL_SERVER_ERROR, "ERROR", message)
    };
    let nodes: Vec<_> = asked.seen.snapshot.cluster.members.iter().map(|member| member.row.node.as_str()).collect();
    let details = json!({
        "Healthy": healthy,
        "Hostname": server.node,
        "IsActiveNode": asked.seen.active_and_ready(),
        "ActiveNode": {"Hostname": server.active.as_ref().map(|active| active.node.as_str()).unwrap_or_default()},
        "AvailableNodes": nodes,
        "AppVersion": server.version,
    });
    answer::json(status, &json!({"Code": code, "Message": message, "Details": details}))
}

fn cluster(asked: &Asked<'_>) -> Response {
    answer::json(StatusCode::OK, &asked.seen.cluster())
}

fn history(asked: &Asked<'_>) -> Response {
    answer::json(StatusCode::OK, &asked.seen.snapshot.history)
}

fn upgrade(asked: &Asked<'_>) -> Response {
    let snapshot = &asked.seen.snapshot;
    let view = json!({
        "version": snapshot.server.version,
        "pid": std::process::id(),
        "upgrades": snapshot.upgrade.upgrades,
        "refused": snapshot.upgrade.refused,
    });
    answer::json(StatusCode::OK, &view)
}

fn config(asked: &Asked<'_>) -> Response {
    let tokens = asked.shared.tokens.load();
    let secrets: Vec<&str> = [&tokens.full, &tokens.read]
        .into_iter()
        .flatten()
        .flat_map(|secret| crate::config::tokens::named(secret.reveal()))
        .map(|named| named.token)
        .collect();
    answer::json(StatusCode::OK, &hidden(&asked.seen.snapshot.config, &secrets))
}

/// Whoever rendered the configuration has hidden its secrets; the ones that this module knows it hides again.
fn hidden(value: &Value, secrets: &[&str]) -> Value {
    match value {
        Value::String(text) if secrets.iter().any(|secret| text.contains(secret)) => Value::from("(secret)"),
        Value::Array(values) => values.iter().map(|value| hidden(value, secrets)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), hidden(value, secrets))).collect(),
        other => other.clone(),
    }
}

fn metrics_page(asked: &Asked<'_>) -> Response {
    let page = metrics::encode(&asked.seen, asked.usage().tree);
    answer::text(StatusCode::OK, metrics::CONTENT_TYPE, page)
}
