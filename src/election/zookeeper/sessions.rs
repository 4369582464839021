//! The outer loop: one session after another, each over as many connections as it needs.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tracing::{info, warn};

use super::backend::Backend;
use super::candidacy::{Input, Turn};
use super::protection;
use super::settings::Settings;
use crate::clock;
use crate::moment::in_words;
use crate::zookeeper::directories;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, Backoff, Session, breadth};

/// Pauses between attempts to connect: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long an attempt to connect may go on after the order to close.
const GRACE: Duration = Duration::from_millis(500);

/// Until the order to close.
pub async fn run(mut backend: Backend) {
    while let Some(session) = backend.connect().await {
        if backend.serve_throughout(session).await == Some(Turn::Finish) {
            return;
        }
    }
    backend.obey();
}

impl Backend {
    /// A session from one end to the other; answers what comes then.
    async fn serve_throughout(&mut self, mut session: Session) -> Option<Turn> {
        loop {
            let since = clock::now();
            match self.serve(&session).await {
                Turn::Reattach { stake } => match self.reattach(session, stake, clock::now().since(since)).await {
                    Ok(again) => session = again,
                    Err(turn) => return Some(turn),
                },
                Turn::Close { .. } | Turn::Open | Turn::Finish => {
                    close(session).await;
                    self.hear(Input::Closed);
                    return self.obey();
                }
            }
        }
    }

    /// Tries for ever; `None` when ordered to close.
    async fn connect(&mut self) -> Option<Session> {
        let mut pause = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (settings, paths) = (Arc::clone(&self.settings), Arc::clone(&self.paths));
            let (protected, prepared) = (Arc::clone(&self.protected), self.alarm.prepare());
            let mut attempt = pin!(async {
                prepared?;
                open(&settings, &paths, &protected).await
            });
            let Some(result) = self.unless_closed(attempt.as_mut()).await else {
                // A session may be about to come into being: it is closed rather than left to expire.
                if let Ok(Ok(session)) = tokio::time::timeout(GRACE, attempt).await {
                    close(session).await;
                }
                self.hear(Input::Closed);
                return None;
            };
            match result {
                Ok(session) => {
                    let client = &session.client;
                    let (id, timeout, address) = (client.session_id(), client.session_timeout(), session.address());
                    info!(session = %id, timeout = in_words(timeout), %address, "connected to ZooKeeper");
                    self.compare_ticks(timeout);
                    self.hear_connected(&session);
                    return Some(session);
                }
                Err(reason) => self.hear(Input::NotConnected(reason)),
            }
            if self.unless_closed(tokio::time::sleep(pause.pause())).await.is_none() {
                self.hear(Input::Closed);
                return None;
            }
        }
    }

    /// Waits for something while there is no session; orders are taken meanwhile.
    async fn unless_closed<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            while let Some(turn) = self.obey() {
                if matches!(turn, Turn::Close { .. }) {
                    return None;
                }
            }
            tokio::select! {
                biased;
                order = self.orders.next() => self.hear(order),
                result = &mut future => return Some(result),
            }
        }
    }
}

/// Opens a session and prepares the cluster's directories.
async fn open(settings: &Settings, paths: &Paths, protected: &AtomicBool) -> Result<Session, String> {
    let session = zookeeper::open(&settings.access).await.map_err(|failure| failure.to_string())?;
    let prepared = directories::ensure(&session.client, paths, settings.access.digest.is_some());
    let within = session.client.session_timeout();
    let problem = match tokio::time::timeout(within, prepared).await {
        Ok(Ok(())) => match breadth::prove(&session.client).await {
            Ok(()) => {
                protection::protect_unless_led(&session.client, settings, paths, protected).await;
                return Ok(session);
            }
            Err(problem) => problem,
        },
        Ok(Err(problem)) => problem,
        Err(_) => "ZooKeeper gave a session but does not answer requests".to_owned(),
    };
    close(session).await;
    Err(problem)
}

/// Closes a session whose other handles were dropped.
async fn close(session: Session) {
    let id = session.client.session_id();
    if !zookeeper::close(session).await {
        warn!(session = %id, "the session's end was not confirmed; it expires by itself");
    }
}
