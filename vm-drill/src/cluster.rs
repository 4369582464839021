//! The cluster in machines: an NFS server, candidates, ZooKeeper; and what drills do to it and ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::{self, At};
use crate::machine::{Acceleration, Machine, Rack};
use crate::network::Network;
use crate::observer::Observer;
use crate::starvation::Shares;
use crate::ticks::{self, Life, Ticks};
use crate::watchdog;
use crate::zookeeper::{self, ZooKeeper};

/// Asked of ZooKeeper: shorter than the NFS server's lease, so that the two disagree on who is gone.
pub const SESSION: Duration = Duration::from_secs(4);
/// What primacy makes of it: less half a tick, a heartbeat (a tenth of the session) and its default margin.
pub const LEASE: Duration = Duration::from_millis(4000 - 250 - 400 - 500);
/// The NFS server's, and its grace period.
pub const NFS_LEASE: Duration = Duration::from_secs(10);
/// primacy's default.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// primacy's default.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);

pub const MOUNT_OPTIONS: &str = "vers=4.2,proto=tcp,hard";
pub const MOUNT_POINT: &str = "/mnt/metadata";
pub const LOCK_FILE: &str = "/mnt/metadata/.primacy/coordinator.lock";
pub const CONFIG: &str = "/etc/primacy.toml";

/// To come to rest: boot, mount, an NFS lease, an election.
const REST: Duration = Duration::from_secs(90);
/// One active and the rest standby for so long is rest.
const CALM: Duration = Duration::from_millis(500);

/// What a drill may want different of primacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Asked of ZooKeeper.
    pub session: Duration,
    pub probe_timeout: Duration,
    /// The driver of the watchdog that is required.
    pub watchdog: Option<&'static str>,
    /// More sections of its configuration.
    pub more: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self { session: SESSION, probe_timeout: PROBE_TIMEOUT, watchdog: None, more: "" }
    }
}

pub struct Candidate {
    pub machine: Machine,
    pub observer: Observer,
    /// Its supervisor was started since its last boot.
    serving: bool,
}

pub struct Cluster {
    pub rack: Arc<Rack>,
    pub server: Machine,
    pub zookeeper: ZooKeeper,
    pub candidates: Vec<Candidate>,
    pub ticks: Ticks,
    settings: Settings,
    /// How long it took until the first coordinator ran, and until everything was at rest.
    pub up: (Duration, Duration),
}

impl Cluster {
    /// Makes it and brings it up.
    pub fn create(rack: Arc<Rack>, size: u8) -> Result<Self> {
        let names = ["node-a", "node-b", "node-c"];
        let began = clock::now();
        let candidates = names.into_iter().zip(11..).take(usize::from(size)).map(|(name, number)| {
            let machine = Machine::candidate(&rack, name, number)?;
            let observer = Observer::watch(machine.address());
            Ok(Candidate { machine, observer, serving: false })
        });
        let mut cluster = Self {
            candidates: candidates.collect::<Result<_>>()?,
            server: Machine::server(&rack, &format!("vm.lease={}", NFS_LEASE.as_secs()))?,
            zookeeper: ZooKeeper::prepare(rack.directory.join("zookeeper"))?,
            ticks: Ticks::receive()?,
            settings: Settings::default(),
            rack,
            up: Default::default(),
        };
        cluster.zookeeper.start()?;
        cluster.server.boot()?;
        for candidate in &mut cluster.candidates {
            candidate.machine.boot()?;
        }
        cluster.zookeeper.wait()?;
        cluster.settle()?;
        let first = cluster.ticks.with(|book| book.lives.first().map(Life::first)).unwrap_or_default();
        cluster.up = (first.saturating_sub(began), clock::now().saturating_sub(began));
        Ok(cluster)
    }

    /// Whatever was done to it: heals, boots, mounts and starts what is missing, then waits until one is active and the
    /// others stand by.
    pub fn settle(&mut self) -> Result<()> {
        self.server.restore()?;
        if !self.server.is_on() {
            self.server.boot()?;
        }
        self.server.wait()?;
        self.wait_for_nfs()?;
        for index in 0..self.candidates.len() {
            let machine = &mut self.candidates[index].machine;
            machine.restore()?;
            if !machine.is_on() {
                machine.boot()?;
            }
        }
        for index in 0..self.candidates.len() {
            self.prepare(index)?;
        }
        self.rest()
    }

    /// Mounted, configured, and the supervisor running.
    fn prepare(&mut self, index: usize) -> Result<()> {
        self.candidates[index].machine.wait()?;
        let booted = !self.candidates[index].machine.run("test -e /run/prepared")?.succeeded();
        if booted {
            self.candidates[index].serving = false;
        }
        let machine = &self.candidates[index].machine;
        if !machine.run(&format!("grep -q ' {MOUNT_POINT} nfs4 ' /proc/mounts"))?.succeeded() {
            self.mount(index, MOUNT_OPTIONS)?;
        }
        let machine = &self.candidates[index].machine;
        machine.must("touch /run/prepared")?;
        if !self.candidates[index].serving {
            self.configure(index)?;
            self.serve(index)?;
        }
        Ok(())
    }

    pub fn wait_for_nfs(&self) -> Result<()> {
        let until = clock::now() + REST;
        let ready = "read threads </proc/fs/nfsd/threads && [ $threads -gt 0 ] && pidof rpc.mountd >/dev/null";
        while !self.server.run(ready).is_ok_and(|answer| answer.succeeded()) {
            ensure!(clock::now() < until, "the NFS server does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn mount(&self, index: usize, options: &str) -> Result<()> {
        let server = Network::Nfs.address(self.server.number);
        // NFSv3 knows the server's own paths, later versions the export's root.
        let path = if options.contains("vers=3") { "/srv/export" } else { "/" };
        let command = format!("mkdir -p {MOUNT_POINT} && /sbin/mount.nfs {server}:{path} {MOUNT_POINT} -o {options}");
        let until = clock::now() + REST;
        loop {
            // Just after its start the server refuses what it serves a moment later.
            let answer = self.candidates[index].machine.run(&command)?;
            if answer.succeeded() {
                return Ok(());
            }
            ensure!(clock::now() < until, "mount: {}", answer.text);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Gives all candidates other settings, one after the other, the active one last.
    pub fn change(&mut self, settings: Settings) -> Result<()> {
        if self.settings == settings {
            return Ok(());
        }
        self.settings = settings;
        let (active, _) = self.active()?;
        let others = (0..self.candidates.len()).filter(|index| *index != active);
        for index in others.chain([active]).collect::<Vec<_>>() {
            self.stop_service(index)?;
            self.configure(index)?;
            self.serve(index)?;
            self.rest()?;
        }
        Ok(())
    }

    /// Whoever is started from here on has the usual settings.
    pub fn forget_settings(&mut self) {
        self.settings = Settings::default();
    }

    /// Writes its configuration.
    fn configure(&self, index: usize) -> Result<()> {
        let machine = &self.candidates[index].machine;
        let (name, address) = (&machine.name, machine.address());
        let to = format!("{}:{}", Network::Management.address(1), ticks::PORT);
        let (tick, write) = self.rack.acceleration.periods();
        let (tick, write) = (tick.as_millis(), write.as_millis());
        let watchdog = watchdog::configure(machine, self.settings.watchdog)?;
        let text = format!(
            r#"cluster = "drill"
node = "{name}"
{watchdog}
[zookeeper]
servers = "{zookeeper}:{port}"
session_timeout = "{session}ms"
tick_time = "{tick_time}ms"
[coordinator]
command = ["/bin/vm-guest", "coordinator", "--to", "{to}", "--journal", "{MOUNT_POINT}/journal", "--tick", "{tick}", "--write", "{write}"]
stop_timeout = "10s"
[api]
listen = "0.0.0.0:9090"
advertise = "http://{address}:9090"
[lock]
directory = "{MOUNT_POINT}/.primacy"
probe_timeout = "{probe_timeout}ms"
{more}"#,
            more = self.settings.more,
            zookeeper = ZooKeeper::address(),
            port = zookeeper::PORT,
            session = self.settings.session.as_millis(),
            probe_timeout = self.settings.probe_timeout.as_millis(),
            tick_time = zookeeper::TICK.as_millis(),
        );
        machine.must(&format!("cat >{CONFIG} <<'END'\n{text}END")).map(drop)
    }

    /// Starts its supervisor as a service manager would: again after every end but a clean one.
    pub fn serve(&mut self, index: usize) -> Result<()> {
        let service = format!(
            "cd /; while :; do primacy run -c {CONFIG} & echo $! >/run/supervisor; wait $!; code=$?; \
             echo \"primacy ended with $code\"; [ $code = 0 ] && break; sleep 0.5; done"
        );
        self.candidates[index].machine.start(&service, "primacy")?;
        self.candidates[index].serving = true;
        Ok(())
    }

    /// SIGTERM to its supervisor; until it has ended.
    pub fn stop_service(&mut self, index: usize) -> Result<()> {
        let command = "pid=$(cat /run/supervisor); kill $pid; while [ -e /proc/$pid ]; do sleep 0.05; done";
        self.candidates[index].machine.must(command)?;
        self.candidates[index].serving = false;
        Ok(())
    }

    /// Marks a machine as having to be prepared again.
    pub fn power_off(&mut self, index: usize) -> Result<At> {
        self.candidates[index].serving = false;
        self.candidates[index].machine.power_off()
    }

    fn rest(&mut self) -> Result<()> {
        let until = clock::now() + REST;
        let mut since = clock::now();
        loop {
            if !self.is_at_rest() {
                since = clock::now();
            }
            if clock::now().saturating_sub(since) >= CALM {
                return Ok(());
            }
            if clock::now() >= until {
                let said: Vec<String> = self
                    .candidates
                    .iter()
                    .map(|one| format!("{}: {:?}", one.machine.name, one.observer.latest()))
                    .collect();
                bail!(
                    "the cluster does not come to rest: {}; {} coordinators tick",
                    said.join("; "),
                    self.running().len()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_at_rest(&self) -> bool {
        let said: Vec<_> = self.candidates.iter().map(|one| one.observer.latest()).collect();
        let active = said.iter().flatten().filter(|said| said.role == "active" && said.status == "OK").count();
        let eligible = said.iter().flatten().filter(|said| said.eligible).count();
        active == 1 && eligible == said.len() - 1 && self.running().len() == 1
    }

    /// The coordinators that tick.
    fn running(&self) -> Vec<Life> {
        let after = clock::now().saturating_sub(Duration::from_millis(300));
        self.ticks.with(|book| {
            let lives = book.lives.iter().rev().take(8).filter(|life| life.last() >= after);
            lives.map(|life| Life { wrote: Vec::new(), failed: Vec::new(), ..life.clone() }).collect()
        })
    }

    /// The index of the active candidate, and the epoch.
    pub fn active(&self) -> Result<(usize, u64)> {
        let mut found = self.candidates.iter().enumerate().filter_map(|(index, candidate)| {
            candidate.observer.latest().filter(|said| said.role == "active").map(|said| (index, said.epoch))
        });
        let active = found.next().context("nobody is active")?;
        ensure!(found.next().is_none(), "two are active");
        Ok(active)
    }

    /// What an emulated processor may take on top of every limit on what others than the hosts' failure detectors do.
    pub fn allowance(&self) -> Duration {
        match self.rack.acceleration {
            Acceleration::Kvm => Duration::ZERO,
            Acceleration::Emulation => Duration::from_secs(2),
        }
    }

    /// What the machines' threads got of the host's processors up to now.
    pub fn shares(&self) -> Shares {
        let candidates = self.candidates.iter().map(|one| &one.machine);
        Shares::of(candidates.chain([&self.server]).filter_map(Machine::pid))
    }

    /// Any candidate but this one.
    pub fn other(&self, index: usize) -> usize {
        (index + 1) % self.candidates.len()
    }

    /// Until a coordinator of a later epoch runs; its first tick and its epoch.
    pub fn successor(&self, epoch: u64, limit: Duration) -> Result<Option<(At, u64)>> {
        self.until(limit, || {
            self.ticks.with(|book| {
                let life = book.lives.iter().find(|life| life.epoch > epoch && !life.ticks.is_empty());
                life.map(|life| (life.first(), life.epoch))
            })
        })
    }

    /// Waits for something.
    pub fn until<T>(&self, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<Option<T>> {
        let until = clock::now() + limit;
        loop {
            if let Some(found) = look() {
                return Ok(Some(found));
            }
            if clock::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn freezes(&self) -> BTreeMap<String, Vec<(At, At)>> {
        self.candidates.iter().map(|one| (one.machine.name.clone(), one.machine.freezes.clone())).collect()
    }

    /// Bytes on the server's disk of what a coordinator of this epoch wrote: with and without syncing.
    pub fn written(&self, epoch: u64) -> Result<(u64, u64)> {
        let size = |name: &str| -> Result<u64> {
            let path = format!("/srv/export/journal/{name}-{epoch}");
            Ok(self.server.must(&format!("stat -c %s {path} 2>/dev/null || echo 0"))?.parse()?)
        };
        Ok((size("synced")?, size("loose")?))
    }
}
