//! `fencing.watchdog`, as far as it can be seen without a device that resets the host.

use crate::cluster::Cluster;
use crate::zookeeper::Server;

#[test]
fn a_node_without_the_watchdog_that_it_requires_never_becomes_active_and_says_why() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let missing = cluster.path("no-watchdog").to_str().unwrap().to_owned();
    cluster.set_for("a", "fencing.watchdog", "required");
    cluster.set_for("a", "fencing.watchdog_device", missing.clone());
    cluster.set_for("b", "fencing.watchdog", "automatic");
    cluster.set_for("b", "fencing.watchdog_device", missing.clone());
    cluster.start("a");
    let status = cluster.until("a says why it never stands", |cluster| {
        let status = cluster.status("a")?;
        status["reason"].as_str()?.contains("never stands for election: fencing.watchdog").then_some(status)
    });
    assert!(status["reason"].as_str().unwrap().contains(&missing), "{status}");
    assert_eq!(status["watchdog"]["mode"], "required");
    assert!(status["watchdog"]["problem"].as_str().unwrap().contains("modprobe softdog"), "{status}");
    // It had all the time that another one needs to start and be elected.
    cluster.start("b");
    cluster.until_active_is("b");
    let status = cluster.status("b").unwrap();
    assert_eq!((&status["watchdog"]["armed"], &status["watchdog"]["mode"]), (&false.into(), &"automatic".into()));
    assert!(cluster.log("b").contains("going on without a watchdog"));
    assert_eq!(cluster.judge().len(), 1);
}
