//! A host is what can be switched off, stopped, cut off and healed as a whole, and what runs commands. There are three kinds:
//! namespaces of this kernel (here), machines of QEMU's and machines of Vagrant's (in the drill on virtual machines). A lab
//! and a nemesis speak only this; what is beyond a kind is refused by name ([`Refusal`]) before anything is done.
//!
//! Rejected: one trait for each ability. Whoever holds a host would have to know its kind to know what it may ask, and a
//! fault that cannot be had here would be a compiler's error instead of a line in the list of what was left out.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

pub mod cgroup;
pub mod enter;
mod kind;
mod namespace;
pub mod network;
mod networks;
pub mod processes;
pub mod sandbox;

pub use kind::{Deed, Kind, Provider, Refusal};
pub use namespace::NamespaceHost;
pub use networks::Network;

/// For a command that only looks, or gives a signal. Emulated and starved, a log-in alone may take half a minute.
pub const COMMAND: Duration = Duration::from_secs(120);

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: i32,
    /// All that it said, on both of its outputs.
    pub text: String,
}

impl Answer {
    #[must_use]
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
    /// As [`Kind::can`] is asked.
    #[must_use]
    pub fn deed(self) -> Deed {
        match self {
            Self::Freeze => Deed::Freeze,
            Self::Pause => Deed::Pause,
        }
    }

    /// For how long what ran may run on beside a successor after the end, with this lease.
    #[must_use]
    pub fn grace(self, lease: Duration) -> Duration {
        match self {
            Self::Freeze => DEAD_AFTER_THAW,
            // Its lease has not run out by its own clock; it ends when ZooKeeper answers, and with the lease at the latest.
            Self::Pause => lease,
        }
    }
}

/// Which way packets stop. Seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Both,
    In,
    Out,
}

/// What separates a host from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets between it and these (all hosts if none) are dropped.
    Packets(Vec<Ipv4Addr>, Direction),
    /// The cable of its card on this network is pulled.
    Card(Network),
}

impl Cut {
    /// As [`Kind::can`] is asked.
    #[must_use]
    pub fn deed(&self) -> Deed {
        match self {
            Self::Packets(..) => Deed::CutPackets,
            Self::Card(_) => Deed::CutCard,
        }
    }
}

/// See the module.
pub trait Host: Send + Sync {
    fn kind(&self) -> Kind;
    /// As the lab calls it: `n1`, `zk2`, `client`, `node-a`.
    fn name(&self) -> &str;
    /// Where its peers reach its services.
    fn address(&self) -> Ipv4Addr;

    fn is_on(&self) -> bool;
    /// Makes it run (again), with nothing on it but what its own start brings. [`Host::wait`] until it is up.
    fn power_on(&mut self) -> Result<()>;
    /// Until commands can be run.
    fn wait(&mut self) -> Result<()> {
        Ok(())
    }
    /// Power loss: everything on it is gone at once, nothing is flushed, nobody is told. It is off when this returns.
    fn power_off(&mut self) -> Result<()>;
    /// As an operator shuts it down: services stopped, volume unmounted, off when this returns.
    fn shut_down(&mut self) -> Result<()>;

    fn stop(&mut self, how: Stop) -> Result<()>;
    /// Ends that.
    fn go(&mut self, how: Stop) -> Result<()>;
    fn cut(&mut self, cut: &Cut) -> Result<()>;
    /// Ends that, and no other cut.
    fn heal(&mut self, cut: &Cut) -> Result<()>;

    /// Runs a shell command as root, whatever it comes to.
    fn run(&self, command: &str, limit: Duration) -> Result<Answer>;

    /// Gives a signal to a process, by its number there.
    fn signal(&self, pid: u32, signal: Signal) -> Result<()> {
        let command = format!("kill -{} {pid}", signal as i32);
        let answer = self.run(&command, COMMAND)?;
        ensure!(answer.succeeded(), "{}: `{command}` ended with {}: {}", self.name(), answer.code, answer.text);
        Ok(())
    }

    /// The text of a file on it, without the white space around it.
    fn read(&self, file: &Path) -> Result<String> {
        let path = file.to_str().context("a path that is no text")?;
        let answer = self.run(&format!("cat '{path}'"), COMMAND)?;
        ensure!(answer.succeeded(), "{}: {}", self.name(), answer.text);
        Ok(answer.text)
    }
}
