//! The client that reads ZooKeeper itself, on a real server.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use primacy::client::Client;
use primacy::status::{Breadcrumb, Member};
use zookeeper_client as zk;

use super::*;

struct Server {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "tickTime=2000\ndataDir={path}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
        );
        let file = directory.path().join("zoo.cfg");
        std::fs::write(&file, config).unwrap();
        let process = java(directory.path(), &file);
        let server = Self { process, address: format!("127.0.0.1:{port}"), _directory: directory };
        let started = clock::now();
        while !server.serves() {
            assert!(clock::now().since(started) < LIMIT, "ZooKeeper does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// It listens before it serves.
    fn serves(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        // One that starts may take a connection and forget it.
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = String::new();
        let _ = stream.write_all(b"srvr");
        let _ = stream.read_to_string(&mut answer);
        answer.contains("Mode:")
    }
}

fn java(directory: &Path, config: &Path) -> Child {
    Command::new("java")
        .args(["-Xmx128m", &format!("-Dzookeeper.log.dir={}", directory.display())])
        .args(["-cp", "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(servers: &str) -> primacy::config::ZooKeeper {
    primacy::config::ZooKeeper {
        servers: servers.to_owned(),
        root: "/primacy".into(),
        session_timeout: Duration::from_secs(10),
        tick_time: Duration::from_secs(2),
        heartbeat_interval: Duration::from_secs(1),
        margin: Duration::from_millis(500),
        digest: None,
        tls: None,
    }
}

fn member_json(node: &str, role: Role) -> Vec<u8> {
    let row = member(node, role).row;
    serde_json::to_vec(&Member {
        format: 1,
        row,
        process: None,
        session_timeout_ms: None,
        election_node: None,
        ready_for: None,
    })
    .unwrap()
}

fn breadcrumb(clean: bool) -> Vec<u8> {
    serde_json::to_vec(&Breadcrumb {
        election_node: None,
        node: "node-a".into(),
        epoch: 7,
        api: "http://node-a:9090".into(),
        endpoints: BTreeMap::new(),
        since: "2026-01-02T03:04:05.678Z".into(),
        clean,
        host: None,
        cause: None,
        to: None,
    })
    .unwrap()
}

/// Writes (`Some`) or deletes (`None`) nodes below the cluster's own.
fn change(server: &Server, nodes: &[(&str, Option<Vec<u8>>)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = zk::Client::connect(&server.address).await.unwrap();
        let mode = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
        for (path, data) in nodes {
            let path = format!("/primacy/dremio/{path}");
            match data {
                None => client.delete(&path, None).await.unwrap(),
                Some(data) => {
                    let (parent, _) = path.rsplit_once('/').unwrap();
                    client.mkdir(parent, &mode).await.unwrap();
                    match client.create(&path, data, &mode).await {
                        Ok(_) => (),
                        Err(zk::Error::NodeExists) => drop(client.set_data(&path, data, None).await.unwrap()),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    });
}

#[test]
fn a_cluster_is_read_from_zookeeper_and_only_a_present_active_member_is_named_as_active() {
    let server = Server::start();
    let client = Client::from_zookeeper("dremio", config(&server.address));
    for problem in [client.cluster().unwrap_err(), client.history().unwrap_err()] {
        assert!(!problem.could_not_ask());
        assert!(problem.to_string().contains("there is no cluster \"dremio\""), "{problem}");
    }
    change(&server, &[("epoch", Some(b"7".to_vec()))]);
    let other = Client::from_zookeeper("dremi", config(&server.address)).cluster().unwrap_err().to_string();
    assert!(other.contains("there is dremio"), "a wrong name looks like an idle cluster: {other}");

    let entry = active().history.remove(0);
    let entries = [6, 7].map(|epoch| serde_json::to_vec(&HistoryEntry { epoch, ..entry.clone() }).unwrap());
    let [sixth, seventh] = entries;
    change(
        &server,
        &[
            ("epoch", Some(b"7".to_vec())),
            ("active", Some(breadcrumb(false))),
            (
                "control",
                Some(br#"{"paused":true,"switchover":{"to":"node-b","expect_epoch":7,"by":"alice"}}"#.to_vec()),
            ),
            ("members/node-b", Some(member_json("node-b", Role::Standby))),
            ("members/node-a", Some(member_json("node-a", Role::Active))),
            ("members/node-x", Some(b"not understood".to_vec())),
            ("history/0000000006", Some(sixth)),
            ("history/0000000007", Some(seventh)),
        ],
    );
    let view = client.cluster().unwrap();
    assert_eq!((view.epoch, view.paused), (Some(7), true));
    let switchover = view.switchover.unwrap();
    assert_eq!((&switchover["to"], &switchover["by"]), (&"node-b".into(), &"alice".into()));
    assert_eq!(
        view.action.map(|action| (action.kind, action.node)),
        Some(("switchover".into(), Some("node-b".into())))
    );
    assert_eq!(view.active.unwrap().node, "node-a");
    let expected = [member("node-a", Role::Active), member("node-b", Role::Standby)]
        .map(|member| MemberView { last_contact_ms: None, ..member });
    assert_eq!(view.members, expected);
    let epochs: Vec<u64> = client.history().unwrap().iter().map(|entry| entry.epoch).collect();
    assert_eq!(epochs, [7, 6]);

    change(&server, &[("control", Some(b"pause!".to_vec()))]);
    assert!(client.cluster().unwrap().paused, "the supervisors take an unreadable control node for a pause");
    change(&server, &[("members/node-b", Some(member_json("node-a", Role::Active)))]);
    assert_eq!(client.cluster().unwrap().members.len(), 1, "the content is another node's");

    change(&server, &[("active", Some(breadcrumb(true)))]);
    assert_eq!(client.cluster().unwrap().active, None, "it stopped cleanly");
    change(
        &server,
        &[("active", Some(breadcrumb(false))), ("members/node-a", Some(member_json("node-a", Role::Fencing)))],
    );
    assert_eq!(client.cluster().unwrap().active, None, "it says that it is not");
    change(&server, &[("members/node-a", None)]);
    assert_eq!(client.cluster().unwrap().active, None, "its session is gone");
}

#[test]
fn a_zookeeper_that_does_not_answer_is_an_error_with_its_name() {
    // Bound and never accepted: connections succeed and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = silent.local_addr().unwrap().to_string();
    let error = Client::from_zookeeper("dremio", config(&servers)).cluster().unwrap_err().to_string();
    assert!(error.contains(&servers), "{error}");
}
