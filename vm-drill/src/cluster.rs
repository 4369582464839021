//! The cluster on a lab's hosts: an NFS server, candidates, ZooKeeper; and what drills do to it and ask of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use drill::history::{Entry, Writer};
use drill::hosts::Network;
use drill::lab::Leaderships;

use crate::clock::{self, At};
use crate::host::{Machine, Order, Service};
use crate::lab::{Lab, Need, Timing, ZOOKEEPER_PORT, ZooKeeper};
use crate::observer::Observer;
use crate::starvation::{Shares, peak_memory};
use crate::ticks::{Life, Ticks};
use crate::watchdog;

/// primacy's default.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// primacy's default.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// The NFS server's number.
pub const SERVER: u8 = 10;
/// Of every candidate's HTTP interface.
pub const API_PORT: u16 = 9090;

pub const MOUNT_OPTIONS: &str = "vers=4.2,proto=tcp,hard";
pub const MOUNT_POINT: &str = "/mnt/metadata";
pub const LOCK_FILE: &str = "/mnt/metadata/.primacy/coordinator.lock";
pub const CONFIG: &str = "/etc/primacy/primacy.toml";

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
    /// What its coordinator dirties of each of its files all the time, beside its other writes.
    pub dirty_pages: usize,
    /// More sections of its configuration.
    pub more: &'static str,
}

impl Settings {
    fn usual(timing: &Timing) -> Self {
        Self { session: timing.session, probe_timeout: PROBE_TIMEOUT, watchdog: None, dirty_pages: 0, more: "" }
    }
}

pub struct Candidate {
    pub machine: Machine,
    pub observer: Observer,
    /// Its supervisor was started since its last boot.
    serving: bool,
}

pub struct Cluster {
    pub server: Machine,
    pub zookeepers: Vec<Box<dyn ZooKeeper>>,
    pub candidates: Vec<Candidate>,
    pub ticks: Ticks,
    /// What happens is noted there, in `directory`.
    pub history: Writer,
    pub directory: PathBuf,
    pub leaderships: Leaderships,
    pub timing: Timing,
    /// What runs the hosts.
    pub about: String,
    lacks: Vec<(Need, String)>,
    settings: Settings,
    /// How long it took until the first coordinator ran, and until everything was at rest.
    pub up: (Duration, Duration),
}

impl Cluster {
    /// Brings it up on these hosts, with a history in `directory`.
    pub fn create(lab: Lab, directory: &Path) -> Result<Self> {
        let began = clock::now();
        let history = Writer::create(directory)?;
        let lease = lab.timing.lease();
        let candidates = lab.candidates.into_iter().map(|mut machine| {
            machine.note_in(&history, lease);
            let observer = Observer::watch(&machine.name, machine.api(), &history)?;
            anyhow::Ok(Candidate { machine, observer, serving: false })
        });
        let candidates = candidates.collect::<Result<_>>()?;
        let mut server = lab.server;
        server.note_in(&history, lease);
        let mut cluster = Self {
            candidates,
            server,
            zookeepers: lab.zookeepers,
            ticks: Ticks::receive(lab.listen)?,
            history,
            directory: directory.to_owned(),
            leaderships: Leaderships::default(),
            settings: Settings::usual(&lab.timing),
            timing: lab.timing,
            about: lab.about,
            lacks: lab.lacks,
            up: Default::default(),
        };
        for server in &mut cluster.zookeepers {
            if server.mode().is_none() {
                server.start()?;
            }
        }
        cluster.settle()?;
        let first = cluster.ticks.with(|book| book.lives.first().map(Life::first)).unwrap_or_default();
        cluster.up = (first.saturating_sub(began), clock::now().saturating_sub(began));
        Ok(cluster)
    }

    /// Why these hosts cannot do what a drill needs.
    pub fn lacks(&self, needs: &[Need]) -> Option<&str> {
        self.lacks.iter().find(|(need, _)| needs.contains(need)).map(|(_, reason)| reason.as_str())
    }

    /// What primacy is told unless a drill wants it different.
    pub fn usual(&self) -> Settings {
        Settings::usual(&self.timing)
    }

    /// Whatever was done to it: heals, boots, mounts and starts what is missing, then waits until one is active and the
    /// others stand by.
    pub fn settle(&mut self) -> Result<()> {
        for host in self.candidates.iter_mut().map(|one| &mut one.machine).chain([&mut self.server]) {
            host.restore()?;
            if !host.is_on() {
                host.boot()?;
            }
        }
        for server in &mut self.zookeepers {
            server.wait()?;
        }
        self.server.wait()?;
        self.wait_for_nfs()?;
        for index in 0..self.candidates.len() {
            self.prepare(index)?;
        }
        self.rest()
    }

    /// After a drill that could not be carried out: what is wrong must not be the next one's trouble.
    pub fn reset(&mut self) -> Result<()> {
        for index in 0..self.candidates.len() {
            self.power_off(index)?;
        }
        self.settings = self.usual();
        self.server.power_off()?;
        for server in &mut self.zookeepers {
            if server.mode().is_none() {
                server.kill()?;
                server.start()?;
            }
        }
        Ok(())
    }

    /// Mounted, configured, and the supervisor running.
    fn prepare(&mut self, index: usize) -> Result<()> {
        self.candidates[index].machine.wait()?;
        let booted = !self.candidates[index].machine.run("test -e /run/prepared")?.succeeded();
        if booted {
            self.candidates[index].serving = false;
        }
        let machine = &self.candidates[index].machine;
        self.insist(|| machine.service(Service::Volume, Order::Start))?;
        machine.must("touch /run/prepared")?;
        if !self.candidates[index].serving {
            self.configure(index)?;
            self.serve(index)?;
        }
        Ok(())
    }

    pub fn wait_for_nfs(&self) -> Result<()> {
        let until = clock::now() + self.timing.rest;
        let ready = "read threads </proc/fs/nfsd/threads && [ $threads -gt 0 ] && pidof rpc.mountd >/dev/null";
        while !self.server.run(ready).is_ok_and(|answer| answer.succeeded()) {
            ensure!(clock::now() < until, "the NFS server does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Mounts it with other options than it ought to have.
    pub fn mount(&self, index: usize, options: &str) -> Result<()> {
        let server = Network::Nfs.address(self.server.number);
        // NFSv3 knows the server's own paths, later versions the export's root.
        let path = if options.contains("vers=3") { "/srv/export" } else { "/" };
        let command = format!("mkdir -p {MOUNT_POINT} && /sbin/mount.nfs {server}:{path} {MOUNT_POINT} -o {options}");
        self.insist(|| self.candidates[index].machine.must(&command).map(drop))
    }

    /// Tries for a while: just after its start the server refuses what it serves a moment later.
    fn insist(&self, mount: impl Fn() -> Result<()>) -> Result<()> {
        let until = clock::now() + self.timing.rest;
        loop {
            match mount() {
                Err(_) if clock::now() < until => std::thread::sleep(Duration::from_millis(200)),
                outcome => return outcome,
            }
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

    /// Writes its configuration. A supervisor that runs with another one is stopped.
    fn configure(&self, index: usize) -> Result<()> {
        let machine = &self.candidates[index].machine;
        let (name, address, to) = (&machine.name, machine.address(), machine.drill()?);
        let servers = self.zookeepers.iter().map(|server| format!("{}:{ZOOKEEPER_PORT}", server.address()));
        let (tick, write) = (self.timing.beat.as_millis(), self.timing.write.as_millis());
        let watchdog = watchdog::configure(machine, self.settings.watchdog)?;
        let text = format!(
            r#"cluster = "drill"
node = "{name}"
{watchdog}
[zookeeper]
servers = "{servers}"
session_timeout = "{session}ms"
tick_time = "{tick_time}ms"
[coordinator]
command = ["/bin/vm-guest", "coordinator", "--to", "{to}", "--journal", "{MOUNT_POINT}/journal", "--tick", "{tick}", "--write", "{write}", "--dirty-pages", "{dirty}"]
stop_timeout = "10s"
[api]
listen = "0.0.0.0:{API_PORT}"
advertise = "http://{address}:{API_PORT}"
[recorder]
limit = "8MiB"
[lock]
directory = "{MOUNT_POINT}/.primacy"
probe_timeout = "{probe_timeout}ms"
{more}"#,
            more = self.settings.more,
            dirty = self.settings.dirty_pages,
            servers = servers.collect::<Vec<_>>().join(","),
            session = self.settings.session.as_millis(),
            probe_timeout = self.settings.probe_timeout.as_millis(),
            tick_time = self.timing.tick.as_millis(),
        );
        let write =
            format!("mkdir -p /etc/primacy && cat >{CONFIG}.drill <<'END'\n{text}END\ncmp -s {CONFIG}.drill {CONFIG}");
        if !machine.run(&write)?.succeeded() {
            machine.service(Service::Primacy, Order::Stop)?;
            machine.must(&format!("mv {CONFIG}.drill {CONFIG}"))?;
        }
        Ok(())
    }

    /// Starts its supervisor, as a service.
    pub fn serve(&mut self, index: usize) -> Result<()> {
        self.candidates[index].machine.service(Service::Primacy, Order::Start)?;
        self.candidates[index].serving = true;
        Ok(())
    }

    /// SIGTERM to its supervisor; until it has ended.
    pub fn stop_service(&mut self, index: usize) -> Result<()> {
        self.candidates[index].machine.service(Service::Primacy, Order::Stop)?;
        self.candidates[index].serving = false;
        Ok(())
    }

    /// Marks a machine as having to be prepared again.
    pub fn power_off(&mut self, index: usize) -> Result<At> {
        self.candidates[index].serving = false;
        self.candidates[index].machine.power_off()
    }

    pub fn shut_down(&mut self, index: usize) -> Result<At> {
        self.candidates[index].serving = false;
        self.candidates[index].machine.shut_down()
    }

    fn rest(&mut self) -> Result<()> {
        let until = clock::now() + self.timing.rest;
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
        let active = said.iter().flatten().filter(|said| said.is_active()).count();
        let eligible = || self.candidates.iter().filter(|one| one.observer.eligible()).count();
        active == 1 && self.running().len() == 1 && eligible() == said.len() - 1
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
            candidate
                .observer
                .latest()
                .filter(|said| said.role == "active")
                .map(|said| (index, said.epoch.unwrap_or_default()))
        });
        let active = found.next().context("nobody is active")?;
        ensure!(found.next().is_none(), "two are active");
        Ok(active)
    }

    /// How late a process of these hosts ran since then at the latest, and was seen to: the longest time between two ticks.
    pub fn late_since(&self, since: At) -> Duration {
        let precision = self.ticks.with(|book| book.precision(since, clock::now()));
        precision.map_or(Duration::ZERO, |[_, _, longest]| longest)
    }

    /// What an emulated processor may take on top of every limit on what others than the hosts' failure detectors do.
    pub fn allowance(&self) -> Duration {
        self.timing.emulation
    }

    /// The same for what begins with an order to a host.
    pub fn ordered(&self) -> Duration {
        self.timing.emulation + self.timing.order
    }

    /// What the hosts' threads got of this machine's processors up to now.
    pub fn shares(&self) -> Shares {
        let candidates = self.candidates.iter().map(|one| &one.machine);
        Shares::of(candidates.chain([&self.server]).filter_map(Machine::pid))
    }

    /// The most memory that hosts and ZooKeeper servers have had, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        let hosts: u64 = self.candidates.iter_mut().map(|one| one.machine.peak_memory()).sum();
        let zookeepers: u64 = self.zookeepers.iter().filter_map(|server| server.pid()).map(peak_memory).sum();
        hosts + self.server.peak_memory() + zookeepers
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

    /// What candidates know of past leaderships: they forget all but the last hundred.
    pub fn remember_leaderships(&mut self) {
        self.leaderships.ask(self.candidates.iter().map(|one| one.machine.api()));
    }

    /// Whatever was broken is whole, and somebody is active.
    pub fn note_recovery(&self) -> Result<()> {
        self.history.note(Entry::Healed)?;
        let (active, epoch) = self.active()?;
        self.history.note(Entry::Recovered { node: self.candidates[active].machine.name.clone(), epoch })
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
