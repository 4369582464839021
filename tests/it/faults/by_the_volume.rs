//! The hand-over by the volume: a node that is cut off is succeeded as soon as its guardian has written that it is over, while
//! ZooKeeper still believes in it. What shows that is ZooKeeper's own list of sessions, at the moment when the next one leads.

use nix::sys::signal::Signal;

use super::kills::kill_supervisor_and_guardian;
use super::pair;
use crate::cluster::{Cluster, proxy};
use crate::proxy::Proxy;
use crate::zookeeper::Server;

/// `a` is active behind the proxy, `b` is connected directly. A lease of 3.5 s, and a session that is over after 9 s at the
/// earliest: 5 s in which only the volume tells.
fn pair_behind_proxy() -> (Server, Cluster, Proxy) {
    let server = Server::start();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.set("zookeeper.heartbeat_interval", "500ms");
    cluster.set("zookeeper.margin", "5s");
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    cluster.start_with_active(&["a", "b"]);
    cluster.until_logged("b", "waits for the lock");
    (server, cluster, proxy)
}

fn session(cluster: &mut Cluster, name: &str) -> String {
    cluster.status(name).unwrap()["zookeeper"]["session"].as_str().unwrap().to_owned()
}

/// The sessions that have nodes, in the servers' own words.
fn has_nodes(server: &Server, session: &str) -> bool {
    let dump = server.command("dump").unwrap();
    dump.contains(session)
}

fn evidence(cluster: &mut Cluster, epoch: u64) -> String {
    cluster.until("b's history has the epoch", |cluster| {
        let history = cluster.history("b");
        let entry = history.iter().find(|entry| entry["epoch"] == epoch)?;
        Some(entry["evidence"].as_str()?.to_owned())
    })
}

fn is_succeeded_before_its_session_ends(lose: impl FnOnce(&Proxy, &mut Cluster), cause: &str) {
    let (server, mut cluster, proxy) = pair_behind_proxy();
    let former = cluster.running();
    let session = session(&mut cluster, "a");
    assert!(has_nodes(&server, &session));
    lose(&proxy, &mut cluster);
    let next = cluster.until_run_after(&former);
    let still_there = has_nodes(&server, &session);
    assert_eq!(next.node, "b");
    assert!(still_there, "its session had ended: that proves nothing of the volume");
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), cause);
    assert_eq!(evidence(&mut cluster, 2), "guardian_record");
    proxy.heal();
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_node_whose_connection_carries_nothing_is_succeeded_before_its_session_ends() {
    is_succeeded_before_its_session_ends(|proxy, _| proxy.freeze(), "lease_expired");
}

#[test]
fn a_node_whose_connection_is_refused_is_succeeded_before_its_session_ends() {
    is_succeeded_before_its_session_ends(|proxy, _| proxy.cut(), "lease_expired");
}

#[test]
fn a_node_whose_supervisor_is_killed_while_it_is_cut_off_is_succeeded_before_its_session_ends() {
    let lose = |proxy: &Proxy, cluster: &mut Cluster| {
        proxy.freeze();
        cluster.signal("a", Signal::SIGKILL);
    };
    is_succeeded_before_its_session_ends(lose, "supervisor_lost");
}

#[test]
fn a_lock_that_came_without_the_proof_is_let_go_of_and_the_session_is_waited_for() {
    let mut cluster = pair();
    cluster.until_logged("b", "waits for the lock");
    let former = cluster.running();
    kill_supervisor_and_guardian(&mut cluster, "a");
    assert_eq!(cluster.until_run_after(&former).node, "b");
    cluster.until_active_is("b");
    assert!(cluster.log("b").contains("without the proof"), "{}", cluster.log("b"));
    assert_eq!(evidence(&mut cluster, 2), "lock_and_session");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_standby_that_is_stopped_while_it_waits_leaves_the_lock_to_the_next_one() {
    let mut cluster = pair();
    cluster.until_logged("b", "waits for the lock");
    cluster.start("c");
    cluster.until_eligible("c");
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    cluster.until_logged("c", "waits for the lock");
    let former = cluster.running();
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    assert_eq!(cluster.until_run_after(&former).node, "c");
    cluster.until_active_is("c");
    assert_eq!(cluster.until_cause("c", 1), "stopped");
    assert_eq!(cluster.judge().len(), 2);
}
