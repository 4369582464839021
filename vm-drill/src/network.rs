//! The lab's networks: a bridge each, in a network namespace that ends with the drill.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Management,
    Nfs,
    ZooKeeper,
}

impl Network {
    pub const ALL: [Self; 3] = [Self::Management, Self::Nfs, Self::ZooKeeper];

    /// Third octet of its addresses; less 90, the fifth of its cards' hardware addresses.
    fn number(self) -> u8 {
        match self {
            Self::Management => 99,
            Self::Nfs => 98,
            Self::ZooKeeper => 97,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Nfs => "NFS",
            Self::ZooKeeper => "ZooKeeper",
        }
    }

    /// Of the machine with this number; 1 is the drill's own.
    pub fn address(self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number(), 0, machine)
    }

    pub fn hardware_address(self, machine: u8) -> String {
        format!("52:54:00:00:{:02}:{machine:02x}", self.number() - 90)
    }

    fn bridge(self) -> String {
        format!("br{}", self.number())
    }

    /// The host's end of a machine's cable.
    pub fn tap(self, machine: u8) -> String {
        format!("tap{}-{machine}", self.number())
    }
}

/// Moves this process into a network namespace of its own. Before any thread is started. Without root, in a user
/// namespace of its own, too.
pub fn enter() -> Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if uid.is_root() {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
            .context("a network namespace without root (or run this as root)")?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    ip("link set lo up")?;
    for network in Network::ALL {
        let bridge = network.bridge();
        ip(&format!("link add name {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", network.address(1)))?;
        ip(&format!("link set {bridge} up"))?;
    }
    Ok(())
}

/// A cable for the machine's card.
pub fn plug(network: Network, machine: u8) -> Result<()> {
    let tap = network.tap(machine);
    ip(&format!("tuntap add dev {tap} mode tap"))?;
    ip(&format!("link set {tap} master {}", network.bridge()))?;
    ip(&format!("link set {tap} up"))
}

/// Pulls the machine's cable, or puts it back.
pub fn connect(network: Network, machine: u8, connected: bool) -> Result<()> {
    ip(&format!("link set {} {}", network.tap(machine), if connected { "up" } else { "down" }))
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("ip")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
