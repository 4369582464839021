//! The packaged unit under a real systemd: what becomes of a leadership whose supervisor is killed.
//!
//! The session outlasts the test, so whoever leads next has been let in by the dead supervisor's guardian.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::{clock, processes};

use super::booted::Booted;
use crate::cluster::{Cluster, send};
use crate::skipped;
use crate::zookeeper::Server;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/primacy.service")
}

/// Node a by the packaged unit, active; node b outside of the container, as standby.
struct Pair {
    systemd: Booted,
    cluster: Cluster,
}

impl Pair {
    fn start(flags: &[&str]) -> Result<Self, String> {
        let mut server = Server::prepare();
        let address = server.address();
        let (_, port) = address.rsplit_once(':').unwrap();
        server.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\nmaxSessionTimeout=600000\n"));
        server.launch();
        server.until_serving();
        let mut cluster = Cluster::new(&address);
        cluster.keep(server);
        cluster.set("zookeeper.session_timeout", "10m");
        cluster.set("fencing.command", vec!["false"]);
        cluster.set("fencing.required", true);
        cluster.coordinator(flags);
        cluster.write_config("a");
        let systemd = Booted::with_unit(&unit(), &cluster.dropin("a"), &[&cluster.path(""), &cluster.programs()])?;
        assert!(systemd.systemctl(&["start", "--no-block", "primacy.service"]).status.success());
        cluster.started_elsewhere("a");
        cluster.until_active_is("a");
        cluster.start("b");
        cluster.until_eligible("b");
        Ok(Self { systemd, cluster })
    }

    /// By the host's count.
    fn supervisor(&self) -> i32 {
        let config = self.cluster.config_file("a");
        let runs_it = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.contains(&config.as_os_str().as_encoded_bytes()) && words.contains(&&b"run"[..])
        };
        processes::pids().find(runs_it).expect("a supervisor")
    }

    /// b leads soon after, nobody had to be fenced, and a stands by again.
    fn hands_over(&mut self, signal: Signal, patience: Duration) {
        let former = self.cluster.running();
        let began = clock::now();
        send(self.supervisor(), signal);
        let next = self.cluster.until_run_after(&former);
        let taken = clock::now().since(began);
        assert_eq!(next.node, "b", "{next:?}");
        println!(
            "{signal}: {} ms from one coordinator's last sign of life to the next one's first",
            (next.first - former.last) / 1_000_000
        );
        assert!(taken < patience, "it took {taken:?}");
        assert_eq!(self.cluster.until_cause("b", 1), "supervisor_lost");
        assert!(!self.cluster.log("b").contains("fencing the former active"), "{}", self.cluster.log("b"));
        self.cluster.until_eligible("a");
        assert_eq!(self.systemd.property("ActiveState"), "active");
    }
}

/// The same test with every way in which a supervisor may end without its own doing.
fn handed_over_after(signal: Signal, patience: Duration) {
    match Pair::start(&[]) {
        Ok(mut pair) => pair.hands_over(signal, patience),
        Err(reason) => skipped(&reason),
    }
}

#[test]
fn the_units_guardian_hands_over_when_its_supervisor_is_killed() {
    handed_over_after(Signal::SIGKILL, Duration::from_secs(30));
}

#[test]
fn the_units_guardian_hands_over_when_its_supervisor_aborts() {
    handed_over_after(Signal::SIGABRT, Duration::from_secs(30));
}

#[test]
fn the_units_guardian_hands_over_when_systemd_kills_a_supervisor_that_hangs() {
    // WatchdogSec=10s; the lease is minutes.
    handed_over_after(Signal::SIGSTOP, Duration::from_secs(45));
}

#[test]
fn an_ordered_stop_of_the_unit_is_clean_and_stays() {
    let mut pair = match Pair::start(&[]) {
        Ok(pair) => pair,
        Err(reason) => return skipped(&reason),
    };
    let former = pair.cluster.running();
    assert!(pair.systemd.systemctl(&["stop", "primacy.service"]).status.success());
    assert_eq!(pair.systemd.property("ActiveState"), "inactive");
    assert_eq!(pair.systemd.property("Result"), "success");
    assert_eq!(pair.cluster.until_run_after(&former).node, "b");
    assert_eq!(pair.cluster.until_cause("b", 1), "stopped");
    // The same by a person who sends the signal.
    assert!(pair.systemd.systemctl(&["start", "primacy.service"]).status.success());
    pair.cluster.until_eligible("a");
    send(pair.supervisor(), Signal::SIGTERM);
    pair.cluster.until("the unit is inactive", |_| (pair.systemd.property("ActiveState") == "inactive").then_some(()));
    assert_eq!(pair.systemd.property("NRestarts"), "0");
}

#[test]
fn what_no_guardian_ends_the_unit_ends_before_it_starts_again() {
    let mut pair = match Pair::start(&["--daemonise", "--ignore-sigterm"]) {
        Ok(pair) => pair,
        Err(reason) => return skipped(&reason),
    };
    let supervisor = pair.supervisor();
    let guardian = processes::descendants_of(supervisor)
        .into_iter()
        .find(|pid| processes::Stat::of(*pid).is_some_and(|stat| stat.command == "primacy-guard"))
        .unwrap();
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        send(guardian, signal);
        send(supervisor, signal);
    }
    pair.cluster
        .until("the supervisor is started again", |_| (pair.systemd.property("NRestarts") == "1").then_some(()));
    pair.cluster.until("another supervisor", |cluster| {
        (cluster.log("a").matches("primacy starts as a standby").count() == 2).then_some(())
    });
    let former = pair.cluster.running();
    pair.cluster.watch_for(Duration::from_millis(500));
    assert_eq!(pair.cluster.running(), former, "the coordinator runs on");
    assert!(!pair.cluster.log("a").contains("left over from epoch"), "{}", pair.cluster.log("a"));
}

/// With /bin/true in the place of programs that are not installed here.
#[test]
fn systemd_finds_nothing_wrong_with_the_packaged_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("no systemd-analyze here");
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let directory = tempfile::TempDir::new().unwrap();
    for path in ["systemd/primacy.service", "fencing/nfs-server/primacy-unfence.service"] {
        let text = std::fs::read_to_string(packaging.join(path)).unwrap();
        let text = text.replace("/usr/bin/primacy run", "/bin/true run");
        let text = text.replace("/usr/local/bin/primacy-unfence-nfs", "/bin/true");
        let copy = directory.path().join(Path::new(path).file_name().unwrap());
        std::fs::write(&copy, text).unwrap();
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(copy).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{path}: {said}");
    }
}

#[test]
fn an_upgrade_in_place_is_no_end_of_the_unit_and_costs_nobody_anything() {
    let mut pair = match Pair::start(&[]) {
        Ok(pair) => pair,
        Err(reason) => return skipped(&reason),
    };
    // The unit's node is to be the standby.
    send(pair.supervisor(), Signal::SIGKILL);
    pair.cluster.until_active_is("b");
    pair.cluster.until_eligible("a");
    let before = (pair.systemd.property("MainPID"), pair.systemd.property("NRestarts"));
    let former = pair.cluster.running();
    send(pair.supervisor(), Signal::SIGUSR2);
    pair.cluster.until_logged("a", "upgraded in place");
    pair.cluster.until_eligible("a");
    assert_eq!((pair.systemd.property("MainPID"), pair.systemd.property("NRestarts")), before);
    assert_eq!(pair.systemd.property("ActiveState"), "active");
    assert_eq!(pair.cluster.running().pid, former.pid);
    // And it is still the unit's to be stopped.
    assert!(pair.systemd.systemctl(&["stop", "primacy.service"]).status.success());
    assert_eq!(pair.systemd.property("Result"), "success");
}
