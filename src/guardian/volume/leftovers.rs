//! Processes of a former leadership of this very node that still hold the lock.
//!
//! If supervisor and guardian are killed together, the parent-death signal kills the coordinator's main process, but a
//! daemonised grandchild lives on and keeps the lock, rightly. Only this node may end it: the record in the lock file
//! says that it was this host, this boot, this node, and that the guardian which ran it is dead.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Pid;

use crate::guardian::PROCESS_NAME;
use crate::guardian::protocol::LockRecord;
use crate::guardian::remains::Mine;
use crate::host::ProcessIdentity;
use crate::processes::{self, Stat};
use crate::{clock, syscalls};

/// How long to wait for killed processes to go; what stays longer is reported and holds the lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What was cleared away.
#[derive(Debug, PartialEq, Eq)]
pub struct Cleared {
    /// Pid and command of each process killed.
    pub killed: Vec<(i32, String)>,
    /// Those that have not gone.
    pub left: Vec<i32>,
}

/// Kills what a dead guardian of this node has left, as far as it holds the lock; `None` if there is nothing of that kind.
pub fn clear(record: &LockRecord, mine: &Mine, lock: &Path, inode: u64) -> Option<Cleared> {
    if !is_orphaned(record, &mine.names, &processes::own_identity()) {
        return None;
    }
    let (cluster, node) = (mine.cluster.as_str(), record.node.as_str());
    let mut killed: Vec<(i32, String)> = Vec::new();
    let began = clock::now();
    loop {
        let holders: Vec<Stat> = holders(lock, inode).into_iter().filter(|stat| is_ours(stat, cluster, node)).collect();
        for stat in &holders {
            syscalls::send_signal(Pid::from_raw(stat.pid), nix::libc::SIGKILL);
            if !killed.iter().any(|(pid, _)| *pid == stat.pid) {
                killed.push((stat.pid, stat.command.clone()));
            }
        }
        if holders.is_empty() || clock::now().since(began) > PATIENCE {
            let left = holders.iter().map(|stat| stat.pid).collect();
            return (!killed.is_empty()).then_some(Cleared { killed, left });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the record is of a leadership of this node (under a name that it had, too), on this host and boot, whose guardian
/// is dead.
fn is_orphaned(record: &LockRecord, names: &[String], own: &ProcessIdentity) -> bool {
    let guardian = ProcessIdentity {
        host_id: record.host_id.clone(),
        boot_id: record.boot_id.clone(),
        pid: record.pid,
        pid_started: record.pid_started,
        pid_namespace: record.pid_namespace,
        host: record.identity.clone(),
    };
    names.contains(&record.node)
        && guardian.is_among_those_of(own)
        && record.ended.is_none()
        && record.pid > 0
        && !processes::lives(record.pid, record.pid_started)
}

/// The processes that have the lock, by an open descriptor of that file.
fn holders(lock: &Path, inode: u64) -> Vec<Stat> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    processes::pids().filter(|pid| *pid != own && holds(*pid, lock, inode)).filter_map(Stat::of).collect()
}

fn holds(pid: i32, lock: &Path, inode: u64) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    // Where the first thread has ended, and another waits for a dead file server, only that one shows what is open.
    holds_by(&process, lock, inode)
        || Stat::of(pid).is_some_and(|stat| matches!(stat.state, 'Z' | 'X'))
            && fs::read_dir(process.join("task"))
                .is_ok_and(|threads| threads.flatten().any(|thread| holds_by(&thread.path(), lock, inode)))
}

/// By the `fd` of a process or thread in /proc.
fn holds_by(place: &Path, lock: &Path, inode: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(place.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        // Reading the link touches no file system; the lock's line in fdinfo carries the inode.
        let same_name = fs::read_link(descriptor.path()).is_ok_and(|target| {
            target.file_name().zip(lock.file_name()).is_some_and(|(target, lock)| {
                target.to_string_lossy().trim_end_matches(" (deleted)") == lock.to_string_lossy()
            })
        });
        same_name
            && fs::read_to_string(place.join("fdinfo").join(descriptor.file_name()))
                .is_ok_and(|info| info.lines().any(|line| is_lock_on(line, inode)))
    })
}

/// `lock:  1: OFDLCK  ADVISORY  WRITE -1 fe:00:1234 0 0`
fn is_lock_on(line: &str, inode: u64) -> bool {
    line.starts_with("lock:")
        && line.split_ascii_whitespace().any(|field| field == "OFDLCK")
        && line
            .split_ascii_whitespace()
            .any(|field| field.split(':').count() == 3 && field.ends_with(&format!(":{inode}")))
}

/// The record may be older than the present holder, which may not have written its own yet. So nothing is touched that
/// belongs to a living guardian (of any node), or that says that it is another node's.
fn is_ours(stat: &Stat, cluster: &str, node: &str) -> bool {
    let mut ancestor = Some(stat.clone());
    for _ in 0..64 {
        let Some(current) = ancestor else { break };
        if current.command == PROCESS_NAME {
            return false;
        }
        ancestor = if current.parent > 1 { Stat::of(current.parent) } else { None };
    }
    let environment = fs::read(format!("/proc/{}/environ", stat.pid)).unwrap_or_default();
    let says = |name: &str, expected: &str| {
        let prefix = format!("{name}=");
        environment
            .split(|byte| *byte == 0)
            .filter_map(|entry| entry.strip_prefix(prefix.as_bytes()))
            .all(|value| value == expected.as_bytes())
    };
    says("PRIMACY_CLUSTER", cluster) && says("PRIMACY_NODE", node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: i32) -> LockRecord {
        LockRecord {
            host_id: "host".to_owned(),
            boot_id: "boot".to_owned(),
            pid,
            pid_started: 1,
            ..LockRecord::of("a", 3)
        }
    }

    #[test]
    fn only_a_dead_guardian_of_this_node_host_and_boot_has_leftovers() {
        let dead = record(i32::MAX - 1);
        let own = |host: &str, boot: &str| ProcessIdentity {
            host_id: host.to_owned(),
            boot_id: boot.to_owned(),
            pid_namespace: Some(7),
            ..processes::own_identity()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(is_orphaned(&dead, &names(&["a"]), &own("host", "boot")));
        assert!(is_orphaned(&dead, &names(&["a", "renamed"]), &own("host", "boot")));
        assert!(!is_orphaned(&dead, &names(&["b"]), &own("host", "boot")));
        assert!(!is_orphaned(&dead, &names(&["a"]), &own("other", "boot")));
        assert!(!is_orphaned(&dead, &names(&["a"]), &own("host", "later")));
        let of_a_container = LockRecord { pid_namespace: Some(8), ..dead };
        assert!(!is_orphaned(&of_a_container, &names(&["a"]), &own("host", "boot")));
        let this = Stat::of(processes::own_pid()).unwrap();
        let living = LockRecord { pid_started: this.started, ..record(this.pid) };
        assert!(!is_orphaned(&living, &names(&["a"]), &own("host", "boot")));
    }

    #[test]
    fn a_lock_line_names_its_inode_exactly() {
        let line = "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:1234 0 0";
        assert!(is_lock_on(line, 1234));
        assert!(!is_lock_on(line, 234));
        assert!(!is_lock_on("lock:\t1: POSIX  ADVISORY  WRITE 7 fe:00:1234 0 EOF", 1234));
    }

    #[test]
    fn a_holder_whose_first_thread_has_ended_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // An OFD lock (37) on the first byte; then the exit (60) of the first thread alone.
        let program = "import ctypes, fcntl, struct, sys, threading, time\n\
                       file = open(sys.argv[1], 'r+')\n\
                       fcntl.fcntl(file, 37, struct.pack('hhqqi4x', 1, 0, 0, 1, 0))\n\
                       threading.Thread(target=time.sleep, args=(60,)).start()\n\
                       ctypes.CDLL(None).syscall(60, 0)";
        let mut child = std::process::Command::new("python3").args(["-c", program]).arg(file.path()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let began = clock::now();
        while Stat::of(pid).unwrap().state != 'Z' {
            assert!(clock::now().since(began).as_secs() < 60, "its first thread does not end");
            std::thread::sleep(PAUSE);
        }
        let inode = std::os::unix::fs::MetadataExt::ino(&file.as_file().metadata().unwrap());
        assert!(holds(pid, file.path(), inode));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!holds(pid, file.path(), inode));
    }
}
