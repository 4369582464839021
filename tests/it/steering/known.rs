//! Known nodes: who has ever registered, when it was last seen, and how it is forgotten.

use std::process::Stdio;
use std::time::SystemTime;

use primacy::clock;

use super::*;

/// A node's row in what a member's API, or ZooKeeper, shows.
fn row(view: &Value, node: &str) -> Option<Value> {
    view["members"].as_array()?.iter().find(|member| member["node"] == node).cloned()
}

fn in_zookeeper(cluster: &Cluster) -> Value {
    serde_json::from_str(&done(cluster, &["status", "-o", "json"])).unwrap()
}

#[track_caller]
fn until_missing(cluster: &mut Cluster, asked: &str, node: &str, since: SystemTime) -> Value {
    cluster.until("the node is shown as missing", |cluster| {
        let row = row(&cluster.get(asked, "/cluster")?, node).filter(|row| row["state"] == "INACTIVE")?;
        let seen = humantime::parse_rfc3339(row["since"].as_str()?).ok()?;
        (seen >= since && row["last_contact_ms"].is_u64()).then_some(row)
    })
}

#[test]
fn a_node_that_has_gone_is_shown_until_it_is_forgotten_and_is_known_again_when_it_comes_back() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    let (code, said) = refused(&cluster, &["forget", "b", "--yes"]);
    assert!(code == 1 && said.contains("b is here"), "{said}");

    let before = clock::wall();
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_exit("b");
    let missing = until_missing(&mut cluster, "a", "b", before);
    assert!(missing["reason"].as_str().unwrap().contains("primacy forget b"), "{missing}");
    assert_eq!((&missing["ready"], &missing["eligible"]), (&false.into(), &false.into()));
    assert_eq!(row(&in_zookeeper(&cluster), "b").unwrap()["since"], missing["since"]);
    let check = primacy(&cluster, &["status", "--check"]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.code() == Some(1) && said.contains("b is missing, last seen ") && said.contains(" missing=1;")
    );
    assert!(done(&cluster, &["status"]).contains("INACTIVE"));

    let (code, said) = refused(&cluster, &["forget", "z", "--yes"]);
    assert!(code == 1 && said.contains("z is not known"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("-c").arg(cluster.config_file("a")).args(["forget", "b"]).stdin(Stdio::null());
    assert_eq!(command.output().unwrap().status.code(), Some(2), "nobody can be asked");
    assert!(row(&in_zookeeper(&cluster), "b").is_some());

    // Through the member's API.
    let api = format!("http://127.0.0.1:{}", cluster.port("a").unwrap());
    assert!(done(&cluster, &["forget", "b", "--yes", "-m", "scrapped", "--api", &api]).contains("b is forgotten"));
    assert!(row(&in_zookeeper(&cluster), "b").is_none());
    cluster.until("the member has forgotten it, too", |cluster| {
        row(&cluster.get("a", "/cluster")?, "b").is_none().then_some(())
    });

    cluster.start("b");
    cluster.until_eligible("b");
    let before = clock::wall();
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_exit("b");
    until_missing(&mut cluster, "a", "b", before);
    cluster.judge();
}

#[test]
fn the_former_active_is_missed_by_its_successor_and_forgotten_only_when_another_one_leads() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a", "b"]);
    let before = clock::wall();
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_exit("a");
    cluster.until_active_is("b");
    until_missing(&mut cluster, "b", "a", before);
    done(&cluster, &["forget", "a", "--yes"]);
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_exit("b");
    // It was the last, and its leadership ended in order.
    let view = in_zookeeper(&cluster);
    let seen = humantime::parse_rfc3339(row(&view, "b").unwrap()["since"].as_str().unwrap()).unwrap();
    assert!(seen >= before, "{view}");
    let check = primacy(&cluster, &["status", "--check"]);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    done(&cluster, &["forget", "b", "--yes"]);
    assert_eq!(in_zookeeper(&cluster)["members"], Value::Array(Vec::new()));
    cluster.judge();
}
