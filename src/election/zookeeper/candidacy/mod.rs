//! A candidacy, from the first order to the last session: what is asked of ZooKeeper next, and what the supervisor is told.
//! No I/O, no clock, no async.
//!
//! # Theory of operation
//!
//! Whatever happens is an [`Input`], told with the moment at which it is told; whatever is to be done is an [`Output`];
//! [`Candidacy::deadline`] is the moment at which time alone matters. The shell around it ([`super::sessions`]) carries
//! requests to the client and answers back, and decides nothing. Two values say where a candidacy is: its [`Contact`], and its
//! [`Position`], which outlasts a connection but never a session.
//!
//! ```text
//! contact    Opening ─► Connected ◄─► Searching        (the session is taken to another connection)
//!               ▲           │             │
//!               └─ Closing ◄┘             └─► Opening  (nobody was found in time)
//!
//! position   Idle ─Stand► Entering ─► Queued ─first► Elected ─Claim► Claiming ─► Leading ─Resign► Resigning ─► (session closed)
//!              ▲                        │ Yield          │ Yield        │            │
//!              └──────── Leaving ◄──────┴────────────────┘              └── Fallen ◄─┘  own node deleted, overtaken
//! ```
//!
//! | position | Stand | Yield | Claim | Resign | connection lost |
//! |---|---|---|---|---|---|
//! | Idle | enters | – | refused | told at once | goes on |
//! | Entering | – | – | refused | ends the session | ends it, if the own node may have been created; else goes on as Idle |
//! | Queued, behind | – | to the back | claims, if the one before it is the active one's | ends the session | goes on, with another look |
//! | Queued, looking | – | to the back, if it was next in line | waits for the look, if it was next in line | ends the session | goes on, with another look |
//! | Elected | looks again | to the back | claims | ends the session | goes on |
//! | Claiming | waits | waits | waits | waits | ends the session: nobody knows whether the epoch was taken |
//! | Leaving | – | – | refused | ends the session | ends it: nobody knows whether the own node is gone |
//! | Leading | – | – | refused | resigns | goes on, and a heartbeat comes first |
//! | Fallen | another session | – | refused | resigns, if there was a leadership; ends the session | goes on |
//! | Resigning | waits | waits | waits | waits | goes on until its time is over |
//!
//! An answer that may mean either (a lost connection, none in time) to a request that changes something ends the session, and
//! with it whatever may have been left. An answer to a request that nobody waits for any more is nothing.

#![cfg_attr(
    not(test),
    deny(clippy::wildcard_enum_match_arm, reason = "a new variant is a decision, to be made wherever it matters")
)]

mod claim;
mod contact;
mod leadership;
mod look;
mod messages;
mod pulse;
mod queue;
mod resignation;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;
use crate::role::lease::LeaseTiming;
use crate::status::{HistoryEntry, Member};
use crate::zookeeper::contents::shortened;
use crate::zookeeper::paths::Paths;

use self::claim::Claiming;
use self::contact::{Contact, Grant};
use self::leadership::Leading;
use self::look::Elected;
pub use self::messages::{
    Answer, At, Connection, Content, Failure, Input, Kind, Leadership, Looked, Output, Request, RequestId, Say, Seen,
    Turn, Write,
};
use self::pulse::Pulse;
use self::queue::{Entering, Queued, Step};
use self::resignation::Resigning;

/// How long to wait before what failed is tried again on the same connection.
const RETRY: Duration = Duration::from_millis(100);

/// What a candidacy is told of the configuration.
#[derive(Clone, Debug)]
pub struct Terms {
    pub node: String,
    pub paths: Arc<Paths>,
    /// It never stands: it is a member, and announces its coordinator without a leadership.
    pub always_on: bool,
    /// With the session that is asked for.
    pub timing: LeaseTiming,
}

#[derive(Debug)]
pub struct Candidacy {
    terms: Terms,
    contact: Contact,
    position: Position,
    /// Whether a candidacy is wanted. It survives a session that ended before there was one.
    wanted: bool,
    /// Whether `Standing` was said, so that an end has to be reported as a loss.
    stood: bool,
    /// Whether this node has told the others of itself, and so must prove that its name is its own.
    published: bool,
    /// Whether that is proven.
    registered: bool,
    /// The reason of the disconnection that was told last; `None` while connected.
    told: Option<String>,
    seen: Seen,
    grant: Grant,
    pulse: Pulse,
    /// Orders that wait.
    kept: VecDeque<ElectionOrder>,
    requests: RequestId,
    outputs: VecDeque<Output>,
}

/// How far a candidacy has come within its session.
#[derive(Debug, Default)]
enum Position {
    /// Not in the queue.
    #[default]
    Idle,
    Entering(Entering),
    Queued(Queued),
    Elected(Elected),
    Claiming(Box<Claiming>),
    /// The own node is being deleted.
    Leaving(RequestId),
    Leading(Leading),
    /// The loss was told, and the supervisor has not let go yet. A leadership's end can still be noted.
    Fallen(Option<Leadership>),
    Resigning(Resigning),
}

/// What follows a session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Another one.
    Open,
    /// `Resigned` is told, and another one.
    Resigned,
    /// `Resigned` is told, and nothing comes after it.
    Finished,
}

impl Candidacy {
    pub fn new(terms: Terms) -> Self {
        let pulse = Pulse::new(terms.timing, Moment::default(), Moment::default());
        Self {
            terms,
            contact: Contact::Opening,
            position: Position::Idle,
            wanted: false,
            stood: false,
            published: false,
            registered: false,
            told: None,
            seen: Seen::default(),
            grant: Grant::default(),
            pulse,
            kept: VecDeque::new(),
            requests: 0,
            outputs: [Output::Turn(Turn::Open)].into(),
        }
    }

    pub fn handle(&mut self, at: At, input: Input) {
        match input {
            Input::Order(order) => self.order(at, order),
            Input::Connected(connection) => self.connected(at, &connection),
            Input::NotConnected(reason) => self.tell_disconnected(reason),
            Input::Disconnected => self.disconnected(at),
            Input::Narrow(problem) => self.narrow(problem),
            Input::SessionLost => self.session_lost(),
            Input::Closed => self.closed(),
            Input::Registered(registered) => self.registered = registered,
            Input::Viewed(seen) => {
                self.seen = seen;
                self.keep_up();
            }
            Input::Answered(id, answer) => self.answered(at, id, answer),
            Input::TimePassed => {}
        }
        self.catch_up(at);
        self.proceed(at);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::TimePassed`] is due, if nothing else comes before.
    pub fn deadline(&self) -> Option<Moment> {
        match &self.contact {
            Contact::Connected => {
                let touch = self.pulse.due().filter(|_| self.position.is_silent());
                [touch, self.position.deadline()].into_iter().flatten().min()
            }
            Contact::Searching { until, .. } => Some(*until),
            Contact::Opening | Contact::Closing { .. } | Contact::Over => None,
        }
    }

    fn order(&mut self, at: At, order: ElectionOrder) {
        if matches!(self.contact, Contact::Searching { .. }) {
            self.order_while_searching(at, order);
        } else {
            self.kept.push_back(order);
        }
    }

    /// Takes the orders that had to wait, in their order.
    fn catch_up(&mut self, at: At) {
        while self.takes_orders()
            && let Some(order) = self.kept.pop_front()
        {
            let position = std::mem::take(&mut self.position);
            self.position = self.take_order(at, position, order);
        }
    }

    fn takes_orders(&self) -> bool {
        match self.contact {
            Contact::Opening => true,
            Contact::Connected => !matches!(self.position, Position::Claiming(_) | Position::Resigning(_)),
            Contact::Searching { .. } | Contact::Closing { .. } | Contact::Over => false,
        }
    }

    fn take_order(&mut self, at: At, position: Position, order: ElectionOrder) -> Position {
        match (position, order) {
            (position, ElectionOrder::Intend(change)) => {
                self.out(Output::Intend(change));
                position
            }
            (Position::Idle, order) => self.order_to_idle(order),
            (Position::Leading(leading), order) => self.order_to_leader(at, leading, order),
            (Position::Fallen(Some(leadership)), order @ ElectionOrder::Resign { .. }) => {
                self.order_to_fallen(at, Some(leadership), order)
            }
            // An order to resign simply ends the session, whatever a request was about to leave.
            (_, ElectionOrder::Resign { .. }) => {
                self.wanted = false;
                self.end(After::Resigned, false)
            }
            (_, ElectionOrder::Close) => self.end(After::Finished, false),
            (position, ElectionOrder::Publish(member)) => {
                self.publish(member);
                position
            }
            (position, ElectionOrder::Announce(_) | ElectionOrder::Amend(_) | ElectionOrder::AskAgain) => position,
            (Position::Queued(queued), order) => self.order_to_queued(at, queued, order),
            (Position::Elected(elected), order) => self.order_to_elected(at, elected, order),
            (Position::Fallen(fallen), order) => self.order_to_fallen(at, fallen, order),
            (position, order) => {
                self.refuse_claim(&order);
                position
            }
        }
    }

    /// While there is no candidacy, and perhaps no session.
    fn order_to_idle(&mut self, order: ElectionOrder) -> Position {
        match order {
            // Nobody orders it of one that is always on; it would not stand if somebody did.
            ElectionOrder::Stand => self.wanted = !self.terms.always_on,
            ElectionOrder::Resign { .. } => {
                (self.wanted, self.stood) = (false, false);
                self.tell(Fact::Resigned);
            }
            ElectionOrder::Claim { .. } => self.refuse_claim(&order),
            ElectionOrder::Publish(member) => self.publish(member),
            ElectionOrder::Announce(breadcrumb) if self.terms.always_on => self.out(Output::Announce(breadcrumb)),
            ElectionOrder::Yield | ElectionOrder::Announce(_) | ElectionOrder::Amend(_) | ElectionOrder::Intend(_) => {}
            ElectionOrder::AskAgain if !self.is_connected() => {}
            ElectionOrder::AskAgain => return self.end(After::Open, false),
            ElectionOrder::Close => return self.end(After::Finished, false),
        }
        Position::Idle
    }

    fn answered(&mut self, at: At, id: RequestId, answer: Answer) {
        // What comes over a connection that was given up proves nothing.
        if !self.is_connected() {
            return;
        }
        if self.pulse.answered(id, matches!(answer, Answer::Done(Ok(()))), at.moment) {
            return;
        }
        self.position = match std::mem::take(&mut self.position) {
            Position::Entering(entering) => self.answer_to_entrant(at, entering, id, answer),
            Position::Queued(queued) => self.answer_to_queued(at, queued, id, answer),
            Position::Elected(elected) if elected.own == id => self.fall(Loss::NodeDeleted, None),
            Position::Claiming(claiming) => self.answer_to_claim(at, claiming, id, answer),
            Position::Leaving(waited) => self.answer_to_leaver(waited, id, answer),
            Position::Leading(leading) => self.answer_to_leader(at, leading, id, answer),
            Position::Resigning(resigning) => self.answer_to_resignation(at, resigning, id, answer),
            position @ (Position::Idle | Position::Elected(_) | Position::Fallen(_)) => position,
        };
    }

    /// Does what is due.
    fn proceed(&mut self, at: At) {
        match &self.contact {
            Contact::Connected => {}
            Contact::Searching { until, .. } if *until <= at.moment => return self.give_up_searching(),
            Contact::Opening | Contact::Searching { .. } | Contact::Closing { .. } | Contact::Over => return,
        }
        self.position = match std::mem::take(&mut self.position) {
            Position::Idle => self.enter_if_wanted(),
            position @ (Position::Entering(_) | Position::Queued(_)) => self.try_again(at, position),
            Position::Leading(leading) => self.keep_leading(at, leading),
            Position::Resigning(resigning) => self.keep_resigning(at, resigning),
            position @ (Position::Elected(_) | Position::Claiming(_) | Position::Leaving(_) | Position::Fallen(_)) => {
                position
            }
        };
        if self.is_connected() && self.position.is_silent() && self.pulse.due().is_some_and(|due| due <= at.moment) {
            let large = self.pulse.touch(at.moment);
            let id = self.ask(Request::Touch { large });
            self.pulse.sent(id);
        }
    }

    const fn is_connected(&self) -> bool {
        matches!(self.contact, Contact::Connected)
    }

    /// How the lease is reckoned under what was granted.
    fn timing(&self) -> LeaseTiming {
        self.terms.timing.granted(self.terms.timing.session_timeout, self.grant.timeout)
    }

    fn out(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn ask(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        self.out(Output::Ask(self.requests, request));
        self.requests
    }

    fn forget(&mut self, id: RequestId) {
        self.out(Output::Forget(id));
    }

    fn tell(&mut self, fact: Fact) {
        self.out(Output::Tell(fact));
    }

    fn say(&mut self, line: Say) {
        self.out(Output::Say(line));
    }

    /// Says why there is no contact, once per reason.
    fn tell_disconnected(&mut self, reason: String) {
        if self.told.as_ref() != Some(&reason) {
            self.tell(Fact::Disconnected { reason: reason.clone() });
            self.told = Some(reason);
        }
    }

    fn publish(&mut self, member: Box<Member>) {
        self.published = true;
        self.out(Output::Publish(member));
    }

    fn refuse(&mut self, reason: &str) {
        self.tell(Fact::ClaimRefused { reason: reason.to_owned() });
    }

    fn refuse_claim(&mut self, order: &ElectionOrder) {
        if matches!(order, ElectionOrder::Claim { .. }) {
            self.refuse("this node does not stand first in the queue");
        }
    }

    fn report_loss(&mut self, loss: Loss) {
        if std::mem::take(&mut self.stood) {
            self.wanted = false;
            self.tell(Fact::Lost(loss));
        }
    }
}

impl Position {
    fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Entering(Entering::Later(at)) | Self::Queued(Queued { step: Step::Later(at), .. }) => Some(*at),
            Self::Leading(leading) => leading.deadline(),
            Self::Resigning(resigning) => Some(resigning.deadline()),
            Self::Idle
            | Self::Entering(_)
            | Self::Queued(_)
            | Self::Elected(_)
            | Self::Claiming(_)
            | Self::Leaving(_)
            | Self::Fallen(_) => None,
        }
    }

    /// Whether the session is heard only if it is touched: who leads sends heartbeats, who leaves needs no lease.
    const fn is_silent(&self) -> bool {
        match self {
            Self::Idle | Self::Entering(_) | Self::Queued(_) | Self::Elected(_) | Self::Leaving(_) => true,
            Self::Claiming(_) | Self::Leading(_) | Self::Fallen(_) | Self::Resigning(_) => false,
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have only string keys")
}

/// As it is written: what a command said of its failure may be long.
pub fn short(entry: HistoryEntry) -> HistoryEntry {
    HistoryEntry { detail: entry.detail.map(|detail| shortened(&detail)), ..entry }
}
