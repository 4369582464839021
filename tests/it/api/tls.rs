use std::path::Path;

use primacy::config::ApiTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for 127.0.0.1, and its key, both PEM.
fn signed_by(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn write(directory: &Path, (cert, key): &(String, String)) {
    std::fs::write(directory.join("cert.pem"), cert).unwrap();
    std::fs::write(directory.join("key.pem"), key).unwrap();
}

fn paths(directory: &Path, client_ca: Option<&str>) -> ApiTls {
    ApiTls {
        cert: directory.join("cert.pem"),
        key: directory.join("key.pem"),
        client_ca: client_ca.map(|name| directory.join(name)),
    }
}

/// The code of `/primary`, asked by a client that trusts `authority` alone.
fn ask(fixture: &Fixture, authority: &str, identity: Option<&(String, String)>) -> Result<u16, ureq::Error> {
    let identity = identity.map(|(cert, key)| {
        let cert = Certificate::from_pem(cert.as_bytes()).unwrap();
        ClientCert::new_with_certs(&[cert], PrivateKey::from_pem(key.as_bytes()).unwrap())
    });
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(authority.as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).client_cert(identity).build();
    let agent =
        ureq::Agent::config_builder().tls_config(tls).proxy(None).timeout_global(Some(LIMIT)).build().new_agent();
    Ok(agent.get(format!("https://{}/primary", fixture.api.address())).call()?.status().as_u16())
}

#[test]
fn https_is_served_and_its_certificate_can_be_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (authority(), authority());
    write(directory.path(), &signed_by(&first));
    let fixture = Fixture::with(active(), |settings| settings.tls = Some(paths(directory.path(), None)));
    assert_eq!(ask(&fixture, &first.pem(), None).unwrap(), 200);
    assert!(ask(&fixture, &second.pem(), None).is_err());

    std::fs::write(directory.path().join("key.pem"), "no key").unwrap();
    let error = primacy::api::certificates(&paths(directory.path(), None)).err().unwrap().to_string();
    assert!(error.contains("key.pem"), "{error}");
    assert_eq!(ask(&fixture, &first.pem(), None).unwrap(), 200, "a failed reload leaves everything as it was");

    write(directory.path(), &signed_by(&second));
    fixture.api.reload_tls(primacy::api::certificates(&paths(directory.path(), None)).unwrap());
    assert_eq!(ask(&fixture, &second.pem(), None).unwrap(), 200);
    assert!(ask(&fixture, &first.pem(), None).is_err());
}

#[test]
fn with_an_authority_for_clients_nobody_else_gets_in() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients, strangers) = (authority(), authority(), authority());
    write(directory.path(), &signed_by(&servers));
    std::fs::write(directory.path().join("clients.pem"), clients.pem()).unwrap();
    let tls = paths(directory.path(), Some("clients.pem"));
    let fixture = Fixture::with(active(), |settings| settings.tls = Some(tls));
    assert_eq!(ask(&fixture, &servers.pem(), Some(&signed_by(&clients))).unwrap(), 200);
    assert!(ask(&fixture, &servers.pem(), Some(&signed_by(&strangers))).is_err());
    assert!(ask(&fixture, &servers.pem(), None).is_err());
}

#[test]
fn an_authority_for_clients_that_comes_with_a_reload_counts_for_those_who_are_there_already() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (authority(), authority());
    write(directory.path(), &signed_by(&servers));
    std::fs::write(directory.path().join("clients.pem"), clients.pem()).unwrap();
    let fixture = Fixture::with(active(), |settings| settings.tls = Some(paths(directory.path(), None)));
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(servers.pem().as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let kept =
        ureq::Agent::config_builder().tls_config(tls).proxy(None).timeout_global(Some(LIMIT)).build().new_agent();
    let ask = |agent: &ureq::Agent| {
        let answer = agent.get(format!("https://{}/primary", fixture.api.address())).call();
        answer.map(|mut answer| answer.body_mut().read_to_string().unwrap())
    };
    ask(&kept).unwrap();
    ask(&kept).unwrap();
    fixture.api.reload_tls(primacy::api::certificates(&paths(directory.path(), Some("clients.pem"))).unwrap());
    // The kept connection ends with what it was doing.
    let refused = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        ask(&kept).is_err()
    });
    assert!(refused, "it is still answered without a certificate");
    assert!(ask(&kept).is_err());
}

#[test]
fn plain_http_at_an_https_port_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority();
    write(directory.path(), &signed_by(&authority));
    let fixture = Fixture::with(active(), |settings| settings.tls = Some(paths(directory.path(), None)));
    assert!(fixture.send(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n").is_none());
    assert_eq!(ask(&fixture, &authority.pem(), None).unwrap(), 200);
}

#[test]
fn unusable_files_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        advertise: String::new(),
        environment: String::new(),
        tokens: Tokens::default(),
        tls: Some(paths(directory.path(), None)),
        heartbeat: Arc::default(),
        timeline: Reader::new(None),
        steering: primacy::api::changing::Steering::none(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = primacy::api::start(listener, settings, Arc::new(ArcSwap::from_pointee(active()))).err().unwrap();
    assert!(error.to_string().contains("cert.pem"), "{error}");
}

#[test]
fn the_client_commands_show_a_token_and_a_certificate_and_know_a_private_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (authority(), authority());
    write(directory.path(), &signed_by(&servers));
    let path = |name: &str, mode: u32, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (client_cert, client_key) = signed_by(&clients);
    let ca = path("servers.pem", 0o644, &servers.pem());
    let cert = path("client.pem", 0o644, &client_cert);
    let key = path("client.key", 0o600, &client_key);
    let token = path("token", 0o600, "read-token\n");
    let open = path("open", 0o644, "read-token\n");
    path("clients.pem", 0o644, &clients.pem());
    let fixture = Fixture::with(active(), |settings| {
        settings.tls = Some(paths(directory.path(), Some("clients.pem")));
        settings.tokens = Tokens { full: None, read: Some(primacy::config::Secret::new("read-token")) };
    });
    let api = format!("https://{}", fixture.api.address());
    let run = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primacy"));
        command.args(["which-active", "--api", &api]).args(arguments);
        command.env_remove("PRIMACY_TOKEN_FILE").envs(variable.map(|path| ("PRIMACY_TOKEN_FILE", path)));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let identity = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    let full = [identity.as_slice(), &["--token-file", &token]].concat();
    assert_eq!(run(None, &full), (Some(0), "node-a\n".to_owned(), String::new()));
    assert_eq!(run(Some(&token), &identity).0, Some(0));
    let (code, _, said) = run(None, &identity);
    assert!(code != Some(0) && said.contains("--token-file"), "{said}");
    let (code, _, said) = run(Some(&token), &identity[..2]);
    assert!(code != Some(0), "{said}");
    let (code, _, said) = run(Some(&token), &identity[2..]);
    assert!(code != Some(0) && said.contains("--tls-ca"), "{said}");
    let (code, _, said) = run(Some(&open), &identity);
    assert!(code == Some(2) && said.contains("chmod 600") && !said.contains("read-token"), "{said}");
    let (code, _, said) = run(Some(&token), &identity[..4]);
    assert!(code == Some(2) && said.contains("--tls-key"), "{said}");
}
