//! Which host, which boot, which process: a name proves nothing.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use primacy::{host, processes};

use super::kills::kill_supervisor_and_guardian;
use crate::cluster::{Cluster, NO_OTHER_HOSTS, can_show_other_hosts};
use crate::skipped;
use crate::zookeeper::Server;

/// A fencing command that notes what it was told, and fails until there is a file `go`.
fn with_fencing(cluster: &mut Cluster) {
    let (told, go) = (cluster.path("told"), cluster.path("go"));
    let text =
        format!("env | grep ^PRIMACY_ | sort > {0}.new; mv {0}.new {0}; [ -e {1} ]", told.display(), go.display());
    let command = cluster.script("fence", &text);
    cluster.set("fencing.command", command);
    cluster.set("fencing.required", true);
    cluster.set("coordinator.backoff.max", "1s");
}

fn until_fencing_was_tried(cluster: &mut Cluster, name: &str, times: usize) {
    cluster.until(&format!("{name} has tried to fence {times} times"), |cluster| {
        (cluster.log(name).matches("fencing the former active").count() >= times).then_some(())
    });
}

fn was_told(cluster: &mut Cluster, line: &str) {
    // The log says that it is ordered; it tells by itself what it was told.
    let told = cluster.until("the fencing command has run", |cluster| fs::read_to_string(cluster.path("told")).ok());
    assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
}

#[test]
fn another_host_of_the_same_name_is_fenced_like_any_other() {
    if !can_show_other_hosts() {
        return skipped(NO_OTHER_HOSTS);
    }
    let mut cluster = Cluster::new(&Server::shared().address());
    with_fencing(&mut cluster);
    cluster.put_on_host("a", "old", "its-boot");
    cluster.start("a");
    cluster.until_active_is("a");
    kill_supervisor_and_guardian(&mut cluster, "a");
    cluster.put_on_host("a", "new", "another-boot");
    cluster.start("a");
    until_fencing_was_tried(&mut cluster, "a", 2);
    assert_eq!(cluster.judge().len(), 1, "it was started although nobody was fenced");
    fs::write(cluster.path("go"), "").unwrap();
    cluster.until_active_is("a");
    for line in [
        "PRIMACY_NODE=a",
        "PRIMACY_FORMER_NODE=a",
        "PRIMACY_FORMER_EPOCH=1",
        "PRIMACY_FORMER_ON_THIS_HOST=no",
        "PRIMACY_MACHINE_ID=new",
        "PRIMACY_BOOT_ID=another-boot",
        "PRIMACY_FORMER_MACHINE_ID=old",
        "PRIMACY_FORMER_BOOT_ID=its-boot",
    ] {
        was_told(&mut cluster, line);
    }
}

#[test]
fn the_same_host_is_not_fenced_after_a_boot_not_even_under_another_name() {
    if !can_show_other_hosts() {
        return skipped(NO_OTHER_HOSTS);
    }
    if host::HostIdentity::own().addresses.is_empty() {
        println!("SKIPPED in part: without hardware that can be read a machine id is believed for the same node only");
    }
    let mut cluster = Cluster::new(&Server::shared().address());
    with_fencing(&mut cluster);
    cluster.put_on_host("a", "host", "first-boot");
    cluster.start("a");
    cluster.until_active_is("a");
    cluster.cut_power();
    cluster.put_on_host("a", "host", "second-boot");
    cluster.start("a");
    cluster.until_active_is("a");
    assert!(!cluster.exits("a").contains(&4), "its own ghost");
    if !host::HostIdentity::own().addresses.is_empty() {
        cluster.cut_power();
        cluster.put_on_host("a", "host", "third-boot");
        cluster.set_for("a", "node", "renamed");
        cluster.start("a");
        cluster.until("it is active under its other name", |cluster| cluster.is_active("a").then_some(()));
    }
    assert!(!cluster.log("a").contains("fencing the former active"));
}

#[test]
fn one_of_two_clones_exits_with_4_and_the_other_leads_on() {
    if !can_show_other_hosts() {
        return skipped(NO_OTHER_HOSTS);
    }
    let mut cluster = Cluster::new(&Server::shared().address());
    for (clone, boot) in [("first", "one-boot"), ("second", "other-boot")] {
        cluster.put_on_host(clone, "cloned", boot);
        cluster.set_for(clone, "node", "twin");
        cluster.start(clone);
    }
    let out = cluster.until("one of the two exits", |cluster| {
        ["first", "second"].into_iter().find(|name| !cluster.exits(name).is_empty())
    });
    assert_eq!(cluster.exits(out), [4]);
    let stays = if out == "first" { "second" } else { "first" };
    cluster.until("the other one leads", |cluster| cluster.is_active(stays).then_some(()));
    for clone in ["first", "second"] {
        assert!(
            !cluster.log(clone).contains("removing what a dead supervisor"),
            "{clone} has removed the other's member"
        );
    }
    // Again, beside one that leads.
    cluster.start(out);
    assert_eq!(cluster.until_exit(out), 4);
    assert!(cluster.is_active(stays) && cluster.exits(stays).is_empty());
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn after_a_power_cut_of_hosts_whose_machine_ids_change_with_the_boot_both_nodes_come_back() {
    if !can_show_other_hosts() {
        return skipped(NO_OTHER_HOSTS);
    }
    let mut cluster = Cluster::new(&Server::shared().address());
    for name in ["a", "b"] {
        cluster.put_on_host(name, &format!("{name}-first"), &format!("{name}-boot-1"));
    }
    cluster.start_with_active(&["a", "b"]);
    cluster.cut_power();
    for name in ["a", "b"] {
        cluster.exits(name);
        cluster.put_on_host(name, &format!("{name}-second"), &format!("{name}-boot-2"));
        cluster.start(name);
    }
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_eligible(if active == "a" { "b" } else { "a" });
    for name in ["a", "b"] {
        assert!(!cluster.exits(name).contains(&4), "{name} took its own ghost for somebody who lives");
    }
}

/// A server of its own, which can be stopped.
fn server() -> Server {
    let mut server = Server::prepare();
    server.launch();
    server.until_serving();
    server
}

fn stop_and_back_up(server: &mut Server) -> tempfile::TempDir {
    server.kill();
    let backup = server.backup();
    server.launch();
    server.until_serving();
    backup
}

fn bring_back(server: &mut Server, backup: &tempfile::TempDir) {
    server.kill();
    server.restore(backup);
    server.launch();
    server.until_serving();
}

#[test]
fn an_unclean_end_that_a_restored_zookeeper_has_forgotten_is_fenced() {
    let mut server = server();
    let mut cluster = Cluster::new(&server.address());
    with_fencing(&mut cluster);
    cluster.start("a");
    cluster.until_active_is("a");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    let backup = stop_and_back_up(&mut server);
    cluster.start("b");
    cluster.until_active_is("b");
    kill_supervisor_and_guardian(&mut cluster, "b");
    bring_back(&mut server, &backup);
    cluster.start("a");
    until_fencing_was_tried(&mut cluster, "a", 2);
    assert_eq!(cluster.judge().len(), 2, "it was started although b may still write");
    was_told(&mut cluster, "PRIMACY_FORMER_NODE=b");
    was_told(&mut cluster, "PRIMACY_FORMER_EPOCH=2");
    let log = cluster.log("a");
    assert!(log.contains("ZooKeeper is behind the lock file") && log.contains("lock_file=2"), "{log}");
    fs::write(cluster.path("go"), "").unwrap();
    cluster.until_active_is("a");
    assert_eq!(cluster.running().epoch, 3);
}

#[test]
fn a_host_that_stopped_cleanly_since_is_not_fenced_because_a_restored_zookeeper_has_forgotten_it() {
    let mut server = server();
    let mut cluster = Cluster::new(&server.address());
    with_fencing(&mut cluster);
    fs::write(cluster.path("go"), "").unwrap();
    cluster.start("a");
    cluster.until_active_is("a");
    kill_supervisor_and_guardian(&mut cluster, "a");
    let backup = stop_and_back_up(&mut server);
    cluster.start("b");
    cluster.until_active_is("b");
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    bring_back(&mut server, &backup);
    fs::remove_file(cluster.path("go")).unwrap();
    fs::remove_file(cluster.path("told")).unwrap();
    cluster.start("c");
    cluster.until_active_is("c");
    assert!(!cluster.path("told").exists(), "somebody was fenced who had stopped cleanly, or was fenced already");
    assert!(cluster.log("c").contains("ZooKeeper is behind the lock file"));
    assert!(cluster.status("c").unwrap()["reason"].as_str().unwrap().contains("b ended cleanly"));
    assert_eq!(cluster.judge().len(), 3);
}

#[test]
fn a_wiped_zookeeper_does_not_make_an_unclean_end_a_first_start() {
    let mut server = server();
    let mut cluster = Cluster::new(&server.address());
    with_fencing(&mut cluster);
    cluster.start("a");
    cluster.until_active_is("a");
    kill_supervisor_and_guardian(&mut cluster, "a");
    server.kill();
    server.wipe();
    server.launch();
    server.until_serving();
    cluster.start("b");
    until_fencing_was_tried(&mut cluster, "b", 1);
    was_told(&mut cluster, "PRIMACY_FORMER_NODE=a");
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_node_that_was_renamed_clears_away_and_takes_over_what_it_left_under_its_former_name() {
    let mut cluster = Cluster::new(&Server::shared().address());
    with_fencing(&mut cluster);
    cluster.coordinator(&["--daemonise"]);
    cluster.start("a");
    cluster.until_active_is("a");
    let former = cluster.running();
    kill_supervisor_and_guardian(&mut cluster, "a");
    // The daemon has the lock, rightly, until its own node ends it.
    assert_eq!(cluster.until_ticks_again().pid, former.pid);
    cluster.set_for("a", "node", "renamed");
    cluster.start("a");
    cluster.until("it is active under its other name", |cluster| cluster.is_active("a").then_some(()));
    assert_eq!(cluster.until_run_after(&former).node, "renamed");
    assert!(!cluster.log("a").contains("fencing the former active"), "its own former name is no other node");
    assert_eq!(cluster.judge().len(), 2);
}

fn until_its_own_node_has_cleared_it_away(mut cluster: Cluster) {
    cluster.start("a");
    cluster.until_active_is("a");
    let former = cluster.running();
    kill_supervisor_and_guardian(&mut cluster, "a");
    assert_eq!(cluster.until_ticks_again().pid, former.pid, "it runs on without the lock");
    cluster.start("a");
    cluster.until_run_after(&former);
    cluster.until_logged("a", "ran on without the lock");
    cluster.until_active_is("a");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_daemon_without_the_lock_is_dead_before_its_node_stands_again() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.coordinator(&["--daemonise", "--close-fds"]);
    until_its_own_node_has_cleared_it_away(cluster);
}

/// As below sudo: it has closed what it inherited, its environment is another's, and no signal tells it of its parent's death.
#[test]
fn a_coordinator_below_a_helper_that_empties_its_environment_is_dead_before_its_node_stands_again() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.coordinator(&[]);
    let helper = "import os, subprocess, sys\n\
                  kept = ('PRIMACY_NODE', 'PRIMACY_EPOCH', 'PRIMACY_TEST_DIRECTORY')\n\
                  environment = {name: os.environ[name] for name in kept}\n\
                  sys.exit(subprocess.call([*sys.argv[1:], '--of', str(os.getpid())], env=environment))";
    let program = Path::new(env!("CARGO_BIN_EXE_primacy")).with_file_name("examples").join("ticking-coordinator");
    let (program, ticks) = (program.to_str().unwrap().to_owned(), cluster.path("ticks").to_str().unwrap().to_owned());
    cluster.set("coordinator.command", vec!["python3".to_owned(), "-c".to_owned(), helper.to_owned(), program, ticks]);
    until_its_own_node_has_cleared_it_away(cluster);
}

#[test]
fn an_identity_is_published_with_the_members_and_kept_in_the_record() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start("a");
    cluster.until_active_is("a");
    let record: serde_json::Value = serde_json::from_slice(&fs::read(cluster.lock_file()).unwrap()).unwrap();
    let own = serde_json::to_value(host::HostIdentity::own()).unwrap();
    assert_eq!(record["identity"], own);
    assert_eq!(record["pid_namespace"], serde_json::json!(processes::own_identity().pid_namespace));
    assert_eq!(record["over"], serde_json::Value::Null);
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    let record: serde_json::Value = serde_json::from_slice(&fs::read(cluster.lock_file()).unwrap()).unwrap();
    assert_eq!(record["over"]["epoch"], 1);
    assert!(record["over"]["election_node"].as_str().unwrap().contains("/election/_c_"), "{record}");
}
