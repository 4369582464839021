//! Why there is no session: what people are told, and what they can do.
//!
//! The client crate says no more than "no available hosts", so after a failure every address is asked directly.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{self, ClientConfig};

use super::names::{Problem, Server};
use super::{gate, tls};
use crate::guardian::protocol::TlsMaterial;

/// How long a server may take for each thing that it is asked to find out what is wrong with it.
const DIAGNOSIS: Duration = Duration::from_secs(2);

/// How long to a connection: its packets are sent again after a second.
const CONNECTION: Duration = Duration::from_millis(1500);

/// Kinds of failure, the more telling ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The configuration cannot be used.
    Settings,
    Authentication,
    /// A plain client at a TLS port.
    WantsTls,
    /// A TLS client at a plain port.
    SpeaksPlainly,
    Certificate,
    HangsUp,
    /// Something else listens there.
    Stranger,
    NoSession,
    NotServing,
    Silent,
    Unresolved,
    NameServiceSilent,
    Refused,
    Unreachable,
}

impl Trouble {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Settings => "correct zookeeper.servers or zookeeper.tls",
            Self::Authentication => {
                "set zookeeper.digest_file where the servers' enforce.auth.schemes permit digest; SASL is not supported: leave \
                 sessionRequireClientSASLAuth and sasl in enforce.auth.schemes out on the servers"
            }
            Self::WantsTls => "set zookeeper.tls, or name the servers' plain clientPort in zookeeper.servers",
            Self::SpeaksPlainly => {
                "name the servers' secureClientPort in zookeeper.servers, or leave out zookeeper.tls"
            }
            Self::Certificate => "make zookeeper.tls and the servers' certificates fit each other",
            Self::HangsUp => {
                "raise maxClientCnxns on the servers, or end some of this host's connections to them; see the servers' logs"
            }
            Self::Stranger => "correct zookeeper.servers",
            Self::NoSession => "see the servers' logs: are they overloaded, or read-only?",
            Self::NotServing => "start more servers of the ensemble: it has no quorum",
            Self::Silent => "see whether the server hangs",
            Self::Unresolved => "correct zookeeper.servers, or make the name known to this host",
            Self::NameServiceSilent => {
                "see to this host's name service (/etc/resolv.conf), or write addresses in zookeeper.servers"
            }
            Self::Refused => "start ZooKeeper, or correct zookeeper.servers",
            Self::Unreachable => "see whether the host runs, and whether a firewall drops what is sent to it",
        }
    }

    /// Whether servers that are just starting look like this.
    pub const fn may_be_starting(self) -> bool {
        matches!(self, Self::NotServing | Self::Silent | Self::Refused | Self::HangsUp | Self::NoSession)
    }

    /// Whether servers that run, and need a moment, look like this.
    pub const fn may_be_about_to_serve(self) -> bool {
        matches!(self, Self::NotServing | Self::NoSession)
    }
}

/// What is wrong with one server, or with one of its addresses.
#[derive(Clone, Debug)]
pub struct Clause {
    trouble: Trouble,
    text: String,
}

impl Clause {
    /// What concerns no server in particular.
    pub const fn general(trouble: Trouble, text: String) -> Self {
        Self { trouble, text }
    }

    fn of(server: &Server, address: Option<SocketAddr>, trouble: Trouble, what: impl fmt::Display) -> Self {
        let text = match address {
            Some(address) if address.ip().to_string() != server.host => format!("{server} ({}): {what}", address.ip()),
            _ => format!("{server}: {what}"),
        };
        Self { trouble, text }
    }
}

/// Why there is no session: one sentence for a person.
#[derive(Clone, Debug)]
pub struct Failure {
    clauses: Vec<Clause>,
}

impl Failure {
    /// In an order of their own, whichever was asked first: the same failure twice is the same sentence.
    pub fn new(mut clauses: Vec<Clause>) -> Self {
        clauses.sort_by(|a, b| a.text.cmp(&b.text));
        Self { clauses }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let mut troubles: Vec<Trouble> = self.clauses.iter().map(|clause| clause.trouble).collect();
        troubles.sort_unstable();
        troubles.dedup();
        troubles.into_iter().map(Trouble::remedy).collect::<Vec<_>>().join("; ")
    }

    /// Whether all that is wrong is of such kinds.
    pub fn is_all(&self, kind: impl Fn(Trouble) -> bool) -> bool {
        self.clauses.iter().all(|clause| kind(clause.trouble))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clauses: Vec<&str> = self.clauses.iter().map(|clause| clause.text.as_str()).collect();
        write!(f, "no ZooKeeper session: {}", clauses.join("; "))
    }
}

impl std::error::Error for Failure {}

pub fn of_name(server: &Server, problem: &Problem) -> Clause {
    match problem {
        // The C library's words for a name service that it could not ask.
        Problem::Refused(why) if why.contains("emporary failure") => Clause::of(
            server,
            None,
            Trouble::NameServiceSilent,
            format!("the name service of this host gives no answer for {}: {why}", server.host),
        ),
        Problem::Refused(why) => {
            Clause::of(server, None, Trouble::Unresolved, format!("the name {} has no address: {why}", server.host))
        }
        Problem::Silent => Clause::of(
            server,
            None,
            Trouble::NameServiceSilent,
            format!("the name service of this host does not answer what address {} has", server.host),
        ),
    }
}

pub fn of_authentication(server: &Server, address: SocketAddr, digest: bool) -> Clause {
    let what = if digest {
        "wants another authentication than a digest (SASL?), so it refused the session"
    } else {
        "wants clients to authenticate (SASL or enforce.auth), and zookeeper.digest_file is not set, so it refused the session"
    };
    Clause::of(server, Some(address), Trouble::Authentication, what)
}

/// Asks what is wrong at one address. `why`: in the words of whoever got no session there.
pub async fn of_address(
    server: &Server,
    address: SocketAddr,
    material: Option<&TlsMaterial>,
    why: Option<&str>,
) -> Clause {
    let (trouble, mut what) = match timeout(CONNECTION, TcpStream::connect(address)).await {
        Err(_) => (Trouble::Unreachable, "no answer to the connection".to_owned()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => (Trouble::Refused, error.to_string()),
        // Closed before the handshake of TCP was over here.
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            in_words(&Greeting::HangsUp(Some(error)))
        }
        Ok(Err(error)) => (Trouble::Unreachable, error.to_string()),
        Ok(Ok(stream)) => match material {
            Some(material) => with_tls(stream, server, address, material).await,
            None => plainly(stream, address).await,
        },
    };
    if let (Trouble::NoSession, Some(why)) = (trouble, why) {
        what = format!("{what}: {why}");
    }
    Clause::of(server, Some(address), trouble, what)
}

type Finding = (Trouble, String);

/// What a server that accepts connections says.
enum Greeting {
    Serves,
    NotServing,
    Stranger,
    TlsRecord,
    HangsUp(Option<std::io::Error>),
    Silent,
}

/// The answer to `srvr`, the one command that every ZooKeeper permits by default.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Greeting {
    let mut answer = [0; 64];
    let dialogue = async {
        stream.write_all(b"srvr").await?;
        stream.flush().await?;
        stream.read(&mut answer).await
    };
    match timeout(DIAGNOSIS, dialogue).await {
        Err(_) => Greeting::Silent,
        Ok(Err(error)) => Greeting::HangsUp(Some(error)),
        Ok(Ok(0)) => Greeting::HangsUp(None),
        Ok(Ok(length)) => {
            let text = String::from_utf8_lossy(&answer[..length]);
            if text.contains("not currently serving") {
                Greeting::NotServing
            } else if text.starts_with("Zookeeper version") || text.contains("not in the whitelist") {
                Greeting::Serves
            } else if answer.starts_with(&[0x15, 3]) {
                Greeting::TlsRecord
            } else {
                Greeting::Stranger
            }
        }
    }
}

fn in_words(greeting: &Greeting) -> Finding {
    match greeting {
        Greeting::Serves => (Trouble::NoSession, "is a ZooKeeper server but gave no session".to_owned()),
        Greeting::NotServing => (Trouble::NotServing, "is running but has no quorum".to_owned()),
        Greeting::Stranger => {
            (Trouble::Stranger, "accepts connections but does not speak ZooKeeper's protocol".to_owned())
        }
        Greeting::TlsRecord => (Trouble::WantsTls, "speaks TLS, and zookeeper.tls is not set".to_owned()),
        Greeting::HangsUp(_) => (
            Trouble::HangsUp,
            "accepts connections but hangs up at once (has this host maxClientCnxns connections to it already?)"
                .to_owned(),
        ),
        Greeting::Silent => (Trouble::Silent, "accepts connections but does not answer".to_owned()),
    }
}

async fn plainly(stream: TcpStream, address: SocketAddr) -> Finding {
    let greeting = greet(stream).await;
    match greeting {
        Greeting::HangsUp(_) | Greeting::Silent if speaks_tls(address).await => in_words(&Greeting::TlsRecord),
        _ => in_words(&greeting),
    }
}

/// Whether a server answers to a TLS handshake in TLS, however that ends.
async fn speaks_tls(address: SocketAddr) -> bool {
    let Some(config) = tls::stranger() else { return false };
    let hello = async { gate::shake_hands(TcpStream::connect(address).await?, "zookeeper.invalid", config).await };
    match timeout(DIAGNOSIS, hello).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => matches!(
            rustls_error(&error),
            Some(
                rustls::Error::InvalidCertificate(_)
                    | rustls::Error::AlertReceived(_)
                    | rustls::Error::PeerIncompatible(_)
            )
        ),
        Err(_) => false,
    }
}

fn rustls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

async fn with_tls(stream: TcpStream, server: &Server, address: SocketAddr, material: &TlsMaterial) -> Finding {
    let config: Arc<ClientConfig> = match tls::config(material) {
        Ok(config) => config,
        Err(what) => return (Trouble::Settings, what),
    };
    let failed = match timeout(DIAGNOSIS, gate::shake_hands(stream, &server.host, config)).await {
        Ok(Ok(stream)) => {
            // What a server thinks of the client's certificate comes after the handshake, in TLS 1.3.
            let greeting = greet(stream).await;
            return match &greeting {
                Greeting::HangsUp(Some(error)) if rustls_error(error).is_some() => {
                    (Trouble::Certificate, format!("TLS failed: {}", tls::problem(error)))
                }
                _ => in_words(&greeting),
            };
        }
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => return (Trouble::Settings, error.to_string()),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let certificate = failed.as_ref().and_then(rustls_error);
    if let (Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)), Some(error)) =
        (certificate, &failed)
    {
        return (Trouble::Certificate, format!("TLS failed: {}", tls::problem(error)));
    }
    let plain = async { Some(greet(TcpStream::connect(address).await.ok()?).await) };
    match timeout(DIAGNOSIS, plain).await {
        Ok(Some(Greeting::Serves | Greeting::NotServing)) => {
            (Trouble::SpeaksPlainly, "speaks ZooKeeper's protocol without TLS, and zookeeper.tls is set".to_owned())
        }
        _ => match failed {
            Some(error) if certificate_free(&error) => (
                Trouble::HangsUp,
                format!(
                    "accepts connections but hangs up during the TLS handshake ({error}; has this host maxClientCnxns connections to it already?)"
                ),
            ),
            Some(error) => (Trouble::Certificate, format!("TLS failed: {}", tls::problem(&error))),
            None => (Trouble::Silent, "accepts connections but does not answer to TLS".to_owned()),
        },
    }
}

fn certificate_free(error: &std::io::Error) -> bool {
    rustls_error(error).is_none()
}
