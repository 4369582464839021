//! A real ZooKeeper server: its folder, its configuration, its process.
//!
//! Whose child the process is, on which host and with whom it dies differs between tests, drills and demo: who launches a
//! server starts the command that it gives. It is killed by its process id when it is dropped.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock;

/// Where Debian's package `zookeeper` puts things.
const DEBIAN_JAR: &str = "/usr/share/java/zookeeper.jar";
const DEBIAN_CONF: &str = "/etc/zookeeper/conf";
/// How long a server may take to serve: a Java machine on a busy host.
const START: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ASK_FOR: Duration = Duration::from_secs(2);

pub struct Server {
    /// Further arguments of the Java machine. They have precedence.
    pub arguments: Vec<String>,
    /// Beside the server's own.
    pub class_path: Vec<String>,
    /// How long it may take to answer a four-letter command, and to take one.
    pub ask_for: Duration,
    address: SocketAddr,
    directory: PathBuf,
    tick: Duration,
    child: Option<Child>,
}

impl Server {
    /// One that stands alone and does not run yet. All that it writes lies below `directory`; sessions may be between 2 and
    /// 20 of its ticks long.
    pub fn new(directory: PathBuf, address: SocketAddr, tick: Duration) -> Result<Self> {
        let data = directory.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let (arguments, class_path) = (Vec::new(), Vec::new());
        let server = Self { arguments, class_path, ask_for: ASK_FOR, address, directory, tick, child: None };
        server.configure(&server.plain())?;
        Ok(server)
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The words of the configuration for [`Server::address`], without TLS.
    #[must_use]
    pub fn plain(&self) -> String {
        format!("clientPort={}\nclientPortAddress={}\n", self.address.port(), self.address.ip())
    }

    /// Replaces the configuration. `more` has precedence over what all servers have.
    pub fn configure(&self, more: &str) -> Result<()> {
        let text = format!(
            "tickTime={}\ninitLimit=20\nsyncLimit=4\ndataDir={}\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
             maxClientCnxns=0\n{more}",
            self.tick.as_millis(),
            self.data().display()
        );
        fs::write(self.configuration(), text).context("cannot configure a ZooKeeper server")
    }

    /// Its number in the ensemble.
    pub fn identify(&self, number: usize) -> Result<()> {
        fs::write(self.data().join("myid"), number.to_string()).context("cannot number a ZooKeeper server")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("zoo.cfg")
    }

    /// Where those write who have no better place.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn command(&self) -> Result<Vec<OsString>> {
        let own = class_path().context("no ZooKeeper here: apt-get install zookeeper, or set ZOOKEEPER_HOME")?;
        let class_path = std::iter::once(own).chain(self.class_path.iter().cloned()).collect::<Vec<_>>().join(":");
        // A small heap, and no time spent on optimizing code that runs for minutes.
        let mut command = vec!["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            .into_iter()
            .map(OsString::from)
            .collect::<Vec<_>>();
        command.push(format!("-Dzookeeper.log.dir={}", self.directory.display()).into());
        command.extend(self.arguments.iter().map(OsString::from));
        command.extend(["-cp".into(), class_path.into()]);
        command.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
        command.push(self.configuration().into());
        Ok(command)
    }

    /// Has it started, and does not wait. `start` gets the command.
    pub fn launch(&mut self, start: impl FnOnce(&[OsString]) -> Result<Child>) -> Result<()> {
        ensure!(self.child.is_none(), "the ZooKeeper server at {} runs", self.address);
        self.child = Some(start(&self.command()?).context("cannot start a ZooKeeper server")?);
        Ok(())
    }

    /// Waits until it serves.
    pub fn until_serving(&mut self) -> Result<()> {
        let limit = clock::now() + u64::try_from(START.as_nanos())?;
        while self.mode().is_none() {
            if let Some(status) = self.ended()? {
                bail!("the ZooKeeper server at {} ended with {status}", self.address);
            }
            ensure!(clock::now() < limit, "the ZooKeeper server at {} does not serve within {START:?}", self.address);
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// How it ended, if it has by itself.
    pub fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill a ZooKeeper server")?;
            child.wait().context("cannot wait for a ZooKeeper server")?;
        }
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("the ZooKeeper server at {} does not run", self.address))?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal).context("cannot signal a ZooKeeper server")
    }

    /// While it was launched and not killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Forgets everything that was stored. Only while it does not run.
    pub fn wipe(&self) -> Result<()> {
        ensure!(self.child.is_none(), "a ZooKeeper server that runs cannot be wiped");
        fs::remove_dir_all(self.stored()).context("cannot wipe a ZooKeeper server")
    }

    /// Copies what is stored to a directory, for [`Server::restore`]. Only while it does not run.
    pub fn backup(&self, to: &Path) -> Result<()> {
        ensure!(self.child.is_none(), "a ZooKeeper server that runs cannot be copied");
        copy(&self.stored(), to).context("cannot copy what a ZooKeeper server stores")
    }

    /// Has older data. Only while it does not run.
    pub fn restore(&self, from: &Path) -> Result<()> {
        self.wipe()?;
        fs::create_dir(self.stored())?;
        copy(from, &self.stored()).context("cannot restore what a ZooKeeper server stored")
    }

    fn stored(&self) -> PathBuf {
        self.data().join("version-2")
    }

    /// A four-letter command.
    #[must_use]
    pub fn ask(&self, word: &str) -> Option<String> {
        ask(self.address, word, self.ask_for)
    }

    /// `standalone`, `leader`, `follower`; none: it serves nobody. (`ruok` is answered some 300 ms before sessions are.)
    #[must_use]
    pub fn mode(&self) -> Option<String> {
        let answer = self.ask("srvr")?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The words of a configuration for an ensemble: each server's address, port for its peers, port for elections, in the
/// order of their numbers, which begin with 1.
#[must_use]
pub fn ensemble(members: &[(Ipv4Addr, u16, u16)]) -> String {
    let line = |(index, (address, peers, election)): (usize, &(Ipv4Addr, u16, u16))| {
        format!("server.{}={address}:{peers}:{election}\n", index + 1)
    };
    members.iter().enumerate().map(line).collect()
}

/// Where ZooKeeper is on this machine.
#[must_use]
pub fn class_path() -> Option<String> {
    if Path::new(DEBIAN_JAR).exists() {
        return Some(format!("{DEBIAN_CONF}:{DEBIAN_JAR}"));
    }
    let home = std::env::var_os("ZOOKEEPER_HOME").map(PathBuf::from)?;
    Some(format!("{0}/conf:{0}/lib/*", home.display()))
}

fn ask(address: SocketAddr, word: &str, limit: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.set_write_timeout(Some(limit)).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A port of this host that is free at this moment.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
