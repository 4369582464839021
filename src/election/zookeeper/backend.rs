//! What carries a candidacy out, whichever session there is: the supervisor's two channels, and what is kept from one session to
//! the next. Decides nothing.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::candidacy::{At, Candidacy, Connection, Input, Leadership, Output, Say, Terms, Turn};
use super::last_will;
use super::member::HungUp;
use super::service::Announcement;
use super::settings::Settings;
use crate::clock;
use crate::election::{ElectionOrder, Fact};
use crate::moment::{Moment, in_words};
use crate::status::Member;
use crate::timer::Timer;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, Backoff, Session};

pub struct Backend {
    pub settings: Arc<Settings>,
    pub paths: Arc<Paths>,
    pub candidacy: Candidacy,
    pub orders: Orders,
    pub alarm: Alarm,
    pub facts: mpsc::UnboundedSender<Fact>,
    /// What `Publish` said last.
    pub member: watch::Sender<Option<Member>>,
    /// Of the latest leadership.
    pub announcement: Arc<Announcement>,
    /// How the servers' tick differs from the one that is configured, as it was told last.
    other_tick: Option<String>,
    /// Before a connection is looked for again whose predecessor broke as soon as it was there.
    pub pause: Backoff,
    /// Whether this process has seen every node of the cluster protected by the digest.
    pub protected: Arc<AtomicBool>,
    /// Whether the servers hang up when this node's member is written.
    pub hung_up: Arc<Mutex<HungUp>>,
}

/// The pauses between connections that break at once: because of what this node sends over them, say.
const fn between_connections() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
}

impl Backend {
    /// Without a session yet.
    pub fn new(
        settings: Settings,
        orders: mpsc::UnboundedReceiver<ElectionOrder>,
        facts: mpsc::UnboundedSender<Fact>,
    ) -> Self {
        let paths = Arc::new(Paths::new(&settings.root, &settings.cluster));
        let terms = Terms {
            node: settings.node.clone(),
            paths: Arc::clone(&paths),
            always_on: settings.always_on,
            timing: settings.timing(),
        };
        Self {
            candidacy: Candidacy::new(terms),
            paths,
            settings: Arc::new(settings),
            orders: Orders { receiver: Some(orders) },
            alarm: Alarm { timer: None },
            facts,
            member: watch::channel(None).0,
            announcement: Arc::default(),
            other_tick: None,
            pause: between_connections(),
            protected: Arc::default(),
            hung_up: Arc::default(),
        }
    }

    pub fn hear(&mut self, input: Input) {
        self.candidacy.handle(At { moment: clock::now(), wall: clock::wall() }, input);
    }

    pub fn hear_connected(&mut self, session: &Session) {
        let id = session.client.session_id();
        self.hear(Input::Connected(Connection {
            session: id.0,
            name: id.to_string(),
            granted: session.client.session_timeout(),
            asked: session.asked(),
            several: zookeeper::has_alternatives(&self.settings.access),
        }));
    }

    /// Does what is wanted while there is no connection, up to the next turn.
    pub fn obey(&mut self) -> Option<Turn> {
        while let Some(output) = self.candidacy.poll_output() {
            if let Output::Turn(turn) = output {
                return Some(turn);
            }
            self.carry_out(output);
        }
        None
    }

    /// What needs no connection.
    pub fn carry_out(&mut self, output: Output) {
        match output {
            Output::Tell(fact) => {
                if let Fact::Disconnected { reason } = &fact {
                    warn!(reason, "no contact with ZooKeeper");
                }
                self.tell(fact);
            }
            Output::TellQueued { session, node } => {
                let will = last_will::of_a_standby(&self.settings, &self.paths, session, &node);
                self.tell(Fact::Queued(Box::new(will)));
            }
            Output::TellClaimed { session, counts_from, leadership } => {
                self.announcement = Arc::default();
                self.tell_claimed(session, counts_from, &leadership);
            }
            Output::Say(line) => self.say(&line),
            Output::Publish(member) => self.publish(*member),
            Output::Announce(breadcrumb) => self.announcement.want(breadcrumb.map(|breadcrumb| *breadcrumb)),
            Output::Ask(..)
            | Output::Forget(_)
            | Output::Amend(_)
            | Output::Intend(_)
            | Output::Share
            | Output::AttendAlwaysOn { .. }
            | Output::Attend { .. }
            | Output::Desist
            | Output::Turn(_) => {}
        }
    }

    fn tell_claimed(&self, session: i64, counts_from: Moment, leadership: &Leadership) {
        let will = last_will::of_a_leader(&self.settings, &self.paths, session, leadership);
        let (epoch, last_will) = (leadership.breadcrumb.epoch, Some(Box::new(will)));
        self.tell(Fact::Claimed { epoch, counts_from, last_will });
    }

    fn tell(&self, fact: Fact) {
        // Whoever dropped the receiver dropped the orders too, and that ends the task.
        let _ = self.facts.send(fact);
    }

    fn say(&self, line: &Say) {
        match line {
            Say::EpochTaken { epoch, node } => info!(epoch, node, "epoch taken"),
            Say::EpochUnreadable => {
                let path = &self.paths.epoch;
                warn!(path, "the epoch is not readable; the breadcrumb's and the lock file's count");
            }
            Say::GrantChanged { session, before, latest } => {
                warn!(
                    session,
                    former = in_words(*before),
                    latest = in_words(*latest),
                    "the servers have changed the session's time-out"
                );
            }
            Say::HeartbeatFailed(error) => warn!(%error, "a heartbeat was not acknowledged"),
            Say::ResignationUntold => {
                warn!("ZooKeeper could not be told of the resignation; the session will expire");
            }
            Say::SessionEnded { session } => warn!(session, "the session has ended"),
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

    fn publish(&self, member: Member) {
        self.member.send_if_modified(|published| {
            let changed = published.as_ref() != Some(&member);
            *published = Some(member);
            changed
        });
    }
}

/// What the supervisor orders.
pub struct Orders {
    /// `None` once there will be no more.
    receiver: Option<mpsc::UnboundedReceiver<ElectionOrder>>,
}

impl Orders {
    /// The next one; whoever can order nothing more has ordered to close. Cancel safe.
    pub async fn next(&mut self) -> Input {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        let order = receiver.recv().await.unwrap_or_else(|| {
            self.receiver = None;
            ElectionOrder::Close
        });
        Input::Order(order)
    }
}

/// Rings at the candidacy's deadline.
pub struct Alarm {
    timer: Option<Timer>,
}

impl Alarm {
    /// No session is begun without a timer: its heartbeats would depend on it.
    pub fn prepare(&mut self) -> Result<(), String> {
        if self.timer.is_none() {
            let timer = Timer::new().map_err(|error| format!("no timer can be had for the heartbeats: {error}"))?;
            self.timer = Some(timer);
        }
        Ok(())
    }

    pub fn set(&mut self, deadline: Option<Moment>) {
        if let (Some(timer), Some(deadline)) = (&mut self.timer, deadline) {
            timer.set(deadline);
        }
    }

    /// Cancel safe.
    pub async fn rings(&mut self) -> Input {
        match &mut self.timer {
            Some(timer) => timer.rings().await,
            None => std::future::pending().await,
        }
        Input::TimePassed
    }
}
