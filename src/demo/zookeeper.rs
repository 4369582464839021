//! A ZooKeeper server of the demo's own: own port, own data, gone with it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::{Problem, child};

/// Where Debian's package `zookeeper` puts things.
const DEBIAN_JAR: &str = "/usr/share/java/zookeeper.jar";
const DEBIAN_CONF: &str = "/etc/zookeeper/conf";

/// A port that is free at this moment.
pub fn free_address() -> Result<SocketAddr, Problem> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Problem::io("a free port on 127.0.0.1"))
}

/// Starts a server that listens at `address`, with everything it writes under `folder`.
pub fn start(folder: &Path, address: SocketAddr) -> Result<Child, Problem> {
    let classpath = classpath()?;
    std::fs::create_dir_all(folder.join("data")).map_err(Problem::io(folder.display().to_string()))?;
    let config = folder.join("zoo.cfg");
    let text = format!(
        "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         4lw.commands.whitelist=srvr\nmaxClientCnxns=0\n",
        folder.join("data").display(),
        address.port()
    );
    std::fs::write(&config, text).map_err(Problem::io(config.display().to_string()))?;
    let mut log_folder = OsString::from("-Dzookeeper.log.dir=");
    log_folder.push(folder);
    // A server for two clients: a small heap, and no time spent on optimizing code that runs for a minute.
    let command = [
        "java".into(),
        "-Xmx128m".into(),
        "-XX:+UseSerialGC".into(),
        "-XX:TieredStopAtLevel=1".into(),
        log_folder,
        "-cp".into(),
        classpath,
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".into(),
        config.into_os_string(),
    ];
    child::start(&command, &folder.join("output.log"))
}

fn classpath() -> Result<OsString, Problem> {
    if Path::new(DEBIAN_JAR).exists() {
        return Ok(format!("{DEBIAN_CONF}:{DEBIAN_JAR}").into());
    }
    if let Some(home) = std::env::var_os("ZOOKEEPER_HOME").map(PathBuf::from) {
        return Ok(format!("{0}/conf:{0}/lib/*", home.display()).into());
    }
    Err(Problem::Failed(
        "no ZooKeeper here. Either  apt-get install zookeeper  (./scripts/demo does it), or set ZOOKEEPER_HOME to an unpacked \
         one, or take  primacy demo --no-zookeeper"
            .to_owned(),
    ))
}

/// Whether it serves. (`ruok` is answered some 300 ms before sessions are.)
pub fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"srvr")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("Mode: "))
}
