//! The contact to ZooKeeper is lost, in all the ways that differ.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::TWO_AND_A_HALF_SESSIONS;
use crate::cluster::{Cluster, proxy};
use crate::proxy::Proxy;
use crate::zookeeper::{Server, ensemble};

/// `a` is active behind the proxy, `b` is connected directly.
fn pair_behind_proxy() -> (Cluster, Proxy) {
    let server = Server::shared();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    cluster.restart_when_fenced("a");
    cluster.start_with_active(&["a", "b"]);
    (cluster, proxy)
}

fn lose_and_regain(mut cluster: Cluster, lose: impl FnOnce(), regain: impl FnOnce()) {
    let former = cluster.running();
    lose();
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    let next = cluster.until_run_after(&former);
    assert_eq!(next.node, "b");
    cluster.until("a has fenced itself", |cluster| (cluster.exits("a").first() == Some(&3)).then_some(()));
    cluster.until_status("a", "DISCONNECTED");
    regain();
    cluster.until_eligible("a");
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "lease_expired");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_connection_that_carries_nothing_costs_the_role_and_is_survived() {
    let (cluster, proxy) = pair_behind_proxy();
    lose_and_regain(cluster, || proxy.freeze(), || proxy.heal());
}

#[test]
fn a_connection_that_is_reset_and_refused_costs_the_role_and_is_survived() {
    let (cluster, proxy) = pair_behind_proxy();
    lose_and_regain(cluster, || proxy.cut(), || proxy.heal());
}

#[test]
fn a_connection_cut_for_a_moment_costs_nothing() {
    let (mut cluster, proxy) = pair_behind_proxy();
    let before = cluster.running();
    let session = cluster.status("a").unwrap()["zookeeper"]["session"].clone();
    proxy.cut();
    cluster.until_logged("a", "no contact with ZooKeeper");
    proxy.heal();
    cluster.until("a is in contact again", |cluster| {
        (cluster.status("a")?["zookeeper"]["state"] == "connected").then_some(())
    });
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    assert_eq!(cluster.until_ticks_again().pid, before.pid);
    assert_eq!(cluster.status("a").unwrap()["zookeeper"]["session"], session);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_zookeeper_restart_shorter_than_the_lease_leaves_the_coordinator_alone() {
    let mut server = Server::start();
    let mut cluster = Cluster::new(&server.address());
    // A lease of more than 8 s.
    cluster.set("zookeeper.session_timeout", "10s");
    for name in ["a", "b"] {
        cluster.restart_when_fenced(name);
    }
    cluster.start_with_active(&["a", "b"]);
    // How long a restart takes is up to the host: one that took longer than half the lease proves nothing.
    let mut restarted_in_time = false;
    for _ in 0..5 {
        let active = cluster.until_any_active(&["a", "b"]);
        let before = cluster.running();
        let began = primacy::clock::now();
        server.signal(Signal::SIGTERM);
        cluster.until("ZooKeeper is down", |_| {
            server.command("srvr").is_none_or(|answer| answer.is_empty()).then_some(())
        });
        server.kill();
        server.launch();
        server.until_serving();
        if primacy::clock::now().since(began) > Duration::from_secs(4) {
            cluster.judge();
            continue;
        }
        // More than a session: what was kept was kept by heartbeats.
        cluster.watch_for(Duration::from_secs(12));
        let after = cluster.until_ticks_again();
        assert_eq!(after.pid, before.pid, "a needless fail-over");
        cluster.until_active_is(&active);
        let other = if active == "a" { "b" } else { "a" };
        cluster.until_eligible(other);
        cluster.judge();
        restarted_in_time = true;
        break;
    }
    assert!(restarted_in_time, "this host is too slow: no restart of ZooKeeper took less than 4 s");
}

#[test]
fn a_zookeeper_server_of_three_that_falls_silent_leaves_the_coordinator_alone() {
    let servers = ensemble();
    let list = |addresses: Vec<String>| addresses.join(",");
    let proxies: Vec<Proxy> = servers.iter().map(|server| proxy(&server.address())).collect();
    let mut cluster = Cluster::new(&list(servers.iter().map(Server::address).collect()));
    cluster.set_for("a", "zookeeper.servers", list(proxies.iter().map(Proxy::address).collect()));
    // A lease of more than 8 s; the silence is noticed after half of it.
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.start_with_active(&["a", "b"]);
    let before = cluster.running();
    // The guardian has no connection of its own while all is well.
    let used = cluster.until("a has one connection", |_| {
        let used: Vec<&Proxy> = proxies.iter().filter(|proxy| proxy.carried() > 0).collect();
        (used.len() == 1).then(|| used[0])
    });
    used.freeze();
    cluster.until_logged("a", "the session goes on");
    // More than a session: what was kept was kept by heartbeats.
    cluster.watch_for(Duration::from_secs(12));
    assert_eq!(cluster.until_ticks_again().pid, before.pid, "a needless fail-over");
    used.heal();
    cluster.until_active_is("a");
    cluster.until_eligible("b");
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_zookeeper_outage_longer_than_the_lease_stops_the_coordinator_and_one_runs_afterwards() {
    let mut server = Server::start();
    let mut cluster = Cluster::new(&server.address());
    for name in ["a", "b"] {
        cluster.restart_when_fenced(name);
    }
    cluster.start_with_active(&["a", "b"]);
    let before = cluster.running();
    server.kill();
    cluster.until("a has fenced itself", |cluster| (cluster.exits("a") == [3]).then_some(()));
    let stopped = cluster.running();
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    assert_eq!(cluster.running(), stopped, "nothing may run without ZooKeeper");
    server.launch();
    server.until_serving();
    assert!(cluster.until_run_after(&before).epoch > before.epoch);
    cluster.until_any_active(&["a", "b"]);
    cluster.judge();
}

#[test]
fn nodes_that_start_before_zookeeper_wait_for_it_and_say_so() {
    let mut server = Server::prepare();
    let mut cluster = Cluster::new(&server.address());
    cluster.start("a");
    cluster.start("b");
    for name in ["a", "b"] {
        let status = cluster.until_status(name, "DISCONNECTED");
        assert!(status["reason"].as_str().unwrap().contains(&server.address()), "{status}");
    }
    server.launch();
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_eligible(if active == "a" { "b" } else { "a" });
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_node_that_is_cut_off_says_so_once_nothing_of_its_leadership_is_left() {
    let server = Server::shared();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&proxy.address());
    // So long that a guardian at its last will would be taken for a silent one.
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.start_with_active(&["a"]);
    let former = cluster.running();
    proxy.freeze();
    let status = cluster.until("a says that it can tell nobody", |cluster| {
        cluster.status("a").filter(|status| status["status"] == "DISCONNECTED" && status["role"] != "standby")
    });
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("its coordinator is dead and the lock is closed"), "{status}");
    assert!(reason.contains("cannot be told") && reason.contains("the lease ran out"), "{status}");
    assert_eq!(status["lock"]["held"], false, "{status}");
    assert!(primacy::processes::Stat::of(former.process()).is_none_or(|stat| stat.is_zombie()), "{former:?} lives");
    assert_eq!(cluster.until_exit("a"), 3);
    let log = cluster.log("a");
    assert!(!log.contains("the guardian does not answer"), "{log}");
    cluster.judge();
}
