//! Machines that `vagrant up` has made: Debian with systemd, primacy by its unit, a provider's networks.
//!
//! # Theory of operation
//! `vagrant ssh-config` says which machines there are and how to log in; the rest is agreed with the Vagrantfile (names,
//! numbers, networks) and with provisioning (units, paths). What is done to a machine from outside goes through
//! `vagrant/machine`, which speaks libvirt and VirtualBox ([`machine`]); commands go through one root shell for each
//! ([`shell`]). Nothing is made and nothing is taken down here: that is Vagrant's.

pub mod machine;
mod shell;
mod zookeeper;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use drill::hosts::{Deed, Kind, Provider};

use self::machine::{VagrantHost, outside};
use self::shell::Shell;
use crate::cluster::SERVER;
use crate::host::Machine;
use crate::lab::{Lab, Need, Timing, ZooKeeper};
use crate::ticks;

/// primacy's default, and the NFS server's as provisioned.
const TEN: Duration = Duration::from_secs(10);

pub struct Options {
    /// Where the Vagrantfile is.
    pub vagrant: PathBuf,
    /// For logs.
    pub directory: PathBuf,
}

/// Finds the machines and waits until one can log in.
pub fn lab(options: &Options) -> Result<Lab> {
    let said = ssh_config(&options.vagrant)?;
    let config = options.directory.join("ssh-config");
    fs::write(&config, &said)?;
    let script = options.vagrant.join("machine");
    let found = addresses(&said);
    let provider = match outside(&script, &["provider"])?.as_str() {
        "libvirt" => Provider::Libvirt,
        "virtualbox" => Provider::VirtualBox,
        other => bail!("machines of {other} are not known here: libvirt's and VirtualBox's are"),
    };
    let kind = Kind::Vagrant(provider);
    let machine = |name: &str, number: u8| {
        let shell = Shell::new(name, config.clone(), options.directory.join(format!("{name}.ssh")));
        let reach = found.get(name).with_context(|| format!("{name} is not up"))?;
        anyhow::Ok(VagrantHost::new(name, number, provider, *reach, &script, shell))
    };
    let host = |name: &str, number: u8| anyhow::Ok(Machine::of(number, Box::new(machine(name, number)?)));
    let mut candidates = Vec::new();
    for (name, number) in numbered(&found, "node-", |rest| rest.bytes().next().map(|letter| 11 + letter - b'a')) {
        candidates.push(host(name, number)?);
    }
    let mut zookeepers: Vec<Box<dyn ZooKeeper>> = Vec::new();
    for (name, number) in numbered(&found, "zookeeper-", |rest| rest.parse::<u8>().ok().map(|number| 20 + number)) {
        zookeepers.push(Box::new(zookeeper::Server { name: name.to_owned(), number, machine: machine(name, number)? }));
    }
    let mut server = host("nfs", SERVER)?;
    let names: Vec<&String> = found.keys().collect();
    ensure!(
        candidates.len() >= 2 && !zookeepers.is_empty(),
        "these machines are up: {names:?}; two candidates, nfs and a zookeeper are needed"
    );
    if !server.is_on() {
        server.boot()?;
    }
    server.wait()?;
    // Without KVM QEMU calls itself "qemu".
    let virtualization = server.run("systemd-detect-virt")?.text;
    Ok(Lab {
        lacks: lacks(kind, zookeepers.len()),
        candidates,
        server,
        zookeepers,
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, ticks::PORT)),
        timing: timing(virtualization == "qemu"),
        about: format!("{kind} ({})", if virtualization == "qemu" { "emulation" } else { &virtualization }),
    })
}

fn lacks(kind: Kind, zookeepers: usize) -> Vec<(Need, String)> {
    let mut lacks = vec![
        (Need::ServiceWithoutVolume, "the service's unit mounts its volume itself".to_owned()),
        (Need::Nfs3, "the NFS server is set up for NFSv4 only".to_owned()),
        (Need::ExportsToHosts, "the NFS server is set up without storage fencing".to_owned()),
    ];
    for (need, deed) in [(Need::Freeze, Deed::Freeze), (Need::Resets, Deed::TellResets)] {
        lacks.extend(kind.can(deed).err().map(|refusal| (need, refusal.why.to_owned())));
    }
    if zookeepers < 2 {
        lacks.push((Need::Ensemble, "one ZooKeeper server (PRIMACY_ZOOKEEPERS=3)".to_owned()));
    }
    lacks
}

fn timing(emulated: bool) -> Timing {
    let [beat, write] = if emulated { [10, 200] } else { [5, 50] }.map(Duration::from_millis);
    let seconds = Duration::from_secs;
    Timing {
        session: TEN,
        // ZooKeeper's default.
        tick: seconds(2),
        nfs_lease: TEN,
        rest: seconds(300),
        // By ssh, and through systemd.
        order: seconds(4),
        nfs_restart: seconds(60),
        nfs_boot: seconds(if emulated { 180 } else { 60 }),
        emulation: seconds(if emulated { 2 } else { 0 }),
        beat,
        write,
    }
}

fn ssh_config(vagrant: &Path) -> Result<String> {
    let output = Command::new("vagrant").arg("ssh-config").current_dir(vagrant).stdin(Stdio::null()).output();
    let output = output.context("vagrant")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        said.contains("HostName"),
        "vagrant ssh-config: {} (vagrant up?)",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(said)
}

/// By name.
fn addresses(config: &str) -> BTreeMap<String, Ipv4Addr> {
    let (mut found, mut host) = (BTreeMap::new(), None);
    for line in config.lines() {
        match line.trim().split_once(' ') {
            Some(("Host", name)) => host = Some(name.to_owned()),
            Some(("HostName", address)) => {
                if let (Some(host), Ok(address)) = (host.take(), address.parse()) {
                    found.insert(host, address);
                }
            }
            _ => {}
        }
    }
    found
}

/// Names that begin with `prefix`, and the numbers that the Vagrantfile gives them.
fn numbered<'a>(
    found: &'a BTreeMap<String, Ipv4Addr>,
    prefix: &'a str,
    number: impl Fn(&str) -> Option<u8> + 'a,
) -> impl Iterator<Item = (&'a str, u8)> {
    found.keys().filter_map(move |name| Some((name.as_str(), number(name.strip_prefix(prefix)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Host node-b\n  HostName 192.168.221.7\n  User vagrant\n\nHost zookeeper-3\n  HostName 127.0.0.1\n\
                        \n  Port 2222\n\nHost nfs\n  HostName 192.168.221.9\n";

    #[test]
    fn machines_are_found_with_the_vagrantfiles_numbers() {
        let found = addresses(SAID);
        assert_eq!(found.len(), 3);
        let nodes: Vec<_> = numbered(&found, "node-", |rest| Some(11 + rest.as_bytes()[0] - b'a')).collect();
        assert_eq!(nodes, [("node-b", 12)]);
        let servers: Vec<_> = numbered(&found, "zookeeper-", |rest| rest.parse().ok()).collect();
        assert_eq!((servers, found["zookeeper-3"].is_loopback()), (vec![("zookeeper-3", 3)], true));
    }

    #[test]
    fn what_the_hosts_lack_depends_on_provider_and_ensemble() {
        let has = |provider, zookeepers, need| {
            lacks(Kind::Vagrant(provider), zookeepers).iter().all(|(lacked, _)| *lacked != need)
        };
        let (libvirt, virtualbox) = (Provider::Libvirt, Provider::VirtualBox);
        assert!(has(libvirt, 3, Need::Freeze) && has(libvirt, 3, Need::Ensemble));
        assert!(!has(virtualbox, 3, Need::Freeze) && !has(libvirt, 1, Need::Ensemble));
        assert!(!has(libvirt, 3, Need::Nfs3) && !has(libvirt, 3, Need::Resets));
    }
}
