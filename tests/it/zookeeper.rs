//! ZooKeeper servers of the testbed's, on free loopback ports. None outlives the tests, however they end.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use testbed::{mortal, zookeeper};

/// Milliseconds; sessions may be between 2 and 20 of it long.
pub const TICK: u64 = 500;

pub struct Server {
    pub port: u16,
    inner: zookeeper::Server,
    _directory: TempDir,
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
        let (directory, address) = (TempDir::new().unwrap(), zookeeper::free_address().unwrap());
        let inner = zookeeper::Server::new(directory.path().to_owned(), address, Duration::from_millis(TICK)).unwrap();
        Self { port: address.port(), inner, _directory: directory }
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
        server.inner.class_path = ["/usr/share/java/netty-all.jar", "/usr/share/java/*"].map(str::to_owned).to_vec();
        server.launch();
        server
    }

    pub fn address(&self) -> String {
        self.inner.address().to_string()
    }

    /// `more` is appended to the configuration, and has precedence over what stands before it.
    pub fn configure(&self, more: &str) {
        self.inner.configure(more).unwrap();
    }

    /// Its number in the ensemble.
    pub fn identify(&self, number: usize) {
        self.inner.identify(number).unwrap();
    }

    pub fn launch(&mut self) {
        let log = fs::File::create(self.inner.log()).unwrap();
        let start = |argv: &[OsString]| -> anyhow::Result<Child> {
            let mut command = mortal::command();
            command.args(argv).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            Ok(mortal::spawn(command)?)
        };
        self.inner.launch(start).unwrap();
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.inner.kill().unwrap();
    }

    /// Forgets everything that was stored. Only while it does not run.
    pub fn wipe(&mut self) {
        self.inner.wipe().unwrap();
    }

    /// What is stored, for [`Server::restore`]. Only while it does not run.
    pub fn backup(&self) -> TempDir {
        let backup = TempDir::new().unwrap();
        self.inner.backup(backup.path()).unwrap();
        backup
    }

    /// Comes back with older data. Only while it does not run.
    pub fn restore(&mut self, backup: &TempDir) {
        self.inner.restore(backup.path()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        self.inner.signal(signal).unwrap();
    }

    pub fn until_serving(&mut self) {
        let outcome = self.inner.until_serving();
        outcome.unwrap_or_else(|error| panic!("{error:#}\n{}", fs::read_to_string(self.inner.log()).unwrap()));
    }

    /// A four-letter command.
    pub fn command(&self, word: &str) -> Option<String> {
        self.inner.ask(word)
    }

    pub fn leads(&self) -> bool {
        self.inner.mode().as_deref() == Some("leader")
    }
}

/// Three servers that have elected a leader.
pub fn ensemble() -> Vec<Server> {
    ensemble_with("")
}

/// The same, with `more` in their configuration.
pub fn ensemble_with(more: &str) -> Vec<Server> {
    let mut servers: Vec<Server> = (0..3).map(|_| Server::prepare()).collect();
    let members: Vec<_> = servers.iter().map(|_| (std::net::Ipv4Addr::LOCALHOST, free_port(), free_port())).collect();
    let members = zookeeper::ensemble(&members);
    for (index, server) in servers.iter().enumerate() {
        server.configure(&format!("{}{members}{more}", server.inner.plain()));
        server.identify(index + 1);
    }
    servers.iter_mut().for_each(Server::launch);
    servers.iter_mut().for_each(Server::until_serving);
    servers
}

pub fn free_port() -> u16 {
    zookeeper::free_address().unwrap().port()
}
