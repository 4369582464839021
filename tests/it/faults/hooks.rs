//! Hooks around the coordinator's life.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

#[test]
fn a_failing_before_start_gives_the_role_away() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set_for("a", "hooks.before_start", vec!["false"]);
    cluster.start("a");
    cluster.until_logged("a", "before_start: exit status: 1");
    cluster.start("b");
    cluster.until_active_is("b");
    assert!(cluster.judge().iter().all(|run| run.node == "b"), "a's coordinator was started all the same");
}

#[test]
fn hooks_run_in_the_order_of_the_coordinators_life_with_its_environment() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let noted = cluster.path("noted");
    for name in ["before_start", "on_active", "after_stop", "on_standby"] {
        let text = format!("echo {name} $PRIMACY_NODE $PRIMACY_EPOCH >> {}", noted.display());
        let hook = cluster.script(name, &text);
        cluster.set(&format!("hooks.{name}"), hook);
    }
    cluster.start("a");
    cluster.until_active_is("a");
    let read = || fs::read_to_string(&noted).unwrap_or_default();
    cluster.until("on_active has run", |_| read().contains("on_active").then_some(()));
    assert_eq!(read(), "before_start a 1\non_active a 1\n");
    cluster.start("b");
    cluster.until_eligible("b");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    cluster.until("b's on_active has run", |_| read().contains("on_active b 2").then_some(()));
    let order: Vec<String> = read().lines().filter(|line| !line.starts_with("on_standby")).map(str::to_owned).collect();
    assert_eq!(order, ["before_start a 1", "on_active a 1", "after_stop a 1", "before_start b 2", "on_active b 2"]);
    cluster.judge();
}

#[test]
fn that_nobody_leads_is_told_once_and_by_one_of_those_that_stay() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let noted = cluster.path("noted");
    let hook = cluster.script("on_no_leader", &format!("echo $PRIMACY_NODE >> {}", noted.display()));
    cluster.set("hooks.on_no_leader", hook);
    cluster.set("hooks.no_leader_after", "1s");
    cluster.start_with_active(&["a", "b", "c"]);
    cluster.until_eligible("b");
    cluster.until_eligible("c");
    let read = || fs::read_to_string(&noted).unwrap_or_default();
    assert_eq!(read(), "", "a leads");
    let paused = Command::new(env!("CARGO_BIN_EXE_primacy"))
        .arg("-c")
        .arg(cluster.config_file("a"))
        .args(["pause", "--yes"])
        .output()
        .unwrap();
    assert!(paused.status.success(), "{paused:?}");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until("somebody tells it", |_| (!read().is_empty()).then_some(()));
    cluster.watch_for(Duration::from_secs(3));
    assert_eq!(read(), "b\n");
    cluster.judge();
}

/// A hook that notes when it lives, with a child that has left its process group and its parent.
fn lingering(cluster: &Cluster, name: &str, seconds: u32) -> Vec<String> {
    let alive = cluster.path(&format!("{name}-alive"));
    let text = format!(
        "note() {{ while :; do echo \"$PRIMACY_NODE $PRIMACY_EPOCH $(date +%s%N)\" >> {alive}; sleep 0.05; done; }}\n\
         (setsid sh -c '. {path}.note; note' >/dev/null 2>&1 &)\n\
         . {path}.note; note & sleep {seconds}; kill $!\n",
        alive = alive.display(),
        path = cluster.path(name).display(),
    );
    let note = text.lines().next().unwrap().to_owned();
    fs::write(cluster.path(&format!("{name}.note")), note).unwrap();
    cluster.script(name, &text)
}

/// Who noted that it lived, and when it was last seen to.
fn last_alive(cluster: &Cluster, name: &str, node: &str) -> u128 {
    let text = fs::read_to_string(cluster.path(&format!("{name}-alive"))).unwrap_or_default();
    let mine = text.lines().filter(|line| line.split(' ').next() == Some(node));
    mine.filter_map(|line| line.split(' ').nth(2)?.parse().ok()).max().unwrap_or(0)
}

fn first_alive(cluster: &Cluster, name: &str, node: &str) -> u128 {
    let text = fs::read_to_string(cluster.path(&format!("{name}-alive"))).unwrap_or_default();
    let mine = text.lines().filter(|line| line.split(' ').next() == Some(node));
    mine.filter_map(|line| line.split(' ').nth(2)?.parse().ok()).min().unwrap_or(u128::MAX)
}

/// What node a left behind is dead before b's hook begins: the lock was closed between the two.
#[track_caller]
fn assert_apart(cluster: &mut Cluster, name: &str) {
    cluster.until("b's hook runs", |cluster| (first_alive(cluster, name, "b") < u128::MAX).then_some(()));
    // Were it alive, it would note so many times.
    cluster.watch_for(std::time::Duration::from_millis(500));
    let (last, first) = (last_alive(cluster, name, "a"), first_alive(cluster, name, "b"));
    assert!(last > 0, "a's hook has never run");
    assert!(last < first, "a's hook lived {} ms into b's", (last - first) / 1_000_000);
}

fn with_a_lingering_before_start() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    let hook = lingering(&cluster, "before_start", 600);
    cluster.set("hooks.before_start", hook);
    cluster.set("coordinator.backoff.first", "60s");
    cluster.start("a");
    cluster.until("a's hook runs", |cluster| (last_alive(cluster, "before_start", "a") > 0).then_some(()));
    cluster.start("b");
    cluster.until_eligible("b");
    cluster
}

#[test]
fn a_before_start_that_takes_longer_than_the_start_may_is_dead_before_the_next_one_begins() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let hook = lingering(&cluster, "before_start", 600);
    cluster.set("hooks.before_start", hook);
    cluster.set_for("a", "health.startup_timeout", "2s");
    cluster.set("coordinator.backoff.first", "60s");
    cluster.start("a");
    cluster.until("a's hook runs", |cluster| (last_alive(cluster, "before_start", "a") > 0).then_some(()));
    cluster.start("b");
    assert_apart(&mut cluster, "before_start");
    cluster.judge();
}

#[test]
fn a_hook_is_dead_before_the_next_one_begins_when_its_supervisor_is_asked_to_stop() {
    let mut cluster = with_a_lingering_before_start();
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    assert_apart(&mut cluster, "before_start");
}

#[test]
fn a_hook_is_dead_before_the_next_one_begins_when_its_supervisor_is_killed() {
    let mut cluster = with_a_lingering_before_start();
    cluster.signal("a", Signal::SIGKILL);
    assert_apart(&mut cluster, "before_start");
}

#[test]
fn a_hook_is_dead_before_the_next_one_begins_when_its_supervisor_is_frozen() {
    let mut cluster = with_a_lingering_before_start();
    cluster.signal("a", Signal::SIGSTOP);
    assert_apart(&mut cluster, "before_start");
    cluster.signal("a", Signal::SIGCONT);
}

#[test]
fn a_hook_is_dead_before_the_next_one_begins_when_its_guardian_is_killed() {
    let mut cluster = with_a_lingering_before_start();
    let guardian = cluster.guardian("a");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(guardian), Signal::SIGKILL).unwrap();
    assert_apart(&mut cluster, "before_start");
}

#[test]
fn what_an_on_active_hook_left_is_dead_before_the_next_one_is_active() {
    let mut cluster = Cluster::new(&Server::shared().address());
    // It ends soon, and leaves something.
    let hook = lingering(&cluster, "on_active", 1);
    cluster.set("hooks.on_active", hook);
    cluster.start_with_active(&["a", "b"]);
    cluster.until("a's hook runs", |cluster| (last_alive(cluster, "on_active", "a") > 0).then_some(()));
    cluster.watch_for(std::time::Duration::from_millis(1500));
    let ended = last_alive(&cluster, "on_active", "a");
    cluster.watch_for(std::time::Duration::from_millis(500));
    assert_eq!(last_alive(&cluster, "on_active", "a"), ended, "what it left lives on beside the coordinator");
    cluster.signal("a", Signal::SIGKILL);
    assert_apart(&mut cluster, "on_active");
}

/// What waits for a file server that is away does not die of SIGKILL. It has the lock's descriptor, so the next one waits for
/// that, and not for the role.
#[test]
fn a_hook_that_cannot_be_killed_costs_the_role_and_keeps_the_lock_until_it_is_dead() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let hanging = cluster.path("hanging");
    let Some(mut volume) = crate::guardian::volume::Freezable::new(&hanging, &cluster.path("image")) else {
        return crate::skipped("a file system that can be frozen is not to be had here");
    };
    let hook = cluster.script("before_start", &format!("echo > {0}/file && sync {0}/file", hanging.display()));
    cluster.set_for("a", "hooks.before_start", hook);
    cluster.set_for("a", "health.startup_timeout", "1s");
    cluster.set("coordinator.backoff.first", "60s");
    volume.freeze(true);
    cluster.start("a");
    cluster.until_logged("a", "does not die");
    cluster.start("b");
    cluster.until_waiting_for_lock_of("b", "a");
    volume.freeze(false);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn a_probe_that_cannot_be_killed_is_not_joined_by_others() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let hanging = cluster.path("hanging");
    let Some(mut volume) = crate::guardian::volume::Freezable::new(&hanging, &cluster.path("image")) else {
        return crate::skipped("a file system that can be frozen is not to be had here");
    };
    let probe = cluster.script("probe", &format!("echo > {0}/file && sync {0}/file", hanging.display()));
    cluster.set("health.command", probe);
    cluster.set("health.interval", "100ms");
    cluster.set("health.timeout", "100ms");
    cluster.set("health.failures", 1000);
    cluster.start("a");
    cluster.until_active_is("a");
    volume.freeze(true);
    cluster.until_logged("a", "an earlier one has not ended");
    cluster.watch_for(std::time::Duration::from_secs(2));
    let probes = |cluster: &mut Cluster| {
        let below = primacy::processes::descendants_of(cluster.guardian("a"));
        let command = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        below.into_iter().filter(|pid| String::from_utf8_lossy(&command(pid)).contains("runner")).count()
    };
    assert_eq!(probes(&mut cluster), 1);
    volume.freeze(false);
    cluster.until("the probe ends", |cluster| (probes(cluster) == 0).then_some(()));
    assert!(cluster.is_active("a"));
}
