//! A TCP proxy on loopback that can be frozen (bytes stop, connections stay), cut (connections reset, none accepted)
//! and healed.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// About a packet on an Ethernet.
const LARGE: usize = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Frozen,
    Cut,
    /// What comes in large pieces is lost, and all that follows it waits for it, as in TCP.
    Narrow,
    /// As open, but the next connection is accepted and never carried.
    DeafOnce,
}

pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    carried: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(target: String) -> Self {
        Self::start_at("127.0.0.1:0", target).await
    }

    pub async fn start_at(address: &str, target: String) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, state) = watch::channel(Mode::Open);
        let carried = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, modes, all) = (Arc::clone(&carried), mode.clone(), Arc::clone(&accepted));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                all.fetch_add(1, Ordering::Relaxed);
                let (target, state, count) = (target.clone(), state.clone(), Arc::clone(&count));
                let modes = modes.clone();
                tokio::spawn(async move {
                    let deaf = modes.send_if_modified(|mode| {
                        let deaf = *mode == Mode::DeafOnce;
                        if deaf {
                            *mode = Mode::Open;
                        }
                        deaf
                    });
                    if deaf {
                        let _ = { client }.read_to_end(&mut Vec::new()).await;
                        return;
                    }
                    if *state.borrow() == Mode::Cut {
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(&target).await {
                        count.fetch_add(1, Ordering::Relaxed);
                        carry(client, server, state).await;
                        count.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, mode, carried, accepted }
    }

    /// How many connections there have been, carried or not.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many connections go through it.
    pub fn carried(&self) -> usize {
        self.carried.load(Ordering::Relaxed)
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    /// Carries small packets only from now on.
    pub fn narrow(&self) {
        self.mode.send_replace(Mode::Narrow);
    }

    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// As a server that is starting: whoever comes first is accepted and never answered.
    pub fn heal_after_one(&self) {
        self.mode.send_replace(Mode::DeafOnce);
    }

    pub fn heal(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

async fn carry(client: TcpStream, server: TcpStream, mut state: watch::Receiver<Mode>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (up, down) = (state.clone(), state.clone());
    tokio::select! {
        () = pump(&mut from_client, &mut to_server, up) => {}
        () = pump(&mut from_server, &mut to_client, down) => {}
        _ = state.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut state: watch::Receiver<Mode>,
) {
    let mut buffer = [0; 4096];
    loop {
        if state.wait_for(|mode| *mode != Mode::Frozen).await.is_err() {
            return;
        }
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let carries = |mode: &Mode| *mode != Mode::Frozen && (*mode != Mode::Narrow || length <= LARGE);
        if state.wait_for(carries).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
