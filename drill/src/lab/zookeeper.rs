//! Three real ZooKeeper servers, one per host.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::{Host as _, NamespaceHost};

/// Where clients connect.
pub const CLIENT_PORT: u16 = 2181;
/// Answers of the four-letter commands: local, or not at all.
const ASK_FOR: Duration = Duration::from_millis(500);

/// One server and its host.
pub struct Server {
    /// Where it runs.
    pub host: NamespaceHost,
    directory: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Does not run yet.
    pub fn new(host: NamespaceHost, scratch: &Path, logs: &Path) -> Result<Self> {
        let directory = scratch.join(host.name());
        fs::create_dir_all(directory.join("data"))?;
        let log = logs.join(format!("{}.log", host.name()));
        Ok(Self { host, directory, log, child: None })
    }

    /// Its place among all: `addresses` in the order of their numbers.
    pub fn configure(&self, tick_ms: u64, addresses: &[Ipv4Addr]) -> Result<()> {
        let mut text = format!(
            "tickTime={tick_ms}\ninitLimit=20\nsyncLimit=4\ndataDir={}\nclientPort={CLIENT_PORT}\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
            self.directory.join("data").display()
        );
        for (index, address) in addresses.iter().enumerate() {
            text += &format!("server.{}={address}:2888:3888\n", index + 1);
            if *address == self.host.address() {
                fs::write(self.directory.join("data/myid"), (index + 1).to_string())?;
            }
        }
        fs::write(self.directory.join("zoo.cfg"), text)?;
        Ok(())
    }

    /// Starts it and does not wait.
    pub fn start(&mut self) -> Result<()> {
        let configuration = self.directory.join("zoo.cfg");
        let java = [
            "java",
            "-Xmx96m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            &format!("-Dzookeeper.log.dir={}", self.directory.display()),
            "-Dzookeeper.electionPortBindRetry=0",
            "-cp",
            "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            &configuration.display().to_string(),
        ];
        self.child = Some(self.host.start_process(&java, &[], &self.log)?);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill a ZooKeeper server")?;
            child.wait().context("cannot wait for a ZooKeeper server")?;
        }
        Ok(())
    }

    /// SIGSTOP, SIGCONT.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().with_context(|| format!("{} does not run", self.host.name()))?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal).context("cannot signal a ZooKeeper server")
    }

    /// Whether the process is there.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Forgets everything. Only while it does not run.
    pub fn wipe(&self) -> Result<()> {
        fs::remove_dir_all(self.directory.join("data/version-2")).context("cannot wipe a ZooKeeper server")
    }

    /// A four-letter command; asked from the switch.
    pub fn ask(&self, word: &str) -> Option<String> {
        let address = SocketAddr::from((self.host.address(), CLIENT_PORT));
        let mut stream = TcpStream::connect_timeout(&address, ASK_FOR).ok()?;
        stream.set_read_timeout(Some(ASK_FOR)).ok()?;
        stream.set_write_timeout(Some(ASK_FOR)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// `leader`, `follower`; none: it serves nobody.
    pub fn mode(&self) -> Option<String> {
        let answer = self.ask("srvr")?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Whether a client at this address is connected to it.
    pub fn serves(&self, client: Ipv4Addr) -> bool {
        self.ask("cons").is_some_and(|answer| answer.contains(&format!("/{client}:")))
    }
}
