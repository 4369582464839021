//! A Java program with Curator's LeaderLatch on the candidates' own path: it sees the active node as the leader, takes over
//! when primacy stops, and hands back.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::cluster::{Cluster, LIMIT};
use crate::zookeeper::Server;

const JARS: &str = "/usr/share/java";

/// Debian's libcurator-recipes-java and what it needs.
fn class_path() -> String {
    ["curator-recipes", "curator-framework", "curator-client", "zookeeper", "zookeeper-jute", "guava", "slf4j-api"]
        .iter()
        .map(|jar| format!("{JARS}/{jar}.jar"))
        .chain(["/etc/zookeeper/conf".to_owned()])
        .collect::<Vec<_>>()
        .join(":")
}

struct LatchPeer {
    child: Child,
    lines: Receiver<String>,
}

impl LatchPeer {
    fn start(classes: &Path, servers: &str, path: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/curator/LatchPeer.java");
        let compiled = Command::new("javac").arg("-cp").arg(class_path()).arg("-d").arg(classes).arg(source).status();
        assert!(compiled.unwrap().success());
        let mut child = Command::new("java")
            .args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}:{}", classes.display(), class_path()))
            .args(["LatchPeer", servers, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn expect(&self, wanted: &str) {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line| line != wanted) {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("waited for {wanted:?}, saw {seen:?}: {error}"),
            }
        }
    }

    fn close(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for LatchPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_curator_latch_sees_the_active_node_takes_over_from_it_and_hands_back() {
    let server = Server::shared();
    let mut cluster = Cluster::new(&server.address());
    cluster.coordinator(&[]);
    cluster.start_with_active(&["a"]);
    let classes = TempDir::new().unwrap();
    let java = LatchPeer::start(classes.path(), &server.address(), &format!("{}/election", cluster.znode()));
    java.expect("leader=a leads=false");

    cluster.signal("a", Signal::SIGTERM);
    java.expect("leader=java leads=true");
    assert_eq!(cluster.until_exit("a"), 0);

    cluster.start("a");
    // Nobody else stands, so it queues behind the latch, and no coordinator runs.
    cluster.until_eligible("a");
    let former = cluster.judge().pop().unwrap();
    java.close();
    cluster.until_active_is("a");
    let run = cluster.until_run_after(&former);
    assert_ne!(run.pid, former.pid);
}
