//! The appender and its clients against each other, without primacy: this test is the one that starts the next only when
//! the former is dead. What the judge will later read must then be without blemish, and with blemish where it is not so.

#![expect(clippy::unwrap_used, reason = "a test: what fails here should fail it")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drill::history::{Entry, Line, Outcome};
use drill::workload::appender::journal::{self, Examined, Record};
use drill::workload::clients::{ClientPlan, Kind};
use drill::workload::ticks;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testbed::clock;

/// How long any event may take: several tests share two slow processors.
const LIMIT: Duration = Duration::from_secs(60);

struct Scene {
    directory: TempDir,
    listen: SocketAddr,
    epoch: u64,
}

/// Killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("ticks")).unwrap();
        // Freed here and bound again by one appender after the other.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { directory, listen, epoch: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn appender_by(&mut self, mut command: Command, journal: &Path) -> Process {
        self.epoch += 1;
        command.arg("appender").arg("--journal").arg(journal).arg("--ticks").arg(self.path("ticks"));
        command.args(["--listen", &self.listen.to_string()]);
        command.env("PRIMACY_NODE", if self.epoch.is_multiple_of(2) { "node-b" } else { "node-a" });
        command.env("PRIMACY_EPOCH", self.epoch.to_string()).stdin(Stdio::null());
        Process(command.spawn().unwrap())
    }

    fn appender(&mut self) -> Process {
        self.appender_by(Command::new(env!("CARGO_BIN_EXE_drill")), &self.path("journal"))
    }

    fn clients(&self) -> Process {
        let plan = ClientPlan {
            history: self.path("clients.jsonl"),
            workload: Kind::Appender,
            prefix: "c".to_owned(),
            threads: 4,
            pause_ms: 5,
            timeout_ms: 1000,
            apis: Vec::new(),
            endpoint: "web".to_owned(),
            through: Some(self.listen),
        };
        Process(Command::new(env!("CARGO_BIN_EXE_drill")).args(plan.arguments()).spawn().unwrap())
    }

    fn history(&self) -> Vec<Entry> {
        let text = fs::read_to_string(self.path("clients.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().entry).collect()
    }

    fn acknowledged(&self) -> Vec<String> {
        let ok = |entry| match entry {
            Entry::Client { op, result: Outcome::Ok, .. } => Some(op),
            _ => None,
        };
        self.history().into_iter().filter_map(ok).collect()
    }

    fn until_acknowledged(&self, more: usize) {
        let before = self.acknowledged().len();
        until("acknowledged operations", || self.acknowledged().len() >= before + more);
    }

    fn examine(&self) -> Examined {
        journal::examine(&self.path("journal")).unwrap()
    }

    /// None if nobody answers.
    fn get(&self, method: &str, path: &str) -> Option<(u16, serde_json::Value)> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build().into();
        let url = format!("http://{}{path}", self.listen);
        let answer = if method == "GET" { agent.get(url).call() } else { agent.post(url).send_empty() };
        let mut answer = answer.ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_json().unwrap()))
    }

    fn until_serving(&self) {
        until("answer", || self.get("GET", "/").is_some());
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = clock::now();
    while !condition() {
        assert!(u128::from(clock::now() - begin) < LIMIT.as_nanos(), "no {what} within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn count(ids: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn through_kills_and_stops_every_acknowledged_increment_is_there_once_and_no_two_lives_touch() {
    let mut cluster = Scene::new();
    let mut clients = cluster.clients();
    for round in 0..8 {
        let mut appender = cluster.appender();
        cluster.until_acknowledged(40);
        if round % 2 == 0 {
            appender.signal(Signal::SIGKILL);
            assert_eq!(appender.end(), None);
        } else {
            appender.signal(Signal::SIGTERM);
            assert_eq!(appender.end(), Some(0));
        }
    }
    clients.signal(Signal::SIGTERM);
    assert_eq!(clients.end(), Some(0));

    let examined = cluster.examine();
    let applied = count(&examined.metadata.applied);
    assert!(applied.values().all(|times| *times == 1), "doubled: {applied:?}");
    let acknowledged = cluster.acknowledged();
    assert!(acknowledged.len() >= 8 * 40);
    for op in &acknowledged {
        assert!(applied.contains_key(op.as_str()), "{op} was acknowledged and is lost");
    }
    let (mut outages, mut operations) = (0, 0);
    for entry in cluster.history() {
        match entry {
            Entry::ClientOutage { begin, end, failures, .. } => {
                assert!(begin <= end && failures > 0);
                outages += 1;
            }
            Entry::Client { op, result, .. } => {
                operations += 1;
                assert!(result != Outcome::Refused || !applied.contains_key(op.as_str()), "{op} was refused");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(outages >= 7, "the clients saw {outages} outages");
    assert!(operations >= applied.len(), "every increment is some client's");

    let epochs: Vec<u64> = examined.metadata.journal.iter().map(|run| run.epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7, 8], "one run of records per life, without a hole");
    assert_eq!(examined.suspicious, [""; 0]);
    let lives = ticks::lives(&cluster.path("ticks")).unwrap();
    assert_eq!(lives.len(), 8);
    let mut former = 0;
    for (life, run) in lives.iter().zip(&examined.metadata.journal) {
        let Entry::Coordinator { node, pid, epoch, first, last, ticks } = life else { panic!("{life:?}") };
        assert_eq!((node, *pid, *epoch), (&run.node, run.pid, run.epoch));
        assert!(former < *first && *first <= run.begin && *ticks > 1);
        former = *last;
    }
}

#[test]
fn two_appenders_at_once_show_as_two_lives_that_touch_and_as_an_older_epoch_after_a_younger() {
    let mut cluster = Scene::new();
    let mut first = cluster.appender();
    cluster.until_serving();
    let former = cluster.listen;
    cluster.listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut second = cluster.appender();
    cluster.until_serving();
    let (status, _) = cluster.get("POST", "/increment?op=c-1").unwrap();
    assert_eq!(status, 200);
    // The first one does not know of it and applies it again.
    cluster.listen = former;
    let (status, body) = cluster.get("POST", "/increment?op=c-1").unwrap();
    assert_eq!((status, body["result"].as_str()), (200, Some("applied")));
    for process in [&mut first, &mut second] {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.end(), Some(0));
    }
    let metadata = cluster.examine().metadata;
    assert_eq!(metadata.applied, ["c-1", "c-1"]);
    assert!(metadata.journal.windows(2).any(|pair| pair[1].epoch < pair[0].epoch));
    let lives = ticks::lives(&cluster.path("ticks")).unwrap();
    let [Entry::Coordinator { last, .. }, Entry::Coordinator { first, .. }] = &lives[..] else { panic!("{lives:?}") };
    assert!(first < last);
}

#[test]
fn a_repeated_id_is_answered_already_by_the_same_appender_and_by_the_next_even_after_a_torn_line() {
    let mut cluster = Scene::new();
    let mut appender = cluster.appender();
    cluster.until_serving();
    let increment = |cluster: &Scene, op: &str| {
        let (status, body) = cluster.get("POST", &format!("/increment?op={op}")).unwrap();
        (status, body["result"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(increment(&cluster, "c-1"), (200, "applied".to_owned()));
    assert_eq!(increment(&cluster, "c-1"), (200, "already".to_owned()));
    assert_eq!(increment(&cluster, "c%201"), (400, String::new()));
    appender.signal(Signal::SIGKILL);
    appender.end();
    // What a kill within a write leaves: an increment without its end.
    let mut journal = OpenOptions::new().append(true).open(cluster.path("journal")).unwrap();
    journal.write_all(b"i 1 node-a 1 9999 1 c-2 12").unwrap();

    let mut appender = cluster.appender();
    cluster.until_serving();
    assert_eq!(increment(&cluster, "c-1"), (200, "already".to_owned()));
    assert_eq!(increment(&cluster, "c-2"), (200, "applied".to_owned()));
    let (_, body) = cluster.get("GET", "/").unwrap();
    assert_eq!((body["epoch"].as_u64(), body["counter"].as_u64(), &body["node"]), (Some(2), Some(2), &"node-b".into()));
    appender.signal(Signal::SIGTERM);
    assert_eq!(appender.end(), Some(0));
    let examined = cluster.examine();
    assert_eq!(examined.metadata.applied, ["c-1", "c-2"]);
    assert_eq!((examined.torn, examined.suspicious.len()), (1, 0));
}

#[test]
fn a_frozen_appender_s_life_spans_its_freeze() {
    let mut cluster = Scene::new();
    let mut appender = cluster.appender();
    cluster.until_serving();
    appender.signal(Signal::SIGSTOP);
    let frozen = clock::now();
    std::thread::sleep(Duration::from_millis(300));
    let thawed = clock::now();
    appender.signal(Signal::SIGCONT);
    cluster.until_serving();
    appender.signal(Signal::SIGTERM);
    assert_eq!(appender.end(), Some(0));
    let lives = ticks::lives(&cluster.path("ticks")).unwrap();
    let [Entry::Coordinator { first, last, .. }] = lives[..] else { panic!("{lives:?}") };
    assert!(first < frozen && thawed < last);
}

#[test]
fn a_volume_that_is_full_ends_the_appender_and_nothing_that_was_acknowledged_is_lost() {
    let mut cluster = Scene::new();
    // Some room is left below the limit of 1 MiB that the next appender's files have.
    let mut marks = Vec::new();
    while marks.len() < (1 << 20) - 10_000 {
        let sequence = marks.len() as u64;
        Record { epoch: 0, node: "node-b", pid: 1, sequence, at: 1, op: None }.write(&mut marks);
    }
    fs::write(cluster.path("journal"), marks).unwrap();
    let mut limited = Command::new("/bin/bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "limited", env!("CARGO_BIN_EXE_drill")]);
    let mut appender = cluster.appender_by(limited, &cluster.path("journal"));
    let mut clients = cluster.clients();
    assert_eq!(appender.end(), Some(1));
    let acknowledged = cluster.acknowledged().len();

    let mut appender = cluster.appender();
    cluster.until_acknowledged(20);
    for process in [&mut clients, &mut appender] {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.end(), Some(0));
    }
    let examined = cluster.examine();
    let applied = count(&examined.metadata.applied);
    assert!(acknowledged > 0 && applied.values().all(|times| *times == 1));
    assert!(cluster.acknowledged().iter().all(|op| applied.contains_key(op.as_str())));
    assert_eq!(examined.suspicious, [""; 0]);
}

#[test]
fn what_stands_in_for_a_coordinator_ticks_until_its_last_descendant_is_gone() {
    let cluster = Scene::new();
    let file = cluster.path("survivor");
    let script = format!("echo $$ > {0}.main; sleep 1000 & echo $! > {0}; wait", file.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_drill"));
    command.arg("ticking").arg("--ticks").arg(cluster.path("ticks")).args(["--", "/bin/sh", "-c", &script]);
    command.env("PRIMACY_NODE", "node-a").env("PRIMACY_EPOCH", "5").stdin(Stdio::null());
    let mut coordinator = Process(command.spawn().unwrap());
    until("survivor", || fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')));
    let pid = |file: &Path| fs::read_to_string(file).unwrap().trim().parse::<i32>().unwrap();
    assert_eq!(pid(&file.with_extension("main")), i32::try_from(coordinator.0.id()).unwrap(), "it became the command");
    let life = || {
        let lives = ticks::lives(&cluster.path("ticks")).unwrap();
        let [Entry::Coordinator { pid, epoch: 5, last, ticks, .. }] = lives[..] else { panic!("{lives:?}") };
        (pid, last, ticks)
    };
    coordinator.signal(Signal::SIGKILL);
    coordinator.end();
    let killed = clock::now();
    until("tick of what outlived its parent", || life().1 > killed);
    kill(Pid::from_raw(pid(&file)), Signal::SIGKILL).unwrap();
    let ended = clock::now();
    let mut before = life();
    // An end is seen as ticks that do not come any more.
    until("end of the ticks", || {
        std::thread::sleep(Duration::from_millis(100));
        let former = std::mem::replace(&mut before, life());
        former == before
    });
    assert!(before.2 > 1 && before.0 == coordinator.0.id() && before.1 < ended + 1_000_000_000);
}

#[test]
fn clients_find_the_active_one_by_asking_the_candidates() {
    let mut cluster = Scene::new();
    let mut appender = cluster.appender();
    cluster.until_serving();
    // A candidate that answers as primacy does, beside one that does not answer at all.
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = serde_json::json!({"role": "standby", "active":
        {"node": "node-a", "epoch": 1, "endpoints": {"web": format!("http://{}", cluster.listen)}}})
    .to_string();
    let apis = format!("http://127.0.0.1:1,http://{}", api.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in api.incoming() {
            let mut connection = connection.unwrap();
            let _ = std::io::Read::read(&mut connection, &mut [0; 4096]);
            let head = format!("HTTP/1.1 503 no\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    File::create(cluster.path("clients.jsonl")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drill"));
    command.arg("clients").arg("--history").arg(cluster.path("clients.jsonl"));
    let mut clients = Process(command.args(["--workload", "appender", "--apis", &apis]).spawn().unwrap());
    cluster.until_acknowledged(20);
    clients.signal(Signal::SIGTERM);
    assert_eq!(clients.end(), Some(0));
    appender.signal(Signal::SIGTERM);
    assert_eq!(appender.end(), Some(0));
}
