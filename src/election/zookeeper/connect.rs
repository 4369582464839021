//! How a session is opened, and why it could not be.
//!
//! The crate says no more than "no available hosts", so after a failure every server is asked directly, only to tell a
//! person what is wrong.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zookeeper_client::{Client, Connector, Error, StateWatcher, TlsOptions};

use super::executor;
use crate::guardian::protocol::{TlsMaterial, ZooKeeperAccess};

/// How long a server may take when it is asked what is wrong with it.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// How long the end of a session is waited for. Measured: at most 8 ms with a server that answers.
const CLOSE: Duration = Duration::from_millis(500);

/// Opens a session: one round over the servers. An error is one sentence for a person.
pub async fn open(access: &ZooKeeperAccess) -> Result<Client, String> {
    let (connector, secure) = connector(access)?;
    let servers = repeated(&access.servers, access.session_timeout);
    let attempt =
        async { if secure { connector.secure_connect(&servers).await } else { connector.connect(&servers).await } };
    match timeout(access.session_timeout, executor::scope(attempt)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(Error::BadArguments(what))) => Err(format!("zookeeper.servers is not usable: {what}")),
        Ok(Err(Error::AuthFailed)) => Err("ZooKeeper refused the authentication".to_owned()),
        Ok(Err(_)) | Err(_) => Err(diagnosis(access).await),
    }
}

/// Waits until a session whose every handle was dropped has been closed.
pub async fn closed(mut state: StateWatcher) -> bool {
    let ended = async { while !state.changed().await.is_terminated() {} };
    timeout(CLOSE, ended).await.is_ok()
}

fn connector(access: &ZooKeeperAccess) -> Result<(Connector, bool), String> {
    let mut connector = Client::connector().with_session_timeout(access.session_timeout).with_fail_eagerly();
    if let Some(digest) = &access.digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    match &access.tls {
        None => Ok((connector, false)),
        Some(material) => {
            crate::crypto::choose_provider();
            Ok((connector.with_tls(tls_options(material)?), true))
        }
    }
}

fn tls_options(material: &TlsMaterial) -> Result<TlsOptions, String> {
    let ca = material.ca.as_deref().ok_or("zookeeper.tls.ca is needed to know the servers by")?;
    let options = TlsOptions::new().with_pem_ca(ca).map_err(|error| format!("zookeeper.tls.ca: {error}"))?;
    match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            options.with_pem_identity(cert, key).map_err(|error| format!("zookeeper.tls.cert and key: {error}"))
        }
        (None, None) => Ok(options),
        _ => Err("zookeeper.tls.cert and zookeeper.tls.key belong together".to_owned()),
    }
}

/// The list of servers, repeated.
///
/// The crate doubles its pause with every round over the list: with one server it tries 0.1, 0.3, 0.7, 1.5, 3.1 and
/// 6.3 s after the loss, and a restart of ZooKeeper that takes 3.5 s would cost a 10 s session's leader its lease. In a
/// long list the pauses are spread: at most one second, for about as long as the session lives.
fn repeated(servers: &str, session_timeout: Duration) -> String {
    let entries = servers.split(',').count();
    let wanted = usize::try_from(session_timeout.as_millis() / 400).unwrap_or(usize::MAX).clamp(6, 24);
    vec![servers; wanted.div_ceil(entries)].join(",")
}

/// Why no server gave a session, one clause each.
async fn diagnosis(access: &ZooKeeperAccess) -> String {
    let mut clauses = Vec::new();
    for server in access.servers.split(',').map(str::trim) {
        let address = if has_port(server) { server.to_owned() } else { format!("{server}:2181") };
        let clause = match timeout(DIAGNOSIS, TcpStream::connect(&address)).await {
            Err(_) => "no answer to the connection".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(stream)) => match &access.tls {
                Some(tls) => handshake(stream, &address, tls).await,
                None => greeting(stream).await,
            },
        };
        clauses.push(format!("{server}: {clause}"));
    }
    format!("no ZooKeeper session: {}", clauses.join("; "))
}

fn has_port(server: &str) -> bool {
    server.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a server that accepts connections answers to `srvr`, the one command that every ZooKeeper permits by default.
async fn greeting(mut stream: TcpStream) -> String {
    let mut answer = [0; 64];
    let dialogue = async {
        stream.write_all(b"srvr").await?;
        stream.read(&mut answer).await
    };
    match timeout(DIAGNOSIS, dialogue).await {
        Err(_) => "accepts connections but does not answer".to_owned(),
        Ok(Err(error)) => format!("accepts connections but does not speak ZooKeeper's protocol ({error})"),
        Ok(Ok(0)) => "accepts connections but hangs up (does it want TLS?)".to_owned(),
        Ok(Ok(length)) => {
            let text = String::from_utf8_lossy(&answer[..length]);
            if text.contains("not currently serving") {
                "is running but has no quorum".to_owned()
            } else if text.starts_with("Zookeeper version") || text.contains("not in the whitelist") {
                "is a ZooKeeper server but gave no session".to_owned()
            } else {
                "accepts connections but does not speak ZooKeeper's protocol".to_owned()
            }
        }
    }
}

/// How a TLS handshake with the server goes.
async fn handshake(stream: TcpStream, address: &str, material: &TlsMaterial) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    match timeout(DIAGNOSIS, shake_hands(stream, host, material)).await {
        Err(_) => "accepts connections but does not answer to TLS".to_owned(),
        Ok(Err(error)) => format!("TLS failed: {error}"),
        Ok(Ok(())) => "speaks TLS but gave no session (does it want a client certificate?)".to_owned(),
    }
}

async fn shake_hands(stream: TcpStream, host: &str, material: &TlsMaterial) -> Result<(), String> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(material.ca.as_deref().unwrap_or_default().as_bytes()) {
        roots.add(certificate.map_err(|error| text(&error))?).map_err(|error| text(&error))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<Vec<_>, _>>();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| text(&error))?;
            let chain = chain.map_err(|error| text(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| text(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| text(&error))?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, stream).await.map(|_| ()).map_err(|error| text(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_server_is_repeated_until_the_pauses_are_short() {
        assert_eq!(repeated("a:1", Duration::from_secs(4)).split(',').count(), 10);
        assert_eq!(repeated("a:1,b:2,c:3", Duration::from_secs(10)).split(',').count(), 24);
        assert_eq!(repeated("a:1,b:2,c:3,d:4,e:5,f:6,g:7", Duration::from_secs(1)).split(',').count(), 7);
    }

    #[test]
    fn a_port_is_told_from_a_host_name() {
        assert!(has_port("zk:2181"));
        assert!(has_port("[::1]:2181"));
        assert!(!has_port("zk"));
        assert!(!has_port("[::1]"));
    }
}
