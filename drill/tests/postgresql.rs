//! PostgreSQL below two real supervisors on this host: killed, stopped, and killed together with its supervisor.
//!
//! Needs PostgreSQL 15, HAProxy and a built primacy beside this program, and says SKIPPED where one of them is missing.

#![expect(clippy::unwrap_used, reason = "a test: what fails here should fail it")]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drill::history::{Entry, Line, Outcome};
use drill::workload::clients::{ClientPlan, Kind};
use drill::workload::postgresql::{BIN, Place, PostgreSql};
use drill::workload::ticks;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use testbed::clock;

/// How long any event may take: crash recovery on a slow disk is one.
const LIMIT: Duration = Duration::from_secs(90);

struct Node {
    name: &'static str,
    api: SocketAddr,
    listen: SocketAddr,
    child: Child,
    config: PathBuf,
}

/// A directory in the place of the shared volume, and two candidates that elect by its lock alone.
struct Cluster {
    nodes: Vec<Node>,
    proxy: Option<Child>,
    database: PostgreSql,
    directory: TempDir,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("volume", 0o755), ("ticks", 0o1777), ("volume/primacy", 0o700)] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let database = PostgreSql::new(directory.path().join("volume/data"));
        database.initialise().unwrap();
        let mut cluster = Self { nodes: Vec::new(), proxy: None, database, directory };
        for name in ["node-a", "node-b"] {
            cluster.add(name);
        }
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn add(&mut self, name: &'static str) {
        let (api, listen) = (free_address(), free_address());
        let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/postgresql/start");
        let drill = env!("CARGO_BIN_EXE_drill").into();
        let place = Place { start: start.canonicalize().unwrap(), drill, ticks: self.path("ticks"), listen };
        let settings = format!(
            "cluster = \"test\"\nnode = \"{name}\"\nelection = \"lock\"\n\n[lock]\ndirectory = \"{}\"\nprobe_interval = \"500ms\"\n\n[recorder]\ndirectory = \"\"\n\n\
             [api]\nlisten = \"{api}\"\nadvertise = \"http://{api}\"\n\n[fencing]\nafter_loss = \"rejoin\"\n\n{}",
            self.path("volume/primacy").display(),
            self.database.settings(&place).replace("[health]", "backoff = { first = \"200ms\" }\n\n[health]"),
        );
        let config = self.path(&format!("{name}.toml"));
        fs::write(&config, settings).unwrap();
        let child = run(&config);
        self.nodes.push(Node { name, api, listen, child, config });
    }

    /// HAProxy with the example's configuration, but for names and ports.
    fn start_proxy(&mut self) -> SocketAddr {
        let bind = free_address();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/postgresql/haproxy.cfg");
        let mut text = fs::read_to_string(example).unwrap().replace("127.0.0.1:6432", &bind.to_string());
        for Node { name, api, listen, .. } in &self.nodes {
            let (from, to) = (format!("{name}:5432"), format!("{listen} port {}", api.port()));
            assert!(text.contains(&from));
            text = text.replace(&from, &to);
        }
        let path = self.path("haproxy.cfg");
        fs::write(&path, text).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        self.proxy = Some(command.arg("-db").arg("-q").arg("-f").arg(path).stdin(Stdio::null()).spawn().unwrap());
        bind
    }

    /// Index and pid of the node whose coordinator is ready.
    fn active(&self) -> Option<(usize, Pid)> {
        let pid = |node: &Node| {
            let status = status(node.api)?;
            let ready = status["status"] == "OK" && status["role"] == "active";
            ready.then(|| Pid::from_raw(i32::try_from(status["coordinator"]["pid"].as_i64().unwrap()).unwrap()))
        };
        self.nodes.iter().enumerate().find_map(|(index, node)| Some((index, pid(node)?)))
    }

    fn until_active(&self, other_than: Option<Pid>) -> (usize, Pid) {
        let mut found = None;
        until("active node", || {
            found = self.active().filter(|(_, pid)| Some(*pid) != other_than);
            found.is_some()
        });
        found.unwrap()
    }

    fn restart(&mut self, index: usize) {
        self.nodes[index].child.wait().unwrap();
        self.nodes[index].child = run(&self.nodes[index].config);
    }

    fn acknowledged(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("clients.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let ok = |line: &str| match serde_json::from_str::<Line>(line).unwrap().entry {
            Entry::Client { op, result: Outcome::Ok, .. } => Some(op),
            _ => None,
        };
        whole.lines().filter_map(ok).collect()
    }

    fn until_acknowledged(&self, more: usize) {
        let before = self.acknowledged().len();
        until("acknowledged rows", || self.acknowledged().len() >= before + more);
    }

    fn stop(&mut self) {
        for node in &self.nodes {
            signal(&node.child, Signal::SIGTERM);
        }
        for node in &mut self.nodes {
            assert_eq!(node.child.wait().unwrap().code(), Some(0), "{}", node.name);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
        for node in &mut self.nodes {
            // Its guardian ends the rest.
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                let log = fs::read_to_string(node.config.with_extension("log")).unwrap_or_default();
                println!("--- {}\n{log}", node.name);
            }
        }
    }
}

fn run(config: &Path) -> Child {
    let primacy = Path::new(env!("CARGO_BIN_EXE_drill")).with_file_name("primacy");
    let log = OpenOptions::new().create(true).append(true).open(config.with_extension("log")).unwrap();
    let mut command = Command::new(&primacy);
    command.args(["run", "-c"]).arg(config).stdin(Stdio::null()).stdout(File::create("/dev/null").unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}; run `cargo build -p primacy`", primacy.display()))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn status(api: SocketAddr) -> Option<Value> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    agent.get(format!("http://{api}/server_status")).call().ok()?.body_mut().read_json().ok()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = clock::now();
    while !condition() {
        assert!(u128::from(clock::now() - begin) < LIMIT.as_nanos(), "no {what} within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says what is missing here, if anything is.
fn cannot_run(needed: &[&Path]) -> bool {
    let missing = needed.iter().find(|path| !path.exists());
    if let Some(path) = missing {
        println!("SKIPPED: no {} here", path.display());
    }
    missing.is_some()
}

fn postgres() -> PathBuf {
    Path::new(BIN).join("postgres")
}

#[test]
fn ten_fail_overs_lose_no_acknowledged_row_and_leave_a_sound_database() {
    let primacy = Path::new(env!("CARGO_BIN_EXE_drill")).with_file_name("primacy");
    if !cannot_run(&[&postgres(), Path::new("/usr/sbin/haproxy"), &primacy]) {
        ten_fail_overs();
    }
}

fn ten_fail_overs() {
    let mut cluster = Cluster::start();
    let through = Some(cluster.start_proxy());
    let plan = ClientPlan {
        history: cluster.path("clients.jsonl"),
        workload: Kind::PostgreSql,
        prefix: "c".to_owned(),
        threads: 4,
        pause_ms: 10,
        timeout_ms: 1000,
        apis: cluster.nodes.iter().map(|node| format!("http://{}", node.api)).collect(),
        endpoint: "sql".to_owned(),
        through,
    };
    let mut clients = Command::new(env!("CARGO_BIN_EXE_drill")).args(plan.arguments()).spawn().unwrap();
    let (mut active, mut postmaster) = cluster.until_active(None);
    for round in 0..10 {
        cluster.until_acknowledged(30);
        match round % 4 {
            // The postmaster alone: its backends are left for primacy to end.
            0 => kill(postmaster, Signal::SIGKILL).unwrap(),
            // A handing over: PostgreSQL shuts down in good order.
            1 => {
                signal(&cluster.nodes[active].child, Signal::SIGTERM);
                cluster.restart(active);
            }
            // The supervisor: its guardian ends PostgreSQL.
            2 => {
                signal(&cluster.nodes[active].child, Signal::SIGKILL);
                cluster.restart(active);
            }
            // One backend crashes: restart_after_crash = off makes it the end of all.
            _ => kill(backend(postmaster), Signal::SIGSEGV).unwrap(),
        }
        (active, postmaster) = cluster.until_active(Some(postmaster));
    }
    cluster.until_acknowledged(30);
    // Each client by itself, asked or through the proxy: fail-overs may be quicker than a client's patience.
    for thread in 0..4 {
        let prefix = format!("c-{thread}-");
        until("rows of each client", || {
            cluster.acknowledged().iter().filter(|op| op.starts_with(&prefix)).count() > 10
        });
    }
    signal(&clients, Signal::SIGTERM);
    assert!(clients.wait().unwrap().success());
    cluster.stop();

    let metadata = cluster.database.examine().unwrap();
    let amcheck = metadata.amcheck.unwrap();
    assert_eq!(amcheck.exit, 0, "{}", amcheck.output);
    let rows: BTreeSet<&str> = metadata.applied.iter().map(String::as_str).collect();
    assert_eq!(rows.len(), metadata.applied.len(), "a row stands there twice");
    let acknowledged = cluster.acknowledged();
    assert!(acknowledged.len() >= 11 * 30);
    for op in &acknowledged {
        assert!(rows.contains(op.as_str()), "{op} was acknowledged and is lost");
    }
    let epochs: Vec<u64> = metadata.journal.iter().map(|run| run.epoch).collect();
    assert!(epochs.len() >= 11 && epochs.is_sorted_by(|former, later| former < later), "{epochs:?}");
    let lives = ticks::lives(&cluster.path("ticks")).unwrap();
    let mut former = 0;
    for life in &lives {
        let Entry::Coordinator { first, last, .. } = life else { panic!("{life:?}") };
        assert!(former < *first, "two lives touch: {lives:?}");
        former = *last;
    }
    for run in &metadata.journal {
        let wrote = |life: &Entry| matches!(life, Entry::Coordinator { node, pid, epoch, .. } if (node, *pid, *epoch) == (&run.node, run.pid, run.epoch));
        assert!(lives.iter().any(wrote), "{run:?} was written by nobody");
    }
}

/// A child of the postmaster that serves a client.
fn backend(postmaster: Pid) -> Pid {
    let mut found = None;
    until("backend", || {
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
        let serves = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|title| title.contains("drill postgres 127."))
        };
        found = children.split_ascii_whitespace().find(serves).map(|pid| Pid::from_raw(pid.parse().unwrap()));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn the_examination_sees_a_damaged_page() {
    if !cannot_run(&[&postgres()]) {
        examine_a_damaged_page();
    }
}

fn examine_a_damaged_page() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let database = PostgreSql::new(directory.path().join("data"));
    database.initialise().unwrap();
    let amcheck = database.examine().unwrap().amcheck.unwrap();
    assert_eq!(amcheck.exit, 0, "{}", amcheck.output);

    // The index of the operations' ids: its one page behind the meta page is made up by neither initdb nor recovery.
    let mut psql = Command::new(database.bin.join("postgres"));
    psql.args(["--single", "-D"]).arg(&database.data).arg("postgres").current_dir("/");
    psql.args(["-c", "primacy.epoch=1", "-c", "primacy.node=a", "-c", "primacy.pid=1"]);
    if nix::unistd::Uid::effective().is_root() {
        let user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
        std::os::unix::process::CommandExt::uid(&mut psql, user.uid.as_raw());
        std::os::unix::process::CommandExt::gid(&mut psql, user.gid.as_raw());
    }
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = b"INSERT INTO operations (id, at) VALUES ('c-1', 1)\nSELECT pg_relation_filepath('operations_pkey')\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let file = output.split('"').find(|word| word.starts_with("base/")).unwrap();
    let file = OpenOptions::new().write(true).open(database.data.join(file)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 2 * 8192 - 40).unwrap();

    let metadata = database.examine().unwrap();
    assert_eq!(metadata.applied, ["c-1"], "the heap is sound");
    assert_ne!(metadata.amcheck.unwrap().exit, 0);
}

#[test]
fn the_start_script_does_nothing_without_the_lock() {
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/postgresql/start");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
    fs::write(directory.path().join("postmaster.pid"), "1\n").unwrap();
    let refusal = |lock: Option<&str>| {
        let mut command = Command::new(&start);
        command.arg(directory.path()).env("PRIMACY_EPOCH", "1").env_remove("PRIMACY_LOCK_FD").stdin(Stdio::null());
        if let Some(lock) = lock {
            command.env("PRIMACY_LOCK_FD", lock);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(directory.path().join("postmaster.pid").exists());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refusal(None).contains("not started by primacy"));
    for descriptor in ["0", "77"] {
        assert!(refusal(Some(descriptor)).contains("is not primacy's lock"));
    }
}
