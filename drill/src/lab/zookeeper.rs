//! Three real ZooKeeper servers, one per host.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::zookeeper;

use crate::hosts::{Host as _, NamespaceHost};

/// Where clients connect.
pub const CLIENT_PORT: u16 = 2181;
/// Answers of the four-letter commands: local, or not at all.
const ASK_FOR: Duration = Duration::from_millis(500);

/// One server and its host.
pub struct Server {
    /// Where it runs.
    pub host: NamespaceHost,
    /// What runs there. Asked from the switch.
    pub process: zookeeper::Server,
    log: PathBuf,
}

impl Server {
    /// Does not run yet.
    pub fn new(host: NamespaceHost, scratch: &Path, logs: &Path, tick: Duration) -> Result<Self> {
        let address = SocketAddr::from((host.address(), CLIENT_PORT));
        let mut process = zookeeper::Server::new(scratch.join(host.name()), address, tick)?;
        process.arguments =
            ["-Xmx96m", "-Xshare:auto", "-Dzookeeper.electionPortBindRetry=0"].map(str::to_owned).to_vec();
        process.ask_for = ASK_FOR;
        let log = logs.join(format!("{}.log", host.name()));
        Ok(Self { host, process, log })
    }

    /// Its place among all: `addresses` in the order of their numbers.
    pub fn configure(&self, addresses: &[Ipv4Addr]) -> Result<()> {
        let members: Vec<_> = addresses.iter().map(|address| (*address, 2888, 3888)).collect();
        self.process.configure(&format!("clientPort={CLIENT_PORT}\n{}", zookeeper::ensemble(&members)))?;
        let place = addresses.iter().position(|address| *address == self.host.address());
        self.process.identify(place.context("a server that is not of the ensemble")? + 1)
    }

    /// Starts it and does not wait.
    pub fn start(&mut self) -> Result<()> {
        let (host, log) = (&self.host, &self.log);
        self.process.launch(|command| {
            let command: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
            host.start_process(&command, &[], log)
        })
    }

    /// Whether the process is there.
    pub fn runs(&self) -> bool {
        self.process.pid().is_some()
    }

    /// Whether a client at this address is connected to it.
    pub fn serves(&self, client: Ipv4Addr) -> bool {
        self.process.ask("cons").is_some_and(|answer| answer.contains(&format!("/{client}:")))
    }
}
