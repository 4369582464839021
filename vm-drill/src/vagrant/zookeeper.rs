//! A ZooKeeper server that has a machine of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use drill::hosts::{Host as _, Network};

use super::machine::VagrantHost;
use crate::clock;
use crate::host::Guest as _;
use crate::lab::{ZOOKEEPER_PORT, ZooKeeper};

/// Java on an emulated, starved processor.
const START: Duration = Duration::from_secs(300);
const ORDER: Duration = Duration::from_secs(60);
const UNIT: &str = "drill-zookeeper";

pub struct Server {
    pub name: String,
    pub number: u8,
    pub machine: VagrantHost,
}

impl ZooKeeper for Server {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn address(&self) -> Ipv4Addr {
        Network::ZooKeeper.address(self.number)
    }

    fn start(&mut self) -> Result<()> {
        self.machine.must(&format!("systemctl start {UNIT}"), ORDER).map(drop)
    }

    fn wait(&mut self) -> Result<()> {
        let until = clock::now() + START;
        while self.mode().is_none() {
            ensure!(clock::now() < until, "{} does not serve within {START:?}", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn mode(&self) -> Option<String> {
        // From inside: its network need not be one of this host's.
        let ask = format!(
            "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{ZOOKEEPER_PORT} && echo srvr >&3 && cat <&3' 2>/dev/null"
        );
        let answer = self.machine.run(&ask, ORDER).ok()?;
        answer.text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// The unit is stopped, too, for it would start it again at once.
    fn kill(&mut self) -> Result<()> {
        self.machine.must(&format!("systemctl kill -s KILL {UNIT}; systemctl stop {UNIT}"), ORDER).map(drop)
    }

    fn pid(&self) -> Option<u32> {
        self.machine.pid()
    }
}
