use std::time::Duration;

use primacy::api::endpoints::{Access, ENDPOINTS, Endpoint};
use primacy::status::Snapshot;

use super::*;

/// Path, then the code for each of [`situations`], in their order.
const TABLE: &str = "
                        active standby cut-off starting expired leaseless isolated isolating unready stuck-standby
/server_status          200    503     503     503      503     503       503      503       503     503
/apiv2/server_status    200    503     503     503      503     503       503      503       503     503
/primary                200    503     503     503      503     503       503      503       503     503
/leader                 200    503     503     503      503     503       503      503       503     503
/read-write             200    503     503     503      503     503       503      503       503     503
/standby                503    200     503     503      503     503       503      503       503     503
/replica                503    200     503     503      503     503       503      503       503     503
/api/leader-check       200    404     404     404      404     404       404      404       404     404
/api/leader-check/{code} 200   418     418     418      418     418       418      418       418     418
/api/lb-check           200    200     200     200      200     200       200      200       200     200
/api/_ping              200    200     200     200      200     200       200      200       200     200
/health                 200    200     503     503      503     503       503      503       503     503
/readiness              200    200     503     503      503     503       503      503       503     503
/liveness               200    200     200     200      200     200       200      200       200     503
/api/health             200    200     500     500      500     500       500      500       500     500
/api/status             200    200     500     500      500     500       500      500       500     500
/                       200    200     200     200      200     200       200      200       200     200
/page/{file}            200    200     200     200      200     200       200      200       200     200
/operations.md          200    200     200     200      200     200       200      200       200     200
/verdict                200    200     200     200      200     200       200      200       200     200
/cluster                200    200     200     200      200     200       200      200       200     200
/history                200    200     200     200      200     200       200      200       200     200
/history/{epoch}        200    200     200     200      200     200       200      200       200     200
/report                 200    200     200     200      200     200       200      200       200     200
/config                 200    200     200     200      200     200       200      200       200     200
/metrics                200    200     200     200      200     200       200      200       200     200
/openapi.json           200    200     200     200      200     200       200      200       200     200
/upgrade                200    200     200     200      200     200       200      200       200     200
/v1/info/state          200    200     200     200      200     200       200      200       200     200
/v1/info                200    200     200     200      200     200       200      200       200     200
/v1/status              200    200     200     200      200     200       200      200       200     200
";

/// Those whose answer has an end: the stream has tests of its own.
fn answering() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().filter(|endpoint| !endpoint.is_stream())
}

fn situations() -> [(&'static str, Snapshot); 10] {
    [
        ("active", active()),
        ("standby", standby()),
        ("cut-off", standby_out_of_contact()),
        ("starting", starting()),
        ("expired", expired()),
        ("leaseless", without_lease()),
        ("isolated", isolated()),
        ("isolating", isolating()),
        ("unready", unready()),
        ("stuck-standby", standby()),
    ]
}

#[test]
fn every_endpoint_answers_every_situation_with_the_code_of_the_table() {
    let mut rows = TABLE.trim().lines();
    let names: Vec<&str> = rows.next().unwrap().split_whitespace().collect();
    let rows: Vec<(&str, Vec<u16>)> = rows
        .map(|row| {
            let mut cells = row.split_whitespace();
            (cells.next().unwrap(), cells.map(|code| code.parse().unwrap()).collect())
        })
        .collect();
    let paths: Vec<&str> = rows.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, answering().map(|endpoint| endpoint.path).collect::<Vec<_>>());

    let fixture = Fixture::new(active());
    for (column, (name, snapshot)) in situations().into_iter().enumerate() {
        assert_eq!(names[column], name);
        fixture.snapshot.store(Arc::new(snapshot));
        for (endpoint, codes) in &rows {
            fixture.turned(Duration::from_secs(if name == "stuck-standby" { 11 } else { 0 }));
            let path = endpoint.replace("{code}", "418").replace("{epoch}", "7").replace("{file}", "page.js");
            let got = fixture.get(&path);
            assert_eq!(got.code, codes[column], "{path} when {name}: {}", got.body);
            let head = fixture.ask("HEAD", &path, "");
            assert_eq!(head.code, codes[column], "HEAD {path} when {name}");
            assert_eq!(head.body, "");
            assert_eq!(head.headers["content-type"], got.headers["content-type"]);
            assert!(head.headers["content-length"].parse::<u64>().unwrap() > 0);
            let options = fixture.send(format!("OPTIONS {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
            let health_check = ENDPOINTS.iter().any(|e| e.access == Access::HealthCheck && e.path == *endpoint);
            assert_eq!(options.code, if health_check { codes[column] } else { 405 }, "OPTIONS {path} when {name}");
        }
    }
}

#[test]
fn an_active_node_turns_into_no_active_node_the_moment_its_lease_runs_out_though_nobody_writes_a_snapshot() {
    let mut snapshot = active();
    snapshot.lease_until = Some(clock::now() + Duration::from_secs(2));
    let until = snapshot.lease_until.unwrap();
    let fixture = Fixture::new(snapshot);
    let mut seen_active = false;
    loop {
        let before = clock::now();
        let answer = fixture.get("/primary");
        let after = clock::now();
        if before >= until {
            assert_eq!(answer.code, 503);
            break;
        }
        if after < until {
            assert_eq!(answer.code, 200);
            seen_active = true;
        }
    }
    assert!(seen_active);
    let server = fixture.get("/server_status").json();
    assert_eq!((&server["role"], &server["status"]), (&"fencing".into(), &"FENCING".into()));
    assert_eq!((&server["active"], &server["coordinator"]["ready"]), (&serde_json::Value::Null, &false.into()));
    assert_eq!(server["lease"]["remaining_ms"], 0);
    let cluster = fixture.get("/cluster").json();
    assert_eq!(cluster["active"], serde_json::Value::Null);
    assert_eq!(cluster["members"][0]["role"], "fencing");
    assert!(fixture.get("/metrics").body.contains("primacy_active{cluster=\"dremio\",node=\"node-a\"} 0\n"));
}

#[test]
fn an_active_node_with_a_lease_stays_active_while_its_supervisor_is_stuck() {
    let fixture = Fixture::new(active());
    fixture.turned(Duration::from_secs(11));
    assert_eq!(fixture.get("/primary").code, 200);
    assert_eq!(fixture.get("/liveness").code, 503);
}

#[test]
fn a_leader_check_answers_the_code_asked_for_where_it_is_one() {
    let fixture = Fixture::new(standby());
    for (code, answered) in [
        ("503", 503),
        ("200", 200),
        ("599", 599),
        ("600", 404),
        ("199", 404),
        ("100", 404),
        ("x", 404),
        ("-1", 404),
        ("99999999", 404),
    ] {
        let answer = fixture.get(&format!("/api/leader-check/{code}"));
        assert_eq!(answer.code, answered, "{code}");
        assert_eq!(answer.json(), "Not leader");
    }
}

#[test]
fn queries_change_nothing() {
    let fixture = Fixture::new(active());
    assert_eq!(fixture.get("/replica?lag=10MB").code, 503);
    assert_eq!(fixture.get("/primary?tag_rack=r1&x=%ff").code, 200);
}

#[test]
fn unknown_paths_and_methods_are_json_errors() {
    let fixture = Fixture::new(active());
    for path in
        ["/nothing", "/page/../cluster", "/page/no.js", "/server_status/", "/api/leader-check/1/2", "/../etc/passwd"]
    {
        let answer = fixture.get(path);
        assert_eq!(answer.code, 404, "{path}");
        assert!(answer.json()["error"].is_string() && answer.json()["reasons"].is_object());
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let answer = fixture.ask(method, "/server_status", "Content-Length: 0\r\n");
        assert_eq!(answer.code, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET,HEAD,OPTIONS");
        assert!(answer.json()["error"].is_string() && answer.json()["reasons"].is_object());
    }
}

#[test]
fn a_health_check_answers_the_code_asked_for_by_what_the_node_is() {
    let fixture = Fixture::new(active());
    let checks = || ENDPOINTS.iter().filter(|endpoint| endpoint.access == Access::HealthCheck);
    for (name, snapshot) in situations() {
        let code = match name {
            "active" => 211,
            "standby" => 412,
            _ => 513,
        };
        fixture.snapshot.store(Arc::new(snapshot));
        for endpoint in checks() {
            fixture.turned(Duration::from_secs(if name == "stuck-standby" { 11 } else { 0 }));
            let path = endpoint.path.replace("{code}", "418");
            let plain = fixture.get(&path).code;
            let all = format!("{path}?active=211&standby=412&lag=10MB&out=513");
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(fixture.ask(method, &all, "").code, code, "{method} {path} when {name}");
            }
            let others =
                ["active=211", "standby=412", "out=513"].into_iter().filter(|it| !it.ends_with(&code.to_string()));
            for other in others {
                assert_eq!(fixture.get(&format!("{path}?{other}")).code, plain, "{path}?{other} when {name}");
            }
        }
    }
    for endpoint in checks() {
        for wrong in ["active=199", "standby=600", "out=", "out=2000", "active", "active=200&out=x"] {
            let answer = fixture.get(&format!("{}?{wrong}", endpoint.path));
            assert_eq!(answer.code, 400, "{}?{wrong}", endpoint.path);
            assert!(answer.json()["error"].as_str().unwrap().contains("200 to 599"));
        }
    }
    fixture.snapshot.store(Arc::new(active()));
    for bodiless in ["204", "205", "304"] {
        let answer = fixture.get(&format!("/primary?active={bodiless}"));
        assert_eq!((answer.code.to_string().as_str(), answer.body.as_str()), (bodiless, ""));
    }
    assert_eq!(fixture.get("/cluster?out=x&active=503").code, 200, "no health check");
}

#[test]
fn the_node_and_its_reason_are_in_headers_of_every_health_check() {
    let mut odd = active();
    odd.server.reason = format!("after\r\nSet-Cookie: é{}", "x".repeat(10_000));
    let fixture = Fixture::new(active());
    for endpoint in answering() {
        let health_check = endpoint.access == Access::HealthCheck;
        for method in ["GET", "HEAD"] {
            let answer = fixture.ask(method, endpoint.path, "");
            let reason = answer.headers.get("x-primacy-reason").map(String::as_str);
            assert_eq!(reason, health_check.then_some("elected after node-b stopped cleanly"), "{}", endpoint.path);
            let node = answer.headers.get("x-primacy-node").map(String::as_str);
            assert_eq!(node, health_check.then_some("node-a"), "{}", endpoint.path);
        }
    }
    fixture.snapshot.store(Arc::new(odd));
    let answer = fixture.ask("HEAD", "/primary", "");
    let reason = &answer.headers["x-primacy-reason"];
    assert!(reason.starts_with("after  Set-Cookie: ?x") && reason.len() <= 512, "{reason}");
    assert!(!answer.headers.contains_key("set-cookie"));
    fixture.snapshot.store(Arc::new(expired()));
    let told = fixture.get("/server_status");
    assert_eq!(told.json()["reason"], told.headers["x-primacy-reason"]);
}
