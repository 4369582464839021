//! The service manager's protocol: readiness, a status line, the watchdog, the end.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use crate::cluster::{Cluster, LIMIT, send};
use crate::zookeeper::Server;
use nix::sys::signal::Signal;
use testbed::mortal;

#[test]
fn systemd_is_told_of_readiness_of_the_status_of_life_and_of_the_end() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.write_config("a");
    let path = cluster.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.args(["run", "-c"]).arg(cluster.config_file("a"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = mortal::spawn(command).unwrap();

    let mut said: Vec<String> = Vec::new();
    let mut until = |wanted: &str| {
        while !said.iter().any(|line| line.starts_with(wanted)) {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted} in {said:?}: {error}"));
            said.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
    };
    until("READY=1");
    until("WATCHDOG=1");
    until("STATUS=OK: ");
    send(i32::try_from(child.id()).unwrap(), Signal::SIGTERM);
    until("STOPPING=1");
    assert!(child.wait().unwrap().success());
    let kinds: BTreeSet<&str> = said.iter().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(kinds, BTreeSet::from(["READY", "STATUS", "STOPPING", "WATCHDOG"]));
}
