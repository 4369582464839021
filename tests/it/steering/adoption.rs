//! A restored or moved volume becomes the cluster's.

use std::fs;

use super::*;

#[test]
fn a_restored_volume_is_refused_until_it_is_adopted_and_that_is_refused_while_anybody_leads() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("coordinator.backoff.max", "1s");
    start(&mut cluster, &["a", "b"]);
    let (code, said) = refused(&cluster, &["volume", "adopt", "--yes"]);
    assert!(code == 1 && said.contains("a is active"), "{said}");
    // Both stop; the volume comes back from somewhere else, with an id of its own.
    for node in ["b", "a"] {
        cluster.signal(node, Signal::SIGTERM);
        cluster.until_exit(node);
    }
    assert!(done(&cluster, &["volume", "adopt", "--yes"]).contains("is the cluster's volume already"));
    let restored = r#"{"id":"00000000-0000-4000-8000-000000000007"}"#;
    fs::write(cluster.lock_directory().join("volume.json"), restored).unwrap();
    cluster.start("a");
    cluster
        .until("a says that it is foreign", |cluster| cluster.log("a").contains("is a foreign volume").then_some(()));
    let (code, said) = refused(&cluster, &["volume", "adopt"]);
    assert!(code == 2 && said.contains("--yes"), "{said}");
    assert_eq!(cluster.judge().len(), 1);
    // While a tries, it is not a standby for moments.
    let said = cluster.until("nobody is about to lead", |cluster| {
        let output = primacy(cluster, &["volume", "adopt", "--yes"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert!(said.contains("(id 00000000-0000-4000-8000-000000000007) is the cluster's volume"), "{said}");
    cluster.until_active_is("a");
    cluster.judge();
}

#[test]
fn a_volume_whose_lock_is_held_is_somebody_s_and_a_cluster_without_one_adopts_by_itself() {
    let mut cluster = Cluster::new(&Server::shared().address());
    start(&mut cluster, &["a"]);
    // Its supervisor is cut off for good: its member is gone, the lock is not.
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_exit("a");
    let held = primacy::guardian::volume::LockFile::open(&cluster.lock_directory()).unwrap();
    assert!(held.try_lock().unwrap());
    let (code, said) = refused(&cluster, &["volume", "adopt", "--yes"]);
    assert!(code == 1 && said.contains("somebody leads on this volume"), "{said}");
    let mut fresh = Cluster::new(&Server::shared().address());
    fresh.write_config("a");
    let (code, said) = refused(&fresh, &["volume", "adopt", "--yes"]);
    assert!(code == 1 && said.contains("no cluster"), "{said}");
    cluster.judge();
}
