//! The processes of the demo: ZooKeeper, two supervisors with their relays, and what they leave behind.
//!
//! [`Cluster::step`] is the one loop body: everything that waits, waits by calling it. It plays the service manager too:
//! a supervisor that exited is started again after 0.1 s, as systemd does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use testbed::observer::{Observer, Watch};
use testbed::ticks::{Run, TickLog};
use testbed::zookeeper::{self, Server};

use crate::problem::Problem;
use crate::relay::Relay;
use crate::running::{now, running};
use crate::screen::{Screen, Style};
use crate::{child, coordinator};

/// How often the demo looks at everything.
const STEP: Duration = Duration::from_millis(10);
/// systemd's default RestartSec.
const RESTART_DELAY: Duration = Duration::from_millis(100);
/// One that was stopped cleanly by hand comes back later, to be seen away.
const RESTART_DELAY_AFTER_STOP: Duration = Duration::from_secs(3);
/// The shortest session that a ZooKeeper with Debian's tickTime (2 s) grants.
pub const SESSION: Duration = Duration::from_secs(4);
/// Supervisors that do not stop within this time at the demo's end are killed.
const FAREWELL: Duration = Duration::from_secs(6);

/// Debian's; the server's.
const TICK: Duration = Duration::from_secs(2);
/// The candidates are asked how they are.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

const NO_ZOOKEEPER: &str = "no ZooKeeper here. Either  apt-get install zookeeper  (./scripts/demo does it), or set ZOOKEEPER_HOME \
to an unpacked one, or take  primacy demo --no-zookeeper";

/// On the shared folder.
const LOCK_DIRECTORY: &str = ".primacy";

/// One candidate.
pub struct Node {
    pub name: &'static str,
    pub api: String,
    pub web: SocketAddr,
    pub watch: Observer,
    /// Its way to ZooKeeper; none with `election = "lock"`.
    pub relay: Option<Relay>,
    /// Whether a supervisor that exits is started again.
    pub restart: bool,
    config: PathBuf,
    output: PathBuf,
    process: Option<Child>,
    ended: Option<(Duration, ExitStatus)>,
}

impl Node {
    /// The supervisor's process.
    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().and_then(|process| i32::try_from(process.id()).ok())
    }

    pub fn signal(&self, signal: Signal) -> Result<(), Problem> {
        let pid = self.pid().ok_or_else(|| Problem::Failed(format!("{}'s supervisor does not run", self.name)))?;
        send(pid, signal)
    }
}

/// Sends a signal to a process that the demo chose by number.
pub fn send(pid: i32, signal: Signal) -> Result<(), Problem> {
    kill(Pid::from_raw(pid), signal)
        .map_err(|errno| Problem::Io { context: format!("{signal} to {pid}"), source: errno.into() })
}

pub struct Cluster {
    pub folder: PathBuf,
    pub nodes: [Node; 2],
    pub log: TickLog,
    pub screen: Screen,
    /// What is being done, for the live line.
    pub doing: String,
    binary: PathBuf,
    shared: PathBuf,
    zookeeper: Option<Server>,
    interrupted: Arc<AtomicBool>,
    announced: usize,
    steps: u64,
}

impl Cluster {
    /// Makes the folders and starts ZooKeeper, if wanted; not yet the candidates.
    pub fn new(binary: PathBuf, with_zookeeper: bool, interrupted: Arc<AtomicBool>) -> Result<Self, Problem> {
        set_child_subreaper(true).map_err(|errno| Problem::Io { context: "subreaper".into(), source: errno.into() })?;
        let folder = std::env::temp_dir().join(format!("primacy-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Problem::io(folder.display().to_string()))?;
        let shared = folder.join("shared");
        let mut cluster = Self {
            log: TickLog::new(coordinator::log_file(&shared)),
            nodes: [Node::new("node-a", &folder)?, Node::new("node-b", &folder)?],
            screen: Screen::new(),
            doing: String::new(),
            binary,
            shared,
            folder,
            zookeeper: None,
            interrupted,
            announced: 0,
            steps: 0,
        };
        std::fs::create_dir(&cluster.shared).map_err(Problem::io(cluster.shared.display().to_string()))?;
        if with_zookeeper {
            cluster.start_zookeeper()?;
        } else {
            // Without ZooKeeper nobody knows whether the cluster has a volume already, so no candidate creates one.
            let directory = cluster.shared.join(LOCK_DIRECTORY);
            std::fs::create_dir(&directory).map_err(Problem::io(directory.display().to_string()))?;
        }
        for node in &cluster.nodes {
            let text = configuration(node, &cluster.shared)?;
            std::fs::write(&node.config, text).map_err(Problem::io(node.config.display().to_string()))?;
        }
        Ok(cluster)
    }

    fn start_zookeeper(&mut self) -> Result<(), Problem> {
        if zookeeper::class_path().is_none() {
            return Err(Problem::Failed(NO_ZOOKEEPER.to_owned()));
        }
        let address = free_address()?;
        self.screen.line(&format!("Starting a ZooKeeper server at {address} …"));
        let mut server = Server::new(self.folder.join("zookeeper"), address, TICK)?;
        let log = server.log();
        server.launch(|command| Ok(child::start(command, &log)?))?;
        self.zookeeper = Some(server);
        self.until(Duration::from_secs(60), "ZooKeeper did not start", |cluster| {
            cluster.zookeeper.as_ref().and_then(Server::mode).is_some()
        })?;
        for node in &mut self.nodes {
            node.relay = Some(Relay::start(address)?);
        }
        Ok(())
    }

    /// Starts a supervisor, under the eyes of this service manager.
    pub fn start(&mut self, index: usize) -> Result<(), Problem> {
        let node = &mut self.nodes[index];
        let command: [OsString; 4] =
            [self.binary.clone().into(), "run".into(), "-c".into(), node.config.clone().into()];
        node.process = Some(child::start(&command, &node.output)?);
        node.ended = None;
        node.restart = true;
        Ok(())
    }

    /// Looks at everything once, after a short sleep.
    pub fn step(&mut self) -> Result<(), Problem> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Problem::Interrupted);
        }
        thread::sleep(STEP);
        self.log.poll().map_err(Problem::io("the coordinators' log"))?;
        self.tend()?;
        self.reap(None);
        self.announce();
        if self.steps.is_multiple_of(10) {
            let line = self.live_line();
            self.screen.live(&line);
        }
        self.steps += 1;
        Ok(())
    }

    /// Steps until `condition` holds; an error after `limit`.
    pub fn until(
        &mut self,
        limit: Duration,
        complaint: &str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), Problem> {
        let end = now() + limit;
        while !condition(self) {
            if now() > end {
                return Err(Problem::Failed(format!("{complaint} within {} s{}", limit.as_secs(), self.last_words())));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Steps for so long.
    pub fn pass(&mut self, time: Duration) -> Result<(), Problem> {
        let end = now() + time;
        while now() < end {
            self.step()?;
        }
        Ok(())
    }

    /// The one coordinator that runs, and its node's index; `None` for none and for two.
    pub fn the_one(&self) -> Option<(usize, Run)> {
        let running = running(&self.log, now());
        let [one] = running.as_slice() else { return None };
        self.nodes.iter().position(|node| node.name == one.node).map(|index| (index, (*one).clone()))
    }

    /// One active, one standby ready to take over, and both say so.
    pub fn is_settled(&self, since: u64) -> bool {
        let Some((active, _)) = self.the_one() else { return false };
        let (Some(one), Some(other)) =
            (self.nodes[active].watch.after(since), self.nodes[1 - active].watch.after(since))
        else {
            return false;
        };
        // With `election = "lock"` whoever waits for the lock is the standby.
        one.role == "active" && matches!(other.status.as_str(), "STANDBY" | "WAITING_FOR_LOCK")
    }

    /// The service manager: notices ends, starts again.
    fn tend(&mut self) -> Result<(), Problem> {
        if let Some(server) = &mut self.zookeeper
            && let Ok(Some(status)) = server.ended()
        {
            return Err(Problem::Failed(format!("ZooKeeper ended ({status}){}", tail(&server.log()))));
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if let Some(process) = &mut node.process
                && let Ok(Some(status)) = process.try_wait()
            {
                node.process = None;
                node.ended = Some((now(), status));
                if status.code() == Some(78) {
                    return Err(Problem::Failed(format!(
                        "{} refuses its configuration{}",
                        node.name,
                        tail(&node.output)
                    )));
                }
                let again = if node.restart { ", the service manager starts it again" } else { "" };
                let text = format!("   {}'s supervisor ended ({}){again}", node.name, describe(status));
                self.screen.line(&self.screen.paint(Style::Quiet, &text));
            }
            let node = &self.nodes[index];
            if let Some((at, status)) = node.ended
                && node.restart
            {
                let delay = if status.success() { RESTART_DELAY_AFTER_STOP } else { RESTART_DELAY };
                if now().saturating_sub(at) >= delay {
                    self.start(index)?;
                }
            }
        }
        Ok(())
    }

    /// Collects what came to this subreaper; with a signal, sends it to them. Returns how many are left.
    fn reap(&self, signal: Option<Signal>) -> usize {
        let known: Vec<i32> = self
            .nodes
            .iter()
            .filter_map(|node| node.process.as_ref().map(Child::id))
            .chain(self.zookeeper.as_ref().and_then(Server::pid))
            .filter_map(|pid| i32::try_from(pid).ok())
            .collect();
        let orphans: Vec<i32> = own_children().into_iter().filter(|pid| !known.contains(pid)).collect();
        for pid in &orphans {
            if let Some(signal) = signal {
                // Gone already is as good.
                drop(send(*pid, signal));
            }
            let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        }
        orphans.len()
    }

    /// A line for each coordinator that started.
    fn announce(&mut self) {
        let fresh: Vec<Run> = self.log.runs()[self.announced..].to_vec();
        self.announced += fresh.len();
        for run in fresh {
            let text = format!("   {} runs the coordinator (process {})", run.node, run.pid);
            self.screen.line(&self.screen.paint(Style::Good, &text));
        }
    }

    fn live_line(&self) -> String {
        let running = running(&self.log, now());
        let mut line = String::from("   ");
        for node in &self.nodes {
            let runs = running.iter().any(|run| run.node == node.name);
            let (mark, style) = if runs { ("●", Style::Good) } else { ("○", Style::Quiet) };
            let said = match (node.pid(), node.watch.look().said) {
                (None, _) => "no supervisor".to_owned(),
                (Some(_), None) => "no answer".to_owned(),
                (Some(_), Some(said)) => said.status,
            };
            line += &format!("{} {:<18} ", self.screen.paint(style, &format!("{mark} {}", node.name)), said);
        }
        line += &format!("counter {:<6} {}", coordinator::read_counter(&self.shared), self.doing);
        line
    }

    /// The ends of both candidates' outputs, for an error message.
    fn last_words(&self) -> String {
        self.nodes.iter().map(|node| tail(&node.output)).collect()
    }

    /// Ends everything, in order; then by force.
    fn end(&mut self) {
        let end = now() + FAREWELL;
        for node in &self.nodes {
            node.watch.stop();
            // One that has ended needs no signal.
            drop(node.signal(Signal::SIGTERM));
            drop(node.signal(Signal::SIGCONT));
        }
        let mut left = true;
        while left && now() < end {
            left = false;
            for node in &mut self.nodes {
                left |= node.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)));
            }
            thread::sleep(STEP);
        }
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                drop(process.kill());
                drop(process.wait());
            }
        }
        // Guardians whose supervisor was killed end by themselves, coordinator first; they are given the time for it.
        while self.reap(None) > 0 && now() < end {
            thread::sleep(STEP);
        }
        drop(self.zookeeper.take());
        let end = now() + FAREWELL;
        while self.reap(Some(Signal::SIGKILL)) > 0 && now() < end {
            thread::sleep(STEP);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.screen.live("");
        self.end();
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            self.screen.line(&format!("{} could not be removed: {error}", self.folder.display()));
        }
    }
}

impl Node {
    fn new(name: &'static str, folder: &Path) -> Result<Self, Problem> {
        let api = format!("http://{}", free_address()?);
        Ok(Self {
            name,
            web: free_address()?,
            watch: Watch::of(api.clone(), ASK_EVERY, ANSWER_WITHIN).start().map_err(Problem::io("a thread"))?,
            api,
            relay: None,
            restart: false,
            config: folder.join(format!("{name}.toml")),
            output: folder.join(format!("{name}.log")),
            process: None,
            ended: None,
        })
    }
}

fn free_address() -> Result<SocketAddr, Problem> {
    zookeeper::free_address().map_err(Problem::io("a free port on 127.0.0.1"))
}

/// The candidate's configuration file.
fn configuration(node: &Node, shared: &Path) -> Result<String, Problem> {
    let itself = std::env::current_exe().map_err(Problem::io("this program's own path"))?;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let election = match &node.relay {
        Some(relay) => format!(
            "election = \"zookeeper\"\n\n[zookeeper]\nservers = \"{}\"\nsession_timeout = \"{}s\"\n",
            relay.address(),
            SESSION.as_secs()
        ),
        None => "election = \"lock\"\n".to_owned(),
    };
    // A quick probe, for the lock's lease ends one `probe_timeout` after the last one; on NFS leave the defaults.
    let lease = if node.relay.is_some() { "" } else { "probe_interval = \"500ms\"\nprobe_timeout = \"2s\"\n" };
    let command = [
        itself.to_string_lossy().as_ref(),
        coordinator::SUBCOMMAND,
        "--node",
        node.name,
        "--folder",
        shared.to_string_lossy().as_ref(),
        "--listen",
        &node.web.to_string(),
    ]
    .map(quoted)
    .join(", ");
    Ok(format!(
        "cluster = \"demo\"\nnode = \"{name}\"\nenvironment = \"demo\"\n{election}\n\
         [lock]\ndirectory = {directory}\n{lease}\n\
         [coordinator]\ncommand = [{command}]\nstop_timeout = \"5s\"\nendpoints = {{ web = \"http://{web}\" }}\n\n\
         [health]\nhttp = \"http://{web}/ready\"\ninterval = \"1s\"\ntimeout = \"1s\"\n\n\
         [recorder]\ndirectory = {recorder}\n\n\
         [api]\nlisten = \"{listen}\"\nadvertise = \"{api}\"\n",
        name = node.name,
        directory = quoted(&shared.join(LOCK_DIRECTORY).to_string_lossy()),
        recorder = quoted(&shared.with_file_name("recorder").to_string_lossy()),
        web = node.web,
        listen = node.api.trim_start_matches("http://"),
        api = node.api,
    ))
}

/// The children of this process, adopted ones included.
fn own_children() -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(3) => "exit code 3: lost mastership and fenced itself".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

/// The last lines of a file, indented, on lines of their own; empty where there is nothing.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last: Vec<String> =
        lines[lines.len().saturating_sub(8)..].iter().map(|line| format!("\n     {line}")).collect();
    if last.is_empty() { String::new() } else { format!("\n   {}:{}", path.display(), last.concat()) }
}
