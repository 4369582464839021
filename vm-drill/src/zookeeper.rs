//! One ZooKeeper server, in the lab's namespace, on an address of its own network.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock;
use crate::machine::peak_memory;
use crate::network::Network;

pub const PORT: u16 = 2181;
/// `tickTime`.
pub const TICK: Duration = Duration::from_millis(500);
/// A Java machine on a busy host.
const START: Duration = Duration::from_secs(60);

pub struct ZooKeeper {
    directory: PathBuf,
    process: Option<Child>,
}

impl ZooKeeper {
    pub fn address() -> Ipv4Addr {
        Network::ZooKeeper.address(1)
    }

    pub fn prepare(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(directory.join("data"))?;
        fs::write(
            directory.join("zoo.cfg"),
            format!(
                "tickTime={}\ndataDir={}\nclientPort={PORT}\nclientPortAddress={}\nadmin.enableServer=false\n\
                 4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
                TICK.as_millis(),
                directory.join("data").display(),
                Self::address()
            ),
        )?;
        Ok(Self { directory, process: None })
    }

    pub fn start(&mut self) -> Result<()> {
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

    pub fn wait(&mut self) -> Result<()> {
        let until = clock::now() + START;
        while !self.serves() {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                anyhow::bail!("ZooKeeper ended with {status}, see {}", self.directory.join("log").display());
            }
            ensure!(clock::now() < until, "ZooKeeper does not serve within {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn serves(&self) -> bool {
        let address = SocketAddr::from((Self::address(), PORT));
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            connection.set_read_timeout(Some(Duration::from_secs(1)))?;
            connection.write_all(b"ruok")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer == "imok")
    }

    /// The most memory that its Java machine has had since its last start, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.process.as_ref().map_or(0, |child| peak_memory(child.id()))
    }

    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
