//! `primacy proxy-config`, tried with the proxies themselves: what their clients see of a fail-over.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::clock;
use primacy::moment::Moment;
use testbed::mortal;

use crate::cluster::{Cluster, LIMIT, proxy};
use crate::proxy::Proxy;
use crate::skipped;
use crate::zookeeper::{Server, free_port};

/// What the proxies' checks and the nodes' health probes may add to the gap, on a host that has other things to do.
const CHECKS: Duration = Duration::from_secs(5);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Two nodes whose coordinators serve `web`, `odbc`, and `jdbc`, which is the same behind a network that can be cut.
struct Served {
    cluster: Cluster,
    jdbc: Vec<Proxy>,
    /// Where the proxy is to listen.
    web: u16,
    jdbc_port: u16,
    odbc_port: u16,
}

impl Served {
    fn start(always_on: bool) -> Self {
        // A session that outlasts the test: a busy host's late heartbeats are not what it is about.
        let mut server = Server::prepare();
        let address = server.address();
        let (_, port) = address.rsplit_once(':').unwrap();
        server.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\nmaxSessionTimeout=600000\n"));
        server.launch();
        server.until_serving();
        let mut cluster = Cluster::new(&address);
        cluster.keep(server);
        cluster.set("zookeeper.session_timeout", "10m");
        let program = crate::cluster::example("ticking-coordinator");
        let mut networks = Vec::new();
        for node in ["a", "b"] {
            let (api, web, jdbc) = (free_port(), free_port(), free_port());
            let network = proxy(&format!("127.0.0.1:{jdbc}"));
            let ticks = cluster.path(if always_on { node } else { "ticks" });
            let command = [
                program.to_str().unwrap(),
                ticks.to_str().unwrap(),
                "--serve",
                &format!("127.0.0.1:{web}"),
                "--serve",
                &format!("127.0.0.1:{jdbc}"),
            ];
            cluster.set_for(node, "coordinator.command", command.map(str::to_owned).to_vec());
            cluster.set_for(node, "coordinator.endpoints.web", format!("http://127.0.0.1:{web}"));
            cluster.set_for(node, "coordinator.endpoints.jdbc", network.address());
            cluster.set_for(node, "coordinator.endpoints.odbc", format!("127.0.0.1:{jdbc}"));
            cluster.set_for(node, "health.tcp", format!("127.0.0.1:{web}"));
            cluster.set_for(node, "health.interval", "200ms");
            cluster.set_for(node, "api.listen", format!("127.0.0.1:{api}"));
            cluster.set_for(node, "api.advertise", format!("http://127.0.0.1:{api}"));
            if always_on {
                cluster.set_for(node, "mode", "always-on");
            }
            networks.push(network);
        }
        if always_on {
            for node in ["a", "b"] {
                cluster.start(node);
                cluster.until_status(node, "OK");
            }
        } else {
            cluster.start_with_active(&["a", "b"]);
        }
        Self { cluster, jdbc: networks, web: free_port(), jdbc_port: free_port(), odbc_port: free_port() }
    }

    fn primacy(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
        command.arg("-c").arg(self.cluster.config_file("a")).args(arguments).output().unwrap()
    }

    /// The file as it is printed, put where it can be used.
    fn file(&self, kind: &str) -> PathBuf {
        let at = |name: &str, port: u16| format!("{name}=127.0.0.1:{port}");
        let (web, jdbc, odbc) = (at("web", self.web), at("jdbc", self.jdbc_port), at("odbc", self.odbc_port));
        let output = self.primacy(&["proxy-config", kind, "--listen", &web, "--listen", &jdbc, "--listen", &odbc]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let file = self.cluster.path(kind);
        fs::write(&file, output.stdout).unwrap();
        file
    }

    fn requests(&self) -> Requests {
        Requests::start(self.web)
    }
}

/// A proxy's process.
struct Balancer {
    child: Child,
    log: PathBuf,
}

impl Balancer {
    fn start(log: &Path, program: &[&str]) -> Self {
        let mut command = mortal::command();
        let output = fs::File::create(log).unwrap();
        command.args(program).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Self { child: mortal::spawn(command).unwrap(), log: log.to_owned() }
    }

    fn haproxy(served: &Served) -> Self {
        let file = served.file("haproxy");
        let file = file.to_str().unwrap();
        let checked = Command::new("haproxy").args(["-c", "-f", file]).output().unwrap();
        assert!(
            checked.status.success() && !String::from_utf8_lossy(&checked.stderr).contains("WARNING"),
            "{checked:?}"
        );
        Self::start(&served.cluster.path("haproxy.log"), &["haproxy", "-db", "-f", file])
    }

    /// With its process file where others' are not.
    fn nginx(served: &Served) -> (Self, PathBuf) {
        let file = served.file("nginx");
        let text = fs::read_to_string(&file).unwrap();
        let pid = served.cluster.path("nginx.pid");
        fs::write(&file, text.replace("/run/nginx.pid", pid.to_str().unwrap())).unwrap();
        let path = file.to_str().unwrap();
        let checked = Command::new("nginx").args(["-t", "-c", path]).output().unwrap();
        assert!(
            checked.status.success() && !String::from_utf8_lossy(&checked.stderr).contains("[warn]"),
            "{checked:?}"
        );
        let log = served.cluster.path("nginx.log");
        (Self::start(&log, &["nginx", "-c", path, "-g", "daemon off; error_log stderr;"]), file)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), fs::read_to_string(&self.log).unwrap_or_default());
        }
        // nginx' workers go with their master, and only if it is asked.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Why a proxy cannot be tried here.
fn missing(program: &str) -> Option<String> {
    let there = Command::new(program).arg("-v").output().is_ok_and(|output| output.status.success());
    let whole = program != "nginx" || Path::new("/usr/lib/nginx/modules/ngx_stream_module.so").exists();
    if !there || !whole {
        return Some(format!("no {program} here, or not all of it (scripts/install-needs test)"));
    }
    (!nix::unistd::geteuid().is_root()).then(|| format!("{program} begins as root and gives that up"))
}

/// One answer: when it was asked for and came, and by whom.
#[derive(Clone, Debug)]
struct Answer {
    asked: Moment,
    came: Moment,
    /// `NODE EPOCH`, or what was wrong.
    by: Result<String, String>,
}

/// A client that repeats its requests, each on a connection of its own.
struct Requests {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: Arc<AtomicBool>,
}

impl Requests {
    fn start(port: u16) -> Self {
        let requests = Self { answers: Arc::default(), stop: Arc::default() };
        let (answers, stop) = (Arc::clone(&requests.answers), Arc::clone(&requests.stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let asked = clock::now();
                let by = get(port);
                answers.lock().unwrap().push(Answer { asked, came: clock::now(), by });
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        requests
    }

    fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap().clone()
    }

    fn last(&self) -> Option<Answer> {
        self.answers.lock().unwrap().last().cloned()
    }

    /// Waits for an answer of this node, asked for from here on.
    fn until_from(&self, cluster: &mut Cluster, node: &str) {
        let began = clock::now();
        cluster.until(&format!("a client is answered by {node}"), |_| {
            let last = self.last().filter(|answer| answer.asked >= began)?;
            last.by.is_ok_and(|by| by.starts_with(&format!("{node} "))).then_some(())
        });
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn get(port: u16) -> Result<String, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_idle_connections(0).proxy(None);
    let agent = config.build().new_agent();
    let mut answer = agent.get(format!("http://127.0.0.1:{port}/")).call().map_err(|error| error.to_string())?;
    answer.body_mut().read_to_string().map_err(|error| error.to_string())
}

/// A session over TCP.
struct Session(BufReader<TcpStream>);

impl Session {
    /// Waits until there is one.
    fn open(cluster: &mut Cluster, port: u16) -> (Self, String) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        cluster.until("a session", |_| {
            let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut session = Self(BufReader::new(stream));
            let by = session.say("hello")?;
            Some((session, by))
        })
    }

    /// Who answers.
    fn say(&mut self, word: &str) -> Option<String> {
        writeln!(self.0.get_ref(), "{word}").ok()?;
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        line.strip_suffix(&format!(" {word}\n")).map(str::to_owned)
    }

    /// Waits until it is cut.
    fn until_cut(mut self) {
        self.0.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
        let mut rest = String::new();
        match self.0.read_line(&mut rest) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("the session lasts: {other:?}, {rest:?}"),
        }
    }
}

/// Kills the active node's supervisor, its network to the proxy dead at the same moment; what the client sees.
fn fail_over(served: &mut Served, requests: &Requests) {
    let former = served.cluster.running();
    assert_eq!(former.node, "a");
    served.jdbc[0].freeze();
    let killed = clock::now();
    served.cluster.signal("a", Signal::SIGKILL);
    requests.until_from(&mut served.cluster, "b");
    // And for a while on.
    served.cluster.watch_for(Duration::from_secs(1));
    let next = served.cluster.until_run_after(&former);
    let gap = Duration::from_nanos(next.first.saturating_sub(former.last));
    let answers = requests.answers();
    let before: Vec<_> = answers.iter().filter(|answer| answer.came < killed && answer.by.is_err()).collect();
    assert!(before.is_empty(), "errors while nothing was wrong: {before:?}");
    let first = answers.iter().find(|answer| answer.came >= killed && answer.by.is_err());
    let back = answers.iter().position(|answer| answer.by.as_ref().is_ok_and(|by| by == "b 2")).unwrap();
    let outage = first.map_or(Duration::ZERO, |first| answers[back].came.since(first.asked));
    println!(
        "the client's outage: {outage:?}, {} errors; from one coordinator to the next: {gap:?}",
        answers.iter().filter(|answer| answer.by.is_err()).count()
    );
    assert!(outage < gap + CHECKS, "{outage:?} after a gap of {gap:?}");
    let after: Vec<_> = answers[back..].iter().filter(|answer| answer.by.as_deref() != Ok("b 2")).collect();
    assert!(after.is_empty(), "after the first answer of b: {after:?}");
}

#[test]
fn haproxy_sends_clients_to_who_leads_and_cuts_what_is_connected_to_who_did() {
    if let Some(why) = missing("haproxy") {
        return skipped(&why);
    }
    let mut served = Served::start(false);
    let _haproxy = Balancer::haproxy(&served);
    let requests = served.requests();
    requests.until_from(&mut served.cluster, "a");
    requests.answers.lock().unwrap().clear();
    let (session, by) = Session::open(&mut served.cluster, served.jdbc_port);
    assert_eq!(by, "a 1");
    fail_over(&mut served, &requests);
    // Nothing of the former host reaches the proxy, not even an end: its checks alone have found out.
    session.until_cut();
    assert_eq!(Session::open(&mut served.cluster, served.jdbc_port).1, "b 2");
}

#[test]
fn nginx_asks_for_every_request_who_leads_and_cuts_sessions_when_it_is_reloaded_at_the_switch() {
    if let Some(why) = missing("nginx") {
        return skipped(&why);
    }
    let mut served = Served::start(false);
    let (_nginx, file) = Balancer::nginx(&served);
    let requests = served.requests();
    requests.until_from(&mut served.cluster, "a");
    requests.answers.lock().unwrap().clear();
    let (session, by) = Session::open(&mut served.cluster, served.jdbc_port);
    assert_eq!(by, "a 1");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/proxy/primacy-on-switch");
    let mut apis = Vec::new();
    for node in ["a", "b"] {
        apis.push(format!("http://127.0.0.1:{}", served.cluster.port(node).unwrap()));
    }
    let program = format!("PRIMACY={}", env!("CARGO_BIN_EXE_primacy"));
    let (script, apis, file) = (script.to_str().unwrap(), apis.join(","), file.to_str().unwrap());
    let _follower = Balancer::start(
        &served.cluster.path("on-switch.log"),
        &["env", &program, script, &apis, "nginx", "-c", file, "-s", "reload"],
    );
    // It has seen who leads: what it does is for the next one.
    served.cluster.watch_for(Duration::from_secs(2));
    fail_over(&mut served, &requests);
    session.until_cut();
    // The former host refuses, and the next one is tried.
    assert_eq!(Session::open(&mut served.cluster, served.odbc_port).1, "b 2");
}

#[test]
fn behind_haproxy_a_client_keeps_its_always_on_coordinator_while_that_lives() {
    if let Some(why) = missing("haproxy") {
        return skipped(&why);
    }
    let served = Served::start(true);
    let haproxy = Balancer::haproxy(&served);
    keeps_its_coordinator(served, haproxy, true);
}

#[test]
fn behind_nginx_a_client_keeps_its_always_on_coordinator_while_that_lives() {
    if let Some(why) = missing("nginx") {
        return skipped(&why);
    }
    let served = Served::start(true);
    let (nginx, _) = Balancer::nginx(&served);
    keeps_its_coordinator(served, nginx, false);
}

/// `stays`: where it went, when the one that it had is back.
fn keeps_its_coordinator(mut served: Served, _balancer: Balancer, stays: bool) {
    let requests = served.requests();
    let cluster = &mut served.cluster;
    cluster.until("a client is answered", |_| requests.last()?.by.ok());
    // Before its first checks a proxy takes everybody for well.
    cluster.watch_for(Duration::from_secs(2));
    let from = |requests: &Requests| requests.last().unwrap().by.unwrap().split(' ').next().unwrap().to_owned();
    let kept = from(&requests);
    requests.answers.lock().unwrap().clear();
    cluster.until("thirty answers", |_| (requests.answers().len() >= 30).then_some(()));
    let answers = requests.answers();
    assert!(answers.iter().all(|answer| answer.by.as_ref().is_ok_and(|by| by.starts_with(&kept))), "{answers:?}");
    let other = if kept == "a" { "b" } else { "a" };
    cluster.signal(&kept, Signal::SIGTERM);
    requests.until_from(cluster, other);
    cluster.until_exit(&kept);
    cluster.start(&kept);
    cluster.until_status(&kept, "OK");
    if stays {
        cluster.watch_for(Duration::from_secs(2));
        requests.until_from(cluster, other);
    } else {
        requests.until_from(cluster, &kept);
    }
}

#[test]
fn what_clients_are_sent_to_is_printed_for_a_node_that_is_not_here_too_and_for_scripts() {
    let mut served = Served::start(false);
    let endpoint = served.primacy(&["which-active", "--endpoint", "jdbc"]);
    assert_eq!(String::from_utf8(endpoint.stdout).unwrap().trim(), served.jdbc[0].address());
    let endpoint = served.primacy(&["which-active", "--endpoint", "rest"]);
    assert_eq!(endpoint.status.code(), Some(1));
    assert!(String::from_utf8(endpoint.stderr).unwrap().contains("jdbc, odbc, web"));
    let both = fs::read_to_string(served.file("haproxy")).unwrap();
    served.cluster.signal("b", Signal::SIGTERM);
    served.cluster.until_exit("b");
    assert_eq!(fs::read_to_string(served.file("haproxy")).unwrap(), both);
    let output = served.primacy(&["proxy-config", "haproxy", "--listen", "rest=*:80"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("there are: jdbc, odbc, web"));
}
