//! Sessions that the servers cut, and what an ensemble hears of late.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::skipped;
use crate::zookeeper::{Server, ensemble_with};
use primacy::moment::Moment;
use primacy::{clock, processes};

fn limited(server: &Server, more: &str) {
    server.configure(&format!("clientPort={}\nclientPortAddress=127.0.0.1\n{more}", server.port));
}

fn restart(server: &mut Server, more: &str) {
    server.kill();
    limited(server, more);
    server.launch();
    server.until_serving();
}

#[test]
fn a_node_that_is_granted_too_little_names_the_servers_limit_and_stands_once_that_is_raised() {
    let mut server = Server::prepare();
    limited(&server, "maxSessionTimeout=1000\n");
    server.launch();
    server.until_serving();
    let mut cluster = Cluster::new(&server.address());
    cluster.start("a");
    let status = cluster.until("a says why it never stands", |cluster| {
        let status = cluster.status("a")?;
        status["reason"].as_str()?.contains("never stands for election").then_some(status)
    });
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("maxSessionTimeout") && !reason.contains("raise zookeeper.session_timeout"), "{reason}");
    assert_eq!(status["zookeeper"]["session_timeout_ms"], 1_000);
    restart(&mut server, "");
    cluster.until_active_is("a");
    assert_eq!(cluster.status("a").unwrap()["zookeeper"]["session_timeout_ms"], 4_000);
}

#[test]
fn a_leader_whose_session_is_cut_dies_by_the_shorter_lease() {
    let mut server = Server::prepare();
    limited(&server, "maxSessionTimeout=40000\n");
    server.launch();
    server.until_serving();
    let mut cluster = Cluster::new(&server.address());
    cluster.set("zookeeper.session_timeout", "30s");
    cluster.set("zookeeper.heartbeat_interval", "400ms");
    cluster.start("a");
    cluster.until_active_is("a");
    restart(&mut server, "maxSessionTimeout=4000\n");
    cluster.until("a knows that its session was cut", |cluster| {
        (cluster.status("a")?["zookeeper"]["session_timeout_ms"] == 4_000).then_some(())
    });
    let lease = cluster.status("a").unwrap()["lease"]["remaining_ms"].as_u64().unwrap();
    assert!(lease <= 3_500, "{lease} ms are left of a lease under a session of 4 s");
    assert!(cluster.is_active("a"), "a shorter session is no reason to stop");
    let run = cluster.running();
    cluster.signal("a", Signal::SIGSTOP);
    let frozen = clock::now();
    cluster.until("the guardian kills", |_| gone(run.process()).then_some(()));
    let took = clock::now().since(frozen);
    assert!(took < Duration::from_secs(4), "killed {took:?} after the last possible heartbeat of a session of 4 s");
    cluster.signal("a", Signal::SIGCONT);
    cluster.judge();
}

fn gone(pid: i32) -> bool {
    processes::Stat::of(pid).is_none_or(|stat| stat.is_zombie())
}

/// How many candidates stand, as the ensemble's leader sees it.
fn candidates(leader: &Server, cluster: &Cluster) -> Option<usize> {
    let dump = leader.command("dump")?;
    Some(dump.lines().filter(|line| line.contains(&cluster.znode()) && line.contains("-latch-")).count())
}

/// What the arithmetic is about, with everything real: `just follower-dies`.
#[test]
fn a_follower_that_dies_right_after_a_claim_that_had_waited_leaves_the_coordinator_no_longer_than_its_session() {
    if std::env::var_os("PRIMACY_LONG_TESTS").is_none() {
        return skipped("takes a minute and a half; run `just follower-dies`");
    }
    let servers = ensemble_with("tickTime=2000\n");
    let leader = servers.iter().find(|server| server.leads()).unwrap();
    let follower = servers.iter().find(|server| !server.leads()).unwrap();
    let mut cluster = Cluster::new(&leader.address());
    cluster.set("zookeeper.session_timeout", "40s");
    cluster.set("zookeeper.tick_time", "2s");
    cluster.set_for("b", "zookeeper.servers", follower.address());
    // The lock excludes nobody: time alone protects.
    cluster.start_without_common_lock(&["a", "b", "c"]);
    cluster.watch_for(Duration::from_secs(20));
    let former = cluster.running();
    cluster.signal("a", Signal::SIGTERM);
    let run = cluster.until_run_after(&former);
    follower.signal(Signal::SIGSTOP);
    let stopped = clock::now();
    assert_eq!(run.node, "b");
    let (mut dead, mut ended): (Option<Moment>, Option<Moment>) = (None, None);
    while dead.is_none() || ended.is_none() {
        if dead.is_none() && gone(run.process()) {
            dead = Some(clock::now());
        }
        if ended.is_none() && candidates(leader, &cluster) == Some(1) {
            ended = Some(clock::now());
        }
        assert!(clock::now().since(stopped) < Duration::from_secs(90), "dead {dead:?}, session over {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (dead, ended) = (dead.unwrap(), ended.unwrap());
    println!(
        "after the follower was stopped: coordinator dead after {:?}, session over after {:?}",
        dead.since(stopped),
        ended.since(stopped)
    );
    assert!(dead < ended, "the session was over {:?} before the coordinator was dead", dead.since(ended));
    assert_eq!(cluster.until_run_after(&run).node, "c");
    cluster.judge();
    follower.signal(Signal::SIGCONT);
}
