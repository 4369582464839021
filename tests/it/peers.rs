//! The volume's lock, tried by two nodes against each other.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

/// Nodes on this machine count as hosts of their own.
const EVERY_NODE_IS_A_HOST: (&str, &str) = ("PRIMACY_TEST_EVERY_NODE_IS_A_HOST", "1");

fn check(config: &Path, wait: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.args(["check", "--output", "json", "--with-peer", "--wait", wait, "-c"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn line(check: Child) -> Value {
    let output = check.wait_with_output().unwrap();
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    results.into_iter().find(|result| result["name"] == "volume.peer").expect("a line on the peer")
}

fn configured() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    std::fs::create_dir(cluster.lock_directory()).unwrap();
    cluster.write_config("a");
    cluster.write_config("b");
    cluster
}

#[test]
fn two_checks_at_the_same_time_try_the_lock_against_each_other() {
    let cluster = configured();
    let (a, b) = (check(&cluster.config_file("a"), "60s"), check(&cluster.config_file("b"), "60s"));
    for line in [line(a), line(b)] {
        assert_eq!(line["result"], "ok", "{line}");
        assert!(line["detail"].as_str().unwrap().starts_with("b was kept out while a held the lock"), "{line}");
    }
    let left: Vec<_> = std::fs::read_dir(cluster.lock_directory()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_volumes_that_look_like_one_are_told_apart() {
    let mut cluster = configured();
    let other = cluster.path("other");
    std::fs::create_dir(&other).unwrap();
    cluster.set_for("b", "lock.directory", other.to_str().unwrap().to_owned());
    cluster.write_config("b");
    let (a, b) = (check(&cluster.config_file("a"), "60s"), check(&cluster.config_file("b"), "60s"));
    for line in [line(a), line(b)] {
        assert_eq!(line["result"], "fail", "{line}");
        assert!(line["detail"].as_str().unwrap().contains("b does not see what a writes"), "{line}");
    }
}

#[test]
fn a_check_that_nobody_meets_says_so_and_fails_nobody() {
    let cluster = configured();
    let line = line(check(&cluster.config_file("a"), "1s"));
    assert_eq!(line["result"], "warn", "{line}");
    assert!(line["detail"].as_str().unwrap().contains("another node did not come within 1 s"), "{line}");
}

#[test]
fn nodes_on_two_hosts_try_the_lock_by_themselves_once_per_volume() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.environment(EVERY_NODE_IS_A_HOST);
    cluster.start_with_active(&["a", "b"]);
    let verified = |cluster: &mut Cluster, node: &str, words: &str| {
        cluster.until(&format!("{node} knows that the lock excludes"), |cluster| {
            let status = cluster.status(node)?;
            let detail = status["lock"]["verified_detail"].as_str()?.contains(words);
            (status["lock"]["verified"] == "verified" && detail).then_some(())
        });
    };
    verified(&mut cluster, "a", "with b: b was kept out while a held the lock");
    verified(&mut cluster, "b", "with a: b was kept out while a held the lock");
    // Another start finds what was kept.
    cluster.signal("b", nix::sys::signal::Signal::SIGTERM);
    cluster.until_exit("b");
    cluster.start("b");
    verified(&mut cluster, "b", "tried at");
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_lock_that_does_not_reach_the_other_host_keeps_that_one_from_ever_becoming_active() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.environment(EVERY_NODE_IS_A_HOST);
    cluster.start_with_active(&["a"]);
    // As an unmounted directory into which somebody has copied the volume's identity.
    let elsewhere = cluster.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::copy(cluster.lock_directory().join("volume.json"), elsewhere.join("volume.json")).unwrap();
    cluster.set_for("b", "lock.directory", elsewhere.to_str().unwrap().to_owned());
    cluster.start("b");
    cluster.until("b says that the lock cannot be trusted", |cluster| {
        let status = cluster.status("b")?;
        let says = status["reason"].as_str()?.contains("never stands for election: the volume's lock");
        (status["lock"]["verified"] == "failed" && says).then_some(())
    });
    cluster.until_logged("a", "this node never becomes active: b does not see what a writes");
    assert!(cluster.is_active("a"), "what runs goes on");
    cluster.signal("a", nix::sys::signal::Signal::SIGTERM);
    cluster.until_exit("a");
    cluster.watch_for(std::time::Duration::from_secs(3));
    assert_eq!(cluster.judge().len(), 1, "b was started");
}
