//! The active node's ZooKeeper server is cut off from its quorum, but not from the active node.
//!
//! The server goes on answering pings and reads, and shows the deleted election node for as long as it believes to follow.
//! The quorum meanwhile lets the session expire and elects the other node. Each server sees the others' quorum ports
//! through proxies of its own, so that a follower's links can be frozen whoever leads; a long `syncLimit` keeps it from
//! noticing. The nodes' volumes do not exclude each other, so that the lease alone is on trial.

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, proxy};
use crate::proxy::Proxy;
use crate::zookeeper::{Server, free_port};

/// In ticks of half a second: far longer than a session.
const SYNC_LIMIT: u32 = 60;

struct Ensemble {
    servers: Vec<Server>,
    /// By the server whose links they are.
    links: Vec<Vec<Proxy>>,
}

fn ensemble() -> Ensemble {
    let mut servers: Vec<Server> = (0..3).map(|_| Server::prepare()).collect();
    let ports: Vec<(u16, u16)> = servers.iter().map(|_| (free_port(), free_port())).collect();
    let mut links = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let mut own = Vec::new();
        let mut text = format!("clientPort={}\nclientPortAddress=127.0.0.1\nsyncLimit={SYNC_LIMIT}\n", server.port);
        for (other, (quorum, election)) in ports.iter().enumerate() {
            let address = if other == index {
                format!("127.0.0.1:{quorum}")
            } else {
                own.push(proxy(&format!("127.0.0.1:{quorum}")));
                own.last().unwrap().address()
            };
            text.push_str(&format!("server.{}={address}:{election}\n", other + 1));
        }
        server.configure(&text);
        server.identify(index + 1);
        links.push(own);
    }
    servers.iter_mut().for_each(Server::launch);
    servers.iter_mut().for_each(Server::until_serving);
    Ensemble { servers, links }
}

fn follows(server: &Server) -> bool {
    server.command("srvr").is_some_and(|answer| answer.contains("Mode: follower"))
}

#[test]
fn the_old_coordinator_is_dead_before_the_new_one_starts_when_its_server_is_cut_off_from_the_quorum() {
    let repeat = std::env::var("PRIMACY_REPEAT").map_or(1, |times| times.parse().unwrap());
    for round in 1..=repeat {
        let Ensemble { servers, links } = ensemble();
        let cut_off = servers.iter().position(follows).unwrap();
        let rest: Vec<String> = servers
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != cut_off)
            .map(|(_, server)| server.address())
            .collect();
        let mut cluster = Cluster::new(&rest.join(","));
        cluster.set_for("a", "zookeeper.servers", servers[cut_off].address());
        cluster.start_without_common_lock(&["a", "b"]);
        let former = cluster.running();
        links[cut_off].iter().for_each(Proxy::freeze);
        let next = cluster.until_run_after(&former);
        assert_eq!(next.node, "b");
        // Otherwise this was an ordinary loss of the connection.
        assert!(follows(&servers[cut_off]), "the server noticed that it was cut off");
        assert_eq!(cluster.until_exit("a"), 3);
        links[cut_off].iter().for_each(Proxy::heal);
        cluster.start("a");
        cluster.until_eligible("a");
        cluster.signal("b", Signal::SIGTERM);
        cluster.until_active_is("a");
        let runs = cluster.judge();
        let silence = (runs[1].first - runs[0].last) / 1_000_000;
        println!("round {round} of {repeat}: the old one was dead {silence} ms before the new one started");
    }
}
