//! The same by any member's API.

use serde_json::json;

use super::*;

/// Status, content type and body.
fn ask(
    cluster: &mut Cluster,
    node: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let port = cluster.port(node).unwrap();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://127.0.0.1:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let mut answer = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
    let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), kind, answer.body_mut().read_to_string().unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(cluster: &mut Cluster, node: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, _, body) = ask(cluster, node, "POST", path, &[JSON], &body.to_string());
    (status, serde_json::from_str(&body).unwrap())
}

fn put(cluster: &mut Cluster, node: &str, body: &str) -> (u16, String) {
    let (status, _, body) = ask(cluster, node, "PUT", "/v1/info/state", &[JSON], body);
    (status, body)
}

fn state(cluster: &mut Cluster, node: &str) -> Value {
    cluster.get(node, "/v1/info/state").unwrap()
}

#[test]
fn any_member_hands_over_and_says_when_it_is_done_and_how_long_it_took() {
    let mut cluster = three();
    let (status, body) = post(&mut cluster, "b", "/switchover", json!({"to": "c", "dry_run": true}));
    assert_eq!((status, &body["to"], &body["candidates"]["b"]), (200, &"c".into(), &Value::Null), "{body}");
    let (status, body) = post(&mut cluster, "b", "/switchover", json!({"to": "c", "reason": "a new kernel"}));
    assert_eq!(
        (status, &body["from"], &body["to"], &body["epoch"]),
        (200, &"a".into(), &"c".into(), &2.into()),
        "{body}"
    );
    assert!(body["gap_ms"].is_u64(), "{body}");
    let (status, body) = post(&mut cluster, "a", "/switchover", json!({"to": "c"}));
    assert_eq!((status, &body["changed"]), (200, &false.into()), "it is the active one: {body}");
    let (status, body) = post(&mut cluster, "a", "/switchover", json!({"to": "x"}));
    assert!(status == 412 && body["reasons"]["a"].is_string(), "{body}");
    let (status, body) = post(&mut cluster, "a", "/switchover", json!({"too": "x"}));
    assert!(status == 400 && body["error"].as_str().unwrap().contains("too"), "{body}");
    let (status, _, _) = ask(&mut cluster, "a", "DELETE", "/switchover", &[], "");
    assert_eq!(status, 404);
    assert_eq!(entry(&mut cluster, "b", 1)["reason"], "a new kernel");
    cluster.judge();
}

#[test]
fn the_node_state_is_changed_as_openlookeng_does_it() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("drain.grace_period", "100ms");
    start(&mut cluster, &["a", "b"]);
    for body in ["", "ACTIVE", "\"ASLEEP\"", "{}", "\"INACTIVE\""] {
        assert_eq!(put(&mut cluster, "b", body).0, 400, "{body}");
    }
    assert_eq!(
        ask(&mut cluster, "b", "PUT", "/v1/info/state", &[("content-type", "text/plain")], "\"ISOLATED\"").0,
        415
    );
    assert_eq!(put(&mut cluster, "b", "\"ACTIVE\""), (200, String::new()), "no change");
    assert_eq!(put(&mut cluster, "b", "\"ISOLATED\""), (200, String::new()));
    assert_ne!(state(&mut cluster, "b"), "ACTIVE");
    cluster.until("it is out", |cluster| (state(cluster, "b") == "ISOLATED").then_some(()));
    let health = |cluster: &mut Cluster, path: &str| ask(cluster, "b", "GET", path, &[], "").0;
    for path in ["/health", "/readiness", "/standby"] {
        assert_eq!(health(&mut cluster, path), 503, "{path}");
    }
    assert_eq!(health(&mut cluster, "/liveness"), 200);
    let (status, said) = put(&mut cluster, "a", "\"ISOLATING\"");
    assert!(status == 409 && said.contains("the last one that could lead"), "{said}");
    assert_eq!(put(&mut cluster, "b", "\"ISOLATING\""), (200, String::new()));
    assert_eq!(put(&mut cluster, "b", "\"ACTIVE\""), (200, String::new()));
    assert_eq!(state(&mut cluster, "b"), "ACTIVE");
    cluster.until_eligible("b");
    assert_eq!(put(&mut cluster, "b", "\"SHUTTING_DOWN\""), (200, String::new()));
    assert_eq!(cluster.until_exit("b"), 0);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_member_takes_another_one_out() {
    let mut cluster = three();
    let (status, body) =
        post(&mut cluster, "b", "/members/c/state", json!({"state": "ISOLATED", "for": "1h", "reason": "disks"}));
    assert_eq!((status, &body["changed"]), (200, &true.into()), "{body}");
    cluster.until_status("c", "ISOLATED");
    cluster.until("all know", |cluster| {
        let action = cluster.get("a", "/cluster")?["action"].clone();
        (action["kind"] == "isolate" && action["node"] == "c" && action["until"].is_string()).then_some(())
    });
    let (status, _) = post(&mut cluster, "b", "/members/x/state", json!({"state": "ISOLATED"}));
    assert_eq!(status, 412);
    let (status, body) = post(&mut cluster, "b", "/pause", json!({"for": "soon"}));
    assert!(status == 400 && body["error"].as_str().unwrap().contains("\"soon\" is no duration"), "{body}");
    cluster.judge();
}

#[test]
fn without_a_token_a_change_is_taken_from_this_host_only_and_from_no_page_of_another_site() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    let refused = |cluster: &mut Cluster, headers: &[(&str, &str)]| {
        let mut all = vec![JSON];
        all.extend(headers);
        ask(cluster, "a", "POST", "/pause", &all, "{}").0
    };
    assert_eq!(refused(&mut cluster, &[("host", "evil.example")]), 403);
    assert_eq!(refused(&mut cluster, &[("origin", "http://evil.example")]), 403);
    assert_eq!(refused(&mut cluster, &[("origin", "null")]), 403);
    assert_eq!(cluster.get("a", "/cluster").unwrap()["paused"], false);
    assert_eq!(refused(&mut cluster, &[("origin", "http://localhost:3000"), ("host", "localhost")]), 200);
    cluster.until_logged("a", "a change was asked for");
    cluster.judge();
}

#[test]
fn with_a_token_only_who_has_it_may_change() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let files = [
        ("api.token_file", "full", "alice full-token\ndeploy-bot other-token\n"),
        ("api.read_token_file", "read", "read-token"),
    ];
    for (key, name, text) in files {
        let file = cluster.path(name);
        std::fs::write(&file, text).unwrap();
        let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, only_mine).unwrap();
        cluster.set(key, file.to_str().unwrap().to_owned());
    }
    cluster.start("a");
    cluster.until("a listens", |cluster| cluster.port("a"));
    let code = |cluster: &mut Cluster, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] = if token.is_empty() { &[JSON] } else { &[JSON, ("authorization", &bearer)] };
        ask(cluster, "a", "POST", "/resume", headers, "{}").0
    };
    assert_eq!(code(&mut cluster, ""), 401);
    assert_eq!(code(&mut cluster, "wrong"), 401);
    assert_eq!(code(&mut cluster, "read-token"), 403);
    cluster.until("its ensemble answers", |cluster| (code(cluster, "full-token") == 200).then_some(()));
    let other: &[(&str, &str)] = &[JSON, ("authorization", "Bearer other-token")];
    assert_eq!(ask(&mut cluster, "a", "POST", "/pause", other, "{}").0, 200);
    let by = cluster.until("the pause is seen", |cluster| {
        let (_, _, seen) = ask(cluster, "a", "GET", "/cluster", &[("authorization", "Bearer read-token")], "");
        let seen: Value = serde_json::from_str(&seen).unwrap();
        seen["action"]["by"].as_str().map(str::to_owned)
    });
    assert_eq!(by, "deploy-bot");
}

#[test]
fn the_commands_ask_the_api_as_well() {
    let mut cluster = three();
    let url = format!("http://127.0.0.1:1,http://127.0.0.1:{}", cluster.port("b").unwrap());
    let said = done(&cluster, &["switchover", "--api", &url, "--to", "c", "--yes"]);
    assert!(said.contains("c leads, epoch 2"), "{said}");
    let said = done(&cluster, &["isolate", "a", "--api", &url, "--yes", "-m", "disks"]);
    assert!(said.contains("a is ISOLATED"), "{said}");
    let (code, said) = refused(&cluster, &["switchover", "--api", &url, "--to", "a", "--yes"]);
    assert!(code == 1 && said.contains("a could not take over: it is ISOLATED"), "{said}");
    let (code, said) = refused(&cluster, &["pause", "--api", "http://127.0.0.1:1", "--yes"]);
    assert!(code == 3 && said.contains("no API answered"), "{said}");
    cluster.judge();
}

#[test]
fn a_reload_by_the_api_says_what_took_effect_and_an_invalid_file_changes_nothing() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    cluster.set_for("b", "candidate.priority", 50);
    cluster.set_for("b", "zookeeper.margin", "600ms");
    cluster.write_config("b");
    let (status, body) = post(&mut cluster, "b", "/reload", json!({"reason": "a preference"}));
    assert_eq!((status, &body["applied"]), (200, &json!(["candidate.priority"])), "{body}");
    assert_eq!(body["needs_restart"], json!(["zookeeper.margin"]), "{body}");
    let file = cluster.config_file("b");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("clutser = \"x\"\n{text}")).unwrap();
    let (status, body) = post(&mut cluster, "b", "/reload", json!({}));
    assert!(status == 400 && body["error"].as_str().unwrap().contains("clutser"), "{body}");
    cluster.until("others know", |cluster| {
        let view = cluster.get("a", "/cluster")?;
        let b = view["members"].as_array()?.iter().find(|member| member["node"] == "b")?.clone();
        (b["priority"] == 50).then_some(())
    });
    cluster.judge();
}

#[test]
fn with_the_lock_alone_a_node_is_taken_out_by_its_own_api_and_nothing_else_is_promised() {
    let mut cluster = Cluster::new("127.0.0.1:1");
    cluster.set("election", "lock");
    cluster.set("drain.grace_period", "100ms");
    crate::cluster::make_directory(&cluster.lock_directory());
    cluster.start("a");
    cluster.until_active_is("a");
    assert_eq!(put(&mut cluster, "a", "\"ISOLATING\""), (200, String::new()));
    assert_ne!(state(&mut cluster, "a"), "ACTIVE");
    cluster.until_status("a", "ISOLATED");
    assert_eq!(put(&mut cluster, "a", "\"ACTIVE\""), (200, String::new()));
    cluster.until_active_is("a");
    for (path, body) in [
        ("/switchover", json!({})),
        ("/pause", json!({})),
        ("/members/a/state", json!({"state": "ISOLATED", "for": "1h"})),
        ("/members/b/state", json!({"state": "ISOLATED"})),
    ] {
        let (status, answer) = post(&mut cluster, "a", path, body);
        assert!(status == 409 && answer["error"].as_str().unwrap().contains("nothing keeps"), "{path}: {answer}");
    }
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.judge().len(), 2);
}
