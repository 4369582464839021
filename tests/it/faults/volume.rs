//! The shared volume fails, vanishes or is another one. It is named in status and log, nothing is started on it, and once
//! it is back a coordinator runs again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::clock;

use super::{TWO_AND_A_HALF_SESSIONS, pair};
use crate::cluster::{Cluster, Run, make_directory};
use crate::skipped;
use crate::zookeeper::Server;

/// The role is given away, nothing is started, both nodes and the log say `text`.
fn nothing_starts(cluster: &mut Cluster, former: &Run, text: &str) {
    cluster.until("a has fenced itself", |cluster| (cluster.exits("a") == [3]).then_some(()));
    for name in ["a", "b"] {
        cluster.until(&format!("{name}'s status says {text:?}"), |cluster| {
            cluster.status(name)?["reason"].as_str()?.contains(text).then_some(())
        });
        cluster.until_logged(name, text);
    }
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    assert_eq!(cluster.running().pid, former.pid, "something was started");
}

fn recovers(cluster: &mut Cluster, former: &Run) {
    cluster.until_run_after(former);
    let active = cluster.until_any_active(&["a", "b"]);
    assert_eq!(cluster.until_cause(&active, 1), "volume_lost");
    cluster.until_eligible(if active == "a" { "b" } else { "a" });
    cluster.judge();
}

#[test]
fn nodes_that_start_together_on_a_new_volume_are_all_fit_once_the_first_has_prepared_it() {
    let mut cluster = Cluster::new(&Server::shared().address());
    // By its probes alone a node would learn it too late for this test.
    cluster.set("lock.probe_interval", "10m");
    cluster.set("lock.probe_timeout", "10m");
    for name in ["a", "b"] {
        cluster.start(name);
    }
    let active = cluster.until_any_active(&["a", "b"]);
    let other = if active == "a" { "b" } else { "a" };
    cluster.signal(&active, Signal::SIGTERM);
    cluster.until_active_is(other);
    cluster.judge();
}

#[test]
fn an_unmounted_volume_costs_the_role_and_nothing_starts_without_it() {
    let mut cluster = pair();
    cluster.restart_when_fenced("a");
    let former = cluster.running();
    // What an unmounted directory looks like: the mount point is there, and empty.
    let away = cluster.path("away");
    fs::rename(&cluster.volume, &away).unwrap();
    make_directory(&cluster.volume);
    nothing_starts(&mut cluster, &former, "does not exist; mount the volume");
    fs::remove_dir(&cluster.volume).unwrap();
    fs::rename(&away, &cluster.volume).unwrap();
    recovers(&mut cluster, &former);
}

#[test]
fn another_volume_in_its_place_is_refused_by_name() {
    let mut cluster = pair();
    cluster.restart_when_fenced("a");
    let former = cluster.running();
    let identity = cluster.lock_directory().join("volume.json");
    let content = fs::read_to_string(&identity).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&content).unwrap();
    let id = parsed["id"].as_str().unwrap();
    let foreign = "00000000-0000-4000-8000-000000000000";
    // As a mount does it: in one step.
    let put = |text: &str| {
        fs::write(identity.with_extension("new"), text).unwrap();
        fs::rename(identity.with_extension("new"), &identity).unwrap();
    };
    put(&content.replace(id, foreign));
    nothing_starts(&mut cluster, &former, foreign);
    put(&content);
    recovers(&mut cluster, &former);
}

#[test]
fn a_deleted_lock_file_costs_the_role_before_anybody_locks_another_one() {
    let mut cluster = pair();
    cluster.restart_when_fenced("a");
    let former = cluster.running();
    fs::remove_file(cluster.lock_file()).unwrap();
    let next = cluster.until_run_after(&former);
    assert!(next.epoch > former.epoch);
    let active = cluster.until_any_active(&["a", "b"]);
    assert_eq!(cluster.until_cause(&active, 1), "volume_lost");
    assert!(cluster.log("a").contains("was deleted, replaced or unmounted while it was locked"));
    cluster.judge();
}

/// A small file system of its own; unmounted at the end. `None` where this is not permitted.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path) -> Option<Self> {
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", path.to_str().unwrap()]);
        mounted.then(|| Self(path.to_owned()))
    }

    fn remount(&self, how: &str) {
        assert!(run("mount", &["-o", &format!("remount,{how}"), self.0.to_str().unwrap()]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: what still runs there is killed by the cluster's end.
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// On a volume that cannot be used from the beginning.
fn never_starts(cluster: &mut Cluster, text: &str) {
    cluster.set("coordinator.backoff.max", "1s");
    cluster.start("a");
    cluster.start("b");
    for name in ["a", "b"] {
        cluster.until_logged(name, text);
        cluster.until(&format!("{name}'s status says {text:?}"), |cluster| {
            cluster.status(name)?["reason"].as_str()?.contains(text).then_some(())
        });
    }
    assert!(cluster.judge().is_empty(), "something was started");
}

#[test]
fn a_read_only_volume_is_named_and_nothing_starts_until_it_is_writable() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let Some(mounted) = Mounted::at(&cluster.volume) else {
        return skipped("mounting is not permitted here");
    };
    make_directory(&cluster.lock_directory());
    mounted.remount("ro");
    never_starts(&mut cluster, "is mounted read-only; remount it for writing");
    mounted.remount("rw");
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_active_is(&active);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_full_volume_is_named_and_nothing_starts_until_there_is_room() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let Some(_mounted) = Mounted::at(&cluster.volume) else {
        return skipped("mounting is not permitted here");
    };
    make_directory(&cluster.lock_directory());
    let filler = cluster.volume.join("filler");
    let written = fs::write(&filler, vec![0; 1 << 20]);
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    never_starts(&mut cluster, "the volume is full");
    fs::remove_file(filler).unwrap();
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_active_is(&active);
    assert_eq!(cluster.judge().len(), 1);
}

/// An ext4 of a node's own that knows the cluster's id, and can be frozen.
struct Frozen {
    mount: PathBuf,
    frozen: bool,
}

impl Frozen {
    fn new(cluster: &Cluster) -> Option<Self> {
        let (mount, image) = (cluster.path("frozen"), cluster.path("image"));
        std::fs::create_dir_all(&mount).unwrap();
        std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let (at, image) = (mount.to_str().unwrap(), image.to_str().unwrap());
        (run("mkfs.ext4", &["-q", "-F", image]) && run("mount", &["-o", "loop", image, at]))
            .then(|| Self { mount, frozen: false })
    }

    fn freeze(&mut self, frozen: bool) {
        let flag = if frozen { "--freeze" } else { "--unfreeze" };
        assert!(run("fsfreeze", &[flag, self.mount.to_str().unwrap()]));
        self.frozen = frozen;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.frozen {
            self.freeze(false);
        }
        run("umount", &["-l", self.mount.to_str().unwrap()]);
    }
}

#[test]
fn a_standby_whose_volume_takes_no_writes_never_says_that_it_could_take_over_and_stops_at_once() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let Some(mut volume) = Frozen::new(&cluster) else {
        return skipped("no file system can be mounted and frozen here");
    };
    cluster.set_for("b", "lock.directory", volume.mount.to_str().unwrap());
    cluster.set_for("b", "lock.probe_timeout", "1s");
    cluster.set_for("b", "lock.probe_interval", "500ms");
    cluster.start("a");
    cluster.until_active_is("a");
    let id = std::fs::read(cluster.lock_directory().join("volume.json")).unwrap();
    std::fs::write(volume.mount.join("volume.json"), id).unwrap();
    volume.freeze(true);
    cluster.start("b");
    cluster.until("b says what it waits for", |cluster| {
        let status = cluster.status("b")?;
        let reason = status["reason"].as_str().unwrap().to_owned();
        assert!(!reason.contains("ready to take over") && !reason.contains("queue"), "{reason}");
        assert!(
            cluster.get("b", "/cluster")?["members"]
                .as_array()?
                .iter()
                .all(|it| it["node"] != "b" || it["eligible"] == false)
        );
        reason.contains("has not answered within lock.probe_timeout").then_some(())
    });
    let asked = clock::now();
    cluster.signal("b", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("b"), 0);
    assert!(clock::now().since(asked) < Duration::from_secs(8));
    volume.freeze(false);
    cluster.start("b");
    cluster.until_eligible("b");
}

/// The lines of `primacy check` for a node, by name; what hangs is given a limit.
fn check(cluster: &mut Cluster, node: &str, as_user: Option<&str>) -> serde_json::Value {
    cluster.write_config(node);
    let mut command = Command::new(if as_user.is_some() { "setpriv" } else { env!("CARGO_BIN_EXE_primacy") });
    if let Some(user) = as_user {
        command.args(["--reuid", user, "--clear-groups", env!("CARGO_BIN_EXE_primacy")]);
    }
    command.args(["check", "--output", "json", "-c"]).arg(cluster.config_file(node));
    let began = clock::now();
    let output = command.output().unwrap();
    assert!(clock::now().since(began) < Duration::from_secs(60));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn line<'l>(lines: &'l serde_json::Value, name: &str, result: &str) -> &'l str {
    let mut all = lines.as_array().unwrap().iter();
    let found = all.find(|line| line["name"] == name && line["result"] == result);
    found.unwrap_or_else(|| panic!("no {result} for {name} in {lines:#}"))["detail"].as_str().unwrap()
}

#[test]
fn check_ends_where_the_volume_or_a_program_hangs_and_looks_at_the_rest() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let Some(mut volume) = Frozen::new(&cluster) else {
        return skipped("no file system can be mounted and frozen here");
    };
    cluster.set("lock.directory", volume.mount.to_str().unwrap());
    cluster.set("lock.probe_timeout", "2s");
    let lines = check(&mut cluster, "a", None);
    line(&lines, "volume.write", "ok");
    volume.freeze(true);
    let lines = check(&mut cluster, "a", None);
    assert!(line(&lines, "volume.write", "fail").contains("does not answer within 2 s"));
    line(&lines, "coordinator.command", "ok");
    line(&lines, "api.listen", "ok");
    volume.freeze(false);
}

#[test]
fn check_beside_a_running_node_finds_its_own_port_in_use_by_itself() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start("a");
    cluster.until_active_is("a");
    let port = cluster.port("a").unwrap();
    cluster.set("api.listen", format!("127.0.0.1:{port}"));
    let lines = check(&mut cluster, "a", None);
    assert!(line(&lines, "api.listen", "ok").contains("in use by this node"));
    let lines = check(&mut cluster, "b", None);
    assert!(line(&lines, "api.listen", "fail").contains("another node, a of cluster"));
}

#[test]
fn check_fails_on_a_lock_file_that_this_account_may_not_write() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can make another account's file");
    }
    let mut cluster = Cluster::new(&Server::shared().address());
    let directory = cluster.lock_directory();
    make_directory(&directory);
    let mode =
        |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(&directory, 0o777);
    mode(directory.parent().unwrap(), 0o755);
    fs::write(directory.join("coordinator.lock"), "").unwrap();
    mode(&directory.join("coordinator.lock"), 0o644);
    let lines = check(&mut cluster, "a", Some("65534"));
    assert!(line(&lines, "volume.lock_file", "fail").contains("Permission denied"));
    line(&lines, "volume.write", "ok");
    let lines = check(&mut cluster, "a", None);
    line(&lines, "volume.lock_file", "ok");
}

#[test]
fn check_tells_a_volume_without_inodes_from_a_full_one() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let directory = cluster.lock_directory();
    make_directory(&directory);
    let mounted = run("mount", &["-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "tmpfs", directory.to_str().unwrap()]);
    if !mounted {
        return skipped("this test needs the permission to mount");
    }
    let _mounted = Mounted(directory.clone());
    let mut number = 0;
    while fs::write(directory.join(number.to_string()), "").is_ok() {
        number += 1;
    }
    let lines = check(&mut cluster, "a", None);
    let told = lines.as_array().unwrap().iter().find(|line| line["name"] == "volume.write").unwrap();
    assert!(told["result"] == "fail" && told["remedy"].as_str().unwrap().contains("no inodes"), "{told}");
}

#[test]
fn who_waits_for_the_volume_alone_does_not_say_that_it_kills_and_ends_in_bounded_time() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let Some(mut volume) = Frozen::new(&cluster) else {
        return skipped("no file system can be mounted and frozen here");
    };
    cluster.set("lock.directory", volume.mount.to_str().unwrap());
    cluster.set("lock.probe_timeout", "1s");
    cluster.set("lock.probe_interval", "500ms");
    cluster.set("fencing.after_loss", "rejoin");
    cluster.start("a");
    cluster.until_active_is("a");
    volume.freeze(true);
    cluster.until("the coordinator's death is told", |cluster| {
        let status = cluster.status("a")?;
        let reason = status["reason"].as_str()?.to_owned();
        assert!(!(reason.contains("killing") && status["coordinator"]["pid"].is_null()), "{status}");
        reason.contains("waits for the volume at").then_some(())
    });
    let asked = clock::now();
    cluster.signal("a", Signal::SIGTERM);
    let code = cluster.until_exit("a");
    eprintln!("ended with {code} after {:?}", clock::now().since(asked));
    assert!(clock::now().since(asked) < Duration::from_secs(25));
    volume.freeze(false);
}
