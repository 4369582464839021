//! A host made of namespaces: its own network with a cable to the lab's switch, its own name, and a control group that
//! holds all of its processes.
//!
//! What it shares with the others (kernel, clock, memory, the drill's mounts) is not what primacy distinguishes hosts by.
//! Power loss takes its network away first and throws it away afterwards, so nobody hears a connection being closed.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cgroup::Group;
use super::network::{Net, Switch, cut};
use super::{Answer, Cut, Deed, Direction, Host, Kind, Stop};

/// Of `timeout`, for what did not end.
const TIMED_OUT: i32 = 124;

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
    /// Exists after [`Host::power_on`].
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

    /// Runs a command and waits for its end; its outputs apart.
    pub fn output(&self, argv: &[&str]) -> Result<Output> {
        self.command(argv)?.output().with_context(|| format!("cannot run {} on {}", argv[0], self.name))
    }

    /// Adds rules of any kind to those in force.
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
    fn kind(&self) -> Kind {
        Kind::Namespaces
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn is_on(&self) -> bool {
        self.net.is_some()
    }

    fn power_on(&mut self) -> Result<()> {
        let net = self.switch.connect(&self.name, self.address)?;
        if !self.rules.is_empty() {
            net.rules(&self.rules)?;
        }
        self.net = Some(net);
        Ok(())
    }

    fn power_off(&mut self) -> Result<()> {
        let Some(net) = self.net.take() else { return Ok(()) };
        net.rules(&cut(&[], Direction::Both))?;
        self.group.kill()?;
        self.switch.disconnect(&self.name)?;
        net.remove()
    }

    fn shut_down(&mut self) -> Result<()> {
        Ok(self.kind().can(Deed::ShutDown)?)
    }

    fn stop(&mut self, how: Stop) -> Result<()> {
        self.kind().can(how.deed())?;
        self.group.freeze()
    }

    fn go(&mut self, how: Stop) -> Result<()> {
        self.kind().can(how.deed())?;
        self.group.thaw();
        Ok(())
    }

    fn cut(&mut self, separation: &Cut) -> Result<()> {
        match separation {
            Cut::Packets(peers, direction) => self.add_rules(cut(peers, *direction)),
            Cut::Card(_) => Ok(self.kind().can(separation.deed())?),
        }
    }

    fn heal(&mut self, separation: &Cut) -> Result<()> {
        match separation {
            Cut::Packets(peers, direction) => self.remove_rules(&cut(peers, *direction)),
            Cut::Card(_) => Ok(self.kind().can(separation.deed())?),
        }
    }

    fn run(&self, command: &str, limit: Duration) -> Result<Answer> {
        // Both outputs are one, as on a machine that is reached by a wire.
        let limit = limit.as_secs_f64().to_string();
        let output = self.output(&["timeout", "-k", "1", &limit, "sh", "-c", &format!("exec 2>&1; {command}")])?;
        let code = output.status.code().context("a command was killed")?;
        ensure!(code != TIMED_OUT, "{}: `{command}` has not ended after {limit} s", self.name);
        Ok(Answer { code, text: String::from_utf8_lossy(&output.stdout).trim().to_owned() })
    }
}
