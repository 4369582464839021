//! The build before together with today's, both ways: each takes over from the other, and going back works.
//!
//! The other program is `target/before/primacy` (`scripts/build-before` makes it: `just mixed-versions`), or what `PRIMACY_BEFORE` names.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

/// Replaces the program that a cluster would start.
const INSTEAD: &str = r#"before=$1; shift 2; exec "$before" "$@""#;

const NONE_BEFORE: &str = "there is no build before to try with: scripts/build-before";

fn before() -> Option<String> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/before/primacy");
    let path = std::env::var_os("PRIMACY_BEFORE").map_or(built, PathBuf::from);
    path.is_file().then(|| path.to_str().unwrap().to_owned())
}

struct Mixed {
    cluster: Cluster,
    before: String,
}

impl Mixed {
    fn new() -> Option<Self> {
        let before = before()?;
        let mut cluster = Cluster::new(&Server::shared().address());
        // Of another build nothing can be replayed with this one's code.
        cluster.set("recorder.directory", "");
        Some(Self { cluster, before })
    }

    fn start_the_one_before(&mut self, name: &str) {
        let before = self.before.clone();
        self.cluster.start_within(name, &["/bin/sh", "-c", INSTEAD, "sh", &before]);
    }

    /// The supervisor dies; the other node takes over by the guardian's last will, of whichever build.
    fn kill(&mut self, name: &str, next: &str) {
        self.cluster.signal(name, Signal::SIGKILL);
        self.cluster.until_exit(name);
        self.cluster.until_active_is(next);
    }

    fn stop(&mut self, name: &str, next: &str) {
        self.cluster.signal(name, Signal::SIGTERM);
        assert_eq!(self.cluster.until_exit(name), 0);
        self.cluster.until_active_is(next);
    }
}

#[test]
fn each_of_two_builds_takes_over_from_the_other() {
    let Some(mut mixed) = Mixed::new() else { return crate::skipped(NONE_BEFORE) };
    mixed.start_the_one_before("a");
    mixed.cluster.until_active_is("a");
    mixed.cluster.start("b");
    mixed.cluster.until_eligible("b");
    mixed.kill("a", "b");
    mixed.start_the_one_before("a");
    mixed.cluster.until_eligible("a");
    mixed.kill("b", "a");
    mixed.cluster.start("b");
    mixed.cluster.until_eligible("b");
    mixed.stop("a", "b");
    mixed.start_the_one_before("a");
    mixed.cluster.until_eligible("a");
    mixed.stop("b", "a");
    // All of it is in one history, whoever tells it.
    let epochs = mixed.cluster.until("every leadership is in the history", |cluster| {
        let history = cluster.history("a");
        (history.len() == 5)
            .then(|| history.iter().map(|entry| entry["node"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(epochs, ["a", "b", "a", "b", "a"]);
    assert_eq!(mixed.cluster.judge().len(), 5);
}

#[test]
fn who_goes_back_to_the_build_before_finds_what_today_s_has_written() {
    let Some(mut mixed) = Mixed::new() else { return crate::skipped(NONE_BEFORE) };
    mixed.cluster.start_with_active(&["a", "b"]);
    // What only today's knows: a switchover's end in `control`, known nodes, states.
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_primacy"))
        .arg("-c")
        .arg(mixed.cluster.config_file("a"))
        .args(["switchover", "--to", "b", "--yes"])
        .output()
        .unwrap();
    assert!(command.status.success(), "{command:?}");
    mixed.cluster.until_active_is("b");
    // One after the other, the standby first.
    mixed.cluster.signal("a", Signal::SIGTERM);
    mixed.cluster.until_exit("a");
    mixed.start_the_one_before("a");
    mixed.cluster.until_eligible("a");
    mixed.stop("b", "a");
    mixed.start_the_one_before("b");
    mixed.cluster.until_eligible("b");
    mixed.kill("a", "b");
    // And forth again.
    mixed.cluster.start("a");
    mixed.cluster.until_eligible("a");
    mixed.stop("b", "a");
    mixed.cluster.judge();
}
