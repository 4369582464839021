//! Nobody reads what the nodes write.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;

use super::TWO_AND_A_HALF_SESSIONS;
use crate::cluster::{Cluster, proxy};
use crate::output::fill;
use crate::zookeeper::Server;

/// The pipe that is a node's standard error.
struct Reader {
    pipe: File,
    writer: OwnedFd,
}

/// Starts a node whose standard error is a pipe, read until it has said where its API is.
fn start(cluster: &mut Cluster, name: &str) -> Reader {
    let (pipe, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let mut reader = Reader { pipe: pipe.into(), writer: writer.try_clone().unwrap() };
    cluster.start_with(name, |command| {
        command.stderr(writer);
    });
    reader.read_until(cluster, name, "primacy starts as a standby");
    reader
}

impl Reader {
    /// Copies into the node's log, in which the cluster looks for its lines.
    fn read_until(&mut self, cluster: &Cluster, name: &str, text: &str) {
        let mut log = OpenOptions::new().append(true).open(cluster.path(&format!("{name}.log"))).unwrap();
        let from = log.metadata().unwrap().len();
        let mut buffer = [0; 65536];
        loop {
            let count = self.pipe.read(&mut buffer).unwrap();
            log.write_all(&buffer[..count]).unwrap();
            let since = cluster.log(name);
            let lines = since.get(usize::try_from(from).unwrap()..).unwrap();
            if lines.rfind(text).is_some_and(|at| lines[at..].contains('\n')) {
                return;
            }
        }
    }
}

fn dropped(cluster: &mut Cluster, name: &str) -> u64 {
    let metrics = cluster.get_text(name, "/metrics").unwrap_or_default();
    let line = metrics.lines().find(|line| line.starts_with("primacy_log_lines_dropped_total{"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_reader_of_the_log_that_hangs_costs_lines_and_nothing_else() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let mut reader = start(&mut cluster, "a");
    cluster.until_active_is("a");
    let former = cluster.running();
    fill(&reader.writer);
    // Every problem of the file is said, every time.
    let nonsense: String = (0..500).map(|number| format!("unknown{number} = 1\n")).collect();
    fs::write(cluster.config_file("a"), nonsense).unwrap();
    cluster.until("lines are dropped", |cluster| {
        cluster.signal("a", Signal::SIGHUP);
        (dropped(cluster, "a") > 0).then_some(())
    });
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.until_ticks_again().pid, former.pid);
    reader.read_until(&cluster, "a", " log lines were dropped: nobody read standard error");
    fill(&reader.writer);
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn a_full_disk_under_the_log_costs_lines_and_nothing_else() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let log = cluster.path("a.log");
    let full_disk = |command: &mut std::process::Command| {
        command.stderr(OpenOptions::new().write(true).open("/dev/full").unwrap());
    };
    cluster.start_with("a", full_disk);
    cluster.until("its coordinator runs", |cluster| cluster.ledger.latest().cloned());
    assert_eq!(fs::read_to_string(log).unwrap(), "");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
}

#[test]
fn a_node_that_was_started_with_its_standard_descriptors_closed_works_and_writes_into_nobodys_socket() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start_within("a", &["sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]);
    cluster.until("its coordinator runs", |cluster| cluster.ledger.latest().cloned());
    let (supervisor, guardian) = (cluster.supervisor("a"), cluster.guardian("a"));
    for (pid, numbers) in [(supervisor, 0..3), (guardian, 1..3)] {
        for number in numbers {
            let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
            assert_eq!(target.to_str(), Some("/dev/null"), "{number} of {pid}");
        }
    }
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.judge();
}

#[test]
fn a_guardian_whose_last_words_nobody_reads_ends_all_the_same() {
    let proxy = proxy(&Server::shared().address());
    let mut cluster = Cluster::new(&proxy.address());
    let reader = start(&mut cluster, "a");
    cluster.until_active_is("a");
    fill(&reader.writer);
    // It cannot carry out what its supervisor left to it, and says so.
    proxy.cut();
    cluster.signal("a", Signal::SIGKILL);
    assert_eq!(cluster.until_exit("a"), -9);
    cluster.until("nothing is left of it", |cluster| cluster.all_processes().is_empty().then_some(()));
}
