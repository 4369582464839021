//! The session, and its connection.

use std::time::Duration;

use super::look::Elected;
use super::messages::{At, Connection, Output, Say, Turn};
use super::pulse::Pulse;
use super::queue::{Entering, Queued};
use super::{After, Candidacy, Position, Seen};
use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;

#[derive(Debug)]
pub enum Contact {
    /// There is no session; one is asked for.
    Opening,
    Connected,
    /// The session looks for another connection, for it lives on in the ensemble. Nothing is renewed and nothing is decided
    /// meanwhile; orders wait, but for those to give up.
    Searching {
        until: Moment,
        /// Why a connection that was found was not taken.
        narrow: Option<String>,
    },
    Closing {
        after: After,
        resigned: bool,
    },
    Over,
}

/// What is granted to a session. Every connection of it negotiates anew, and the shortest grant is the one that counts: what a
/// server has still to tell of the session carries what that server had granted, and may be told late.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    pub session: i64,
    /// For people.
    pub name: String,
    /// The shortest.
    pub timeout: Duration,
    /// The latest.
    pub latest: Duration,
    /// Whether there is another server to ask.
    pub several: bool,
}

impl Candidacy {
    pub(super) fn connected(&mut self, at: At, connection: &Connection) {
        let goes_on = match self.contact {
            Contact::Opening => false,
            Contact::Searching { .. } => true,
            Contact::Connected | Contact::Closing { .. } | Contact::Over => return,
        };
        self.take_grant(connection, goes_on);
        self.contact = Contact::Connected;
        self.pulse = Pulse::new(self.timing(), connection.asked, at.moment);
        // The name is to be proven, and the view to be read, over this connection.
        (self.registered, self.seen) = (false, Seen::default());
        let outgrown = goes_on && self.grant.latest > self.grant.timeout;
        self.position = match std::mem::take(&mut self.position) {
            // The servers grant more than this session can make use of, and no lease rests on it.
            Position::Idle if outgrown => self.end(After::Open, false),
            Position::Queued(_) if outgrown => {
                self.abandon("the servers grant a longer session by now: asking for it".to_owned())
            }
            Position::Queued(Queued { node, .. }) => self.stand(node),
            Position::Elected(Elected { node, found, .. }) => self.stay_elected(node, found),
            Position::Leading(leading) => Position::Leading(leading.parted(at.moment)),
            Position::Resigning(resigning) => self.write_resignation(resigning),
            position @ (Position::Idle
            | Position::Entering(_)
            | Position::Claiming(_)
            | Position::Leaving(_)
            | Position::Fallen(_)) => position,
        };
        // Whoever leads renews the lease first: a server that has just started takes its time for everything.
        if self.is_connected() && !matches!(self.position, Position::Leading(_) | Position::Resigning(_)) {
            self.out(Output::Share);
            if self.terms.always_on {
                self.out(Output::AttendAlwaysOn { fresh: !goes_on });
            }
        }
    }

    fn take_grant(&mut self, connection: &Connection, goes_on: bool) {
        self.told = None;
        let Connection { session, name, granted: latest, asked, several } = connection.clone();
        let before = goes_on.then_some(self.grant.timeout);
        if let Some(before) = before.filter(|before| *before != latest) {
            self.say(Say::GrantChanged { session: name.clone(), before, latest });
        }
        let timeout = before.map_or(latest, |before| before.min(latest));
        self.grant = Grant { session, name: name.clone(), timeout, latest, several };
        self.tell(Fact::Connected { session: Some(name), timeout, asked });
    }

    pub(super) fn disconnected(&mut self, at: At) {
        if !self.is_connected() {
            return;
        }
        self.tell_disconnected("the connection to ZooKeeper is lost".to_owned());
        let position = std::mem::take(&mut self.position);
        self.position = self.part(at, position);
        // What had to wait for an answer waits for none any more.
        for order in std::mem::take(&mut self.kept) {
            self.order(at, order);
        }
    }

    /// Gives the connection up: what is under way goes on as soon as there is another one, unless it is unknown what it left.
    pub(super) fn part(&mut self, at: At, position: Position) -> Position {
        let position = match position {
            Position::Entering(Entering::Creating(_)) => {
                self.abandon("unknown whether the election node was created: the connection was lost".to_owned())
            }
            Position::Entering(Entering::Ensuring(_) | Entering::Later(_)) => {
                self.stood = false;
                Position::Idle
            }
            Position::Leaving(_) => self.abandon("the connection was lost while the queue was left".to_owned()),
            Position::Claiming(claiming) => self.part_from_claim(*claiming),
            position @ (Position::Idle
            | Position::Queued(_)
            | Position::Elected(_)
            | Position::Leading(_)
            | Position::Fallen(_)
            | Position::Resigning(_)) => position,
        };
        if self.is_connected() {
            // As long as the ensemble may take to expire it, and no longer than a resignation may take.
            let expired = at.moment + self.timing().surely_over();
            let until =
                if let Position::Resigning(resigning) = &position { expired.min(resigning.until) } else { expired };
            self.contact = Contact::Searching { until, narrow: None };
            let hurries = matches!(position, Position::Leading(_) | Position::Resigning(_));
            let stake = hurries.then(|| self.timing().length());
            self.out(Output::Turn(Turn::Reattach { stake }));
        }
        position
    }

    pub(super) fn narrow(&mut self, problem: String) {
        if let Contact::Searching { narrow, .. } = &mut self.contact {
            *narrow = Some(problem);
        }
    }

    /// The session is looked for a connection: who gives up does so at once, everything else waits. A leadership has something
    /// to say at its end; a place in the queue goes with the session.
    pub(super) fn order_while_searching(&mut self, at: At, order: ElectionOrder) {
        let resigns = matches!(self.position, Position::Resigning(_));
        if resigns || !matches!(order, ElectionOrder::Resign { .. } | ElectionOrder::Close) {
            self.kept.push_back(order);
            return;
        }
        // What was ordered before is overtaken.
        for order in std::mem::take(&mut self.kept) {
            if let ElectionOrder::Publish(member) = order {
                self.publish(member);
            } else {
                self.refuse_claim(&order);
            }
        }
        let position = std::mem::take(&mut self.position);
        self.position = match (position, order) {
            (Position::Idle, ElectionOrder::Resign { .. }) => {
                self.wanted = false;
                self.end(After::Resigned, false)
            }
            (position, order) => self.take_order(at, position, order),
        };
        if let (Position::Resigning(resigning), Contact::Searching { until, .. }) = (&self.position, &mut self.contact)
        {
            *until = resigning.until.min(*until);
        }
    }

    /// Nobody was found in time, or the session has expired meanwhile.
    pub(super) fn give_up_searching(&mut self) {
        let Contact::Searching { narrow, .. } = &mut self.contact else { return };
        let narrow = narrow.take();
        self.position = if let Position::Resigning(resigning) = std::mem::take(&mut self.position) {
            self.say(Say::ResignationUntold);
            self.resigned(&resigning, false)
        } else {
            self.say(Say::SessionEnded { session: self.grant.name.clone() });
            let loss = match narrow {
                Some(problem) => {
                    self.tell_disconnected(problem.clone());
                    Loss::Backend(problem)
                }
                None => Loss::SessionExpired,
            };
            self.report_loss(loss);
            self.end(After::Open, false)
        };
    }

    pub(super) fn session_lost(&mut self) {
        match self.contact {
            Contact::Searching { .. } => self.give_up_searching(),
            Contact::Connected => {
                self.position = if let Position::Resigning(resigning) = std::mem::take(&mut self.position) {
                    self.resigned(&resigning, false)
                } else {
                    self.report_loss(Loss::SessionExpired);
                    self.end(After::Open, false)
                };
            }
            Contact::Opening | Contact::Closing { .. } | Contact::Over => {}
        }
    }

    /// Ends the session, and with it everything that the candidacy may have left. `left`: nothing of it remains even while
    /// the session lives, so whoever waits for that need not wait for the session's end.
    pub(super) fn end(&mut self, after: After, left: bool) -> Position {
        self.stood = false;
        if matches!(self.contact, Contact::Searching { .. }) {
            self.contact = Contact::Closing { after, resigned: false };
            self.closed();
        } else {
            let resigned = left && after == After::Resigned;
            if resigned {
                self.tell(Fact::Resigned);
            }
            self.contact = Contact::Closing { after, resigned };
            self.out(Output::Turn(Turn::Close { quiet: resigned }));
        }
        Position::Idle
    }

    pub(super) fn closed(&mut self) {
        let Contact::Closing { after, resigned } = self.contact else { return };
        if after != After::Open && !resigned {
            self.tell(Fact::Resigned);
        }
        let turn = if after == After::Finished { Turn::Finish } else { Turn::Open };
        self.contact = if after == After::Finished { Contact::Over } else { Contact::Opening };
        self.out(Output::Turn(turn));
    }
}
