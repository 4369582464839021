//! What is known of the ensemble and of this node's wishes, whichever session there is.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::warn;
use zookeeper_client::SessionId;

use super::course::End;
use super::member::HungUp;
use super::orders::Orders;
use super::settings::Settings;
use crate::election::{ElectionOrder, Fact};
use crate::moment::Moment;
use crate::role::lease::LeaseTiming;
use crate::status::Member;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, Backoff, Session};

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

impl Backend {
    /// Without a session yet.
    pub fn new(
        settings: Settings,
        orders: mpsc::UnboundedReceiver<ElectionOrder>,
        facts: mpsc::UnboundedSender<Fact>,
    ) -> Self {
        let nothing =
            Grant { session: None, timeout: Duration::ZERO, latest: Duration::ZERO, asked: Moment::from_nanos(0) };
        Self {
            paths: Arc::new(Paths::new(&settings.root, &settings.cluster)),
            settings: Arc::new(settings),
            orders: Orders::new(orders),
            facts,
            member: watch::channel(None).0,
            stands: false,
            told: None,
            grant: nothing,
            other_tick: None,
            pause: between_connections(),
            protected: Arc::default(),
            hung_up: Arc::default(),
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

    /// Says why there is no contact, once per reason.
    pub fn tell_disconnected(&mut self, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            warn!(reason, "no contact with ZooKeeper");
            self.tell(Fact::Disconnected { reason: reason.clone() });
            self.told = Some(reason);
        }
    }

    /// Says it, once, when the servers' grant does not fit `zookeeper.tick_time`.
    pub fn compare_ticks(&mut self, granted: Duration) {
        let problem = zookeeper::other_tick(self.settings.access.session_timeout, granted, self.settings.tick_time);
        if let Some(problem) = problem.as_ref().filter(|_| self.other_tick != problem) {
            warn!("{problem}");
        }
        self.other_tick = problem;
    }

    /// Takes an order while there is no candidacy; an error means that the task has to end.
    pub fn without_candidacy(&mut self, order: Option<ElectionOrder>) -> Result<(), End> {
        match order {
            Some(ElectionOrder::Stand) => self.stands = true,
            Some(ElectionOrder::Resign { .. }) => {
                self.stands = false;
                self.tell(Fact::Resigned);
            }
            Some(ElectionOrder::Claim { .. }) => self.refuse("this node does not stand first in the queue"),
            Some(ElectionOrder::Publish(member)) => self.publish(*member),
            Some(ElectionOrder::Yield | ElectionOrder::Announce(_) | ElectionOrder::Amend(_)) => {}
            Some(ElectionOrder::AskAgain) => return Err(End::Abandoned),
            Some(ElectionOrder::Close) | None => return Err(End::Closed),
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
}
