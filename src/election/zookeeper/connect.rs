//! How a session is opened, and why it could not be.
//!
//! The crate says no more than "no available hosts", so after a failure every server is asked directly, only to tell a
//! person what is wrong.

use std::mem::ManuallyDrop;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;
use uuid::Uuid;
use zookeeper_client::{Client, Connector, Error, SessionInfo, StateWatcher, TlsOptions};

use super::executor::{self, Tasks};
use crate::guardian::protocol::{TlsMaterial, ZooKeeperAccess};

/// How long a server may take when it is asked what is wrong with it.
const DIAGNOSIS: Duration = Duration::from_secs(1);

/// How long the end of a session is waited for. Measured: at most 8 ms with a server that answers.
const CLOSE: Duration = Duration::from_millis(500);

/// How long a connection's task may take to be dropped. It takes microseconds.
const PARTING: Duration = Duration::from_secs(1);

/// What a silent server has at first. Less than a starting server's deaf moments are ahead of its serving.
const FIRST_PATIENCE: Duration = Duration::from_millis(125);

/// Between two rounds of attempts to go on with a session.
pub const PAUSE: Duration = Duration::from_millis(20);

/// A session and its connection.
pub struct Session {
    pub client: Client,
    connection: Tasks,
}

/// A session without a connection, and nobody at work on one.
pub struct Parted {
    info: SessionInfo,
}

impl Session {
    /// Takes the connection away and leaves the session as it is; `None` if it is unknown whether that was done.
    ///
    /// The crate closes a session when its last handle is dropped while the connection is served. This session must live,
    /// for a lease may rest on it: so the handle outlasts the connection's task, for ever if that cannot be seen to end.
    pub async fn part(self) -> Option<Parted> {
        let handle = ManuallyDrop::new(self.client);
        timeout(PARTING, self.connection.cancel()).await.ok()?;
        Some(Parted { info: ManuallyDrop::into_inner(handle).into_session() })
    }
}

/// Opens a session: one round over the servers. An error is one sentence for a person.
pub async fn open(access: &ZooKeeperAccess) -> Result<Session, String> {
    let servers = repeated(&access.servers, access.session_timeout);
    match attempt(access, connector(access)?, &servers, access.session_timeout).await {
        Ok(session) => Ok(session),
        Err(Error::BadArguments(what)) => Err(format!("zookeeper.servers is not usable: {what}")),
        Err(Error::AuthFailed) => Err("ZooKeeper refused the authentication".to_owned()),
        Err(_) => Err(diagnosis(access).await),
    }
}

/// Goes on with a session on whichever server answers first, however long that takes; `None` when the session has expired.
///
/// The crate's own way costs leases: it doubles its pauses up to seconds, and to a server that accepts and says nothing it
/// listens for two fifths of the session. A server that is starting does just that: measured, in 13 of 15 starts ZooKeeper
/// 3.8.0 never answered who came within the first 30 ms of its listening, a fifth of a second before it served. So the
/// servers are asked in turn, fifty times a second while they refuse; one that is silent has an eighth of a second, and twice
/// as long every next time, for a handshake may honestly be slow.
pub async fn reopen(access: &ZooKeeperAccess, parted: &Parted) -> Option<Session> {
    let mut patience = FIRST_PATIENCE;
    let mut servers: Vec<&str> = access.servers.split(',').map(str::trim).collect();
    let first = usize::from(Uuid::new_v4().as_bytes()[0]) % servers.len();
    servers.rotate_left(first);
    loop {
        for server in &servers {
            let Ok(connector) = connector(access) else { continue };
            match attempt(access, connector.with_session(parted.info.clone()), server, patience).await {
                Ok(session) => return Some(session),
                Err(Error::SessionExpired) => return None,
                Err(error) => {
                    debug!(server, %error, "the session cannot go on here yet");
                    if error == Error::Timeout {
                        patience = (patience * 2).min(access.session_timeout);
                    }
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    access: &ZooKeeperAccess,
    connector: Connector,
    servers: &str,
    limit: Duration,
) -> Result<Session, Error> {
    let secure = access.tls.is_some();
    // Nothing is awaited once there is a client: dropped in between, it would close the session.
    let connecting = executor::scope(async {
        if secure { connector.secure_connect(servers).await } else { connector.connect(servers).await }
    });
    match timeout(limit, connecting).await {
        Ok((Ok(client), connection)) => Ok(Session { client, connection }),
        Ok((Err(error), _)) => Err(error),
        Err(_) => Err(Error::Timeout),
    }
}

/// Waits until a session whose every handle was dropped has been closed.
pub async fn closed(mut state: StateWatcher) -> bool {
    let ended = async { while !state.changed().await.is_terminated() {} };
    timeout(CLOSE, ended).await.is_ok()
}

fn connector(access: &ZooKeeperAccess) -> Result<Connector, String> {
    let mut connector = Client::connector().with_session_timeout(access.session_timeout).with_fail_eagerly();
    if let Some(digest) = &access.digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    match &access.tls {
        None => Ok(connector),
        Some(material) => {
            crate::crypto::choose_provider();
            Ok(connector.with_tls(tls_options(material)?))
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
/// Whoever does not lead leaves reconnecting to the crate ([`reopen`] is for leaders). It doubles its pause with every
/// round over the list, so with one server it tries 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s after the loss. In a long list the
/// pauses are spread: at most one second, for about as long as the session lives.
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
