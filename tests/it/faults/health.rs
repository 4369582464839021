//! Health probes of all three kinds decide on readiness, and on giving the role away.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::cluster::Cluster;
use crate::zookeeper::Server;

fn probed() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("health.interval", "100ms");
    cluster.set("health.timeout", "2s");
    cluster.set("health.failures", 2);
    cluster
}

/// Active only once the probe succeeds; gone after two failures; the other takes over, and history says why.
fn ready_then_unhealthy(mut cluster: Cluster, heal: impl FnOnce(), hurt: impl FnOnce()) {
    cluster.start("a");
    let started = cluster.until_status("a", "STARTING");
    assert_eq!(started["coordinator"]["ready"], false);
    cluster.until("its coordinator runs", |cluster| (!cluster.judge().is_empty()).then_some(()));
    assert!(!cluster.is_active("a"));
    heal();
    cluster.until_active_is("a");
    cluster.start("b");
    cluster.until_eligible("b");
    hurt();
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "coordinator_unhealthy");
    cluster.judge();
}

#[test]
fn a_command_probe_makes_ready_and_its_failures_cost_the_role() {
    let mut cluster = probed();
    let healthy = cluster.path("healthy");
    cluster.set_for(
        "a",
        "health.command",
        vec!["test".to_owned(), "-e".to_owned(), healthy.to_str().unwrap().to_owned()],
    );
    cluster.set_for("b", "health.command", vec!["true"]);
    ready_then_unhealthy(cluster, || fs::write(&healthy, "").unwrap(), || fs::remove_file(&healthy).unwrap());
}

#[test]
fn an_http_probe_makes_ready_and_its_failures_cost_the_role() {
    let mut cluster = probed();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(AtomicU16::new(503));
    let told = answer.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let code = told.load(Ordering::Relaxed);
            let _ = write!(stream, "HTTP/1.1 {code} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    cluster.set_for("a", "health.http", format!("http://{address}/apiv2/server_status"));
    cluster.set_for("b", "health.command", vec!["true"]);
    let (heal, hurt) = (answer.clone(), answer);
    ready_then_unhealthy(cluster, || heal.store(200, Ordering::Relaxed), || hurt.store(500, Ordering::Relaxed));
}

#[test]
fn a_tcp_probe_that_never_succeeds_ends_the_start_in_time() {
    let mut cluster = probed();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cluster.set_for("a", "health.tcp", unused.to_string());
    cluster.set_for("a", "health.startup_timeout", "1s");
    cluster.set_for("b", "health.command", vec!["true"]);
    cluster.start("a");
    cluster.until_status("a", "STARTING");
    cluster.start("b");
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "start_failed");
    cluster.judge();
}

#[test]
fn a_node_told_to_rejoin_after_a_loss_stands_by_again_in_the_same_process() {
    let server = Server::shared();
    let proxy = crate::cluster::proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    cluster.set_for("a", "fencing.after_loss", "rejoin");
    cluster.start_with_active(&["a", "b"]);
    let (former, supervisor) = (cluster.running(), cluster.supervisor("a"));
    proxy.freeze();
    assert_eq!(cluster.until_run_after(&former).node, "b");
    proxy.heal();
    cluster.until_eligible("a");
    assert_eq!(cluster.supervisor("a"), supervisor);
    assert!(cluster.exits("a").is_empty());
    cluster.judge();
}
