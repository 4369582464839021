//! What a service manager sees of it: nothing but a process that is ready.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::cluster::LIMIT;

#[test]
fn a_service_manager_is_told_of_readiness_again_and_of_no_end() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set("zookeeper.session_timeout", "10s");
    cluster.start("a");
    cluster.until_active_is("a");
    let path = cluster.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    cluster.start_with("b", |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    });
    let mut said: Vec<String> = Vec::new();
    let mut until = |wanted: &str, times: usize| {
        while said.iter().filter(|line| line.starts_with(wanted)).count() < times {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted} in {said:?}: {error}"));
            said.extend(text(&buffer[..length]).lines().map(str::to_owned));
        }
        said.clone()
    };
    until("READY=1", 1);
    cluster.until_eligible("b");
    cluster.signal("b", Signal::SIGUSR2);
    let said = until("READY=1", 2);
    assert!(!said.iter().any(|line| line == "STOPPING=1"), "{said:?}");
    let alive = said.iter().filter(|line| *line == "WATCHDOG=1").count();
    until("WATCHDOG=1", alive + 2);
    until_upgraded(&mut cluster, "b", 1);
}
