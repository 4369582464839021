//! The fencing command: when it runs, what it is told, and what its failure means.

use std::fs;

use nix::sys::signal::Signal;

use super::kills::kill_supervisor_and_guardian;
use crate::cluster::Cluster;
use crate::zookeeper::Server;

#[test]
fn it_runs_after_an_unclean_end_and_is_told_whom_to_fence_and_does_not_run_after_a_clean_one() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let (noted, go) = (cluster.path("noted"), cluster.path("go"));
    // Waits to be let go, so that the status can be seen.
    let text = format!(
        "while ! [ -e {} ]; do sleep 0.05; done\necho $PRIMACY_NODE fences $PRIMACY_FORMER_NODE $PRIMACY_FORMER_EPOCH >> {}",
        go.display(),
        noted.display()
    );
    let command = cluster.script("fence", &text);
    cluster.set("fencing.command", command);
    cluster.set("fencing.required", true);
    cluster.set("fencing.timeout", "2m");
    let told = cluster.path("told");
    let text = format!("echo $PRIMACY_NODE tells of $PRIMACY_FORMER_NODE $PRIMACY_FORMER_EPOCH >> {}", told.display());
    let hook = cluster.script("on_fenced", &text);
    cluster.set("hooks.on_fenced", hook);
    cluster.start_with_active(&["a", "b"]);
    assert!(!noted.exists(), "there was nobody to fence");
    kill_supervisor_and_guardian(&mut cluster, "a");
    let status = cluster.until_status("b", "WAITING_FOR_FENCE");
    assert!(status["reason"].as_str().unwrap().contains("a did not stop cleanly"), "{status}");
    assert_eq!(cluster.judge().len(), 1, "not before the fencing command has ended");
    assert!(!told.exists(), "told before it was so");
    fs::write(go, "").unwrap();
    cluster.until_active_is("b");
    cluster.until("the hook has told of it", |_| {
        fs::read_to_string(&told).is_ok_and(|told| told == "b tells of a 1\n").then_some(())
    });
    assert_eq!(fs::read_to_string(&noted).unwrap(), "b fences a 1\n");

    cluster.start("a");
    cluster.until_eligible("a");
    cluster.signal("b", Signal::SIGTERM);
    cluster.until_active_is("a");
    assert_eq!(fs::read_to_string(&noted).unwrap(), "b fences a 1\n", "fenced after a clean stop");
    assert_eq!(fs::read_to_string(&told).unwrap(), "b tells of a 1\n");
    assert_eq!(cluster.judge().len(), 3);
}

#[test]
fn one_that_is_required_and_fails_keeps_others_from_starting_but_not_the_former_itself() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("fencing.command", vec!["false"]);
    cluster.set("fencing.required", true);
    cluster.set("coordinator.backoff.max", "1s");
    cluster.start_with_active(&["a", "b"]);
    kill_supervisor_and_guardian(&mut cluster, "a");
    cluster.until("b has tried three times", |cluster| {
        (cluster.log("b").matches("fencing the former active").count() >= 3).then_some(())
    });
    assert_eq!(cluster.judge().len(), 1, "it was started although nobody was fenced");
    // That nothing of it runs on its own host is proven by the lock.
    cluster.start("a");
    cluster.until_active_is("a");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn one_that_is_not_required_and_fails_delays_nobody() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("fencing.command", vec!["false"]);
    cluster.start_with_active(&["a", "b"]);
    kill_supervisor_and_guardian(&mut cluster, "a");
    cluster.until_active_is("b");
    assert!(cluster.log("b").contains("fencing.command failed"));
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn it_does_not_run_when_the_guardian_has_vouched_for_the_end() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("fencing.command", vec!["false"]);
    cluster.set("fencing.required", true);
    cluster.start_with_active(&["a", "b"]);
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    assert!(!cluster.log("b").contains("fencing the former active"));
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn one_that_frees_the_lock_runs_while_the_lock_is_waited_for() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let victims = cluster.path("victims");
    // As power fencing: what it kills can hold no lock.
    let command = cluster.script("fence", &format!("xargs -r kill -9 < {}", victims.display()));
    cluster.set("fencing.command", command);
    cluster.set("fencing.required", true);
    cluster.set("fencing.frees_lock", true);
    cluster.start_with_active(&["a", "b"]);
    // The whole of a hangs, and keeps the lock.
    let frozen: Vec<i32> =
        [cluster.supervisor("a"), cluster.guardian("a"), cluster.running().process()].into_iter().collect();
    fs::write(&victims, frozen.iter().map(|pid| format!("{pid}\n")).collect::<String>()).unwrap();
    for pid in &frozen {
        crate::cluster::send(*pid, Signal::SIGSTOP);
    }
    cluster.until_waiting_for_lock_of("b", "a");
    cluster.until_active_is("b");
    assert_eq!(cluster.log("b").matches("fencing the former active").count(), 1);
    assert_eq!(cluster.judge().len(), 2);
}
