//! ZooKeeper forgets, or somebody deletes by hand.

use zookeeper_client::{Client, Error};

use super::pair;
use crate::cluster::{Cluster, block_on};
use crate::zookeeper::Server;

fn client(server: &Server) -> Client {
    block_on(Client::connect(&server.address())).unwrap()
}

/// As `deleteall` of zkCli.sh: what others create meanwhile is deleted too.
async fn delete_all(client: &Client, path: &str) {
    loop {
        match client.delete(path, None).await {
            Ok(()) | Err(Error::NoNode) => return,
            Err(Error::NotEmpty) => {
                for child in client.list_children(path).await.unwrap_or_default() {
                    Box::pin(delete_all(client, &format!("{path}/{child}"))).await;
                }
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

#[test]
fn an_emptied_zookeeper_does_not_reset_the_epoch() {
    let mut server = Server::start();
    let mut cluster = Cluster::new(&server.address());
    for name in ["a", "b"] {
        cluster.restart_when_fenced(name);
    }
    cluster.start_with_active(&["a", "b"]);
    // A second epoch, so that starting again at 1 shows.
    let first = cluster.running();
    crate::cluster::send(first.process(), nix::sys::signal::Signal::SIGKILL);
    let second = cluster.until_run_after(&first);
    cluster.until_eligible("a");
    server.kill();
    server.wipe();
    server.launch();
    server.until_serving();
    let third = cluster.until_run_after(&second);
    assert!(third.epoch > second.epoch);
    cluster.until_any_active(&["a", "b"]);
    let status = cluster.status(&third.node).unwrap();
    assert_eq!(status["epoch"], third.epoch, "{status}");
    cluster.judge();
}

#[test]
fn a_deleted_election_node_costs_the_role() {
    let mut cluster = pair();
    let former = cluster.running();
    cluster.restart_when_fenced("a");
    let client = client(Server::shared());
    let election = format!("{}/election", cluster.znode());
    let queue = block_on(client.list_children(&election)).unwrap();
    let own = queue.into_iter().min_by_key(|node| node.rsplit('-').next().unwrap().to_owned()).unwrap();
    block_on(client.delete(&format!("{election}/{own}"), None)).unwrap();
    assert_eq!(cluster.until_run_after(&former).node, "b");
    assert_eq!(cluster.until_cause("b", 1), "election_node_deleted");
    // b is elected before a has said goodbye; that must not cost b its claim.
    assert!(!cluster.log("b").contains("the epoch was not granted"));
    cluster.until("a has fenced itself", |cluster| (cluster.exits("a") == [3]).then_some(()));
    cluster.until_eligible("a");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn a_deleted_cluster_directory_costs_the_role_and_is_made_again() {
    let mut cluster = pair();
    let former = cluster.running();
    for name in ["a", "b"] {
        cluster.restart_when_fenced(name);
    }
    let client = client(Server::shared());
    block_on(delete_all(&client, &cluster.znode()));
    let next = cluster.until_run_after(&former);
    assert!(next.epoch > former.epoch);
    cluster.until("a has fenced itself", |cluster| (cluster.exits("a").first() == Some(&3)).then_some(()));
    let active = cluster.until_any_active(&["a", "b"]);
    cluster.until_eligible(if active == "a" { "b" } else { "a" });
    cluster.judge();
}

#[test]
fn a_deleted_epoch_node_costs_the_role_and_the_epoch_goes_on_from_the_lock_file() {
    let mut cluster = pair();
    let former = cluster.running();
    for name in ["a", "b"] {
        cluster.restart_when_fenced(name);
    }
    let client = client(Server::shared());
    block_on(client.delete(&format!("{}/epoch", cluster.znode()), None)).unwrap();
    let next = cluster.until_run_after(&former);
    assert!(next.epoch > former.epoch);
    cluster.until_any_active(&["a", "b"]);
    cluster.judge();
}
