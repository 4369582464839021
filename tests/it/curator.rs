//! Java programs with Curator on the candidates' own paths: a LeaderLatch that sees the active node as the leader, takes over
//! when primacy stops, and hands back; and curator-x-discovery, which finds the coordinator.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::cluster::{Cluster, LIMIT};
use crate::zookeeper::Server;

const JARS: &str = "/usr/share/java";

/// Of Debian's libcurator-recipes-java and libcurator-discovery-java, and what they need.
const CLASS_PATH: [&str; 11] = [
    "curator-x-discovery",
    "curator-recipes",
    "curator-framework",
    "curator-client",
    "zookeeper",
    "zookeeper-jute",
    "guava",
    "slf4j-api",
    "jackson-databind",
    "jackson-core",
    "jackson-annotations",
];

fn class_path() -> String {
    let jars = CLASS_PATH.iter().map(|jar| format!("{JARS}/{jar}.jar"));
    jars.chain(["/etc/zookeeper/conf".to_owned()]).collect::<Vec<_>>().join(":")
}

/// A program of tests/curator that prints lines until its input ends.
struct Program {
    child: Child,
    lines: Receiver<String>,
    _classes: TempDir,
}

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let classes = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/curator/{name}.java"));
        let mut javac = Command::new("javac");
        let compiled = javac.arg("-cp").arg(class_path()).arg("-d").arg(classes.path()).arg(source).status();
        assert!(compiled.unwrap().success());
        let mut child = Command::new("java")
            .args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}:{}", classes.path().display(), class_path()))
            .arg(name)
            .args(arguments)
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
        Self { child, lines, _classes: classes }
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

impl Drop for Program {
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
    let java = Program::start("LatchPeer", &[&server.address(), &format!("{}/election", cluster.znode())]);
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

#[test]
fn curator_s_service_discovery_finds_the_coordinator_and_follows_it() {
    let server = Server::shared();
    let mut cluster = Cluster::new(&server.address());
    for node in ["a", "b"] {
        cluster.set_for(node, "coordinator.endpoints.web", format!("http://host-{node}:9047"));
        cluster.set_for(node, "coordinator.endpoints.jdbc", format!("host-{node}:31010"));
    }
    cluster.start_with_active(&["a", "b"]);
    let java = Program::start("DiscoveryReader", &[&server.address(), &format!("{}/services", cluster.znode())]);
    let on = |node: &str, epoch: u64| {
        format!(
            "{node} at host-{node}:9047 epoch {epoch} endpoints {{jdbc=host-{node}:31010, web=http://host-{node}:9047}}"
        )
    };
    java.expect(&on("a", 1));
    cluster.signal("a", Signal::SIGKILL);
    java.expect(&on("b", 2));
    cluster.signal("b", Signal::SIGTERM);
    java.expect("none");
    java.close();
}
