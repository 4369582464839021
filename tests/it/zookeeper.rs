//! Real ZooKeeper servers on free loopback ports, killed by their process ids.
//!
//! Each server is started by a thread that lives as long as this process and carries a parent-death signal, so none
//! outlives the tests, however they end.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Milliseconds; sessions may be between 2 and 20 of it long.
pub const TICK: u64 = 500;

/// How long a server may take to serve: a Java machine on a busy host.
const START: Duration = Duration::from_secs(60);

pub struct Server {
    pub port: u16,
    directory: PathBuf,
    _temporary: Option<TempDir>,
    child: Option<Child>,
    /// Java system properties.
    properties: Vec<String>,
    class_path: String,
}

impl Server {
    /// A server of its own that serves.
    pub fn start() -> Self {
        let mut server = Self::prepare();
        server.launch();
        server.until_serving();
        server
    }

    /// Everything but the process.
    pub fn prepare() -> Self {
        let temporary = TempDir::new().unwrap();
        let directory = temporary.path().to_owned();
        let port = free_port();
        let server = Self {
            port,
            directory,
            _temporary: Some(temporary),
            child: None,
            properties: Vec::new(),
            class_path: "/usr/share/java/zookeeper.jar".to_owned(),
        };
        server.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\n"));
        server
    }

    /// The server that tests share which do not stop theirs.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server that speaks TLS only, with the given key store and trust store (PEM files).
    pub fn start_tls(key_store: &Path, trust_store: &Path) -> Self {
        let mut server = Self::prepare();
        server.configure(&format!(
            "secureClientPort={}\nsecureClientPortAddress=127.0.0.1\n\
             serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.trustStore.location={}\nssl.trustStore.type=PEM\n\
             ssl.clientAuth=none\n",
            server.port,
            key_store.display(),
            trust_store.display(),
        ));
        server.class_path.push_str(":/usr/share/java/netty-all.jar:/usr/share/java/*");
        server.launch();
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `more` is appended to the configuration, and has precedence over what stands before it.
    pub fn configure(&self, more: &str) {
        let data = self.directory.join("data");
        fs::create_dir_all(&data).unwrap();
        let text = format!(
            "tickTime={TICK}\ninitLimit=20\nsyncLimit=4\ndataDir={}\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\nmaxClientCnxns=0\n{more}",
            data.display()
        );
        fs::write(self.directory.join("zoo.cfg"), text).unwrap();
    }

    /// Its number in the ensemble.
    pub fn identify(&self, number: usize) {
        fs::write(self.directory.join("data/myid"), number.to_string()).unwrap();
    }

    pub fn launch(&mut self) {
        assert!(self.child.is_none());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        command.arg(format!("-Dzookeeper.log.dir={}", self.directory.display()));
        command.args(&self.properties);
        command.args(["-cp", &format!("/etc/zookeeper/conf:{}", self.class_path)]);
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(self.directory.join("zoo.cfg"));
        let log = fs::File::create(self.directory.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(spawn_for_life(command));
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Forgets everything that was stored. Only while it does not run.
    pub fn wipe(&mut self) {
        assert!(self.child.is_none());
        fs::remove_dir_all(self.directory.join("data/version-2")).unwrap();
    }

    /// What is stored, for [`Server::restore`]. Only while it does not run.
    pub fn backup(&self) -> TempDir {
        assert!(self.child.is_none());
        let backup = TempDir::new().unwrap();
        copy(&self.directory.join("data/version-2"), backup.path());
        backup
    }

    /// Comes back with older data. Only while it does not run.
    pub fn restore(&mut self, backup: &TempDir) {
        self.wipe();
        let data = self.directory.join("data/version-2");
        fs::create_dir(&data).unwrap();
        copy(backup.path(), &data);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    pub fn until_serving(&self) {
        let mut waited = Duration::ZERO;
        while !self.command("srvr").is_some_and(|answer| answer.contains("Mode:")) {
            let pause = Duration::from_millis(50);
            std::thread::sleep(pause);
            waited += pause;
            assert!(waited < START, "{}", fs::read_to_string(self.directory.join("log")).unwrap());
        }
    }

    /// A four-letter command.
    pub fn command(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub fn leads(&self) -> bool {
        self.command("srvr").is_some_and(|answer| answer.contains("Mode: leader"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Three servers that have elected a leader.
pub fn ensemble() -> Vec<Server> {
    ensemble_with("")
}

/// The same, with `more` in their configuration.
pub fn ensemble_with(more: &str) -> Vec<Server> {
    let mut servers: Vec<Server> = (0..3).map(|_| Server::prepare()).collect();
    let peers: String =
        (1..=servers.len()).map(|id| format!("server.{id}=127.0.0.1:{}:{}\n", free_port(), free_port())).collect();
    for (index, server) in servers.iter().enumerate() {
        server.configure(&format!("clientPort={}\nclientPortAddress=127.0.0.1\n{peers}{more}", server.port));
        server.identify(index + 1);
    }
    servers.iter_mut().for_each(Server::launch);
    servers.iter().for_each(Server::until_serving);
    servers
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A parent-death signal is sent when the parent *thread* ends, and tests' threads end early.
pub fn spawn_for_life(command: Command) -> Child {
    static SPAWNER: OnceLock<mpsc::Sender<(Command, mpsc::Sender<Child>)>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<(Command, mpsc::Sender<Child>)>();
        std::thread::spawn(move || {
            for (mut command, answer) in receiver {
                answer.send(command.spawn().unwrap()).unwrap();
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    spawner.send((command, answer)).unwrap();
    child.recv().unwrap()
}
