//! The cluster in a box: a switch, three hosts with ZooKeeper, the shared volume, the candidates' hosts, and a client's
//! host with HAProxy and the clients.
//!
//! One thread owns it. Whoever waits, waits with [`Lab::wait`], in which the service managers do their work; so there is
//! no lock, and between two waits nothing changes but what hosts do by themselves.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::history::{Entry, Writer};
use crate::hosts::cgroup::{Group, Hierarchies};
use crate::hosts::network::Switch;
use crate::hosts::sandbox::Sandbox;
use crate::hosts::{Host as _, NamespaceHost};
use crate::recordings;
use testbed::clock;
use testbed::ticks::TickLog;

mod candidate;
mod coordinator;
pub mod faketime;
mod leaderships;
mod observer;
mod proxy;
mod volume;
pub mod zookeeper;

pub use candidate::{Candidate, nanoseconds};
pub use coordinator::Workload;
pub use leaderships::Leaderships;
pub use observer::{API_PORT, Observer, noting};
pub use volume::Volume;
pub use zookeeper::Server;

/// The cluster's name in ZooKeeper and elsewhere.
pub const CLUSTER: &str = "drill";
/// Between two turns of the service managers.
const TURN: Duration = Duration::from_millis(10);
/// Until three servers have elected a leader: Java machines on a busy machine.
const ENSEMBLE_WITHIN: Duration = Duration::from_secs(60);

/// What a lab is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many candidates, 2 to 5.
    pub nodes: u8,
    /// What clients are told by.
    pub workload: Workload,
    /// Asked for, and granted: it lies between 2 and 20 ticks.
    pub session: Duration,
    /// ZooKeeper's tickTime.
    pub tick: Duration,
    /// The binary under test.
    pub primacy: PathBuf,
    /// Where logs and history go.
    pub out: PathBuf,
}

/// See the module.
pub struct Lab {
    /// What it was made from.
    pub plan: Plan,
    /// Scratch space in memory.
    pub scratch: PathBuf,
    /// What happens is noted there.
    pub history: Writer,
    /// zk1 to zk3.
    pub zookeepers: Vec<Server>,
    /// n1 to n5.
    pub candidates: Vec<Candidate>,
    /// What all share.
    pub volume: Volume,
    /// What is seen of the candidates.
    pub observer: Observer,
    /// Read as far as anybody looked.
    pub tick_log: TickLog,
    client: NamespaceHost,
    helpers: Vec<Child>,
    leaderships: Leaderships,
    _switch: Arc<Switch>,
}

impl Lab {
    /// Everything but the candidates runs when this returns.
    pub fn new(plan: Plan, sandbox: &Sandbox, history: Writer) -> Result<Self> {
        let (scratch, logs) = (sandbox.scratch.clone(), plan.out.join("logs"));
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let hierarchies = Hierarchies::find()?;
        let switch = Arc::new(Switch::new(&scratch.join("net"), address(1))?);
        switch.enter()?;
        let host = |name: &str, number: u8| -> Result<NamespaceHost> {
            let group = Group::new(&hierarchies, &sandbox.run, name)?;
            let mut host = NamespaceHost::new(name, address(number), group, switch.clone())?;
            host.power_on()?;
            Ok(host)
        };
        let mut zookeepers = Vec::new();
        for number in 1..=3 {
            zookeepers.push(Server::new(host(&format!("zk{number}"), 10 + number)?, &scratch, &logs, plan.tick)?);
        }
        let addresses: Vec<Ipv4Addr> = zookeepers.iter().map(|server| server.host.address()).collect();
        for server in &mut zookeepers {
            server.configure(&addresses)?;
            server.start()?;
        }
        let volume = Volume::new(&scratch, plan.workload.volume_mebibytes())?;
        let coordinator = plan.workload.prepare(&scratch, &volume)?;
        let mut candidates = Vec::new();
        for number in 1..=plan.nodes {
            let host = host(&format!("n{number}"), 20 + number)?;
            let text = configuration(&plan, &host, &addresses, &volume, &coordinator);
            let config = plan.out.join(format!("n{number}.toml"));
            let log = logs.join(format!("n{number}.log"));
            candidates.push(Candidate::new(host, plan.primacy.clone(), config, &text, log)?);
        }
        let client = host("client", 31)?;
        let nodes: Vec<(String, Ipv4Addr)> =
            candidates.iter().map(|candidate| (candidate.name().to_owned(), candidate.host.address())).collect();
        let observer = Observer::start(client.network()?, &nodes, &history)?;
        let tick_log = TickLog::new(coordinator::ticks(&scratch));
        let mut lab = Self {
            plan,
            scratch,
            history,
            zookeepers,
            candidates,
            volume,
            observer,
            tick_log,
            client,
            helpers: Vec::new(),
            leaderships: Leaderships::default(),
            _switch: switch,
        };
        faketime::prepare(&mut lab)?;
        lab.until(ENSEMBLE_WITHIN, "the ZooKeeper servers elect a leader", Lab::ensemble_serves)?;
        lab.start_proxy()?;
        Ok(lab)
    }

    /// Whether all running servers serve.
    pub fn ensemble_serves(&mut self) -> Option<()> {
        let mut running = self.zookeepers.iter().filter(|server| server.runs());
        running.all(|server| server.process.mode().is_some()).then_some(())
    }

    /// Starts all candidates and waits until one is active and the others stand by.
    pub fn start_candidates(&mut self) -> Result<()> {
        for candidate in &mut self.candidates {
            candidate.start()?;
        }
        self.until(Duration::from_secs(60), "a candidate becomes active and all answer", |lab| {
            let all = lab.candidates.iter().all(|candidate| lab.observer.look(candidate.name()).said.is_some());
            (all && lab.observer.active().is_some()).then_some(())
        })
    }

    /// Lets time pass, in which service managers start again what has ended.
    pub fn wait(&mut self, duration: Duration) -> Result<()> {
        let until = clock::now() + nanoseconds(duration);
        loop {
            self.tend()?;
            let now = clock::now();
            if now >= until {
                return Ok(());
            }
            sleep(TURN.min(Duration::from_nanos(until - now)));
        }
    }

    /// Waits for an event; that it does not come is an error.
    pub fn until<T>(&mut self, limit: Duration, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let end = clock::now() + nanoseconds(limit);
        loop {
            self.tend()?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if clock::now() > end {
                bail!("not within {limit:?}: {what}");
            }
            sleep(TURN);
        }
    }

    /// The service managers' turn.
    pub fn tend(&mut self) -> Result<()> {
        for candidate in &mut self.candidates {
            if let Some(end) = candidate.tend()? {
                let text = format!("{}: primacy {}", candidate.name(), end.words);
                self.history.note(Entry::Note { text })?;
            }
        }
        Ok(())
    }

    /// The index of a candidate.
    pub fn index(&self, node: &str) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.name() == node)
    }

    /// The candidate that is seen to be active.
    pub fn active(&self) -> Option<usize> {
        self.index(&self.observer.active()?)
    }

    /// Where services of the client's host listen: HAProxy.
    pub fn proxy_address(&self) -> SocketAddr {
        SocketAddr::from((self.client.address(), proxy::PORT))
    }

    fn start_proxy(&mut self) -> Result<()> {
        let servers: Vec<(String, Ipv4Addr)> =
            self.candidates.iter().map(|candidate| (candidate.name().to_owned(), candidate.host.address())).collect();
        let file = self.scratch.join("haproxy.cfg");
        fs::write(&file, proxy::configuration(self.proxy_address(), &servers, self.plan.workload.port()))?;
        let log = self.plan.out.join("logs/haproxy.log");
        let child = self.client.start_process(&["haproxy", "-db", "-f", &file.display().to_string()], &[], &log)?;
        self.helpers.push(child);
        Ok(())
    }

    /// Starts a program on the client's host.
    pub fn start_client(&self, argv: &[&str], log: &Path) -> Result<Child> {
        self.client.start_process(argv, &[], log)
    }

    /// Asks the active node, or else any, for the leaderships that it knows: ZooKeeper keeps the last hundred only.
    pub fn remember_leaderships(&mut self) {
        let first = self.active().unwrap_or(0);
        let count = self.candidates.len();
        let hosts = (0..count).map(|offset| &self.candidates[(first + offset) % count].host);
        self.leaderships.ask(hosts.map(|host| SocketAddr::from((host.address(), API_PORT))));
    }

    /// The leaderships that were ever heard of, and those that `primacy history` tells of; and why it does not.
    pub fn leaderships(&mut self) -> (Vec<serde_json::Value>, Option<anyhow::Error>) {
        let failure = self.ask_for_history().err();
        (self.leaderships.all(), failure)
    }

    fn ask_for_history(&mut self) -> Result<()> {
        let candidate = self.candidates.first().context("there are at least two candidates")?;
        let [primacy, config] = [&self.plan.primacy, candidate.config()].map(|path| path.display().to_string());
        let output = candidate.host.output(&[&primacy, "history", "-o", "json", "-c", &config])?;
        if !output.status.success() {
            bail!("primacy history failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        self.leaderships.learn(&output.stdout)
    }

    /// Where the coordinators tell of their lives.
    pub fn ticks(&self) -> PathBuf {
        coordinator::ticks(&self.scratch)
    }

    /// Where a fault may put things of its own.
    pub fn log(&self, name: &str) -> PathBuf {
        self.plan.out.join("logs").join(name)
    }
}

/// The lab's addresses.
fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn configuration(
    plan: &Plan,
    host: &NamespaceHost,
    zookeepers: &[Ipv4Addr],
    volume: &Volume,
    coordinator: &coordinator::Prepared,
) -> String {
    let servers: Vec<String> =
        zookeepers.iter().map(|address| format!("{address}:{}", zookeeper::CLIENT_PORT)).collect();
    format!(
        "cluster = \"{CLUSTER}\"\nnode = \"{name}\"\n\n\
         [zookeeper]\nservers = \"{servers}\"\nsession_timeout = \"{session}ms\"\ntick_time = \"{tick}ms\"\n\n\
         [lock]\ndirectory = \"{lock}\"\nprobe_interval = \"500ms\"\nprobe_timeout = \"2s\"\nmin_free_space = \"1MiB\"\n\n\
         [recorder]\ndirectory = \"{recorder}\"\n\n\
         [api]\nlisten = \"{address}:{API_PORT}\"\nadvertise = \"http://{address}:{API_PORT}\"\n\n{coordinator}",
        name = host.name(),
        servers = servers.join(","),
        session = milliseconds(plan.session),
        tick = milliseconds(plan.tick),
        lock = volume.lock_directory().display(),
        recorder = plan.out.join(recordings::FOLDER).display(),
        address = host.address(),
        coordinator = coordinator.settings(host.address(), plan.workload.port()),
    )
}
