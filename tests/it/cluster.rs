//! A cluster on this host: the real binary, once per node, around a coordinator that leaves proof of when it ran.
//!
//! Nodes share a directory as their volume and a ZooKeeper of [`crate::zookeeper`]. Everything that a test starts carries
//! the test's directory in its environment and is killed by pid when the test ends, however it ends; a parent-death signal
//! covers the end of the test process itself. The logs are printed when a test fails, or always with `PRIMACY_TEST_LOGS`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use primacy::status::timeline;
use primacy::verify::verify;
use primacy::{clock, processes};
use tempfile::TempDir;
use testbed::mortal;
use testbed::ticks::TickLog;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::zookeeper::{Server, TICK};

mod asking;
mod ledger;

pub use testbed::ticks::Run;

/// How long any event may take: several tests share two slow processors.
pub const LIMIT: Duration = Duration::from_secs(90);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a service manager waits before it starts a node again that had fenced itself.
const RESTART_AFTER: Duration = Duration::from_millis(100);

/// Marks what belongs to a test.
const MARK: &str = "PRIMACY_TEST_DIRECTORY";

pub struct Cluster {
    pub name: String,
    /// The shared volume.
    pub volume: PathBuf,
    pub ledger: TickLog,
    nodes: BTreeMap<String, Node>,
    settings: toml::Table,
    environment: Vec<(&'static str, &'static str)>,
    /// Of this cluster alone.
    zookeeper: Option<Server>,
    directory: TempDir,
}

struct Node {
    settings: toml::Table,
    child: Option<Child>,
    /// Where in its log the present process began.
    log_from: u64,
    /// Started again when it exits with 3.
    restarts: bool,
    /// And when it was killed.
    restarts_when_killed: bool,
    /// Somebody else starts and ends it.
    elsewhere: bool,
    exits: Vec<i32>,
    /// The files by which its host is known, where that is not this one.
    host: Option<PathBuf>,
    /// Where its program lies, where that is another place.
    program: Option<PathBuf>,
}

/// Enters a mount namespace in which the host has another identity, then becomes the rest of the arguments.
const AS_ANOTHER_HOST: &str = r#"
    mount --bind "$1/machine-id" /etc/machine-id && mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id || exit 9
    shift; exec "$@""#;

/// What keeps [`can_show_other_hosts`] from being so, for the tests' last words.
pub const NO_OTHER_HOSTS: &str = "no mount namespace with another /etc/machine-id and boot id can be had here";

/// Whether a process may be shown another machine id and boot id than this host's.
pub fn can_show_other_hosts() -> bool {
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("machine-id"), "another\n").unwrap();
    fs::write(here.path().join("boot_id"), "boot\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", AS_ANOTHER_HOST, "sh"]).arg(here.path());
    command.args(["cat", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"]);
    command.output().is_ok_and(|output| output.stdout == b"another\nboot\n")
}

impl Cluster {
    /// With a session of 4 s and a coordinator that ends at SIGTERM.
    pub fn new(servers: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let volume = directory.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let ticks = directory.path().join("ticks");
        let mut cluster = Self {
            name: format!("c{}", Uuid::new_v4().simple()),
            ledger: TickLog::new(ticks),
            nodes: BTreeMap::new(),
            settings: toml::Table::new(),
            environment: Vec::new(),
            zookeeper: None,
            volume,
            directory,
        };
        cluster.set("cluster", cluster.name.clone());
        cluster.set("zookeeper.servers", servers);
        cluster.set("zookeeper.session_timeout", "4s");
        cluster.set("zookeeper.tick_time", format!("{TICK}ms"));
        cluster.set("lock.directory", cluster.lock_directory().to_str().unwrap().to_owned());
        cluster.set("lock.probe_interval", "500ms");
        cluster.set("recorder.directory", cluster.recordings().to_str().unwrap().to_owned());
        cluster.set("api.listen", "127.0.0.1:0");
        cluster.set("coordinator.backoff.first", "500ms");
        cluster.coordinator(&[]);
        cluster
    }

    /// Lets this server live as long as the cluster.
    pub fn keep(&mut self, server: Server) {
        self.zookeeper = Some(server);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the nodes' processes have recorded.
    pub fn recordings(&self) -> PathBuf {
        self.path("recorder")
    }

    pub fn lock_directory(&self) -> PathBuf {
        self.volume.join(".primacy")
    }

    pub fn lock_file(&self) -> PathBuf {
        self.lock_directory().join("coordinator.lock")
    }

    /// The cluster's directory in ZooKeeper.
    pub fn znode(&self) -> String {
        format!("/primacy/{}", self.name)
    }

    /// Sets a key, dotted, for every node that is started (or rewritten) from here on.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        put(&mut self.settings, key, value.into());
    }

    /// Sets a key for one node.
    pub fn set_for(&mut self, node: &str, key: &str, value: impl Into<toml::Value>) {
        put(&mut self.node(node).settings, key, value.into());
    }

    /// A variable for every node that is started from here on.
    pub fn environment(&mut self, variable: (&'static str, &'static str)) {
        self.environment.push(variable);
    }

    /// The flags of the coordinator that all nodes run.
    pub fn coordinator(&mut self, flags: &[&str]) {
        let program = example("ticking-coordinator");
        let mut command = vec![program.to_str().unwrap().to_owned(), self.path("ticks").to_str().unwrap().to_owned()];
        command.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.set("coordinator.command", command);
    }

    /// A hook: what `text` says, run by a shell.
    pub fn script(&self, name: &str, text: &str) -> Vec<String> {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        vec!["/bin/sh".to_owned(), path.to_str().unwrap().to_owned()]
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.to_owned()).or_insert_with(|| Node {
            settings: toml::Table::new(),
            child: None,
            log_from: 0,
            restarts: false,
            restarts_when_killed: false,
            elsewhere: false,
            exits: Vec::new(),
            host: None,
            program: None,
        })
    }

    /// From its next start on it is on a host with this machine id, in this boot of it.
    pub fn put_on_host(&mut self, name: &str, machine_id: &str, boot_id: &str) {
        let host = self.path(&format!("host-{machine_id}-{boot_id}"));
        fs::create_dir_all(&host).unwrap();
        fs::write(host.join("machine-id"), format!("{machine_id}\n")).unwrap();
        fs::write(host.join("boot_id"), format!("{boot_id}\n")).unwrap();
        self.node(name).host = Some(host);
    }

    /// From its next start on its program lies there: a link to the program that is tested, for a test to change.
    pub fn program_by_link(&mut self, name: &str) -> PathBuf {
        let link = self.path(&format!("program-of-{name}"));
        self.link_program(name, Path::new(env!("CARGO_BIN_EXE_primacy")));
        self.node(name).program = Some(link.clone());
        link
    }

    /// Puts another program there, at once.
    pub fn link_program(&self, name: &str, program: &Path) {
        let (link, next) = (self.path(&format!("program-of-{name}")), self.path("next-program"));
        std::os::unix::fs::symlink(program, &next).unwrap();
        fs::rename(next, link).unwrap();
    }

    /// From here on it is started again when it exits with 3, as systemd does.
    pub fn restart_when_fenced(&mut self, name: &str) {
        self.node(name).restarts = true;
    }

    /// As above, and after a SIGKILL.
    pub fn restart_when_ended(&mut self, name: &str) {
        let node = self.node(name);
        (node.restarts, node.restarts_when_killed) = (true, true);
    }

    pub fn config_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.toml"))
    }

    pub fn write_config(&mut self, name: &str) {
        let mut settings = self.settings.clone();
        // A name that differs from the key under which the test knows it may be among the node's own settings.
        put(&mut settings, "node", name.into());
        merge(&mut settings, &self.node(name).settings);
        fs::write(self.config_file(name), toml::to_string(&settings).unwrap()).unwrap();
    }

    pub fn start(&mut self, name: &str) {
        self.start_with(name, |_| {});
    }

    /// Starts it by a command that becomes the program.
    pub fn start_within(&mut self, name: &str, before: &[&str]) {
        self.launch(name, before, |_| {});
    }

    /// Starts it after a change to the command that does.
    pub fn start_with(&mut self, name: &str, change: impl FnOnce(&mut Command)) {
        self.launch(name, &[], change);
    }

    fn launch(&mut self, name: &str, before: &[&str], change: impl FnOnce(&mut Command)) {
        self.write_config(name);
        let path = self.path(&format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let log_from = log.metadata().unwrap().len();
        let mut command = mortal::command();
        if let Some(host) = &self.node(name).host {
            command.args(["unshare", "--mount", "/bin/sh", "-c", AS_ANOTHER_HOST, "sh"]).arg(host);
        }
        command.arg("setsid").args(before);
        command.arg(self.node(name).program.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_primacy").into()));
        command.args(["run", "-c"]).arg(self.config_file(name)).env(MARK, self.directory.path()).env_remove("RUST_LOG");
        command.envs(self.environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        change(&mut command);
        let child = mortal::spawn(command).unwrap();
        let node = self.node(name);
        assert!(node.child.is_none(), "{name} runs");
        node.child = Some(child);
        node.log_from = log_from;
    }

    /// A service manager runs it, with what [`Cluster::dropin`] says.
    pub fn started_elsewhere(&mut self, name: &str) {
        self.node(name).elsewhere = true;
    }

    /// What a node needs of this cluster, as a drop-in of a unit.
    pub fn dropin(&self, name: &str) -> String {
        let (program, log) = (env!("CARGO_BIN_EXE_primacy"), self.path(&format!("{name}.log")));
        format!(
            "[Service]\nExecStart=\nExecStart={program} run -c {}\nEnvironment={MARK}={}\nUnsetEnvironment=RUST_LOG\n\
             StandardOutput=append:{log}\nStandardError=append:{log}\n",
            self.config_file(name).display(),
            self.directory.path().display(),
            log = log.display(),
        )
    }

    /// Where primacy and the coordinator are.
    pub fn programs(&self) -> PathBuf {
        Path::new(env!("CARGO_BIN_EXE_primacy")).parent().unwrap().to_owned()
    }

    /// Starts the first, waits until it is active, then starts the others and waits until they stand by.
    pub fn start_with_active(&mut self, names: &[&str]) {
        self.start(names[0]);
        self.until_active_is(names[0]);
        for name in &names[1..] {
            self.start(name);
        }
        for name in &names[1..] {
            self.until_eligible(name);
        }
    }

    /// As [`Cluster::start_with_active`], but every node has a volume of its own with the same identity: the lock excludes
    /// nobody, as on a mount with `local_lock`. The lease alone keeps coordinators apart.
    pub fn start_without_common_lock(&mut self, names: &[&str]) {
        self.start_with_active(&names[..1]);
        for name in &names[1..] {
            let directory = self.path(&format!("volume-of-{name}"));
            fs::create_dir(&directory).unwrap();
            fs::copy(self.lock_directory().join("volume.json"), directory.join("volume.json")).unwrap();
            self.set_for(name, "lock.directory", directory.to_str().unwrap().to_owned());
            self.start(name);
            self.until_eligible(name);
        }
    }

    pub fn supervisor(&mut self, name: &str) -> i32 {
        let child = self.node(name).child.as_ref().unwrap_or_else(|| panic!("{name} does not run"));
        i32::try_from(child.id()).unwrap()
    }

    pub fn guardian(&mut self, name: &str) -> i32 {
        let supervisor = self.supervisor(name);
        let guardians = processes::descendants_of(supervisor).into_iter();
        let mut guardians =
            guardians.filter(|pid| processes::Stat::of(*pid).is_some_and(|s| s.command == "primacy-guard"));
        guardians.next_back().expect("a guardian")
    }

    pub fn signal(&mut self, name: &str, signal: Signal) {
        let pid = self.supervisor(name);
        send(pid, signal);
    }

    /// Waits for the event, looking again and again; a node that fenced itself is started again meanwhile.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = clock::now();
        loop {
            self.tend();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(clock::now().since(began) < LIMIT, "not within {LIMIT:?}: {what}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Looks on for a while: for what must not happen, and for faults that have a length.
    pub fn watch_for(&mut self, duration: Duration) {
        let began = clock::now();
        while clock::now().since(began) < duration {
            self.tend();
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn tend(&mut self) {
        self.ledger.poll().unwrap();
        let mut again = Vec::new();
        for (name, node) in &mut self.nodes {
            let Some(child) = &mut node.child else { continue };
            let Some(status) = child.try_wait().unwrap() else { continue };
            node.child = None;
            // A signal's number, negative.
            let code =
                status.code().unwrap_or_else(|| -std::os::unix::process::ExitStatusExt::signal(&status).unwrap());
            node.exits.push(code);
            if (code == 3 && node.restarts) || (code == -9 && node.restarts_when_killed) {
                again.push(name.clone());
            }
        }
        for name in again {
            std::thread::sleep(RESTART_AFTER);
            self.start(&name);
        }
    }

    /// The exit codes so far; a signal is a negative number.
    pub fn exits(&mut self, name: &str) -> Vec<i32> {
        self.tend();
        self.node(name).exits.clone()
    }

    #[track_caller]
    pub fn until_exit(&mut self, name: &str) -> i32 {
        self.until(&format!("{name} exits"), |cluster| {
            let node = cluster.node(name);
            if node.child.is_none() { node.exits.last().copied() } else { None }
        })
    }

    /// The coordinator that wrote last.
    pub fn running(&mut self) -> Run {
        self.ledger.poll().unwrap();
        self.ledger.latest().expect("a coordinator has run").clone()
    }

    /// Waits until another coordinator than this one writes.
    #[track_caller]
    pub fn until_run_after(&mut self, former: &Run) -> Run {
        self.until(&format!("a coordinator after {former:?}"), |cluster| {
            cluster.ledger.latest().filter(|run| run.pid != former.pid).cloned()
        })
    }

    /// Waits until this one's pid writes on (or another writes, which the caller then finds out).
    #[track_caller]
    pub fn until_ticks_again(&mut self) -> Run {
        let last = self.running().last;
        self.until("a coordinator writes on", |cluster| cluster.ledger.latest().filter(|run| run.last > last).cloned())
    }

    /// The judgement: never two, and epochs that grow. For the end of every test.
    #[track_caller]
    pub fn judge(&mut self) -> Vec<Run> {
        self.ledger.poll().unwrap();
        ledger::judge(&self.ledger);
        self.ledger.runs().to_vec()
    }

    /// Holds what its processes have recorded against the code and the rules.
    fn verify(&self) {
        if !self.recordings().is_dir() {
            return;
        }
        let verdict = verify(&[self.recordings()]).unwrap_or_else(|error| panic!("{error}"));
        if !verdict.contradictions.is_empty() {
            eprintln!("{}", timeline::render(&verdict.steps));
        }
        assert!(verdict.contradictions.is_empty(), "{:#?}", verdict.contradictions);
    }

    /// As a power cut of all hosts: every process of this cluster is killed.
    pub fn cut_power(&mut self) {
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in self.all_processes() {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
        self.until("all processes are gone", |cluster| {
            // A zombie has no environment left: it is gone when it has been waited for.
            let waited_for = cluster.nodes.values().all(|node| node.child.is_none());
            (waited_for && cluster.all_processes().is_empty()).then_some(())
        });
    }

    /// Every process of this cluster that lives.
    pub fn all_processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.directory.path().display());
        let marked = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        processes::pids().filter(marked).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Until none is left: some of them fork.
        for _ in 0..50 {
            let left = self.all_processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for node in self.nodes.values_mut() {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() || std::env::var_os("PRIMACY_TEST_LOGS").is_some() {
            for (name, node) in &self.nodes {
                eprintln!("--- {name}, exits {:?}\n{}", node.exits, self.log(name));
            }
            let _ = self.ledger.poll();
            eprintln!("--- coordinators\n{:#?}", self.ledger.runs());
        }
        if !std::thread::panicking() {
            self.judge();
            self.verify();
        }
    }
}

/// An example of this package. Some ways to run tests do not build those (`cargo test --test it`): then it is built here.
pub fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_primacy")).parent().unwrap();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let profile = folder.file_name().filter(|profile| *profile != "debug").map_or("dev".as_ref(), |name| name);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--quiet", "--example", name, "--profile"]).arg(profile);
        cargo.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.stdin(Stdio::null()).status().unwrap().success(), "cannot build {}", path.display());
    }
    path
}

pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
}

/// Runs something of the asynchronous test tools (proxies, ZooKeeper clients) from a test that is not.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Handle> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            sender.send(runtime.handle().clone()).unwrap();
            runtime.block_on(std::future::pending::<()>());
        });
        receiver.recv().unwrap()
    });
    runtime.block_on(future)
}

/// A proxy that lives as long as the test process.
pub fn proxy(target: &str) -> Proxy {
    block_on(Proxy::start(target.to_owned()))
}

fn put(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            put(section.as_table_mut().unwrap(), rest, value);
        }
    }
}

fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Creates it and its parents, as an operator's `mkdir -p`.
pub fn make_directory(path: &Path) {
    fs::create_dir_all(path).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
}
