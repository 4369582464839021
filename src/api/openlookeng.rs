//! What openLooKeng's tools read of a coordinator: `/v1/info/state`, `/v1/info`, `/v1/status`.
//!
//! The loads and the memory are those of the coordinator's process tree; nobody outside of a JVM can see its heap, so
//! resident bytes stand for the used heap and the memory limit for the available one.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use crate::api::answer;
use crate::api::asked::Asked;
use crate::status::Role;

/// A bare JSON string: the node state.
pub fn state(asked: &Asked<'_>) -> Response {
    answer::json(StatusCode::OK, &asked.seen.snapshot.server.state)
}

pub fn info(asked: &Asked<'_>) -> Response {
    let server = asked.seen.server();
    let body = json!({
        "nodeVersion": {"version": server.version},
        "environment": asked.shared.environment,
        "coordinator": true,
        "starting": server.role == Role::Promoting,
        "uptime": uptime(asked.seen.now.since(asked.shared.started)),
    });
    answer::json(StatusCode::OK, &body)
}

pub fn status(asked: &Asked<'_>) -> Response {
    let server = &asked.seen.snapshot.server;
    let usage = asked.usage();
    let tree = usage.tree.unwrap_or_default();
    let host = host(&asked.shared.advertise);
    let body = json!({
        "nodeId": server.node,
        "nodeVersion": {"version": server.version},
        "environment": asked.shared.environment,
        "coordinator": true,
        "uptime": uptime(asked.seen.now.since(asked.shared.started)),
        "externalAddress": host,
        "internalAddress": host,
        "memoryInfo": {
            "availableProcessors": usage.processors,
            "processCpuLoad": tree.load,
            "systemCpuLoad": usage.system_load,
            "totalNodeMemory": format!("{}B", usage.memory_total),
        },
        "processors": usage.processors,
        "processCpuLoad": tree.load,
        "systemCpuLoad": usage.system_load,
        "heapUsed": tree.resident_bytes,
        "heapAvailable": tree.memory_limit.unwrap_or(usage.memory_total).min(usage.memory_total),
        "nonHeapUsed": 0,
    });
    answer::json(StatusCode::OK, &body)
}

/// As airlift prints durations: two decimals and the largest unit that makes it at least one.
fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 86_400.0 => (s / 86_400.0, "d"),
        s if s >= 3_600.0 => (s / 3_600.0, "h"),
        s if s >= 60.0 => (s / 60.0, "m"),
        s if s >= 1.0 => (s, "s"),
        s => (s * 1_000.0, "ms"),
    };
    format!("{value:.2}{unit}")
}

/// The host of a URL, without the brackets of an IPv6 address.
fn host(url: &str) -> String {
    let url = url.parse::<Uri>().unwrap_or_default();
    url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_like_airlifts() {
        for (millis, text) in
            [(5, "5.00ms"), (1_000, "1.00s"), (192_000, "3.20m"), (5_400_000, "1.50h"), (129_600_000, "1.50d")]
        {
            assert_eq!(uptime(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_host_of_a_url_has_no_port() {
        for (url, expected) in [
            ("http://node-a:9090", "node-a"),
            ("https://node-a", "node-a"),
            ("http://[::1]:9090/x", "::1"),
            ("node-a:1", "node-a"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected);
        }
    }
}
