//! Hooks around the coordinator's life.

use std::fs;

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
