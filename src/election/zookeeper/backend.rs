//! The outer loop: one session after another, and what happens between them.

use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use zookeeper_client::SessionId;

use super::candidate::{Candidate, Found};
use super::lead::Tenure;
use super::member::HungUp;
use super::orders::Orders;
use super::paths::Paths;
use super::view::{self, Seen};
use super::{Settings, directories, member, protection};
use crate::clock;
use crate::election::{Fact, Loss, Order};
use crate::moment::Moment;
use crate::role::lease::LeaseTiming;
use crate::status::Member;
use crate::zookeeper::{self, Backoff, Session, breadth};

/// Pauses between attempts to connect: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long an attempt to connect may go on after the order to close.
const GRACE: Duration = Duration::from_millis(500);

pub struct Backend {
    pub settings: Arc<Settings>,
    pub paths: Arc<Paths>,
    pub orders: Orders,
    pub facts: mpsc::UnboundedSender<Fact>,
    /// What `Publish` said last.
    pub member: watch::Sender<Option<Member>>,
    /// Whether a candidacy is wanted. It survives a session that ended before there was a candidacy.
    pub stands: bool,
    /// The reason of the disconnection that was told last; `None` while connected.
    pub told: Option<String>,
    /// What was granted to the session.
    pub grant: Grant,
    /// How the servers' tick differs from the one that is configured, as it was told last.
    pub other_tick: Option<String>,
    /// Before a connection is looked for again whose predecessor broke as soon as it was there.
    pub pause: Backoff,
    /// Whether this process has seen every node of the cluster protected by the digest.
    pub protected: Arc<AtomicBool>,
    /// Whether the servers hang up when this node's member is written.
    pub hung_up: Arc<Mutex<HungUp>>,
}

/// What is granted to a session. Every connection of it negotiates anew, and the shortest grant is the one that counts: what a
/// server has still to tell of the session carries what that server had granted, and may be told late.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    pub session: Option<SessionId>,
    /// The shortest.
    pub timeout: Duration,
    /// The latest.
    pub latest: Duration,
    /// When its connection had not been asked for yet.
    pub asked: Moment,
}

/// The pauses between connections that break at once: because of what this node sends over them, say.
pub const fn between_connections() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
}

/// What goes on over another connection.
#[derive(Debug)]
pub enum Going {
    /// Not in the queue.
    Idle,
    /// In the queue, by this node.
    Queued(String),
    /// First in it, and what was told of that.
    Elected(String, Box<Found>),
    Leading(Box<Tenure>),
}

/// Why a session is given up, or its connection.
#[derive(Debug)]
pub enum End {
    /// As ordered. `left`: nothing of the candidacy remains even while the session lives.
    Resigned { left: bool },
    /// As ordered, and nothing comes after it.
    Closed,
    /// It has expired, or it is unknown what it left: another one follows.
    Abandoned,
    /// Only the connection is: what is under way goes on as soon as there is another one.
    Parted(Going),
}

/// How long a session that has nothing left to say is kept: closing it (and opening the next) are writes, and a server
/// writes one thing at a time while the next active claims its epoch. Longer than a fail-over takes.
const QUIET: Duration = Duration::from_millis(100);

impl Backend {
    pub async fn run(mut self) {
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

    pub fn tell(&self, fact: Fact) {
        // Whoever dropped the receiver dropped the orders too, and that ends the task.
        let _ = self.facts.send(fact);
    }

    /// Takes in what was granted to a session's new connection, and says so.
    pub fn tell_connected(&mut self, session: &Session) {
        self.told = None;
        let (id, latest) = (session.client.session_id(), session.client.session_timeout());
        let known = (self.grant.session == Some(id)).then_some(self.grant.timeout);
        if let Some(former) = known.filter(|former| *former != latest) {
            warn!(session = %id, ?former, ?latest, "the servers have changed the session's time-out");
        }
        let timeout = known.map_or(latest, |former| former.min(latest));
        self.grant = Grant { session: Some(id), timeout, latest, asked: session.asked() };
        self.tell(Fact::Connected { session: Some(id.to_string()), timeout, asked: session.asked() });
    }

    /// How the lease is reckoned under what was granted.
    pub fn timing(&self) -> LeaseTiming {
        self.settings.timing(self.grant.timeout)
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

    /// Says why there is no contact, once per reason.
    pub fn tell_disconnected(&mut self, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            warn!(reason, "no contact with ZooKeeper");
            self.tell(Fact::Disconnected { reason: reason.clone() });
            self.told = Some(reason);
        }
    }

    /// Says it, once, when the servers' grant does not fit `zookeeper.tick_time`.
    fn compare_ticks(&mut self, granted: Duration) {
        let problem = zookeeper::other_tick(self.settings.access.session_timeout, granted, self.settings.tick_time);
        if let Some(problem) = problem.as_ref().filter(|_| self.other_tick != problem) {
            warn!("{problem}");
        }
        self.other_tick = problem;
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
                    Some(Order::AskAgain) => {}
                    order => self.without_candidacy(order).ok()?,
                },
                result = &mut future => return Some(result),
            }
        }
    }

    /// Takes an order while there is no candidacy; an error means that the task has to end.
    pub fn without_candidacy(&mut self, order: Option<Order>) -> Result<(), End> {
        match order {
            Some(Order::Stand) => self.stands = true,
            Some(Order::Resign { .. }) => {
                self.stands = false;
                self.tell(Fact::Resigned);
            }
            Some(Order::Claim { .. }) => self.refuse("this node does not stand first in the queue"),
            Some(Order::Publish(member)) => self.publish(*member),
            Some(Order::Yield | Order::Announce(_) | Order::Amend(_)) => {}
            Some(Order::AskAgain) => return Err(End::Abandoned),
            Some(Order::Close) | None => return Err(End::Closed),
        }
        Ok(())
    }

    pub fn refuse(&self, reason: &str) {
        self.tell(Fact::ClaimRefused { reason: reason.to_owned() });
    }

    pub fn publish(&self, member: Member) {
        self.member.send_if_modified(|published| {
            let changed = published.as_ref() != Some(&member);
            *published = Some(member);
            changed
        });
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
