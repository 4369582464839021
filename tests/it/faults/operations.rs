//! What operators do: reload, give a name twice, prefer a node, do without ZooKeeper.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use zookeeper_client::{Acls, Client, CreateMode};

use super::pair;
use crate::cluster::{Cluster, block_on, make_directory, send};
use crate::zookeeper::Server;

fn member(cluster: &mut Cluster, asked: &str, name: &str) -> Option<Value> {
    let view = cluster.get(asked, "/cluster")?;
    view["members"].as_array()?.iter().find(|member| member["node"] == name).cloned()
}

fn priority(cluster: &mut Cluster, asked: &str, name: &str) -> Option<Value> {
    Some(member(cluster, asked, name)?["priority"].clone())
}

#[test]
fn sighup_changes_the_priority_and_an_invalid_file_changes_nothing() {
    let mut cluster = pair();
    let before = cluster.running();
    cluster.set_for("b", "candidate.priority", 50);
    cluster.write_config("b");
    cluster.signal("b", Signal::SIGHUP);
    // As the other node sees it.
    cluster.until("b's priority is 50", |cluster| (priority(cluster, "a", "b")? == 50).then_some(()));

    cluster.set_for("b", "candidate.priority", 7);
    cluster.write_config("b");
    let file = cluster.config_file("b");
    let mut text = fs::read_to_string(&file).unwrap();
    text.insert_str(0, "clutser = \"x\"\n");
    fs::write(&file, text).unwrap();
    cluster.signal("b", Signal::SIGHUP);
    cluster.until_logged("b", "the configuration was not reloaded");
    cluster.until_logged("b", "clutser");
    assert_eq!(priority(&mut cluster, "b", "b").unwrap(), 50);
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.until_ticks_again().pid, before.pid);
    // It could still take over.
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn a_second_process_with_a_living_members_name_exits_with_4() {
    let mut cluster = pair();
    cluster.set_for("c", "node", "a");
    cluster.start("c");
    assert_eq!(cluster.until_exit("c"), 4);
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.judge().len(), 1);
}

#[test]
fn the_candidate_of_higher_priority_becomes_active_at_an_election_although_another_waited_longer() {
    let mut cluster = Cluster::new(&Server::shared().address());
    cluster.set_for("b", "candidate.priority", 50);
    cluster.set_for("c", "candidate.priority", 200);
    cluster.start_with_active(&["a", "b", "c"]);
    assert!(cluster.is_active("a"), "nobody pre-empts");
    // Others hear of a change a moment later.
    cluster.until("b knows that c could take over, and its priority", |cluster| {
        let c = member(cluster, "b", "c")?;
        (c["priority"] == 200 && c["eligible"] == true).then_some(())
    });
    cluster.signal("a", Signal::SIGTERM);
    cluster.until_active_is("c");
    assert_eq!(cluster.judge().len(), 2);
}

#[test]
fn with_the_lock_alone_another_node_takes_over_from_a_killed_supervisor() {
    let mut cluster = Cluster::new("127.0.0.1:1");
    cluster.set("election", "lock");
    make_directory(&cluster.lock_directory());
    cluster.start("a");
    cluster.until_active_is("a");
    cluster.start("b");
    cluster.until_waiting_for_lock_of("b", "a");
    let former = cluster.running();
    cluster.signal("a", Signal::SIGKILL);
    let next = cluster.until_run_after(&former);
    assert_eq!(next.node, "b");
    cluster.until_active_is("b");
    assert_eq!(cluster.until_exit("a"), -9);
    cluster.start("a");
    cluster.until_status("a", "WAITING_FOR_LOCK");
    send(next.process(), Signal::SIGKILL);
    assert_eq!(cluster.until_run_after(&next).node, "a");
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_active_is("b");
    cluster.judge();
}

#[test]
fn an_authority_for_the_apis_clients_that_a_reload_brings_is_enforced() {
    let mut cluster = Cluster::new(&Server::shared().address());
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let (cert, private, ca) = (cluster.path("cert.pem"), cluster.path("key.pem"), cluster.path("ca.pem"));
    fs::write(&cert, &pem).unwrap();
    fs::write(&ca, &pem).unwrap();
    fs::write(&private, key.serialize_pem()).unwrap();
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    cluster.set("api.tls.cert", cert.to_str().unwrap());
    cluster.set("api.tls.key", private.to_str().unwrap());
    cluster.start("a");
    let ask = |cluster: &mut Cluster| {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None);
        let agent = agent.timeout_global(Some(std::time::Duration::from_secs(5))).build().new_agent();
        agent.get(format!("https://127.0.0.1:{}/liveness", cluster.port("a")?)).call().ok()
    };
    cluster.until("an answer without a certificate", |cluster| ask(cluster));

    // What does not fit leaves everything as it was.
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(&private, other.serialize_pem()).unwrap();
    cluster.set("candidate.priority", 7);
    cluster.write_config("a");
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "the configuration was not reloaded");
    assert!(!cluster.log("a").contains("candidate.priority"));
    assert!(ask(&mut cluster).is_some());

    fs::write(&private, key.serialize_pem()).unwrap();
    cluster.set("api.tls.client_ca", ca.to_str().unwrap());
    cluster.write_config("a");
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_logged("a", "api.tls.client_ca");
    cluster.until("no answer without a certificate", |cluster| ask(cluster).is_none().then_some(()));
}

#[test]
fn a_pause_suspends_promotions_and_they_go_on_after_it() {
    let mut cluster = pair();
    let former = cluster.running();
    let client = block_on(Client::connect(&Server::shared().address())).unwrap();
    let control = format!("{}/control", cluster.znode());
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    block_on(client.create(&control, br#"{"paused":true}"#, &options)).unwrap();
    cluster
        .until("b knows of the pause", |cluster| (cluster.get("b", "/server_status")?["paused"] == true).then_some(()));
    cluster.signal("a", Signal::SIGTERM);
    assert_eq!(cluster.until_exit("a"), 0);
    cluster.until_logged("b", "first in the queue; elections are paused");
    let reason = cluster.status("b").unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("elections are paused"), "{reason}");
    assert_eq!(cluster.judge().len(), 1, "somebody was promoted");
    block_on(client.set_data(&control, b"{}", None)).unwrap();
    cluster.until_active_is("b");
    assert!(cluster.until_run_after(&former).epoch > former.epoch);
    cluster.judge();
}

#[test]
fn an_active_node_that_is_asked_to_upgrade_says_that_it_cannot_and_leads_on() {
    let mut cluster = pair();
    cluster.signal("a", Signal::SIGUSR2);
    cluster.until_logged("a", "nothing happened: this node's coordinator runs");
    assert!(cluster.is_active("a"));
    assert_eq!(cluster.judge().len(), 1);
}
