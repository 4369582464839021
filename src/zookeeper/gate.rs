//! TLS to an address, in the name of a server.
//!
//! The client crate verifies a certificate for the very text that it connects to. A name may have several addresses, some
//! dead, and only we know which one to take: so the handshake is made here, with the address that was chosen and for the
//! name that is configured, and the crate speaks plainly to a socket on loopback, whose bytes go through it.
//!
//! That socket is for this process alone: whoever connects is let in only if its other end is a descriptor of this very
//! process, and only one is. It stays open for as long as the crate may come back to it, so that no other program can take
//! its port and be told the session's password.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// A way through to one server, for one connection of this process. It ends when this is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A handshake with the server at the other end, for the name `host`. The error has rustls's own in it.
pub async fn shake_hands(stream: TcpStream, host: &str, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} cannot be in a certificate")))?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(name, stream).await
}

impl Gate {
    /// Opens a way to where `server` leads.
    pub async fn open(server: TlsStream<TcpStream>) -> io::Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?,
        };
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let Ok(client) = own_connection(&listener).await else { return };
            carry(client, server).await;
            // Whoever comes again is sent away.
            while listener.accept().await.is_ok() {}
        });
        Ok(Self { address, task })
    }

    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The first connection whose other end is in this process.
async fn own_connection(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        let (stream, peer) = listener.accept().await?;
        if is_own(peer, stream.local_addr()?) {
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
        tracing::warn!(%peer, "another process tried to use this one's way to ZooKeeper");
    }
}

/// Whether this process has a socket from `local` to `peer`.
fn is_own(local: SocketAddr, peer: SocketAddr) -> bool {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return false };
    let numbers = descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.into_iter().any(|fd| {
        let (name, other) = (getsockname::<SockaddrStorage>(fd), getpeername::<SockaddrStorage>(fd));
        name.is_ok_and(|name| is_at(&name, local)) && other.is_ok_and(|other| is_at(&other, peer))
    })
}

fn is_at(found: &SockaddrStorage, address: SocketAddr) -> bool {
    match address {
        SocketAddr::V4(address) => {
            found.as_sockaddr_in().is_some_and(|found| std::net::SocketAddrV4::from(*found) == address)
        }
        SocketAddr::V6(address) => {
            found.as_sockaddr_in6().is_some_and(|found| found.ip() == *address.ip() && found.port() == address.port())
        }
    }
}

/// Until one of the two hangs up.
async fn carry(client: TcpStream, server: TlsStream<TcpStream>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = split(server);
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        ended = copy(&mut from_server, &mut to_client) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "the server ended the TLS connection");
            }
        }
    }
    let _ = timeout(FAREWELL, to_server.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::io::AsyncReadExt;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::crypto;
    use crate::guardian::protocol::TlsMaterial;
    use crate::zookeeper::tls;

    /// A server that says back what it hears, and what to know it by.
    async fn echo(name: &str) -> (SocketAddr, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let (mut reader, mut writer) = split(stream);
                    let _ = copy(&mut reader, &mut writer).await;
                });
            }
        });
        let material = TlsMaterial { ca: Some(made.cert.pem()), cert: None, key: None };
        (address, tls::config(&material).unwrap())
    }

    #[tokio::test]
    async fn bytes_go_through_to_an_address_in_the_name_of_the_server_and_for_this_process_only() {
        let (address, config) = echo("zk.example").await;
        let gate =
            Gate::open(shake_hands(TcpStream::connect(address).await.unwrap(), "zk.example", config).await.unwrap())
                .await
                .unwrap();
        // Somebody else comes first.
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; echo hello >&3; timeout 20 head -c 1 <&3 | wc -c",
            gate.address().port()
        );
        let stranger =
            tokio::task::spawn_blocking(move || Command::new("bash").args(["-c", &script]).output().unwrap());
        let heard = String::from_utf8(stranger.await.unwrap().stdout).unwrap();
        assert_eq!(heard.trim(), "0", "a stranger was let in");

        let mut own = TcpStream::connect(gate.address()).await.unwrap();
        own.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        own.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        drop(own);
        // And nobody comes second.
        let mut again = TcpStream::connect(gate.address()).await.unwrap();
        assert_eq!(again.read(&mut heard).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused_although_the_address_is_right() {
        let (address, config) = echo("other.example").await;
        let error = shake_hands(TcpStream::connect(address).await.unwrap(), "zk.example", config).await.unwrap_err();
        assert!(tls::problem(&error).contains("for another name"), "{error}");
    }
}
