//! A host made of namespaces: its own network with a cable to the lab's switch, its own name, and a control group that
//! holds all of its processes.
//!
//! What it shares with the others (kernel, clock, memory, the drill's mounts) is not what primacy distinguishes hosts by.
//! Power loss takes its network away first and throws it away afterwards, so nobody hears a connection being closed.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::cgroup::Group;
use super::network::{Net, Switch, cut};
use super::{Direction, Host};

/// See the module.
pub struct NamespaceHost {
    name: String,
    address: Ipv4Addr,
    group: Group,
    switch: Arc<Switch>,
    net: Option<Net>,
    rules: Vec<(&'static str, String)>,
    drill: PathBuf,
}

impl NamespaceHost {
    /// Exists after [`Host::start`].
    pub fn new(name: &str, address: Ipv4Addr, group: Group, switch: Arc<Switch>) -> Result<Self> {
        let drill = std::env::current_exe().context("cannot find this program")?;
        Ok(Self { name: name.to_owned(), address, group, switch, net: None, rules: Vec::new(), drill })
    }

    fn net(&self) -> Result<&Net> {
        self.net.as_ref().with_context(|| format!("{} has no power", self.name))
    }

    /// The file to which its network is bound.
    pub fn network(&self) -> Result<&Path> {
        Ok(&self.net()?.path)
    }

    /// Its processes.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The command, to be started on the host.
    pub fn command(&self, argv: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.drill);
        command.arg("enter").arg("--net").arg(&self.net()?.path).args(["--name", &self.name]);
        for directory in self.group.directories() {
            command.arg("--group").arg(directory);
        }
        command.arg("--").args(argv).stdin(Stdio::null());
        Ok(command)
    }

    /// Starts a command that writes to `log`.
    pub fn start_process(&self, argv: &[&str], environment: &[(String, String)], log: &Path) -> Result<Child> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot open {}", log.display()))?;
        let mut command = self.command(argv)?;
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdout(file.try_clone()?).stderr(file);
        command.spawn().with_context(|| format!("cannot start {} on {}", argv[0], self.name))
    }

    /// Adds rules of any kind to those in force; [`Host::heal`] removes them all.
    pub fn add_rules(&mut self, rules: Vec<(&'static str, String)>) -> Result<()> {
        self.rules.extend(rules);
        let Some(net) = &self.net else { return Ok(()) };
        net.rules(&self.rules)
    }

    /// Removes these rules and leaves the others: faults overlap.
    pub fn remove_rules(&mut self, rules: &[(&'static str, String)]) -> Result<()> {
        for rule in rules {
            if let Some(index) = self.rules.iter().position(|present| present == rule) {
                self.rules.remove(index);
            }
        }
        let Some(net) = &self.net else { return Ok(()) };
        net.rules(&self.rules)
    }
}

impl Host for NamespaceHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn start(&mut self) -> Result<()> {
        let net = self.switch.connect(&self.name, self.address)?;
        if !self.rules.is_empty() {
            net.rules(&self.rules)?;
        }
        self.net = Some(net);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let Some(net) = self.net.take() else { return Ok(()) };
        net.rules(&cut(&[], Direction::Both))?;
        self.group.kill()?;
        self.switch.disconnect(&self.name)?;
        net.remove()
    }

    fn freeze(&mut self) -> Result<()> {
        self.group.freeze()
    }

    fn thaw(&mut self) -> Result<()> {
        self.group.thaw();
        Ok(())
    }

    fn cut(&mut self, peers: &[Ipv4Addr], direction: Direction) -> Result<()> {
        self.add_rules(cut(peers, direction))
    }

    fn heal(&mut self) -> Result<()> {
        self.rules.clear();
        let Some(net) = &self.net else { return Ok(()) };
        net.rules(&[])
    }

    fn run(&self, argv: &[&str]) -> Result<Output> {
        self.command(argv)?.output().with_context(|| format!("cannot run {} on {}", argv[0], self.name))
    }

    fn spawn(&mut self, argv: &[&str], log: &Path) -> Result<u32> {
        // The child is pid 1's to reap.
        Ok(self.start_process(argv, &[], log)?.id())
    }
}
