//! Something of the active node ends or freezes.

use nix::sys::signal::Signal;

use super::{TWO_AND_A_HALF_SESSIONS, pair};
use crate::cluster::{Cluster, send};
use crate::zookeeper::Server;

#[test]
fn sigterm_hands_over_cleanly() {
    let mut cluster = pair();
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "stopped");
    let runs = cluster.judge();
    assert_eq!(runs[0].notes.events, ["start", "sigterm"]);
    assert_eq!(runs.len(), 2);
}

#[test]
fn a_killed_coordinator_is_replaced_by_the_other_node() {
    let mut cluster = pair();
    let killed = cluster.running();
    send(killed.process(), Signal::SIGKILL);
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "coordinator_exited");
    cluster.until_eligible("a");
    cluster.judge();
}

#[test]
fn the_guardian_of_a_killed_supervisor_gives_the_role_away_before_the_session_ends() {
    let mut cluster = Cluster::new(&Server::shared().address());
    // Longer than any delay of a busy host: if the session had to end, the test would take longer than its limit.
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    cluster.signal("a", Signal::SIGKILL);
    let next = cluster.until_run_after(&former);
    assert_eq!(next.node, "b");
    // The cause in the history is the guardian's word: ZooKeeper alone, after the session, would say host_lost.
    assert_eq!(cluster.until_cause("b", 1), "supervisor_lost");
    cluster.start("a");
    cluster.until_eligible("a");
    cluster.judge();
}

#[test]
fn a_frozen_supervisor_loses_the_role_and_exits_with_3_when_it_thaws() {
    let mut cluster = pair();
    let former = cluster.running();
    cluster.signal("a", Signal::SIGSTOP);
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    let next = cluster.until_run_after(&former);
    assert_eq!(next.node, "b");
    assert_eq!(cluster.until_cause("b", 1), "lease_expired");
    cluster.restart_when_fenced("a");
    cluster.signal("a", Signal::SIGCONT);
    cluster.until("a exits with 3", |cluster| (cluster.exits("a") == [3]).then_some(()));
    cluster.until_eligible("a");
    cluster.until_active_is("b");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_clean_stop_closes_every_session_before_the_process_ends() {
    let server = Server::start();
    let mut cluster = Cluster::new(&server.address());
    let sessions = || {
        let answer = server.command("mntr").unwrap();
        answer.lines().find_map(|line| line.strip_prefix("zk_global_sessions\t")).unwrap().to_owned()
    };
    for _ in 0..10 {
        cluster.start("a");
        cluster.until_active_is("a");
        assert_ne!(sessions(), "0");
        cluster.signal("a", Signal::SIGTERM);
        assert_eq!(cluster.until_exit("a"), 0);
        assert_eq!(sessions(), "0");
    }
    cluster.judge();
}
