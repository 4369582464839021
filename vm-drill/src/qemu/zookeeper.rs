//! ZooKeeper servers as processes in the lab's namespace, each on an address of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use drill::hosts::Network;
use testbed::zookeeper::{self, ensemble};

use crate::lab::{self, ZOOKEEPER_PORT};

/// `tickTime`.
pub const TICK: Duration = Duration::from_millis(500);
/// Servers with the numbers 1, 2, 3. No machine has one of them.
pub const MOST: u8 = 3;
const ASK: Duration = Duration::from_secs(1);
/// In ticks: a starved follower must not be given up.
const SYNC_LIMIT: u8 = 10;

pub struct Server {
    number: u8,
    server: zookeeper::Server,
}

/// An ensemble of so many, or one that stands alone.
pub fn prepare(directory: &Path, count: u8) -> Result<Vec<Server>> {
    let members: Vec<_> = (1..=count).map(|number| (Network::ZooKeeper.address(number), 2888, 3888)).collect();
    let prepared = |number: u8| {
        let address = SocketAddr::from((Network::ZooKeeper.address(number), ZOOKEEPER_PORT));
        let mut server = zookeeper::Server::new(directory.join(format!("zookeeper-{number}")), address, TICK)?;
        server.ask_for = ASK;
        if count > 1 {
            server.identify(usize::from(number))?;
            server.configure(&format!("{}{}syncLimit={SYNC_LIMIT}\n", server.plain(), ensemble(&members)))?;
        }
        Ok(Server { number, server })
    };
    (1..=count).map(prepared).collect()
}

impl lab::ZooKeeper for Server {
    fn name(&self) -> String {
        format!("zookeeper-{}", self.number)
    }

    fn address(&self) -> Ipv4Addr {
        Network::ZooKeeper.address(self.number)
    }

    fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.server.log())?;
        self.server.launch(|command| {
            // Dies with the drill, however that ends.
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--pdeathsig", "KILL", "--"]).args(command).stdin(Stdio::null());
            setpriv.stdout(log.try_clone()?).stderr(log).spawn().context("setpriv")
        })
    }

    fn wait(&mut self) -> Result<()> {
        self.server.until_serving()
    }

    fn mode(&self) -> Option<String> {
        self.server.mode()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}
