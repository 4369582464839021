//! A hundred fail-overs in a row leave nothing behind.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, send};
use crate::zookeeper::Server;

const BY_KILL: usize = 60;
const BY_STOP: usize = 40;
/// What is allocated once is allocated by then.
const WARM_UP: usize = 6;

/// What can leak.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    /// By node: descriptors, threads and descendants of its supervisor, descriptors of its guardian.
    nodes: BTreeMap<&'static str, [usize; 4]>,
    processes: usize,
    /// The history aside, which keeps 100 entries.
    znodes: usize,
    ephemerals: usize,
    connections: usize,
    sessions: usize,
}

fn entries(pid: i32, directory: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{directory}")).unwrap().count()
}

/// Taken while nothing is under way; whatever closes a moment later is waited for by the caller.
fn inventory(cluster: &mut Cluster, server: &Server) -> Option<Inventory> {
    let mut nodes = BTreeMap::new();
    for name in ["a", "b"] {
        let (supervisor, guardian) = (cluster.supervisor(name), cluster.guardian(name));
        let descendants = primacy::processes::descendants_of(supervisor).len();
        let counts = [entries(supervisor, "fd"), entries(supervisor, "task"), descendants, entries(guardian, "fd")];
        nodes.insert(name, counts);
    }
    let answer = server.command("mntr")?;
    let number = |key: &str| -> Option<usize> {
        answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t')?.trim().parse().ok())
    };
    let history = cluster.history("a").len();
    Some(Inventory {
        nodes,
        processes: cluster.all_processes().len(),
        znodes: number("zk_znode_count")?.checked_sub(history)?,
        ephemerals: number("zk_ephemerals_count")?,
        connections: number("zk_num_alive_connections")?,
        sessions: number("zk_global_sessions")?,
    })
}

/// One that has not changed for many looks: connections are closed a moment after they were used.
fn steady_inventory(cluster: &mut Cluster, server: &Server) -> Inventory {
    let (mut last, mut same) = (None, 0);
    cluster.until("an inventory that does not change", |cluster| {
        let found = inventory(cluster, server)?;
        same = if last.as_ref() == Some(&found) { same + 1 } else { 0 };
        last = Some(found);
        (same >= 15).then_some(())
    });
    last.unwrap()
}

#[test]
fn a_hundred_fail_overs_leave_no_descriptor_thread_process_znode_or_session_behind() {
    let server = Server::start();
    let mut cluster = Cluster::new(&server.address());
    // A short session: what an ended client failed to close would stay for as long.
    cluster.set("zookeeper.session_timeout", "5s");
    cluster.set("coordinator.backoff.first", "10ms");
    cluster.set("coordinator.backoff.max", "10ms");
    cluster.start_with_active(&["a", "b"]);
    let mut expected = None;
    for number in 0..WARM_UP + BY_KILL {
        if number == WARM_UP {
            settle(&mut cluster, "a");
            expected = Some(steady_inventory(&mut cluster, &server));
        }
        let former = cluster.running();
        send(former.process(), Signal::SIGKILL);
        let next = cluster.until_run_after(&former);
        assert_ne!(next.node, former.node);
        let (next, former) = (next.node.clone(), former.node.clone());
        cluster.until_active_is(&next);
        cluster.until_eligible(&former);
    }
    for _ in 0..BY_STOP {
        let former = cluster.running().node;
        cluster.signal(&former, Signal::SIGTERM);
        assert_eq!(cluster.until_exit(&former), 0);
        let next = if former == "a" { "b" } else { "a" };
        cluster.until_active_is(next);
        cluster.start(&former);
        cluster.until_eligible(&former);
    }
    settle(&mut cluster, "a");
    let expected = expected.unwrap();
    let mut last = None;
    let look = |cluster: &mut Cluster| {
        let found = inventory(cluster, &server)?;
        let same = found == expected;
        if !same && last.as_ref() != Some(&found) {
            println!("expected {expected:?}\nfound    {found:?}");
        }
        last = Some(found);
        same.then_some(())
    };
    cluster.until("everything is as it was before", look);
    let runs = cluster.judge();
    assert_eq!(runs.len(), 1 + WARM_UP + BY_KILL + BY_STOP);
}

/// Brings the role to a node, so that inventories are of the same situation.
fn settle(cluster: &mut Cluster, name: &str) {
    let former = cluster.running();
    if former.node != name {
        send(former.process(), Signal::SIGKILL);
        cluster.until_run_after(&former);
        cluster.until_active_is(name);
        cluster.until_eligible(&former.node);
    }
}
