//! ZooKeeper servers as processes in the lab's namespace, each on an address of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use drill::hosts::Network;

use crate::clock;
use crate::lab::{self, ZOOKEEPER_PORT};

/// `tickTime`.
pub const TICK: Duration = Duration::from_millis(500);
/// Servers with the numbers 1, 2, 3. No machine has one of them.
pub const MOST: u8 = 3;
/// A Java machine on a busy host.
const START: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(1);

pub struct Server {
    number: u8,
    directory: PathBuf,
    process: Option<Child>,
}

/// An ensemble of so many, or one that stands alone.
pub fn prepare(directory: &Path, count: u8) -> Result<Vec<Server>> {
    let mut ensemble = String::new();
    if count > 1 {
        for number in 1..=count {
            ensemble += &format!("server.{number}={}:2888:3888\n", Network::ZooKeeper.address(number));
        }
        ensemble += "initLimit=20\nsyncLimit=10\n";
    }
    let server = |number| {
        let directory = directory.join(format!("zookeeper-{number}"));
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), format!("{number}\n"))?;
        let text = format!(
            "tickTime={}\ndataDir={}\nclientPort={ZOOKEEPER_PORT}\nclientPortAddress={}\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\nmaxClientCnxns=0\n{ensemble}",
            TICK.as_millis(),
            data.display(),
            Network::ZooKeeper.address(number),
        );
        fs::write(directory.join("zoo.cfg"), text)?;
        Ok(Server { number, directory, process: None })
    };
    (1..=count).map(server).collect()
}

impl lab::ZooKeeper for Server {
    fn name(&self) -> String {
        format!("zookeeper-{}", self.number)
    }

    fn address(&self) -> Ipv4Addr {
        Network::ZooKeeper.address(self.number)
    }

    fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.directory.join("log"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dzookeeper.log.dir={}", self.directory.display()))
            .args(["-cp", "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.directory.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("java")?;
        self.process = Some(child);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let until = clock::now() + START;
        while self.mode().is_none() {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                anyhow::bail!("ZooKeeper ended with {status}, see {}", self.directory.join("log").display());
            }
            ensure!(clock::now() < until, "ZooKeeper does not serve within {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn mode(&self) -> Option<String> {
        lab::zookeeper_mode(SocketAddr::from((self.address(), ZOOKEEPER_PORT)), ASK)
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = lab::ZooKeeper::kill(self);
    }
}
