//! From the wish to stand to `Elected`, and back.

use super::claim::Wanted;
use super::look::{Elected, Found, Look};
use super::messages::{Answer, At, Failure, Kind, Output, Request, RequestId};
use super::{After, Candidacy, Position, RETRY};
use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;

/// On the way into the queue.
#[derive(Clone, Copy, Debug)]
pub enum Entering {
    Creating(RequestId),
    /// There is no directory yet for the own node.
    Ensuring(RequestId),
    Later(Moment),
}

/// In the queue.
#[derive(Debug)]
pub struct Queued {
    pub node: String,
    /// Watches for the own node's deletion.
    pub own: RequestId,
    pub step: Step,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Looking(RequestId),
    /// Until the one before this node is gone.
    Behind(RequestId),
    /// Looks again then.
    Later(Moment),
}

impl Candidacy {
    /// Creates the own node once a candidacy is wanted and the node's name is known to be its own.
    pub(super) fn enter_if_wanted(&mut self) -> Position {
        if self.wanted && (self.registered || !self.published) {
            Position::Entering(Entering::Creating(self.ask(Request::Enter)))
        } else {
            Position::Idle
        }
    }

    pub(super) fn answer_to_entrant(&mut self, at: At, entering: Entering, id: RequestId, answer: Answer) -> Position {
        let later = Position::Entering(Entering::Later(at.moment + RETRY));
        match (entering, answer) {
            (Entering::Creating(waited), Answer::Entered(entered)) if waited == id => match entered {
                Ok(node) => {
                    self.out(Output::TellQueued { session: self.grant.session, node: node.clone() });
                    self.tell(Fact::Standing);
                    self.stood = true;
                    self.stand(node)
                }
                Err(Failure { kind: Kind::NoNode, .. }) => {
                    Position::Entering(Entering::Ensuring(self.ask(Request::EnsureDirectories)))
                }
                Err(failure) if failure.is_definite() => {
                    self.tell_disconnected(format!("cannot enter the queue: {failure}"));
                    later
                }
                // It may have been created: only the session's end makes sure that it does not stay.
                Err(failure) => self.abandon(format!("unknown whether the election node was created: {failure}")),
            },
            (Entering::Ensuring(waited), Answer::Done(ensured)) if waited == id => match ensured {
                Err(Failure { kind: Kind::NoAnswer, words }) => self.abandon(words),
                Err(failure) => {
                    self.tell_disconnected(failure.words);
                    later
                }
                Ok(()) => later,
            },
            (Entering::Creating(_) | Entering::Ensuring(_) | Entering::Later(_), _) => Position::Entering(entering),
        }
    }

    /// In the queue by this node, over this connection.
    pub(super) fn stand(&mut self, node: String) -> Position {
        // A server that has taken the session over may be behind the one that was lost, and not know of the node yet.
        let own = self.ask(Request::UntilDeleted { node: node.clone(), synced: true });
        self.look(node, own)
    }

    fn look(&mut self, node: String, own: RequestId) -> Position {
        let step = Step::Looking(self.ask(Request::Look { node: node.clone() }));
        Position::Queued(Queued { node, own, step })
    }

    /// First in the queue, as was told, over another connection.
    pub(super) fn stay_elected(&mut self, node: String, found: Found) -> Position {
        let own = self.ask(Request::UntilDeleted { node: node.clone(), synced: true });
        Position::Elected(Elected { node, own, found })
    }

    pub(super) fn answer_to_queued(&mut self, at: At, queued: Queued, id: RequestId, answer: Answer) -> Position {
        let Queued { node, own, step } = queued;
        if id == own {
            return self.fall(Loss::NodeDeleted, None);
        }
        match (step, answer) {
            (Step::Looking(waited), Answer::Looked(looked)) if waited == id => {
                let look = looked.and_then(|looked| self.judge(&node, *looked));
                self.found(at, node, own, look)
            }
            (Step::Behind(waited), Answer::Deleted) if waited == id => self.look(node, own),
            (Step::Looking(_) | Step::Behind(_) | Step::Later(_), _) => Position::Queued(Queued { node, own, step }),
        }
    }

    fn found(&mut self, at: At, node: String, own: RequestId, look: Result<Look, Failure>) -> Position {
        let later = Step::Later(at.moment + RETRY);
        let step = match look {
            Ok(Look::Behind(node)) => {
                self.tell(Fact::Behind { election_node: node.clone() });
                Step::Behind(self.ask(Request::UntilDeleted { node, synced: false }))
            }
            // Told at once, the pause's end might never be: the view tells of what changes, and has not told of the pause.
            Ok(Look::First(found)) if found.outcome.paused && !self.seen.paused => later,
            Ok(Look::First(mut found)) => {
                if found.contested {
                    found.outcome.others = self.others();
                }
                self.tell(Fact::Elected(Box::new(found.outcome.clone())));
                return Position::Elected(Elected { node, own, found: *found });
            }
            Ok(Look::Gone) => return self.fall(Loss::NodeDeleted, None),
            Err(Failure { kind: Kind::NoAnswer, words }) => return self.abandon(words),
            Err(failure) => {
                if failure.is_definite() {
                    self.tell_disconnected(format!("cannot look at the queue: {failure}"));
                }
                later
            }
        };
        Position::Queued(Queued { node, own, step })
    }

    /// Enters the queue, or looks at it, again when it is time to.
    pub(super) fn try_again(&mut self, at: At, position: Position) -> Position {
        match position {
            Position::Entering(Entering::Later(later)) if later <= at.moment => self.enter_if_wanted(),
            Position::Queued(Queued { node, own, step: Step::Later(later) }) if later <= at.moment => {
                self.look(node, own)
            }
            position @ (Position::Idle
            | Position::Entering(_)
            | Position::Queued(_)
            | Position::Elected(_)
            | Position::Claiming(_)
            | Position::Leaving(_)
            | Position::Leading(_)
            | Position::Fallen(_)
            | Position::Resigning(_)) => position,
        }
    }

    /// An order of which the meaning depends on the place in the queue.
    pub(super) fn order_to_queued(&mut self, queued: Queued, order: ElectionOrder) -> Position {
        match (order, queued.step) {
            (ElectionOrder::Yield, Step::Behind(watch)) => {
                self.forget(watch);
                self.leave_queue(&queued.node, queued.own)
            }
            (order, _) => {
                self.refuse_claim(&order);
                Position::Queued(queued)
            }
        }
    }

    pub(super) fn order_to_elected(&mut self, at: At, elected: Elected, order: ElectionOrder) -> Position {
        match order {
            ElectionOrder::Yield => self.leave_queue(&elected.node, elected.own),
            ElectionOrder::Claim { breadcrumb, volume, entry, predecessor_ended } => {
                self.claim(at, elected, Wanted { breadcrumb, volume, entry, predecessor_ended })
            }
            ElectionOrder::Stand
            | ElectionOrder::Resign { .. }
            | ElectionOrder::Publish(_)
            | ElectionOrder::Announce(_)
            | ElectionOrder::Amend(_)
            | ElectionOrder::Intend(_)
            | ElectionOrder::AskAgain
            | ElectionOrder::Close => self.look(elected.node, elected.own),
        }
    }

    fn leave_queue(&mut self, node: &str, own: RequestId) -> Position {
        self.forget(own);
        Position::Leaving(self.ask(Request::Delete { node: node.to_owned() }))
    }

    pub(super) fn answer_to_leaver(&mut self, waited: RequestId, id: RequestId, answer: Answer) -> Position {
        match (id == waited, answer) {
            (true, Answer::Done(Ok(()) | Err(Failure { kind: Kind::NoNode, .. }))) => self.enter_if_wanted(),
            (true, Answer::Done(Err(failure))) => {
                self.abandon(format!("unknown whether the election node was deleted: {failure}"))
            }
            _ => Position::Leaving(waited),
        }
    }

    /// Gives up a session of which it is unknown what it left.
    pub(super) fn abandon(&mut self, reason: String) -> Position {
        self.report_loss(Loss::Backend(reason));
        self.end(After::Open, false)
    }
}
