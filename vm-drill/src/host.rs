//! A host of the cluster, as drills see it, whoever provides it.
//!
//! [`Machine`] is all that a provider has to do: run a command, switch on and off, stop and go on, pull a cable, start and
//! stop a service by whatever its hosts have for that. [`Host`] keeps what was done to it, which is the same everywhere: what
//! has to be undone, and from when to when nothing ran on it. Rejected: a provider that keeps books of its own. Which
//! moments count would be decided once for each, and gaps and overlaps of two labs could not be compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use drill::history::{Entry, Writer};

use crate::clock::{self, At, nanoseconds};
use crate::network::Network;
use crate::resets::Resets;
use crate::starvation::peak_memory;

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: i32,
    pub text: String,
}

impl Answer {
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }
}

/// How a host is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything but its clock: after the thaw it sees that time has passed. As a host that was suspended or starved.
    Freeze,
    /// By the hypervisor, its clock included: it learns from nothing of its own that time has passed. As a snapshot or a
    /// migration does.
    Pause,
}

/// From the end of [`Stop::Freeze`] to the last tick of what ran: the guardian's timer is due at once.
const DEAD_AFTER_THAW: Duration = Duration::from_millis(100);

impl Stop {
    /// For how long what ran may run on beside a successor after the end, with this lease.
    pub fn grace(self, lease: Duration) -> Duration {
        match self {
            Self::Freeze => DEAD_AFTER_THAW,
            // Its lease has not run out by its own clock; it ends when ZooKeeper answers, and with the lease at the latest.
            Self::Pause => lease,
        }
    }
}

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

/// One host, by its provider.
pub trait Machine: Send + Sync {
    /// Runs a shell command as root, whatever it comes to.
    fn run(&self, command: &str, limit: Duration) -> Result<Answer>;
    fn service(&self, service: Service, order: Order) -> Result<()>;
    /// What its supervisor has logged up to now, over its restarts.
    fn supervisor_log(&self) -> Result<String>;

    /// Where its peers reach its interfaces.
    fn address(&self) -> Ipv4Addr;
    /// Where the drill reaches its HTTP interface.
    fn api(&self) -> SocketAddr;
    /// Where it reaches the drill, on a network that is never cut.
    fn drill(&self) -> Result<Ipv4Addr>;

    fn is_on(&self) -> bool;
    fn power_on(&mut self) -> Result<()>;
    /// Until it is up: commands can be run.
    fn wait(&mut self) -> Result<()>;
    /// Power loss. It is off when this returns.
    fn power_off(&mut self) -> Result<()>;
    /// As an operator shuts it down: services stopped, volume unmounted, off when this returns.
    fn shut_down(&mut self) -> Result<()>;

    fn stop(&mut self, how: Stop) -> Result<()>;
    fn go(&mut self, how: Stop) -> Result<()>;
    /// Pulls the cable of its card on this network, or puts it back.
    fn connect(&mut self, network: Network, connected: bool) -> Result<()>;

    /// Everything that it has printed to its console.
    fn console(&self) -> Result<Vec<u8>> {
        bail!("no console is recorded")
    }
    /// Its resets from here on. None are known of by default.
    fn resets(&self) -> Resets {
        Resets::default()
    }

    /// Of the process that the hypervisor runs it in, where it is one of this host's.
    fn pid(&self) -> Option<u32>;
}

/// For a command to end. Emulated and starved, a log-in alone may take half a minute.
const COMMAND: Duration = Duration::from_secs(120);

/// Where it is noted what is done to it.
struct Notes {
    history: Writer,
    /// Of a leadership on it.
    lease: Duration,
}

pub struct Host {
    pub name: String,
    /// Last octet of its addresses in the cluster's networks.
    pub number: u8,
    machine: Box<dyn Machine>,
    stopped: Option<(At, Stop)>,
    notes: Option<Notes>,
    pub resets: Resets,
    cut: Vec<Network>,
    peak: u64,
}

impl Host {
    pub fn of(name: &str, number: u8, machine: Box<dyn Machine>) -> Self {
        Self {
            name: name.to_owned(),
            number,
            resets: machine.resets(),
            machine,
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
        self.machine.run(command, limit).with_context(|| self.name.clone())
    }

    /// Runs a shell command on it that must succeed.
    pub fn must(&self, command: &str) -> Result<String> {
        let answer = self.run(command)?;
        ensure!(answer.succeeded(), "{}: `{command}` ended with {}: {}", self.name, answer.code, answer.text);
        Ok(answer.text)
    }

    pub fn service(&self, service: Service, order: Order) -> Result<()> {
        self.machine.service(service, order).with_context(|| format!("{}: {order:?} {service:?}", self.name))
    }

    pub fn supervisor_log(&self) -> Result<String> {
        self.machine.supervisor_log().with_context(|| self.name.clone())
    }

    pub fn console(&self) -> Result<Vec<u8>> {
        self.machine.console().with_context(|| self.name.clone())
    }

    pub fn address(&self) -> Ipv4Addr {
        self.machine.address()
    }

    pub fn api(&self) -> SocketAddr {
        self.machine.api()
    }

    /// Where it sends datagrams to the drill.
    pub fn drill(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::from((self.machine.drill()?, crate::ticks::PORT)))
    }

    pub fn is_on(&self) -> bool {
        self.machine.is_on()
    }

    /// Switches it on. [`Host::wait`] until it is up.
    pub fn boot(&mut self) -> Result<()> {
        self.note(clock::now(), "power on")?;
        self.machine.power_on().with_context(|| format!("{}: power on", self.name))
    }

    pub fn wait(&mut self) -> Result<()> {
        self.machine.wait().with_context(|| self.name.clone())
    }

    /// Power loss. The moment of the order: limits count from there.
    pub fn power_off(&mut self) -> Result<At> {
        self.note_memory();
        let at = clock::now();
        self.machine.power_off().with_context(|| format!("{}: power off", self.name))?;
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
        self.machine.shut_down().with_context(|| format!("{}: shut down", self.name))?;
        Ok(at)
    }

    pub fn freeze(&mut self) -> Result<At> {
        self.stop(Stop::Freeze)
    }

    pub fn thaw(&mut self) -> Result<At> {
        self.go()
    }

    pub fn pause(&mut self) -> Result<At> {
        self.stop(Stop::Pause)
    }

    pub fn resume(&mut self) -> Result<At> {
        self.go()
    }

    /// The moment of the order's end: nothing runs after it.
    fn stop(&mut self, how: Stop) -> Result<At> {
        self.machine.stop(how).with_context(|| format!("{}: {how:?}", self.name))?;
        let at = clock::now();
        self.note(at, &format!("{how:?}"))?;
        self.stopped = Some((at, how));
        Ok(at)
    }

    /// The moment of the order: nothing ran before it.
    fn go(&mut self) -> Result<At> {
        let at = clock::now();
        if let Some((since, how)) = self.stopped {
            self.machine.go(how).with_context(|| format!("{}: the end of {how:?}", self.name))?;
            self.stopped = None;
            let grace = self.notes.as_ref().map_or(Duration::ZERO, |notes| how.grace(notes.lease));
            self.stood_still(since, at, grace)?;
        }
        Ok(at)
    }

    /// The moment of the order.
    pub fn cut(&mut self, network: Network) -> Result<At> {
        let at = clock::now();
        self.machine.connect(network, false).with_context(|| format!("{}: cut {}", self.name, network.word()))?;
        self.cut.push(network);
        self.note(at, &format!("cut {}", network.word()))?;
        Ok(at)
    }

    pub fn heal(&mut self) -> Result<At> {
        while let Some(network) = self.cut.last().copied() {
            self.machine.connect(network, true).with_context(|| format!("{}: heal {}", self.name, network.word()))?;
            self.cut.pop();
            self.note(clock::now(), &format!("heal {}", network.word()))?;
        }
        Ok(clock::now())
    }

    /// Ends whatever was done to it, except having been switched off.
    pub fn restore(&mut self) -> Result<()> {
        self.heal()?;
        self.go().map(drop)
    }

    pub fn pid(&self) -> Option<u32> {
        self.machine.pid()
    }

    /// The most memory that its process has ever had, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        self.note_memory();
        self.peak
    }

    fn note_memory(&mut self) {
        if let Some(pid) = self.machine.pid() {
            self.peak = self.peak.max(peak_memory(pid));
        }
    }
}
