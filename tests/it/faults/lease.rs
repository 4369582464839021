//! The lease alone: the lock excludes nobody here, so whoever relied on it would run beside the next one.

use nix::sys::signal::Signal;

use super::TWO_AND_A_HALF_SESSIONS;
use crate::cluster::{Cluster, proxy};
use crate::zookeeper::Server;

fn apart(cluster: &mut Cluster, lose: impl FnOnce(&mut Cluster), regain: impl FnOnce(&mut Cluster)) {
    cluster.start_without_common_lock(&["a", "b"]);
    let former = cluster.running();
    lose(cluster);
    assert_eq!(cluster.until_run_after(&former).node, "b");
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    regain(cluster);
    cluster.until_exit("a");
    cluster.start("a");
    cluster.until_eligible("a");
    cluster.until_active_is("b");
    let runs = cluster.judge();
    assert_eq!(runs.len(), 2);
    println!("dead {} ms before the next one started", (runs[1].first - runs[0].last) / 1_000_000);
}

#[test]
fn a_node_without_connection_is_done_before_the_next_one_starts() {
    let server = Server::shared();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    apart(&mut cluster, |_| proxy.freeze(), |_| proxy.heal());
}

#[test]
fn a_frozen_supervisors_guardian_is_done_before_the_next_one_starts() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let freeze = |cluster: &mut Cluster| cluster.signal("a", Signal::SIGSTOP);
    apart(&mut cluster, freeze, |cluster| cluster.signal("a", Signal::SIGCONT));
}

#[test]
fn a_killed_supervisors_guardian_is_done_before_the_next_one_starts() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.coordinator(&["--daemonise"]);
    apart(&mut cluster, |cluster| cluster.signal("a", Signal::SIGKILL), |_| {});
}

#[test]
fn a_daemonised_tree_without_connection_is_done_before_the_next_one_starts() {
    let server = Server::shared();
    let proxy = proxy(&server.address());
    let mut cluster = Cluster::new(&server.address());
    cluster.coordinator(&["--daemonise", "--ignore-sigterm"]);
    cluster.set_for("a", "zookeeper.servers", proxy.address());
    apart(&mut cluster, |_| proxy.cut(), |_| proxy.heal());
}
