//! A host of the cluster, as drills see it, whoever provides it.
//!
//! [`Guest`] is all that a provider has to do: be a [`Host`] of the drill's, and start and stop services by whatever its hosts
//! have for that. [`Machine`] keeps what was done to it, which is the same everywhere: what has to be undone, and, in the
//! history, from when to when nothing ran on it. Rejected: a provider that keeps books of its own. Which moments count would
//! be decided once for each, and gaps and overlaps of two labs could not be compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use drill::history::{Entry, Writer};
use drill::hosts::{Answer, COMMAND, Cut, Host, Kind, Network, Stop};
use nix::sys::signal::Signal;

use crate::clock::{self, At, nanoseconds};
use crate::resets::Resets;
use crate::starvation::peak_memory;

/// What runs on hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The supervisor.
    Primacy,
    /// A candidate's mount, with the options that it ought to have.
    Volume,
    /// The NFS server.
    Nfs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing if it runs. A supervisor need not be ready yet when this returns, everything else is.
    Start,
    /// Until it has ended; nothing if it does not run.
    Stop,
}

/// A host with a kernel of its own: what primacy needs of it, beside what every [`Host`] is.
pub trait Guest: Host {
    fn service(&self, service: Service, order: Order) -> Result<()>;
    /// What its supervisor has logged up to now, over its restarts.
    fn supervisor_log(&self) -> Result<String>;

    /// Where the drill reaches its HTTP interface.
    fn api(&self) -> SocketAddr;
    /// Where it reaches the drill, on a network that is never cut.
    fn drill(&self) -> Result<Ipv4Addr>;

    /// Everything that it has printed to its console.
    fn console(&self) -> Result<Vec<u8>>;
    /// Its resets from here on, as far as anybody is told of them.
    fn resets(&self) -> Resets;

    /// Of the process that the hypervisor runs it in, where it is one of this host's.
    fn pid(&self) -> Option<u32>;
}

/// Where it is noted what is done to it.
struct Notes {
    history: Writer,
    /// Of a leadership on it.
    lease: Duration,
}

pub struct Machine {
    pub name: String,
    /// Last octet of its addresses in the cluster's networks.
    pub number: u8,
    host: Box<dyn Guest>,
    stopped: Option<(At, Stop)>,
    notes: Option<Notes>,
    pub resets: Resets,
    cut: Vec<Network>,
    peak: u64,
}

impl Machine {
    pub fn of(number: u8, host: Box<dyn Guest>) -> Self {
        Self {
            name: host.name().to_owned(),
            number,
            resets: host.resets(),
            host,
            stopped: None,
            notes: None,
            cut: Vec::new(),
            peak: 0,
        }
    }

    /// What is done to it goes into the history from here on.
    pub fn note_in(&mut self, history: &Writer, lease: Duration) {
        self.notes = Some(Notes { history: history.clone(), lease });
    }

    fn note(&self, at: At, deed: &str) -> Result<()> {
        let Some(notes) = &self.notes else { return Ok(()) };
        notes.history.note_at(nanoseconds(at), Entry::Note { text: format!("{}: {deed}", self.name) })
    }

    /// Nothing ran on it; what had run has so long to find out.
    fn stood_still(&self, since: At, until: At, grace: Duration) -> Result<()> {
        let Some(notes) = &self.notes else { return Ok(()) };
        let (begin, end, grace) = (nanoseconds(since), nanoseconds(until), nanoseconds(grace));
        notes.history.note(Entry::Standstill { node: self.name.clone(), begin, end, grace })
    }

    /// Runs a shell command on it, whatever it comes to.
    pub fn run(&self, command: &str) -> Result<Answer> {
        self.run_within(command, COMMAND)
    }

    pub fn run_within(&self, command: &str, limit: Duration) -> Result<Answer> {
        self.host.run(command, limit).with_context(|| self.name.clone())
    }

    /// Runs a shell command on it that must succeed.
    pub fn must(&self, command: &str) -> Result<String> {
        let answer = self.run(command)?;
        ensure!(answer.succeeded(), "{}: `{command}` ended with {}: {}", self.name, answer.code, answer.text);
        Ok(answer.text)
    }

    /// Kills a process of it.
    pub fn kill(&self, pid: u32) -> Result<()> {
        self.host.signal(pid, Signal::SIGKILL)
    }

    /// The text of a file on it.
    pub fn read(&self, file: &str) -> Result<String> {
        self.host.read(file.as_ref())
    }

    /// Which kind of host it is.
    pub fn kind(&self) -> Kind {
        self.host.kind()
    }

    pub fn service(&self, service: Service, order: Order) -> Result<()> {
        self.host.service(service, order).with_context(|| format!("{}: {order:?} {service:?}", self.name))
    }

    pub fn supervisor_log(&self) -> Result<String> {
        self.host.supervisor_log().with_context(|| self.name.clone())
    }

    pub fn console(&self) -> Result<Vec<u8>> {
        self.host.console().with_context(|| self.name.clone())
    }

    pub fn address(&self) -> Ipv4Addr {
        self.host.address()
    }

    pub fn api(&self) -> SocketAddr {
        self.host.api()
    }

    /// Where it sends datagrams to the drill.
    pub fn drill(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::from((self.host.drill()?, crate::ticks::PORT)))
    }

    pub fn is_on(&self) -> bool {
        self.host.is_on()
    }

    /// Switches it on. [`Host::wait`] until it is up.
    pub fn boot(&mut self) -> Result<()> {
        self.note(clock::now(), "power on")?;
        self.host.power_on().with_context(|| format!("{}: power on", self.name))
    }

    pub fn wait(&mut self) -> Result<()> {
        self.host.wait().with_context(|| self.name.clone())
    }

    /// Power loss. The moment of the order: limits count from there.
    pub fn power_off(&mut self) -> Result<At> {
        self.note_memory();
        let at = clock::now();
        self.host.power_off().with_context(|| format!("{}: power off", self.name))?;
        self.note(at, "power off")?;
        if let Some((since, _)) = self.stopped.take() {
            self.stood_still(since, clock::now(), Duration::ZERO)?;
        }
        Ok(at)
    }

    /// The moment of the order.
    pub fn shut_down(&mut self) -> Result<At> {
        self.note_memory();
        let at = clock::now();
        self.note(at, "shut down")?;
        self.host.shut_down().with_context(|| format!("{}: shut down", self.name))?;
        Ok(at)
    }

    /// The moment of the order's end: nothing runs after it.
    pub fn stop(&mut self, how: Stop) -> Result<At> {
        self.host.stop(how).with_context(|| format!("{}: {how:?}", self.name))?;
        let at = clock::now();
        self.note(at, &format!("{how:?}"))?;
        self.stopped = Some((at, how));
        Ok(at)
    }

    /// Ends that. The moment of the order: nothing ran before it. What ran has its grace, and `late` on top: how late a
    /// process of this lab runs at the moment where nothing is done to it ([`crate::cluster::Cluster::late_since`]).
    pub fn go(&mut self, late: Duration) -> Result<At> {
        let at = clock::now();
        if let Some((since, how)) = self.stopped {
            self.host.go(how).with_context(|| format!("{}: the end of {how:?}", self.name))?;
            self.stopped = None;
            let grace = self.notes.as_ref().map_or(Duration::ZERO, |notes| how.grace(notes.lease) + late);
            self.stood_still(since, at, grace)?;
        }
        Ok(at)
    }

    /// The moment of the order.
    pub fn cut(&mut self, network: Network) -> Result<At> {
        let at = clock::now();
        self.host.cut(&Cut::Card(network)).with_context(|| format!("{}: cut {}", self.name, network.word()))?;
        self.cut.push(network);
        self.note(at, &format!("cut {}", network.word()))?;
        Ok(at)
    }

    pub fn heal(&mut self) -> Result<At> {
        while let Some(network) = self.cut.last().copied() {
            self.host.heal(&Cut::Card(network)).with_context(|| format!("{}: heal {}", self.name, network.word()))?;
            self.cut.pop();
            self.note(clock::now(), &format!("heal {}", network.word()))?;
        }
        Ok(clock::now())
    }

    /// Ends whatever was done to it, except having been switched off.
    pub fn restore(&mut self) -> Result<()> {
        self.heal()?;
        self.go(Duration::ZERO).map(drop)
    }

    pub fn pid(&self) -> Option<u32> {
        self.host.pid()
    }

    /// The most memory that its process has ever had, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        self.note_memory();
        self.peak
    }

    fn note_memory(&mut self) {
        if let Some(pid) = self.host.pid() {
            self.peak = self.peak.max(peak_memory(pid));
        }
    }
}
