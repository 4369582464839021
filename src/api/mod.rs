//! The HTTP API: what load balancers, monitors and the client commands ask.
//!
//! It runs on a thread of its own with a runtime of its own. All that it shares with the supervisor is a snapshot that
//! the supervisor replaces at each change, and the time of the supervisor loop's last turn. So thousands of health
//! checks a second cannot delay a heartbeat, and a stuck supervisor cannot delay the answer "503, not the active one":
//! the lease in the snapshot is compared with the clock for every answer ([`standing`]). The rejected alternative, tasks
//! on the supervisor's runtime, would be simpler and would put the lease at the mercy of every HTTP client.
//!
//! | path | active and ready | any other node |
//! |---|---|---|
//! | `/server_status`, `/primary`, `/leader`, `/read-write` | 200 | 503 |
//! | `/apiv2/server_status` | 200 `"OK"` | 503 `"MASTER_DOWN"` |
//! | `/standby`, `/replica` | 503 | 200 on a standby that could take over |
//! | `/api/leader-check`, `/api/leader-check/{code}` | 200 | 404, or the code asked for |
//! | `/api/lb-check`, `/api/_ping` | 200 | 200 |
//! | `/health`, `/readiness`, `/api/health`, `/api/status` | 200 | 200 on a standby in contact |
//! | `/liveness` | 200 while the supervisor's loop turns | the same |
//! | `/`, `/page/{file}`, `/operations.md`, `/verdict`, `/cluster`, `/history`, `/history/{epoch}`, `/events`, `/config`, `/metrics`, `/openapi.json`, `/upgrade`, `/v1/info`, `/v1/info/state`, `/v1/status` | 200 | 200 |
//!
//! The whole table is [`endpoints::ENDPOINTS`]; docs/reference/api.md is generated from it.

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::ApiTls;
use crate::moment::Moment;
use crate::status::Snapshot;

pub use access::Tokens;
pub use reference::reference;

mod access;
mod answer;
mod asked;
pub mod changing;
pub mod endpoints;
mod events;
mod health_checks;
mod metrics;
mod openapi;
mod openlookeng;
mod page;
mod places;
mod process;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod reference;
mod report;
mod server;
pub mod snapshot_at;
pub mod timeline;
mod tls;

/// Bytes. Handlers need a few KiB; the deepest users are TLS handshakes in unoptimised builds.
const STACK: usize = 512 * 1024;

/// Between two attempts to serve.
const SERVE_AGAIN: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the thread's: it may be reading files.
const STOP: Duration = Duration::from_secs(1);

/// What the API must know besides the snapshot.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL at which others reach this API.
    pub advertise: String,
    /// The configuration's `environment`.
    pub environment: String,
    pub tokens: Tokens,
    pub tls: Option<ApiTls>,
    /// When the supervisor's loop last turned: nanoseconds of CLOCK_BOOTTIME.
    pub heartbeat: Arc<AtomicU64>,
    /// What this node has recorded.
    pub timeline: timeline::Reader,
    /// How changes are made.
    pub steering: changing::Steering,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {reason}", path = path.display())]
    Tls { path: PathBuf, reason: String },
    #[error("the API's thread cannot be started: {0}")]
    Start(#[from] std::io::Error),
}

/// What the API's connections share.
pub struct Shared {
    snapshot: Arc<ArcSwap<Snapshot>>,
    heartbeat: Arc<AtomicU64>,
    advertise: String,
    environment: String,
    tokens: ArcSwap<Tokens>,
    tls: ArcSwapOption<TlsAcceptor>,
    /// Counts the replacements of `tls`.
    tls_changes: watch::Sender<u64>,
    started: Moment,
    sampler: Mutex<process::Sampler>,
    timeline: timeline::Reader,
    steering: changing::Steering,
    under_way: changing::UnderWay,
    events: events::Events,
    /// Counts the requests to read the configuration again.
    reloads: AtomicU64,
    /// And those to execute the program anew.
    upgrades: AtomicU64,
}

/// What the TLS files have become: everything about them that can be wrong has been found.
pub struct Certificates(TlsAcceptor);

/// Reads the files of `api.tls`. It blocks, so it is not for an async runtime's thread.
///
/// # Errors
/// A file that cannot be read, holds no PEM of its kind, or does not fit the others.
pub fn certificates(paths: &ApiTls) -> Result<Certificates, Error> {
    tls::acceptor(paths).map(Certificates)
}

impl Shared {
    fn snapshot_at(&self) -> snapshot_at::SnapshotAt {
        snapshot_at::SnapshotAt {
            snapshot: self.snapshot.load_full(),
            turned: Moment::from_nanos(self.heartbeat.load(Ordering::Relaxed)),
            // Read last: the clock may not be older than what it is compared with.
            now: crate::clock::now(),
        }
    }
}

/// The running API; dropping it stops it.
pub struct ApiThread {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    end: Receiver<()>,
}

/// Starts the API on `listener`.
///
/// # Errors
/// TLS files that cannot be used; a thread or runtime that cannot be had.
pub fn start(listener: TcpListener, settings: Settings, snapshot: Arc<ArcSwap<Snapshot>>) -> Result<ApiThread, Error> {
    let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        snapshot,
        heartbeat: settings.heartbeat,
        advertise: settings.advertise,
        environment: settings.environment,
        tokens: ArcSwap::from_pointee(settings.tokens),
        tls: ArcSwapOption::from(tls.map(Arc::new)),
        tls_changes: watch::Sender::new(0),
        started: crate::clock::now(),
        sampler: Mutex::default(),
        timeline: settings.timeline,
        steering: settings.steering,
        under_way: changing::UnderWay::default(),
        events: events::Events::default(),
        reloads: AtomicU64::new(0),
        upgrades: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let (ended, end) = channel();
    let served = shared.clone();
    std::thread::Builder::new().name("api".into()).stack_size(STACK).spawn(move || {
        again_and_again(|| serve(&listener, &served, &stopped));
        let _ = ended.send(());
    })?;
    Ok(ApiThread { shared, address, stop, end })
}

/// Until it is stopped, or in need of something that the system does not have at the moment.
fn serve(listener: &TcpListener, shared: &Arc<Shared>, stopped: &watch::Receiver<bool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener.try_clone()?)?
    };
    runtime.block_on(server::serve(listener, shared.clone(), stopped.clone()));
    Ok(())
}

/// Until it succeeds. Nobody but this thread would notice that the API has ended, and a node that leads without one counts
/// as dead to those who route by it.
fn again_and_again(mut serve: impl FnMut() -> std::io::Result<()>) {
    loop {
        // What a panic leaves behind is one runtime's connections; what is shared is replaced, never changed.
        match catch_unwind(AssertUnwindSafe(&mut serve)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!(%error, "the API cannot serve; trying again"),
            Err(_) => tracing::error!("the API has failed; serving again"),
        }
        std::thread::sleep(SERVE_AGAIN);
    }
}

impl ApiThread {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For those who watch: what the supervisor has published. Never waits.
    pub fn published(&self, snapshot: &Arc<Snapshot>) {
        self.shared.events.published(snapshot);
    }

    /// Uses these tokens from the next request on.
    pub fn reload_tokens(&self, tokens: Tokens) {
        self.shared.tokens.store(Arc::new(tokens));
    }

    /// Uses these certificates for the next connections, and ends those that the former ones have let in. Does nothing where
    /// there is no TLS: a listener that speaks it is another listener.
    pub fn reload_tls(&self, certificates: Certificates) {
        if self.shared.tls.load().is_some() {
            self.shared.tls.store(Some(Arc::new(certificates.0)));
            self.shared.tls_changes.send_modify(|changes| *changes += 1);
        }
    }
}

impl Drop for ApiThread {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = self.end.recv_timeout(STOP);
    }
}

#[cfg(test)]
mod tests {
    use super::again_and_again;

    #[test]
    fn an_api_that_fails_is_served_again_until_it_is_stopped() {
        let mut times = 0;
        again_and_again(|| {
            times += 1;
            match times {
                1 => Err(std::io::ErrorKind::OutOfMemory.into()),
                2 => panic!("on purpose"),
                _ => Ok(()),
            }
        });
        assert_eq!(times, 3);
    }
}
