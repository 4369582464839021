//! `[standby] warm`: the whole program keeps a standby's files in the page cache, and nothing waits for what reads them.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::signal::Signal;
use primacy::syscalls;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Cluster, send};
use crate::skipped;
use crate::zookeeper::Server;

const SIZE: usize = 500_000;

/// Why a test cannot run.
const NO_SECOND: &str = "there is no second file system here (/dev/shm)";

/// A cluster whose volume is another file system than the one of the programs: this host's memory.
struct Place {
    cluster: Cluster,
    programs: TempDir,
    volume: TempDir,
}

impl Place {
    /// `None` where there are not two file systems.
    fn new() -> Option<Self> {
        let programs = TempDir::new_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let volume = TempDir::new_in("/dev/shm").ok();
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let volume = volume.filter(|volume| device(volume.path()) != device(programs.path()))?;
        for name in ["one.jar", "two.jar"] {
            fs::write(programs.path().join(name), vec![7; SIZE]).unwrap();
            evict(&programs.path().join(name));
        }
        let mut cluster = Cluster::new(&Server::shared().address());
        cluster.set("lock.directory", volume.path().join(".primacy").to_str().unwrap().to_owned());
        Some(Self { cluster, programs, volume })
    }

    fn warm(&mut self, name: &str, paths: &[PathBuf]) {
        let paths: Vec<String> = paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        self.cluster.set_for(name, "standby.warm", paths);
    }

    /// What reads for a node.
    fn reader(&mut self, name: &str) -> Option<i32> {
        let supervisor = self.cluster.supervisor(name);
        let reads = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"primacy\0warm\0"))
                && parent(*pid) == Some(supervisor)
        };
        self.cluster.all_processes().into_iter().find(reads)
    }
}

fn is_gone(pid: i32) -> bool {
    !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn evict(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(file.as_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    assert_eq!(resident(path), 0, "{} cannot be evicted here", path.display());
}

fn resident(path: &Path) -> u64 {
    syscalls::resident(File::open(path).unwrap().as_fd(), SIZE as u64).unwrap()
}

#[test]
fn a_standby_keeps_its_files_in_the_page_cache_until_it_leads_and_whoever_reads_them_holds_up_nobody() {
    let Some(mut place) = Place::new() else { return skipped(NO_SECOND) };
    let programs = place.programs.path().to_owned();
    place.warm("b", std::slice::from_ref(&programs));
    place.cluster.start_with_active(&["a", "b"]);
    let status = place
        .cluster
        .until("b keeps two files", |cluster| cluster.status("b").filter(|status| status["warm"]["files"] == 2));
    assert_eq!(status["warm"]["bytes"], 2 * SIZE);
    assert_eq!((&status["warm"]["left_out"], &status["warm"]["problems"]), (&0.into(), &Value::Array(vec![])));
    for name in ["one.jar", "two.jar"] {
        assert_eq!(resident(&programs.join(name)), SIZE as u64, "{name}");
    }
    let status = place.cluster.status("a").unwrap();
    assert_eq!(status["warm"], Value::Null, "the active one runs what it needs");
    place.cluster.until_logged("b", "kept in the page cache");
    // It hangs, as on a mount that is away; b leads all the same, and it is ended.
    let reader = place.reader("b").expect("somebody reads");
    send(reader, Signal::SIGSTOP);
    place.cluster.signal("a", Signal::SIGTERM);
    place.cluster.until_active_is("b");
    place.cluster.until("its reader is gone", |_| is_gone(reader).then_some(()));
    assert_eq!(place.reader("b"), None);
    assert_eq!(place.cluster.status("b").unwrap()["warm"], Value::Null);
    place.cluster.judge();
}

#[test]
fn what_leads_to_the_volume_fails_the_check_and_is_not_read_by_a_standby() {
    let Some(mut place) = Place::new() else { return skipped(NO_SECOND) };
    let (programs, data) = (place.programs.path().to_owned(), place.volume.path().join("data"));
    fs::write(&data, vec![7; SIZE]).unwrap();
    symlink(&data, programs.join("link.jar")).unwrap();
    place.warm("b", &[programs, data]);
    place.cluster.write_config("b");
    let mut check = Command::new(env!("CARGO_BIN_EXE_primacy"));
    check.args(["check", "--output", "json", "-c"]).arg(place.cluster.config_file("b"));
    let output = check.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = results.iter().find(|result| result["name"] == "standby.warm").unwrap();
    assert_eq!(found["result"], "fail", "{found}");
    for path in ["link.jar", "data"] {
        assert!(found["detail"].as_str().unwrap().contains(path), "{found}");
    }
    place.cluster.start_with_active(&["a", "b"]);
    let status = place
        .cluster
        .until("b keeps what it may", |cluster| cluster.status("b").filter(|status| status["warm"]["files"] == 2));
    assert_eq!(status["warm"]["problems"].as_array().unwrap().len(), 2, "{status}");
    place.cluster.until_logged("b", "lies on the file system of lock.directory");
}

#[test]
fn whoever_reads_ends_with_a_supervisor_that_is_killed() {
    let Some(mut place) = Place::new() else { return skipped(NO_SECOND) };
    let programs = place.programs.path().to_owned();
    place.warm("b", &[programs]);
    place.cluster.start_with_active(&["a", "b"]);
    place
        .cluster
        .until("b keeps two files", |cluster| cluster.status("b").filter(|status| status["warm"]["files"] == 2));
    let reader = place.reader("b").expect("somebody reads");
    place.cluster.signal("b", Signal::SIGKILL);
    place.cluster.until("its reader is gone", |_| is_gone(reader).then_some(()));
}
