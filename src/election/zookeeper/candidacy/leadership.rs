//! A leadership: the heartbeats, until the end.

use std::time::Duration;

use serde_json::json;

use super::messages::{Answer, At, Failure, Kind, Leadership, Output, Request, RequestId, Say, Write};
use super::{Candidacy, Position};
use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;

#[derive(Debug)]
pub struct Leading {
    pub leadership: Leadership,
    /// Watches for the own node's deletion; `None` until this connection has carried a heartbeat's acknowledgement: a server
    /// that has taken the session over may be behind the one that was lost, and not know of the node before that.
    pub own: Option<RequestId>,
    pub beat: Beat,
    /// Whether this connection has answered anything.
    pub answers: bool,
}

/// One heartbeat is under way at most.
#[derive(Clone, Copy, Debug)]
pub enum Beat {
    Due(Moment),
    /// `patience`: until when the server is given time, where there are others.
    UnderWay {
        id: RequestId,
        sent: Moment,
        patience: Option<Moment>,
    },
    /// Somebody has deleted the node that it is written to. It proves nothing, it only carries the write.
    Creating {
        id: RequestId,
        sent: Moment,
        patience: Option<Moment>,
    },
}

impl Leading {
    pub fn deadline(&self) -> Option<Moment> {
        match self.beat {
            Beat::Due(at) => Some(at),
            Beat::UnderWay { patience, .. } | Beat::Creating { patience, .. } => patience,
        }
    }

    /// Over another connection: a heartbeat comes first.
    pub fn parted(self, now: Moment) -> Self {
        Self { own: None, beat: Beat::Due(now), answers: false, ..self }
    }
}

impl Candidacy {
    /// Begins the leadership that a claim sent at `sent` has taken.
    pub(super) fn begin(&mut self, at: At, sent: Moment, leadership: Leadership, own: RequestId) -> Leading {
        self.say(Say::EpochTaken { epoch: leadership.breadcrumb.epoch, node: leadership.node.clone() });
        let counts_from = self.pulse.acknowledged(sent, at.moment);
        let epoch_version = leadership.epoch_version;
        self.out(Output::TellClaimed { session: self.grant.session, counts_from, leadership: leadership.clone() });
        self.out(Output::Attend { epoch_version });
        let beat = Beat::Due(sent + self.terms.timing.heartbeat_interval);
        Leading { leadership, own: Some(own), beat, answers: true }
    }

    /// The order of a leader.
    pub(super) fn order_to_leader(&mut self, at: At, leading: Leading, order: ElectionOrder) -> Position {
        match order {
            ElectionOrder::Resign { clean, ended } => {
                self.wanted = false;
                return self.resign(at, leading.leadership, clean, ended, super::After::Resigned);
            }
            ElectionOrder::Close => {
                return self.resign(at, leading.leadership, false, None, super::After::Finished);
            }
            ElectionOrder::Publish(member) => self.publish(member),
            ElectionOrder::Announce(breadcrumb) => self.out(Output::Announce(breadcrumb)),
            ElectionOrder::Amend(entry) => self.out(Output::Amend(entry)),
            ElectionOrder::Claim { .. } => self.refuse("this node leads already"),
            ElectionOrder::Stand | ElectionOrder::Yield | ElectionOrder::Intend(_) | ElectionOrder::AskAgain => {}
        }
        Position::Leading(leading)
    }

    /// Sends a heartbeat that is due, or gives up a server that does not answer one.
    ///
    /// A server that does not answer for half a lease is left for another, if there is one (if answers took longer as a rule,
    /// the lease could not be kept anyway); once only: if the next one answers no more than it did, the ensemble is slow, and
    /// an answer may be on its way. If no answer comes, the lease runs out.
    pub(super) fn keep_leading(&mut self, at: At, mut leading: Leading) -> Position {
        match leading.beat {
            Beat::Due(due) if due <= at.moment => {
                let patience = self.patience(&leading).map(|patience| at.moment + patience);
                let id = self.ask(Request::Heartbeat(self.heartbeat(at, &leading.leadership)));
                leading.beat = Beat::UnderWay { id, sent: at.moment, patience };
            }
            Beat::UnderWay { patience: Some(until), .. } | Beat::Creating { patience: Some(until), .. }
                if until <= at.moment =>
            {
                self.tell_disconnected("a heartbeat is not answered; asking another server".to_owned());
                return self.part(at, Position::Leading(leading));
            }
            Beat::Due(_) | Beat::UnderWay { .. } | Beat::Creating { .. } => {}
        }
        Position::Leading(leading)
    }

    fn patience(&self, leading: &Leading) -> Option<Duration> {
        let patience = (self.timing().length() / 2).max(self.terms.timing.heartbeat_interval);
        (self.grant.several && leading.answers).then_some(patience)
    }

    /// The only thing that renews the lease.
    fn heartbeat(&self, at: At, leadership: &Leadership) -> Vec<Write> {
        let data = json!({"node": self.terms.node, "epoch": leadership.breadcrumb.epoch, "at": at.timestamp()});
        vec![
            Write::Check { path: leadership.node.clone(), version: None },
            Write::Check { path: self.terms.paths.epoch.clone(), version: Some(leadership.epoch_version) },
            Write::Set { path: self.terms.paths.heartbeat.clone(), data: data.to_string().into_bytes(), version: None },
        ]
    }

    pub(super) fn answer_to_leader(&mut self, at: At, mut leading: Leading, id: RequestId, answer: Answer) -> Position {
        if leading.own == Some(id) {
            return self.fall(Loss::NodeDeleted, Some(leading.leadership));
        }
        let interval = self.terms.timing.heartbeat_interval;
        match (leading.beat, answer) {
            (Beat::UnderWay { id: waited, sent, .. }, Answer::Written(outcome)) if waited == id => {
                leading.beat = Beat::Due(sent + interval);
                match outcome {
                    Ok(_) => self.renewed(at, sent, &mut leading),
                    Err((Some(0), failure)) if moved(&failure) => {
                        return self.fall(Loss::NodeDeleted, Some(leading.leadership));
                    }
                    Err((Some(1), failure)) if moved(&failure) => {
                        return self.fall(Loss::Overtaken, Some(leading.leadership));
                    }
                    Err((Some(2), Failure { kind: Kind::NoNode, .. })) => {
                        let path = self.terms.paths.heartbeat.clone();
                        let id = self.ask(Request::Write(vec![Write::Create { path, data: Vec::new() }]));
                        let patience = self.patience(&leading).map(|patience| sent + patience);
                        leading.beat = Beat::Creating { id, sent, patience };
                    }
                    // Neither renewed nor lost: a lost connection tells so itself, and the lease runs out by itself.
                    Err((_, failure)) => self.say(Say::HeartbeatFailed(failure)),
                }
            }
            (Beat::Creating { id: waited, sent, .. }, Answer::Written(outcome)) if waited == id => {
                leading.beat = match outcome {
                    Ok(_) | Err((_, Failure { kind: Kind::NodeExists, .. })) => Beat::Due(at.moment),
                    Err((_, failure)) => {
                        self.say(Say::HeartbeatFailed(failure));
                        Beat::Due(sent + interval)
                    }
                };
            }
            // Of an earlier connection.
            (Beat::Due(_) | Beat::UnderWay { .. } | Beat::Creating { .. }, _) => {}
        }
        Position::Leading(leading)
    }

    fn renewed(&mut self, at: At, sent: Moment, leading: &mut Leading) {
        let counts_from = self.pulse.acknowledged(sent, at.moment);
        self.tell(Fact::Renewed { sent, counts_from, acknowledged: at.moment });
        leading.answers = true;
        if leading.own.is_none() {
            let node = leading.leadership.node.clone();
            leading.own = Some(self.ask(Request::UntilDeleted { node, synced: false }));
            self.out(Output::Share);
            self.out(Output::Attend { epoch_version: leading.leadership.epoch_version });
        }
    }
}

/// Whether what was checked is another's, or not there.
fn moved(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::NoNode | Kind::BadVersion)
}
