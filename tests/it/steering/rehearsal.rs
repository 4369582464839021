//! The game day.

use super::*;

#[test]
fn a_rehearsal_fails_over_four_times_and_says_what_each_cost() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("rehearsal.allowed", true);
    for node in ["a", "b"] {
        cluster.restart_when_ended(node);
        let listen = format!("127.0.0.1:{}", crate::zookeeper::free_port());
        cluster.set_for(node, "api.listen", listen);
    }
    start(&mut cluster, &["a", "b"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("-c").arg(cluster.config_file("a")).args(["rehearse", "--yes", "-o", "json"]);
    let mut rehearsal = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // Meanwhile who was killed is started again.
    cluster.until("the rehearsal is over", |_| rehearsal.try_wait().unwrap().map(drop));
    let output = rehearsal.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let played: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert!(output.status.success(), "{said}");
    let faults: Vec<&str> = played.iter().map(|one| one["fault"].as_str().unwrap()).collect();
    assert_eq!(faults, ["switchover", "coordinator", "supervisor", "freeze"]);
    for one in &played {
        assert!(one["passed"] == true && one["two_at_once"] == false && one["gap_ms"].is_u64(), "{one}");
    }
    // Each of them by another coordinator.
    assert_eq!(cluster.judge().len(), 5);
}

#[test]
fn nothing_is_rehearsed_unless_every_node_allows_it() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set_for("a", "rehearsal.allowed", true);
    start(&mut cluster, &["a", "b"]);
    let (code, said) = refused(&cluster, &["rehearse", "coordinator", "--yes"]);
    assert!(code == 1 && said.contains("b allows no rehearsal: set rehearsal.allowed"), "{said}");
    assert_eq!(cluster.judge().len(), 1);
}
