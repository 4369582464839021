//! packaging/address: an address that is where the coordinator is, on two hosts in network namespaces and a client in a third.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use testbed::mortal;
use uuid::Uuid;

use crate::cluster::{Cluster, make_directory, send};
use crate::skipped;

const ADDRESS: &str = "10.99.0.100";
const PORT: u16 = 9047;

/// A switch, with two hosts and a client on it.
struct Network {
    id: String,
}

impl Network {
    fn new() -> Result<Self, String> {
        let network = Self { id: Uuid::new_v4().simple().to_string()[..8].to_owned() };
        for host in ["lan", "a", "b"] {
            ip(&["netns", "add", &network.name(host)])?;
            ip(&["-n", &network.name(host), "link", "set", "lo", "up"])?;
        }
        let lan = network.name("lan");
        ip(&["-n", &lan, "link", "add", "eth0", "type", "bridge"])?;
        ip(&["-n", &lan, "address", "add", "10.99.0.1/24", "dev", "eth0"])?;
        ip(&["-n", &lan, "link", "set", "eth0", "up"])?;
        for (host, last) in [("a", 11), ("b", 12)] {
            let (name, port) = (network.name(host), format!("to-{host}"));
            ip(&["-n", &lan, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            ip(&["-n", &lan, "link", "set", &port, "master", "eth0", "up"])?;
            ip(&["-n", &name, "address", "add", &format!("10.99.0.{last}/24"), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        }
        Ok(network)
    }

    fn name(&self, host: &str) -> String {
        format!("primacy-test-{}-{host}", self.id)
    }

    fn address_of(&self, host: &str) -> String {
        let all = ip(&["-n", &self.name(host), "-o", "address", "show", "dev", "eth0"]).unwrap();
        all.lines().find(|line| line.contains(&format!(" {ADDRESS}/"))).unwrap_or_default().to_owned()
    }

    fn has_the_address(&self, host: &str) -> bool {
        !self.address_of(host).is_empty()
    }

    /// Who answers the client there.
    fn answer(&self) -> Option<String> {
        let lan = fs::File::open(Path::new("/run/netns").join(self.name("lan"))).unwrap();
        let ask = move || {
            // Of this thread alone.
            setns(lan.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            let address: SocketAddr = format!("{ADDRESS}:{PORT}").parse().unwrap();
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
            let mut answer = [0; 200];
            let length = stream.read(&mut answer).ok()?;
            let text = String::from_utf8_lossy(&answer[..length]).into_owned();
            text.rsplit("\r\n\r\n").next().map(str::to_owned)
        };
        std::thread::spawn(ask).join().unwrap()
    }

    fn until_answered(&self, cluster: &mut Cluster, by: &str) {
        cluster.until(&format!("the client is answered by {by}"), |_| {
            (self.answer().as_deref() == Some(by)).then_some(())
        });
    }

    fn until_without(&self, cluster: &mut Cluster, host: &str) {
        cluster.until(&format!("{host} has no such address"), |_| (!self.has_the_address(host)).then_some(()));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in ["a", "b", "lan"] {
            let _ = ip(&["netns", "delete", &self.name(host)]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// The service beside a node.
struct Follower(Child);

impl Follower {
    fn start(network: &Network, host: &str) -> Self {
        let mut command = mortal::command();
        command.args(["ip", "netns", "exec", &network.name(host), script(), "follow"]);
        command.args([format!("{ADDRESS}/24").as_str(), "eth0"]).stdin(Stdio::null());
        Self(mortal::spawn(command).unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/address/primacy-address")
}

#[test]
fn an_address_goes_where_the_coordinator_goes_and_leaves_a_host_that_has_lost_it() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => return skipped(&format!("no network namespaces here: {why}")),
    };
    for program in ["arping", "curl"] {
        if Command::new(program).arg("-V").output().is_err() {
            return skipped(&format!("no {program} here (scripts/install-needs test)"));
        }
    }
    // By the volume alone: a server would have to be on that network, too.
    let mut cluster = Cluster::new("127.0.0.1:1");
    cluster.set("election", "lock");
    make_directory(&cluster.lock_directory());
    cluster.set("api.listen", "127.0.0.1:9090");
    cluster.set("health.tcp", format!("127.0.0.1:{PORT}"));
    cluster.set("health.interval", "200ms");
    cluster.coordinator(&["--serve", &format!("0.0.0.0:{PORT}")]);
    let hook = |verb: &str| [script(), verb, &format!("{ADDRESS}/24"), "eth0"].map(str::to_owned).to_vec();
    cluster.set("hooks.on_active", hook("add"));
    cluster.set("hooks.after_stop", hook("remove"));
    cluster.set("hooks.on_standby", hook("remove"));
    let start = |cluster: &mut Cluster, node: &str| {
        let starts = cluster.log(node).matches("primacy starts as a standby").count();
        cluster.start_within(node, &["ip", "netns", "exec", &network.name(node)]);
        cluster.until("it has started", |cluster| {
            (cluster.log(node).matches("primacy starts as a standby").count() > starts).then_some(())
        });
    };
    start(&mut cluster, "a");
    let of_a = Follower::start(&network, "a");
    network.until_answered(&mut cluster, "a 1");
    start(&mut cluster, "b");
    let of_b = Follower::start(&network, "b");

    // An ordered stop: the hooks.
    cluster.signal("a", Signal::SIGTERM);
    network.until_answered(&mut cluster, "b 2");
    network.until_without(&mut cluster, "a");
    assert_eq!(cluster.until_exit("a"), 0);
    start(&mut cluster, "a");

    // Nobody is left to run a hook: who follows finds out.
    cluster.signal("b", Signal::SIGKILL);
    network.until_answered(&mut cluster, "a 3");
    network.until_without(&mut cluster, "b");
    cluster.until_exit("b");
    start(&mut cluster, "b");

    // Fenced by its guardian, and whoever follows does not run either: the kernel takes the address away.
    cluster.until("the address has an end", |_| network.address_of("a").contains(" dynamic ").then_some(()));
    send(of_a.pid(), Signal::SIGSTOP);
    cluster.signal("a", Signal::SIGSTOP);
    network.until_without(&mut cluster, "a");
    network.until_answered(&mut cluster, "b 4");
    drop((of_a, of_b));
}
