//! A host is what can be killed, frozen, cut off and healed as a whole. Namespaces are the first kind; virtual machines
//! the second. The nemesis and the lab speak only this.

use std::process::Output;

use anyhow::Result;

pub mod cgroup;
pub mod enter;
mod namespace;
pub mod network;
pub mod processes;
pub mod sandbox;

pub use namespace::NamespaceHost;

/// Which way packets stop. Seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Both,
    In,
    Out,
}

/// See the module.
pub trait Host: Send {
    /// As the lab calls it: `n1`, `zk2`, `client`.
    fn name(&self) -> &str;
    /// Where its services are reached: an address on the lab's network.
    fn address(&self) -> std::net::Ipv4Addr;
    /// Makes it exist (again), with nothing running but what its own start brings.
    fn start(&mut self) -> Result<()>;
    /// Power loss: everything on it is gone at once, nothing is flushed, nobody is told.
    fn kill(&mut self) -> Result<()>;
    /// Stops time on it.
    fn freeze(&mut self) -> Result<()>;
    fn thaw(&mut self) -> Result<()>;
    /// Drops packets between it and `peers` (all hosts if empty).
    fn cut(&mut self, peers: &[std::net::Ipv4Addr], direction: Direction) -> Result<()>;
    /// Undoes every cut.
    fn heal(&mut self) -> Result<()>;
    /// Runs a command on it and waits.
    fn run(&self, argv: &[&str]) -> Result<Output>;
    /// Starts a command on it that stays; answers its process id as this kernel's hosts see it.
    fn spawn(&mut self, argv: &[&str], log: &std::path::Path) -> Result<u32>;
}
