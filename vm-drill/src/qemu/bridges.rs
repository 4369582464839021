//! The networks as bridges, and cables to them, in a network namespace that ends with the drill.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use drill::hosts::Network;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

use super::zookeeper;

fn bridge(network: Network) -> String {
    format!("br{}", network.number())
}

/// The drill's end of a machine's cable.
pub fn tap(network: Network, machine: u8) -> String {
    format!("tap{}-{machine}", network.number())
}

/// Of the machine's card: what comes from the network's number says there which network it is on.
pub fn hardware_address(network: Network, machine: u8) -> String {
    format!("52:54:00:00:{:02}:{machine:02x}", network.number() - 90)
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
        let bridge = bridge(network);
        ip(&format!("link add name {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", network.address(1)))?;
        if network == Network::ZooKeeper {
            for server in 2..=zookeeper::MOST {
                ip(&format!("addr add {}/24 dev {bridge}", network.address(server)))?;
            }
        }
        ip(&format!("link set {bridge} up"))?;
    }
    Ok(())
}

/// A cable for the machine's card.
pub fn plug(network: Network, machine: u8) -> Result<()> {
    let tap = tap(network, machine);
    ip(&format!("tuntap add dev {tap} mode tap"))?;
    ip(&format!("link set {tap} master {}", bridge(network)))?;
    ip(&format!("link set {tap} up"))
}

/// Pulls the machine's cable, or puts it back.
pub fn connect(network: Network, machine: u8, connected: bool) -> Result<()> {
    ip(&format!("link set {} {}", tap(network, machine), if connected { "up" } else { "down" }))
}

fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().context("ip")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
