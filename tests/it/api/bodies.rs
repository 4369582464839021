use std::collections::{BTreeMap, BTreeSet};

use primacy::api::endpoints::{Access, ENDPOINTS};
use primacy::config::Secret;
use serde_json::{Value, json};

use super::*;

/// The fields of an object, nested ones with dots; what `active` and endpoints hold is left out.
fn fields(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().unwrap() {
        let name = format!("{prefix}{name}");
        if value.is_object() && name != "active" {
            fields(value, &format!("{name}."), into);
        }
        into.insert(name);
    }
}

#[test]
fn the_status_has_all_fields_always() {
    let mut unknown = standby_out_of_contact();
    unknown.server.epoch = None;
    unknown.server.zookeeper = ZooKeeperView::default();
    unknown.last_heartbeat = None;
    let expected: BTreeSet<String> = "status role state cluster node version epoch since reason active coordinator \
        coordinator.pid coordinator.started_at coordinator.ready coordinator.restarts coordinator.holds_lock zookeeper \
        zookeeper.state zookeeper.session zookeeper.session_timeout_ms zookeeper.last_heartbeat_ms lease \
        lease.remaining_ms lock lock.held lock.path lock.holder lock.verified lock.verified_detail watchdog watchdog.mode watchdog.device \
        watchdog.armed watchdog.timeout_ms watchdog.problem warm paused switchover"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let fixture = Fixture::new(active());
    for snapshot in [active(), standby(), unknown.clone(), starting(), expired(), isolated()] {
        fixture.snapshot.store(Arc::new(snapshot));
        let mut found = BTreeSet::new();
        fields(&fixture.get("/server_status").json(), "", &mut found);
        assert_eq!(found, expected);
    }
    fixture.snapshot.store(Arc::new(unknown));
    let body = fixture.get("/server_status").json();
    for (field, value) in [
        ("epoch", &body["epoch"]),
        ("active", &body["active"]),
        ("pid", &body["coordinator"]["pid"]),
        ("holds_lock", &body["coordinator"]["holds_lock"]),
        ("last_heartbeat_ms", &body["zookeeper"]["last_heartbeat_ms"]),
        ("remaining_ms", &body["lease"]["remaining_ms"]),
        ("switchover", &body["switchover"]),
    ] {
        assert!(value.is_null(), "{field}");
    }
}

#[test]
fn the_status_of_an_active_node_is_as_the_contract_shows_it() {
    let fixture = Fixture::new(active());
    let mut body = fixture.get("/server_status").json();
    let remaining = body["lease"]["remaining_ms"].take().as_u64().unwrap();
    assert!(remaining > 0 && remaining <= 300_000);
    assert!(body["zookeeper"]["last_heartbeat_ms"].take().is_u64());
    assert!(body["coordinator"]["pid"].take().is_i64());
    assert_eq!(
        body,
        json!({
            "status": "OK", "role": "active", "state": "ACTIVE", "cluster": "dremio", "node": "node-a",
            "version": "0.1.0", "epoch": 7, "since": "2026-01-02T03:04:05.678Z",
            "reason": "elected after node-b stopped cleanly",
            "active": {"node": "node-a", "api": "http://node-a:9090", "epoch": 7,
                       "endpoints": {"web": "http://node-a:9047"}},
            "coordinator": {"pid": null, "started_at": "2026-01-02T03:04:00.000Z", "ready": true, "restarts": 0,
                            "holds_lock": true},
            "zookeeper": {"state": "connected", "session": "0x1000", "session_timeout_ms": 10000,
                          "last_heartbeat_ms": null},
            "lease": {"remaining_ms": null},
            "lock": {"held": true, "path": "/mnt/coordinator.lock", "holder": "node-a", "verified": "verified",
                     "verified_detail": null},
            "watchdog": {"mode": "off", "device": null, "armed": false, "timeout_ms": null, "problem": null},
            "warm": null,
            "paused": false, "switchover": null,
        })
    );
}

#[test]
fn ages_grow_while_the_snapshot_stays() {
    let mut snapshot = standby();
    snapshot.taken = past(Duration::from_secs(1_000));
    snapshot.last_heartbeat = Some(past(Duration::from_secs(500)));
    let fixture = Fixture::new(snapshot);
    let age = |value: &Value| value.as_u64().unwrap() / 1_000;
    assert!((500..600).contains(&age(&fixture.get("/server_status").json()["zookeeper"]["last_heartbeat_ms"])));
    let members = fixture.get("/cluster").json()["members"].clone();
    assert!((1_000..1_100).contains(&age(&members[0]["last_contact_ms"])), "another's: since the snapshot");
    assert!(age(&members[1]["last_contact_ms"]) < 100, "its own: the loop turns");
}

#[test]
fn a_node_out_of_contact_names_nobody_else_as_active() {
    let fixture = Fixture::new(standby());
    assert_eq!(fixture.get("/cluster").json()["active"]["node"], "node-a");
    fixture.snapshot.store(Arc::new(standby_out_of_contact()));
    assert_eq!(fixture.get("/cluster").json()["active"], Value::Null);
    fixture.snapshot.store(Arc::new(standby()));
    fixture.turned(Duration::from_secs(11));
    assert_eq!(fixture.get("/cluster").json()["active"], Value::Null);
    assert_eq!(fixture.get("/server_status").json()["status"], "DISCONNECTED");
}

#[test]
fn fixed_bodies_are_json_strings() {
    let fixture = Fixture::new(active());
    for path in ["/apiv2/server_status", "/api/leader-check", "/api/lb-check", "/api/_ping"] {
        assert_eq!(fixture.get(path).body, "\"OK\"", "{path}");
    }
    assert_eq!(fixture.get("/v1/info/state").body, "\"ACTIVE\"");
    fixture.snapshot.store(Arc::new(isolated()));
    assert_eq!(fixture.get("/apiv2/server_status").body, "\"MASTER_DOWN\"");
    assert_eq!(fixture.get("/api/leader-check").body, "\"Not leader\"");
    assert_eq!(fixture.get("/v1/info/state").body, "\"ISOLATED\"");
}

#[test]
fn whoever_wants_plain_text_gets_the_status_word() {
    let fixture = Fixture::new(standby());
    let answer = fixture.ask("GET", "/server_status", "Accept: text/plain\r\n");
    assert_eq!((answer.code, answer.body.as_str()), (503, "STANDBY"));
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    fixture.ask("GET", "/server_status", "Accept: */*\r\n").json();
}

#[test]
fn health_has_the_form_that_orchestrator_gives_it() {
    let fixture = Fixture::new(active());
    let body = fixture.get("/api/health").json();
    assert_eq!(body["Code"], "OK");
    assert_eq!(body["Details"]["Hostname"], "node-a");
    assert_eq!(body["Details"]["AvailableNodes"], json!(["node-a", "node-b"]));
    fixture.snapshot.store(Arc::new(expired()));
    let body = fixture.get("/api/status").json();
    assert_eq!((&body["Code"], &body["Details"]["IsActiveNode"]), (&"ERROR".into(), &false.into()));
    assert!(body["Message"].as_str().unwrap().contains("lease has run out"));
}

#[test]
fn cluster_and_history_are_as_the_contract_names_them() {
    let fixture = Fixture::new(active());
    let mut cluster = fixture.get("/cluster").json();
    cluster["members"][0]["last_contact_ms"].take();
    cluster["members"].as_array_mut().unwrap().truncate(1);
    assert_eq!(
        cluster,
        json!({
            "cluster": "dremio", "epoch": 7, "paused": false, "switchover": null, "action": null,
            "active": {"node": "node-a", "api": "http://node-a:9090", "epoch": 7,
                       "endpoints": {"web": "http://node-a:9047"}},
            "members": [{
                "node": "node-a", "role": "active", "state": "ACTIVE", "status": "OK", "epoch": 7,
                "since": "2026-01-02T03:04:05.678Z", "ready": true, "api": "http://node-a:9090", "endpoints": {},
                "priority": 100, "tags": {}, "eligible": false, "reason": "as it should be", "version": "0.1.0",
                "last_contact_ms": null,
            }],
        })
    );
    assert_eq!(
        fixture.get("/history").json(),
        json!([{"epoch": 7, "node": "node-a", "from": "2026-01-02T03:04:05.678Z", "to": null, "cause": null,
                "gap_ms": 1234, "detail": null}])
    );
}

#[test]
fn openlookengs_status_tells_of_the_coordinators_processes() {
    let fixture = Fixture::new(active());
    let body = fixture.get("/v1/status").json();
    assert_eq!(body["nodeId"], "node-a");
    assert_eq!(body["nodeVersion"], json!({"version": "0.1.0"}));
    assert_eq!((&body["environment"], &body["coordinator"]), (&"testing".into(), &true.into()));
    assert_eq!((&body["externalAddress"], &body["internalAddress"]), (&"node-a".into(), &"node-a".into()));
    assert!(body["uptime"].as_str().unwrap().ends_with('s'));
    assert!(body["heapUsed"].as_u64().unwrap() > 100_000, "this test's process stands for the coordinator");
    assert!(body["heapAvailable"].as_u64().unwrap() >= body["heapUsed"].as_u64().unwrap());
    assert_eq!(body["nonHeapUsed"], 0);
    for load in ["processCpuLoad", "systemCpuLoad"] {
        assert!((0.0..=1.0).contains(&body[load].as_f64().unwrap()), "{load}");
        assert_eq!(body[load], body["memoryInfo"][load]);
    }
    assert!(body["processors"].as_u64().unwrap() > 0);
    assert_eq!(body["processors"], body["memoryInfo"]["availableProcessors"]);
    let memory = body["memoryInfo"]["totalNodeMemory"].as_str().unwrap();
    assert!(memory.strip_suffix('B').unwrap().parse::<u64>().unwrap() > 1 << 20);

    fixture.snapshot.store(Arc::new(standby()));
    let body = fixture.get("/v1/status").json();
    assert_eq!((&body["heapUsed"], &body["processCpuLoad"]), (&0.into(), &0.0.into()));

    let body = fixture.get("/v1/info").json();
    assert_eq!((&body["starting"], &body["coordinator"]), (&false.into(), &true.into()));
    fixture.snapshot.store(Arc::new(starting()));
    assert_eq!(fixture.get("/v1/info").json()["starting"], true);
}

#[test]
fn health_checks_need_no_token_and_everything_else_does_where_one_is_configured() {
    let tokens = Tokens { full: Some(Secret::new("full-token")), read: Some(Secret::new("read-token")) };
    let fixture = Fixture::with(active(), |settings| settings.tokens = tokens);
    for endpoint in ENDPOINTS {
        let open = matches!(endpoint.access, Access::HealthCheck | Access::Everybody);
        assert_eq!(
            open,
            ![
                "/cluster",
                "/history",
                "/history/{epoch}",
                "/events",
                "/verdict",
                "/report",
                "/config",
                "/metrics",
                "/openapi.json",
                "/upgrade"
            ]
            .contains(&endpoint.path)
                && !endpoint.path.starts_with("/v1/")
        );
        // Of what goes on and on the head is enough.
        let method = if endpoint.is_stream() { "HEAD" } else { "GET" };
        for authorization in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic cmVhZC10b2tlbg==\r\n"] {
            let answer = fixture.ask(method, endpoint.path, authorization);
            assert_eq!(answer.code == 401, !open, "{}", endpoint.path);
            if !open {
                assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
                assert!(endpoint.is_stream() || answer.json()["error"].is_string());
            }
        }
        for token in ["read-token", "full-token"] {
            let answer = fixture.ask(method, endpoint.path, &format!("Authorization: Bearer {token}\r\n"));
            assert_ne!(answer.code, 401, "{}", endpoint.path);
        }
    }
    fixture.api.reload_tokens(Tokens { full: None, read: Some(Secret::new("other")) });
    assert_eq!(fixture.ask("GET", "/cluster", "Authorization: Bearer read-token\r\n").code, 401);
    assert_eq!(fixture.ask("GET", "/cluster", "Authorization: Bearer other\r\n").code, 200);
    fixture.api.reload_tokens(Tokens { full: Some(Secret::new("full-token")), read: None });
    assert_eq!(fixture.get("/cluster").code, 200);
}

#[test]
fn the_interface_is_described_whole_and_nothing_else() {
    let fixture = Fixture::new(active());
    let document = fixture.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut expected: std::collections::BTreeSet<(String, String)> = std::collections::BTreeSet::new();
    for endpoint in ENDPOINTS {
        // What the router takes is asked of the router.
        let refused = fixture.ask("PATCH", endpoint.path, "");
        for method in refused.headers["allow"].split(',') {
            expected.insert((endpoint.path.to_owned(), method.to_lowercase()));
        }
    }
    for change in &primacy::api::changing::CHANGES {
        expected.insert((change.path.to_owned(), change.method.as_str().to_lowercase()));
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut described = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((path.clone(), method.clone()));
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            assert!(operation["responses"]["200"]["description"].is_string(), "{path} {method}");
            let braces = operation["parameters"].as_array().unwrap().iter().filter(|it| it["in"] == "path").count();
            assert_eq!(braces, path.matches('{').count(), "{path}");
        }
    }
    assert_eq!(described, expected);
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let mut snapshot = active();
    snapshot.config =
        std::sync::Arc::new(json!({"cluster": "dremio", "api": {"token": "s3cret", "list": ["x s3cret y", 1]}}));
    let tokens = Tokens { full: Some(Secret::new("s3cret")), read: None };
    let fixture = Fixture::with(snapshot, |settings| settings.tokens = tokens);
    let body = fixture.get("/config").json();
    assert_eq!(body, json!({"cluster": "dremio", "api": {"token": "(secret)", "list": ["(secret)", 1]}}));
}

/// Name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Parses the text format strictly; the declared types by name, and the samples.
fn parse_metrics(page: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let (mut types, mut samples) = (BTreeMap::new(), Vec::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, rest) = line.split_once('{').expect(line);
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        let value = loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            let mut text = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect(line) {
                    (_, '\\') => text.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("unknown escape {c}"),
                    }),
                    (end, '"') => break end,
                    (_, c) => text.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{label} twice");
            rest = &after[end + 1..];
            match rest.strip_prefix("} ") {
                Some(value) => break value.parse().expect(line),
                None => rest = rest.strip_prefix(',').expect(line),
            }
        };
        samples.push((name.to_owned(), labels, value));
    }
    (types, samples)
}

#[test]
fn the_metrics_parse_and_none_of_the_contract_is_missing() {
    let nasty = "quote \" backslash \\ line\nfeed";
    let mut snapshot = active();
    snapshot.server.cluster = nasty.into();
    snapshot.server.watchdog.mode = "automatic".into();
    snapshot.metrics.heartbeat_seconds.observe(0.003);
    snapshot.metrics.heartbeat_seconds.observe(99.0);
    snapshot.metrics.lock_probe_seconds.observe(0.2);
    snapshot.metrics.transitions.insert((Role::Standby, Role::Promoting, Cause::Elected), 3);
    snapshot.metrics.failover_gap_seconds.entry(EndCause::Other(nasty.into())).or_default().observe(1.5);
    snapshot.metrics.volume_free_bytes = Some(1 << 40);
    let fixture = Fixture::new(snapshot);
    let answer = fixture.get("/metrics");
    assert!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let (types, samples) = parse_metrics(&answer.body);
    for name in "primacy_role primacy_active primacy_epoch primacy_coordinator_up primacy_coordinator_ready \
        primacy_lease_remaining_seconds primacy_zookeeper_connected primacy_heartbeat_seconds primacy_lock_held \
        primacy_lock_probe_seconds primacy_transitions_total primacy_failover_gap_seconds \
        primacy_coordinator_restarts_total primacy_coordinator_holds_lock primacy_volume_free_bytes \
        primacy_coordinator_cpu_seconds_total primacy_coordinator_resident_bytes primacy_paused primacy_watchdog_armed \
        primacy_build_info"
        .split_whitespace()
    {
        let kind = types.get(name).unwrap_or_else(|| panic!("{name} is not declared"));
        let sample = if kind == "histogram" { format!("{name}_bucket") } else { name.to_owned() };
        assert!(samples.iter().any(|(found, ..)| *found == sample), "{name} has no sample");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
    for (name, labels, _) in &samples {
        assert_eq!((labels["cluster"].as_str(), labels["node"].as_str()), (nasty, "node-a"), "{name}");
    }
    let value = |name: &str, label: &str, is: &str| {
        let found: Vec<f64> = samples
            .iter()
            .filter(|(found, labels, _)| found == name && (label.is_empty() || labels[label] == is))
            .map(|(.., value)| *value)
            .collect();
        assert_eq!(found.len(), 1, "{name} {label} {is}");
        found[0]
    };
    for (name, label, is, expected) in [
        ("primacy_role", "role", "active", "1"),
        ("primacy_role", "role", "standby", "0"),
        ("primacy_epoch", "", "", "7"),
        ("primacy_transitions_total", "cause", "elected", "3"),
        ("primacy_heartbeat_seconds_bucket", "le", "0.0025", "0"),
        ("primacy_heartbeat_seconds_bucket", "le", "0.005", "1"),
        ("primacy_heartbeat_seconds_bucket", "le", "10", "1"),
        ("primacy_heartbeat_seconds_bucket", "le", "+Inf", "2"),
        ("primacy_heartbeat_seconds_count", "", "", "2"),
        ("primacy_failover_gap_seconds_count", "cause", nasty, "1"),
        ("primacy_volume_free_bytes", "", "", "1099511627776"),
        ("primacy_build_info", "version", "0.1.0", "1"),
    ] {
        assert_eq!(value(name, label, is).to_string(), expected, "{name} {label} {is}");
    }
}

#[test]
fn the_reference_is_generated_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/api.md");
    let reference = primacy::api::reference();
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == reference,
        "{path} is out of date: REGENERATE=1 cargo test --test it the_reference_is_generated"
    );
}
