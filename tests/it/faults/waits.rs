//! What the supervisor has to do with does not answer.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::TWO_AND_A_HALF_SESSIONS;
use crate::cluster::{Cluster, send};
use crate::zookeeper::Server;

#[test]
fn a_service_manager_that_hangs_costs_its_messages_and_nothing_else() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let path = cluster.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let filler = std::os::unix::net::UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"X=1", &path).is_ok() {}
    cluster.start_with("a", |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    });
    cluster.until_active_is("a");
    cluster.watch_for(TWO_AND_A_HALF_SESSIONS);
    assert!(cluster.is_active("a"));
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let until = |wanted: &[&str]| {
        let mut said = String::new();
        while !wanted.iter().all(|wanted| said.contains(wanted)) {
            let mut buffer = [0; 4096];
            let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted:?} in {said:?}: {error}"));
            said.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
    };
    until(&["READY=1\n", "WATCHDOG=1\n", "STATUS=OK: "]);
    until(&["WATCHDOG=1\n"]);
    let supervisor = cluster.supervisor("a");
    send(supervisor, Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.judge();
}

#[test]
fn a_configuration_that_cannot_be_read_to_its_end_holds_nothing_up() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.start("a");
    cluster.until_active_is("a");
    let former = cluster.running();
    let file = cluster.config_file("a");
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
    // A reader of a FIFO waits for somebody to write: as a file on a mount whose server is away.
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "could not be read within 10 s");
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.until_ticks_again().pid, former.pid);
    fs::remove_file(&file).unwrap();
    fs::write(&file, text.replace("cluster =", "log_level = \"debug\"\ncluster =")).unwrap();
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "log_level");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.judge();
}
