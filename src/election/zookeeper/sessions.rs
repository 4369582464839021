//! The outer loop: one session after another, and what happens between them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::backend::Backend;
use super::candidate::Candidate;
use super::course::{End, Going};
use super::settings::Settings;
use super::view::{self, Seen};
use super::{member, protection};
use crate::clock;
use crate::election::{ElectionOrder, Fact, Loss};
use crate::zookeeper::directories;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, Backoff, Session, breadth};

/// Pauses between attempts to connect: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long an attempt to connect may go on after the order to close.
const GRACE: Duration = Duration::from_millis(500);

/// How long a session that has nothing left to say is kept: closing it (and opening the next) are writes, and a server
/// writes one thing at a time while the next active claims its epoch. Longer than a fail-over takes.
const QUIET: Duration = Duration::from_millis(100);

/// Until the order to close.
pub async fn run(mut backend: Backend) {
    backend.run().await;
}

impl Backend {
    async fn run(&mut self) {
        while let Some(session) = self.connect().await {
            match self.serve_throughout(session).await {
                End::Resigned { left: false } => self.tell(Fact::Resigned),
                End::Closed => break,
                End::Resigned { left: true } | End::Abandoned | End::Parted(_) => {}
            }
        }
        self.tell(Fact::Resigned);
    }

    /// A session from one end to the other, over as many connections as it needs.
    async fn serve_throughout(&mut self, mut session: Session) -> End {
        let mut going = Going::Idle;
        loop {
            let since = clock::now();
            match self.serve(&session, going).await {
                End::Parted(parted) => match self.reattach(session, &parted, clock::now().since(since)).await {
                    Some(again) if self.has_outgrown_its_session(&parted) => {
                        close(again).await;
                        return End::Abandoned;
                    }
                    Some(again) => {
                        session = again;
                        going = parted;
                    }
                    None => return End::Abandoned,
                },
                end => {
                    close(session).await;
                    return end;
                }
            }
        }
    }

    /// Tries for ever; `None` when ordered to close.
    async fn connect(&mut self) -> Option<Session> {
        let mut pause = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (settings, paths) = (Arc::clone(&self.settings), Arc::clone(&self.paths));
            let protected = Arc::clone(&self.protected);
            let mut attempt = pin!(open(&settings, &paths, &protected));
            let Some(result) = self.unless_closed(attempt.as_mut()).await else {
                // A session may be about to come into being: it is closed rather than left to expire.
                if let Ok(Ok(session)) = tokio::time::timeout(GRACE, attempt).await {
                    close(session).await;
                }
                return None;
            };
            match result {
                Ok(session) => {
                    let client = &session.client;
                    let (id, timeout, address) = (client.session_id(), client.session_timeout(), session.address());
                    info!(session = %id, ?timeout, %address, "connected to ZooKeeper");
                    self.compare_ticks(timeout);
                    self.tell_connected(&session);
                    return Some(session);
                }
                Err(reason) => self.tell_disconnected(reason),
            }
            self.unless_closed(tokio::time::sleep(pause.pause())).await?;
        }
    }

    /// Waits for something while there is no session; orders are taken meanwhile.
    async fn unless_closed<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(ElectionOrder::AskAgain) => {}
                    order => self.without_candidacy(order).ok()?,
                },
                result = &mut future => return Some(result),
            }
        }
    }

    /// Whether the servers grant more than this session can make use of, and no lease rests on it. A place in the queue is given
    /// up for that.
    fn has_outgrown_its_session(&mut self, going: &Going) -> bool {
        let more = self.grant.latest > self.grant.timeout;
        match going {
            Going::Idle => more,
            Going::Queued(_) => {
                if more {
                    self.stands = false;
                    let reason = "the servers grant a longer session by now: asking for it";
                    self.tell(Fact::Lost(Loss::Backend(reason.to_owned())));
                }
                more
            }
            Going::Elected(..) | Going::Leading(_) => false,
        }
    }

    /// Everything that happens within one session, or over one of its leadership's connections. All handles that were
    /// made of `client` are dropped when this returns.
    async fn serve(&mut self, session: &Session, going: Going) -> End {
        let client = &session.client;
        let (settings, paths) = (Arc::clone(&self.settings), Arc::clone(&self.paths));
        let (facts, hung_up) = (self.facts.clone(), Arc::clone(&self.hung_up));
        let (seen_sender, seen) = watch::channel(Seen::default());
        let (registered_sender, registered) = watch::channel(false);
        let published = self.member.subscribe();
        // Whoever leads renews the lease first: a server that has just started takes its time for everything.
        let renewed = watch::channel(!matches!(going, Going::Leading(_))).0;
        let mut member = pin!(async {
            until(&renewed).await;
            member::keep(client.clone(), &settings, &paths, published, &registered_sender, &facts, &hung_up).await;
        });
        let mut view = pin!(async {
            until(&renewed).await;
            view::follow(client.clone(), &settings, &paths, &seen_sender, &facts).await;
        });
        let candidate = Candidate::new(self, session, seen, registered, &renewed);
        let end = tokio::select! {
            biased;
            end = candidate.run(going) => end,
            () = member.as_mut() => unreachable!("the member is kept for as long as the session lives"),
            () = view.as_mut() => unreachable!("the view is followed for as long as the session lives"),
        };
        if matches!(end, End::Resigned { left: true }) {
            self.tell(Fact::Resigned);
            // Before the watches are dropped, too: each would be taken back by a request of its own.
            tokio::time::sleep(QUIET).await;
        }
        end
    }
}

async fn until(condition: &watch::Sender<bool>) {
    let _ = condition.subscribe().wait_for(|holds| *holds).await;
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
