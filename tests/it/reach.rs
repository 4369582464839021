//! ZooKeeper as the commands reach it: names, TLS, and what they say when there is no session.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use primacy::clock;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::deaf::Deaf;
use crate::skipped;
use crate::zookeeper::{Server, free_port};

/// A configuration, and the commands under it.
struct Place {
    directory: TempDir,
    /// Runs them in a mount namespace with these files over those of the system.
    over: Vec<(PathBuf, &'static str)>,
}

impl Place {
    fn new(servers: &str, more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let volume = directory.path().join("volume");
        fs::create_dir_all(volume.join(".primacy")).unwrap();
        let text = format!(
            "cluster = \"here\"\nnode = \"a\"\n[zookeeper]\nservers = \"{servers}\"\n{more}\n[lock]\ndirectory = \"{}\"\n\
             [coordinator]\ncommand = [\"/bin/true\"]\n[api]\nlisten = \"127.0.0.1:0\"\n",
            volume.join(".primacy").display()
        );
        fs::write(directory.path().join("primacy.toml"), text).unwrap();
        Self { directory, over: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As if the system's file were this.
    fn over(&mut self, file: &'static str, text: &str) {
        let path = self.path(file.rsplit('/').next().unwrap());
        fs::write(&path, text).unwrap();
        self.over.push((path, file));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let primacy = env!("CARGO_BIN_EXE_primacy");
        let mut command = if self.over.is_empty() {
            Command::new(primacy)
        } else {
            let binds: String =
                self.over.iter().map(|(from, to)| format!("mount --bind {} {to} && ", from.display())).collect();
            let mut command = Command::new("unshare");
            command.args(["-m", "--propagation", "private", "sh", "-c", &format!("{binds}exec \"$@\""), "sh", primacy]);
            command
        };
        command.args(arguments).arg("-c").arg(self.path("primacy.toml")).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What it complains of, and its exit code.
    fn fails(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (text, output.status.code().unwrap_or(-1))
    }

    /// Every command says these words, with its own exit code.
    #[track_caller]
    fn all_say(&self, words: &[&str]) {
        for (command, code) in [("status", 3), ("which-active", 3), ("history", 3), ("check", 1)] {
            let (text, exit) = self.fails(&[command]);
            assert_eq!(exit, code, "{command}: {text}");
            for word in words {
                assert!(text.contains(word), "{command} does not say {word:?}: {text}");
            }
        }
    }
}

/// Whether files of the system can be replaced for a process.
fn may_replace_files() -> bool {
    Uid::effective().is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|it| it.success())
}

/// A certificate authority and server's certificates of it.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "test-ca");
        let key = KeyPair::generate().unwrap();
        fs::write(directory.path().join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory, issuer: Issuer::new(parameters, key) }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Valid for `name` in these years; answers the file with key and certificate.
    fn certificate(&self, name: &str, years: (i32, i32)) -> PathBuf {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(years.0, 1, 1);
        parameters.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let path = self.directory.path().join(format!("{name}-{}.pem", years.0));
        fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        path
    }

    fn tls(&self) -> String {
        format!("tls = {{ ca = \"{}\" }}", self.ca().display())
    }
}

/// How long a server may take to serve: a Java machine on a busy host.
const LIMIT: Duration = Duration::from_secs(90);

const VALID: (i32, i32) = (2020, 2100);

/// Something that speaks TLS with a certificate and then hangs up.
fn tls_listener(pem: &Path) -> SocketAddr {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let text = fs::read(pem).unwrap();
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&text).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(primacy::crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = tokio_rustls::rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let _ = connection.complete_io(&mut stream);
        }
    });
    address
}

#[test]
fn every_command_reaches_zookeeper_over_tls() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.certificate("localhost", VALID), &authority.ca());
    let place = Place::new(&format!("localhost:{}", server.port), &authority.tls());
    // A server that has just been started is waited for, but this one may take longer than that on a busy host.
    let began = clock::now();
    loop {
        let (text, _) = place.fails(&["check"]);
        if text.contains("ok    zookeeper.session_timeout") {
            break;
        }
        assert!(clock::now().since(began) < LIMIT, "{text}");
    }
    for command in ["status", "history", "which-active"] {
        let (text, code) = place.fails(&[command]);
        assert_eq!(code, 1, "{command}: {text}");
        assert!(text.contains("there is no cluster \"here\""), "{command}: {text}");
    }
    let (text, code) = place.fails(&["peer-test", "b", "--wait", "100ms"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("b did not come"), "{text}");

    // A plain client at this port.
    let plain = Place::new(&format!("localhost:{}", server.port), "");
    plain.all_say(&["speaks TLS, and zookeeper.tls is not set", "plain clientPort"]);
}

#[test]
fn a_tls_client_at_a_plain_port_is_told_so() {
    let authority = Authority::new();
    let place = Place::new(&Server::shared().address(), &authority.tls());
    place.all_say(&["speaks ZooKeeper's protocol without TLS", "secureClientPort"]);
}

#[test]
fn a_certificate_that_does_not_fit_is_named_with_what_is_wrong_with_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (certificate, words) in [
        (authority.certificate("localhost", (2001, 2002)), "has expired at 2002-01-01"),
        (authority.certificate("localhost", (2090, 2091)), "is not valid before 2090-01-01"),
        (authority.certificate("another-host", VALID), "is for another name"),
        (other.certificate("localhost", VALID), "signed by somebody else"),
    ] {
        let address = tls_listener(&certificate);
        let place = Place::new(&format!("localhost:{}", address.port()), &authority.tls());
        let (text, code) = place.fails(&["status"]);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(words) && text.contains("(127.0.0.1): "), "not {words:?}: {text}");
    }
}

#[test]
fn a_server_that_may_be_starting_is_waited_for_by_check_and_not_by_status() {
    let place = Place::new(&format!("127.0.0.1:{}", free_port()), "");
    let took = |command| {
        let began = clock::now();
        let (text, _) = place.fails(&[command]);
        assert!(text.contains("Connection refused"), "{text}");
        clock::now().since(began)
    };
    let (check, status) = (took("check"), took("status"));
    assert!(check >= Duration::from_secs(5), "{check:?}");
    assert!(status < check, "{status:?}");
}

#[test]
fn a_server_that_is_slow_and_not_dead_has_the_time_that_is_left() {
    let server = Server::shared();
    let Ok(slow) = TcpListener::bind("127.0.0.7:0") else { panic!("an address of this host") };
    let address = slow.local_addr().unwrap();
    let target = server.address();
    // Everything that comes waits for a while, longer than the first turn gives, and the other address of the name is dead.
    std::thread::spawn(move || {
        for client in slow.incoming().flatten() {
            let target = target.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(1400));
                let server = std::net::TcpStream::connect(target).unwrap();
                let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (mut from_client, mut from_server) = (client, server);
                std::thread::spawn(move || std::io::copy(&mut from_client, &mut up));
                let _ = std::io::copy(&mut from_server, &mut down);
            });
        }
    });
    let _deaf = Deaf::at(SocketAddr::new("127.0.0.3".parse().unwrap(), address.port()));
    let place = Place::new(&format!("127.0.0.3:{0},127.0.0.7:{0}", address.port()), "");
    let (text, code) = place.fails(&["status"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("there is no cluster"), "{text}");
}

/// A server with more in its configuration.
fn configured(more: &str) -> Server {
    let mut server = Server::prepare();
    server.configure(&format!("clientPort={}\nclientPortAddress=127.0.0.1\n{more}", server.port));
    server.launch();
    server.until_serving();
    server
}

fn digest_file(place: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = place.join("digest");
    fs::write(&path, "user:secret\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!("digest_file = \"{}\"", path.display())
}

#[test]
fn servers_that_want_another_authentication_are_told_from_servers_that_are_down() {
    let directory = TempDir::new().unwrap();
    let digest = digest_file(directory.path());
    let server = configured("enforce.auth.enabled=true\nenforce.auth.schemes=digest\n");
    Place::new(&server.address(), "").all_say(&["wants clients to authenticate", "zookeeper.digest_file"]);
    let (text, code) = Place::new(&server.address(), &digest).fails(&["status"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("there is no cluster"), "{text}");
    drop(server);
    let server = configured(
        "sessionRequireClientSASLAuth=true\nauthProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n",
    );
    Place::new(&server.address(), &digest)
        .all_say(&["wants another authentication than a digest", "SASL is not supported"]);
}

#[test]
fn a_server_that_takes_no_more_connections_of_this_host_is_named_so() {
    let server = configured("maxClientCnxns=1\n");
    let _taken = std::net::TcpStream::connect(server.address()).unwrap();
    Place::new(&server.address(), "").all_say(&["hangs up at once", "maxClientCnxns"]);
}

#[test]
fn another_tick_than_the_configured_one_is_told_by_what_is_granted() {
    // The tests' servers have ticks of 500 ms: they grant 10 s at most.
    let place = Place::new(&Server::shared().address(), "session_timeout = \"12s\"\ntick_time = \"2s\"");
    let (text, _) = place.fails(&["check"]);
    assert!(text.contains("warn  zookeeper.tick_time") && text.contains("tickTime is 500 ms"), "{text}");
}

#[test]
fn a_name_with_a_dead_address_reaches_the_other_one() {
    if !may_replace_files() {
        return skipped("root and mount namespaces are not to be had here");
    }
    let server = Server::shared();
    let dead: IpAddr = "127.0.0.3".parse().unwrap();
    let _deaf = Deaf::at(SocketAddr::new(dead, server.port));
    let mut place = Place::new(&format!("zk.example:{}", server.port), "");
    place.over("/etc/hosts", &format!("{dead} zk.example\n127.0.0.1 zk.example\n::1 zk.example\n"));
    for command in ["status", "check"] {
        let began = clock::now();
        let (text, code) = place.fails(&[command]);
        assert_eq!(code, i32::from(command == "status"), "{text}");
        assert!(!text.contains("no ZooKeeper session"), "{text}");
        let took = clock::now().since(began);
        assert!(took < Duration::from_secs(20), "{command} took {took:?}");
    }
}

#[test]
fn a_silent_name_service_is_told_from_a_silent_server() {
    if !may_replace_files() {
        return skipped("root and mount namespaces are not to be had here");
    }
    let Ok(_silent) = UdpSocket::bind("127.0.0.9:53") else {
        return skipped("port 53 cannot be had here");
    };
    let mut place = Place::new(&format!("zk.example:{}", free_port()), "");
    place.over("/etc/resolv.conf", "nameserver 127.0.0.9\noptions timeout:30 attempts:3\n");
    place.over("/etc/hosts", "127.0.0.1 localhost\n");
    let began = clock::now();
    let (text, code) = place.fails(&["status"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the name service of this host does not answer"), "{text}");
    assert!(clock::now().since(began) < Duration::from_secs(20), "it waited for the name service");
}

#[test]
fn certificates_that_were_renewed_count_from_the_reload_on() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start_tls(&authority.certificate("localhost", VALID), &authority.ca());
    let mut cluster = Cluster::new(&format!("localhost:{}", server.port));
    let ca = cluster.path("ca.pem");
    fs::copy(other.ca(), &ca).unwrap();
    cluster.set("zookeeper.tls.ca", ca.to_str().unwrap().to_owned());
    cluster.start("a");
    cluster.until_logged("a", "signed by somebody else");
    fs::copy(authority.ca(), &ca).unwrap();
    cluster.signal("a", Signal::SIGHUP);
    cluster.until_active_is("a");
    assert!(cluster.log("a").contains("zookeeper.tls.ca"), "{}", cluster.log("a"));
}
