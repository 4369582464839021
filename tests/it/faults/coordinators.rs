//! Coordinators that behave badly.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, send};
use crate::zookeeper::Server;

fn cluster_of(flags: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.coordinator(flags);
    cluster
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_time_and_after_before_kill() {
    let mut cluster = cluster_of(&["--ignore-sigterm"]);
    cluster.set("coordinator.stop_timeout", "1s");
    let noted = cluster.path("noted");
    let hook = cluster.script("before-kill", &format!("echo $PRIMACY_PID $PRIMACY_NODE >> {}", noted.display()));
    cluster.set("coordinator.before_kill", hook);
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    assert_eq!(fs::read_to_string(noted).unwrap(), format!("{} a\n", former.pid));
    assert_eq!(cluster.judge()[0].notes.events, ["start", "sigterm"]);
}

#[test]
fn a_second_sigterm_kills_one_that_ignores_the_first() {
    let mut cluster = cluster_of(&["--ignore-sigterm"]);
    // Longer than the test's limit.
    cluster.set("coordinator.stop_timeout", "10m");
    cluster.start_with_active(&["a", "b"]);
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_status("a", "STOPPING");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    assert_eq!(cluster.judge().len(), 2);
}

/// Whatever belongs to the tree is dead before the other node starts its own: the judge would see it writing.
fn whole_tree_goes(flags: &[&str], end: impl FnOnce(&mut Cluster)) {
    let mut cluster = cluster_of(flags);
    // Its daemon is deaf to the stop signal.
    cluster.set("coordinator.stop_timeout", "1s");
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    end(&mut cluster);
    assert_eq!(cluster.until_run_after(&former).node, "b");
    cluster.until_active_is("b");
    // Whoever ended the leadership has cleared everything away, not the next guardian.
    assert!(!cluster.log("a").contains("left over from epoch"));
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_daemonised_grandchild_goes_with_its_coordinator_at_a_stop() {
    whole_tree_goes(&["--daemonise"], |cluster| cluster.signal("a", Signal::SIGTERM));
}

#[test]
fn a_daemonised_grandchild_goes_with_its_coordinators_main_process() {
    whole_tree_goes(&["--daemonise"], |cluster| {
        let pid = cluster.running().process();
        send(pid, Signal::SIGKILL);
    });
}

#[test]
fn a_daemonised_grandchild_goes_with_its_supervisor() {
    whole_tree_goes(&["--daemonise"], |cluster| cluster.signal("a", Signal::SIGKILL));
}

#[test]
fn a_daemonised_grandchild_goes_with_its_guardian() {
    whole_tree_goes(&["--daemonise"], |cluster| {
        let guardian = cluster.guardian("a");
        send(guardian, Signal::SIGKILL);
    });
}

#[test]
fn a_tree_that_forks_all_the_time_goes_with_its_supervisor() {
    whole_tree_goes(&["--fork-storm"], |cluster| cluster.signal("a", Signal::SIGKILL));
}

#[test]
fn a_tree_that_forks_all_the_time_goes_with_its_guardian() {
    whole_tree_goes(&["--fork-storm"], |cluster| {
        let guardian = cluster.guardian("a");
        send(guardian, Signal::SIGKILL);
    });
}

#[test]
fn a_forking_coordinator_lives_as_long_as_its_daemon() {
    let mut cluster = cluster_of(&["--daemonise", "--parent-exits"]);
    cluster.set("coordinator.kind", "forking");
    cluster.set("coordinator.stop_timeout", "1s");
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    cluster.until("the first process is gone", |_| (!primacy::processes::lives(former.process(), 0)).then_some(()));
    assert_eq!(cluster.until_ticks_again().pid, former.pid);
    assert!(cluster.is_active("a"));
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn one_that_closes_what_it_inherits_is_reported_and_guarded_all_the_same() {
    let mut cluster = cluster_of(&["--close-fds"]);
    cluster.start_with_active(&["a", "b"]);
    cluster.until("a says that its coordinator does not hold the lock", |cluster| {
        (cluster.status("a")?["coordinator"]["holds_lock"] == false).then_some(())
    });
    let former = cluster.running();
    cluster.signal("a", Signal::SIGKILL);
    assert_eq!(cluster.until_run_after(&former).node, "b");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn one_that_keeps_what_it_inherits_holds_the_lock() {
    let mut cluster = cluster_of(&[]);
    cluster.start("a");
    cluster.until_active_is("a");
    assert_eq!(cluster.status("a").unwrap()["coordinator"]["holds_lock"], true);
}

#[test]
fn one_that_dies_at_every_start_is_tried_again_and_again_but_ever_more_rarely() {
    let mut cluster = cluster_of(&["--die-after", "0"]);
    cluster.set("coordinator.backoff.first", "500ms");
    cluster.set("coordinator.backoff.max", "4s");
    cluster.start("a");
    cluster.start("b");
    cluster.until("both have tried", |cluster| {
        ["a", "b"].iter().all(|name| cluster.ledger.runs().iter().any(|run| run.node == *name)).then_some(())
    });
    let before = cluster.judge().len();
    cluster.watch_for(Duration::from_secs(16));
    // Waits of 0.5, 1, 2, 4, 4 and 4 s: six starts of each node fit into 16 s. Without a back-off there are hundreds.
    let after = cluster.judge().len();
    assert!(after - before <= 14, "{} starts within 16 s", after - before);
    cluster.until("somebody tries again", |cluster| (cluster.ledger.runs().len() > after).then_some(()));
    // Healed, the cluster has a coordinator.
    cluster.coordinator(&[]);
    for name in ["a", "b"] {
        cluster.signal(name, Signal::SIGTERM);
        assert_eq!(cluster.until_exit(name), 0);
        cluster.start(name);
    }
    cluster.until_any_active(&["a", "b"]);
    cluster.judge();
}

#[test]
fn restarts_within_the_budget_keep_node_and_epoch_and_the_next_death_gives_the_role_away() {
    let mut cluster = cluster_of(&[]);
    let mut restarts = toml::Table::new();
    restarts.insert("max".to_owned(), 2.into());
    restarts.insert("within".to_owned(), "10m".into());
    cluster.set("coordinator.restarts", restarts);
    cluster.start_with_active(&["a", "b"]);
    for restart in 1..=2 {
        let former = cluster.running();
        send(former.process(), Signal::SIGKILL);
        let next = cluster.until_run_after(&former);
        assert_eq!((next.node.as_str(), next.epoch), ("a", 1));
        cluster.until(&format!("a is active after restart {restart}"), |cluster| {
            let status = cluster.status("a")?;
            (status["role"] == "active" && status["coordinator"]["restarts"] == restart).then_some(())
        });
    }
    let former = cluster.running();
    send(former.process(), Signal::SIGKILL);
    let next = cluster.until_run_after(&former);
    assert_eq!((next.node.as_str(), next.epoch), ("b", 2));
    assert_eq!(cluster.judge().len(), 4);
}

#[test]
fn a_start_script_without_exec_is_stopped_in_order() {
    let mut cluster = Cluster::new(&Server::shared().address());
    // Its shell waits for the coordinator, so the stop signal ends the shell first.
    let program = Path::new(env!("CARGO_BIN_EXE_primacy")).with_file_name("examples").join("ticking-coordinator");
    let text = format!("{} {}\ntrue\n", program.display(), cluster.path("ticks").display());
    let command = cluster.script("start", &text);
    cluster.set("coordinator.command", command);
    cluster.start_with_active(&["a", "b"]);
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    assert_eq!(cluster.judge()[0].notes.events, ["start", "sigterm"]);
    assert!(!cluster.log("a").contains("so killed"), "nobody had to be");
}

#[test]
fn one_that_does_not_stop_in_time_is_named_in_the_history() {
    let mut cluster = cluster_of(&["--ignore-sigterm"]);
    cluster.set("coordinator.stop_timeout", "500ms");
    cluster.start_with_active(&["a", "b"]);
    let former = cluster.running();
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    let detail = detail_of(&mut cluster, "b", 1);
    assert!(detail.contains("stop_timeout") && detail.contains(&format!("({})", former.pid)), "{detail}");
}

fn detail_of(cluster: &mut Cluster, asked: &str, epoch: u64) -> String {
    cluster.until("the history of a leadership that has ended", |cluster| {
        let entry =
            cluster.history(asked).into_iter().find(|entry| entry["epoch"] == epoch && !entry["cause"].is_null())?;
        entry["detail"].as_str().map(str::to_owned)
    })
}

#[test]
fn a_forking_coordinator_whose_start_script_fails_is_a_failed_start_with_the_code() {
    for (end, words) in [("sleep 1000 & exit 7", "exit status: 7"), ("exit 0", "left nothing that runs")] {
        let mut cluster = Cluster::new(&Server::shared().address());
        let command = cluster.script("start", end);
        cluster.set("coordinator.command", command);
        cluster.set("coordinator.kind", "forking");
        cluster.set("coordinator.backoff.first", "60s");
        cluster.start("a");
        assert_eq!(cluster.until_cause("a", 1), "start_failed");
        let detail = detail_of(&mut cluster, "a", 1);
        assert!(detail.contains(words), "{detail}");
        // Not for a moment.
        let log = cluster.log("a");
        assert!(!log.contains("to=active") && !log.contains("the coordinator runs"), "{log}");
    }
}

/// A wrapper that closes what it inherits for its child, as Python's subprocess does, and takes some milliseconds to die.
fn behind_a_wrapper(cluster: &mut Cluster) {
    let program = Path::new(env!("CARGO_BIN_EXE_primacy")).with_file_name("examples").join("ticking-coordinator");
    let wrapper = "import subprocess, sys\nballast = b'x' * (64 << 20)\nsubprocess.call(sys.argv[1:])";
    let ticks = cluster.path("ticks");
    let command: Vec<String> =
        ["python3", "-c", wrapper, program.to_str().unwrap(), ticks.to_str().unwrap()].map(str::to_owned).to_vec();
    cluster.set("coordinator.command", command);
}

#[test]
fn what_a_wrapper_without_the_lock_leaves_goes_with_its_guardian() {
    let mut cluster = Cluster::new(&Server::shared().address());
    behind_a_wrapper(&mut cluster);
    cluster.set("coordinator.backoff.first", "100ms");
    cluster.start_with_active(&["a", "b"]);
    let mut active = "a";
    for _ in 0..4 {
        let former = cluster.running();
        assert_eq!(former.node, active);
        let guardian = cluster.guardian(active);
        send(guardian, Signal::SIGKILL);
        active = if active == "a" { "b" } else { "a" };
        assert_eq!(cluster.until_run_after(&former).node, active);
        cluster.until_active_is(active);
        cluster.until_eligible(if active == "a" { "b" } else { "a" });
    }
    // Beside the next one it would be seen to write.
    cluster.judge();
}
