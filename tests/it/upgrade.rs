//! A program that is executed anew in the process that runs: same pid, and nothing else of the cluster notices more than that a
//! standby was away for a moment.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, send};
use crate::zookeeper::Server;

mod manager;
mod refusals;

fn pair() -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    // Nothing here depends on how short it is, and on a slow machine a long one is kept.
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.program_by_link("b");
    cluster.start_with_active(&["a", "b"]);
    cluster
}

/// How often its process has executed the program anew.
fn upgrades(cluster: &mut Cluster, name: &str) -> u64 {
    cluster.until(&format!("{name} says how often"), |cluster| cluster.get(name, "/upgrade")?["upgrades"].as_u64())
}

fn until_upgraded(cluster: &mut Cluster, name: &str, times: u64) {
    cluster.until(&format!("{name} was upgraded {times} times"), |cluster| {
        (cluster.get(name, "/upgrade")?["upgrades"] == times).then_some(())
    });
    cluster.until_eligible(name);
}

/// Its answer to `POST /upgrade`.
fn ask(cluster: &mut Cluster, name: &str) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}/upgrade", cluster.port(name).unwrap());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let mut answer = agent.post(url).send_json(serde_json::json!({"reason": "a new version"})).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

fn primacy(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("-c").arg(cluster.config_file("a")).args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_standby_that_gets_sigusr2_runs_the_program_at_its_path_in_the_same_process_and_can_take_over() {
    let mut cluster = pair();
    let (pid, port, before) = (cluster.supervisor("b"), cluster.port("b"), cluster.running());
    cluster.signal("b", Signal::SIGUSR2);
    until_upgraded(&mut cluster, "b", 1);
    cluster.until_logged("b", "upgraded in place");
    assert_eq!((cluster.supervisor("b"), cluster.port("b")), (pid, port));
    assert_eq!(cluster.get("b", "/upgrade").unwrap()["pid"], pid);
    assert_eq!(cluster.running().pid, before.pid, "nobody else was touched");
    // The next signal finds the next program.
    cluster.signal("b", Signal::SIGUSR2);
    until_upgraded(&mut cluster, "b", 2);
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("b");
    assert_eq!(cluster.judge().len(), 2);
}

/// More of them by `just upgrades`.
fn many() -> u64 {
    std::env::var_os("PRIMACY_LONG_TESTS").map_or(20, |_| 100)
}

#[test]
fn one_upgrade_after_another_leaves_nothing_behind() {
    let mut cluster = pair();
    let pid = cluster.supervisor("b");
    let open = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    ask(&mut cluster, "b");
    until_upgraded(&mut cluster, "b", 1);
    let (descriptors, before) = (open(pid), cluster.running());
    for times in 2..=many() {
        let (status, body) = ask(&mut cluster, "b");
        assert_eq!((status, &body["changed"]), (200, &true.into()), "{body}");
        until_upgraded(&mut cluster, "b", times);
    }
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!text(&arguments).contains("adopt"), "{}", text(&arguments));
    // Connections and look-ups come and go.
    assert!(open(pid) <= descriptors + 3, "{} descriptors, and {descriptors} before", open(pid));
    cluster.until("only its guardian is left below it", |_| {
        (primacy::processes::descendants_of(pid).len() == 1).then_some(())
    });
    assert_eq!(cluster.running().pid, before.pid);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_stop_that_is_asked_for_in_the_middle_of_an_upgrade_stops() {
    for millis in [0, 100, 230, 260, 300, 350] {
        let mut cluster = pair();
        cluster.signal("b", Signal::SIGUSR2);
        // Wherever it is by then.
        std::thread::sleep(std::time::Duration::from_millis(millis));
        let pid = cluster.supervisor("b");
        send(pid, Signal::SIGTERM);
        assert_eq!(cluster.until_exit("b"), 0, "after {millis} ms");
        assert_eq!(cluster.judge().len(), 1);
    }
}

#[test]
fn the_command_upgrades_the_standbys_one_after_the_other_and_stops_at_the_active_one() {
    let mut cluster = pair();
    cluster.start("c");
    cluster.until_eligible("c");
    let done = primacy(&cluster, &["upgrade", "b", "--yes", "-m", "a new version"]);
    let said = text(&done.stdout);
    assert!(done.status.success() && said.starts_with("b: 0.1.0") && said.contains("is what it was"), "{done:?}");
    assert_eq!((upgrades(&mut cluster, "b"), upgrades(&mut cluster, "c")), (1, 0));
    cluster.until_logged("b", "to execute the program at its path anew: a new version");
    let all = primacy(&cluster, &["upgrade", "--all", "--yes"]);
    assert_eq!(all.status.code(), Some(1), "{all:?}");
    let lines: Vec<String> = text(&all.stdout).lines().map(|line| line.chars().take(2).collect()).collect();
    assert_eq!(lines, ["b:", "c:"], "{all:?}");
    let complaint = text(&all.stderr);
    assert!(complaint.contains("a: this node's coordinator runs"), "{complaint}");
    assert_eq!((upgrades(&mut cluster, "b"), upgrades(&mut cluster, "c"), upgrades(&mut cluster, "a")), (2, 1, 0));
    assert!(cluster.is_active("a"));
    let unknown = primacy(&cluster, &["upgrade", "x", "--yes"]);
    assert!(unknown.status.code() == Some(1) && text(&unknown.stderr).contains("there is no x"), "{unknown:?}");
    assert_eq!(primacy(&cluster, &["upgrade", "--yes"]).status.code(), Some(2));
    assert_eq!(cluster.judge().len(), 1);
}

fn executable(cluster: &Cluster, name: &str, script: &str) -> std::path::PathBuf {
    let path = cluster.path(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_primacy"))
}
