//! Flight recordings of the whole program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::zookeeper::Server;

/// Stands in everything that may be a secret.
const SECRET: &str = "hunter2-geheim";

fn segments(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(segments(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn no_secret_enters_a_recording() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let secret_file = |name: &str, text: String| {
        let path = cluster.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let digest = secret_file("digest", format!("user:{SECRET}\n"));
    let token = secret_file("token", format!("{SECRET}-token\n"));
    cluster.set("zookeeper.digest_file", digest);
    cluster.set("api.token_file", token);
    cluster.set("coordinator.environment.PASSWORD", SECRET);
    cluster.set("health.command", vec!["/bin/true", SECRET]);
    cluster.set("drain.command", vec!["/bin/true", SECRET]);
    cluster.set("fencing.command", vec!["/bin/true", SECRET]);
    cluster.set("coordinator.before_kill", vec!["/bin/true", SECRET]);
    for hook in ["on_active", "on_standby", "before_start", "after_stop"] {
        cluster.set(&format!("hooks.{hook}"), vec!["/bin/echo", SECRET]);
    }
    cluster.start_with_active(&["a", "b"]);
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "reading the configuration again");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    let logs = cluster.log("b");
    assert!(logs.contains(SECRET), "what a hook printed is in the log, so it went through the node:\n{logs}");
    let recorded = segments(&cluster.recordings());
    for part in ["supervisor", "guardian"] {
        let of_part = recorded.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(part));
        assert!(of_part.count() >= 2, "{part}: {recorded:?}");
    }
    for path in recorded {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("(redacted-") || path.to_str().unwrap().contains("guardian"), "{}", path.display());
        assert!(!text.contains(SECRET), "{}", path.display());
    }
}

#[test]
fn a_recorder_that_cannot_write_says_so_and_costs_nothing_else() {
    let mut cluster = Cluster::new(&Server::shared().address());
    fs::write(cluster.recordings(), "a file where the folder should be").unwrap();
    cluster.start_with_active(&["a", "b"]);
    cluster.until_logged("a", "the flight recorder cannot write");
    cluster.signal("a", Signal::SIGKILL);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn nothing_is_recorded_where_nobody_wants_it() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("recorder.directory", "");
    cluster.start("a");
    cluster.until_active_is("a");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    assert!(!cluster.recordings().exists());
}
