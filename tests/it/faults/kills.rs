//! Two or three of the active node's processes at once.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{TWO_AND_A_HALF_SESSIONS, pair};
use crate::cluster::{Cluster, Run, send};
use crate::zookeeper::Server;

/// kill -9 of supervisor and guardian in the same instant: neither has the time to notice the other's end.
pub fn kill_supervisor_and_guardian(cluster: &mut Cluster, name: &str) {
    let (supervisor, guardian) = (cluster.supervisor(name), cluster.guardian(name));
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        send(guardian, signal);
        send(supervisor, signal);
    }
    assert_eq!(cluster.until_exit(name), -9);
}

#[test]
fn killing_supervisor_and_guardian_together_ends_the_coordinator_and_the_other_node_takes_over() {
    let mut cluster = pair();
    let former = cluster.running();
    kill_supervisor_and_guardian(&mut cluster, "a");
    assert_eq!(cluster.until_run_after(&former).node, "b");
    cluster.until_active_is("b");
    // Nobody was left to say anything.
    assert_eq!(cluster.until_cause("b", 1), "host_lost");
    cluster.start("a");
    cluster.until_eligible("a");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_standby_that_is_killed_leaves_the_queue_without_waiting_for_its_session() {
    let mut server = Server::prepare();
    let (_, port) = server.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    // No session ends by itself within this test.
    server.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\nmaxSessionTimeout=600000\n"));
    server.launch();
    server.until_serving();
    let mut cluster = Cluster::new(&server.address());
    cluster.set("zookeeper.session_timeout", "10m");
    // One after the other, so that b stands between the other two.
    for name in ["a", "b", "c"] {
        cluster.start(name);
        if name == "a" {
            cluster.until_active_is(name);
        } else {
            cluster.until_eligible(name);
        }
        // Fit to lead is not yet in the queue.
        cluster.until_logged(name, "standing for election");
    }
    cluster.signal("b", Signal::SIGKILL);
    assert_eq!(cluster.until_exit("b"), -9);
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("c");
    cluster.judge();
}

fn without_guardian(signal: Signal) {
    let mut cluster = pair();
    let former = cluster.running();
    let guardian = cluster.guardian("a");
    send(guardian, signal);
    assert_eq!(cluster.until_run_after(&former).node, "b");
    cluster.until_active_is("b");
    assert_eq!(cluster.until_cause("b", 1), "supervisor_lost");
    // The supervisor lives, with another guardian.
    cluster.until_eligible("a");
    assert!(cluster.exits("a").is_empty());
    assert_ne!(cluster.guardian("a"), guardian);
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_killed_guardian_costs_the_role() {
    without_guardian(Signal::SIGKILL);
}

#[test]
fn a_frozen_guardian_is_killed_and_costs_the_role() {
    without_guardian(Signal::SIGSTOP);
}

fn freeze_all(thaw: [usize; 3]) {
    let mut cluster = pair();
    let former = cluster.running();
    let processes = [cluster.supervisor("a"), cluster.guardian("a"), former.process()];
    for pid in processes {
        send(pid, Signal::SIGSTOP);
    }
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    // Elected, but what is frozen holds the lock.
    let status = cluster.until_waiting_for_lock_of("b", "a");
    assert!(status["reason"].as_str().unwrap().contains("the lock that a on host"), "{status}");
    for index in thaw {
        // What thawed first may have killed the rest already.
        let _ = kill(Pid::from_raw(processes[index]), Signal::SIGCONT);
    }
    assert_eq!(cluster.until_run_after(&former).node, "b");
    assert_eq!(cluster.until_exit("a"), 3);
    cluster.until_active_is("b");
    cluster.start("a");
    cluster.until_eligible("a");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_frozen_node_keeps_the_lock_and_dies_when_it_thaws() {
    freeze_all([0, 1, 2]);
}

#[test]
fn a_frozen_node_whose_coordinator_thaws_first_dies_all_the_same() {
    freeze_all([2, 1, 0]);
}

#[test]
fn a_daemon_that_outlives_its_supervisor_and_guardian_keeps_the_lock_until_its_own_node_clears_it_away() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.coordinator(&["--daemonise"]);
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    kill_supervisor_and_guardian(&mut cluster, "a");
    cluster.until_waiting_for_lock_of("b", "a");
    // The daemon runs on, alone.
    let alone: Run = cluster.until_ticks_again();
    assert_eq!(alone.pid, former.pid);
    cluster.start("a");
    cluster.until_run_after(&former);
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_active_is(&active);
    cluster.until_eligible(if active == "a" { "b" } else { "a" });
    assert_eq!(cluster.judge().len(), 2);
}
