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
    /// That this node is next in line behind the leadership of this epoch was told.
    pub told: Option<u64>,
    /// A claim that waits for the look that is under way: that leadership is proven to be over.
    pub wanted: Option<Box<Wanted>>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Looking(RequestId),
    /// Until the one before this node is gone. `next`: that one is the active one's.
    Behind {
        watch: RequestId,
        before: String,
        next: Option<Box<Found>>,
    },
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
        self.look_for(node, own, None, None)
    }

    fn look_for(&mut self, node: String, own: RequestId, told: Option<u64>, wanted: Option<Box<Wanted>>) -> Position {
        let step = Step::Looking(self.ask(Request::Look { node: node.clone() }));
        Position::Queued(Queued { node, own, step, told, wanted })
    }

    /// Looks at the queue as soon as there is a connection.
    pub(super) const fn look_later(node: String, own: RequestId) -> Position {
        Position::Queued(Queued { node, own, step: Step::Later(Moment::from_nanos(0)), told: None, wanted: None })
    }

    /// What a claim by the next in line would be guarded by has changed: it is looked at again.
    pub(super) fn keep_up(&mut self) {
        let Position::Queued(Queued { step: Step::Behind { before, next, .. }, .. }) = &self.position else { return };
        let led = self.seen.active.as_ref().filter(|(_, node)| node == before).map(|(epoch, _)| *epoch);
        let known = next.as_ref().map(|next| (next.outcome.epoch, next.control_version));
        let stale = match (led, known) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(led), Some((epoch, control))) => led > epoch || control != self.seen.control,
        };
        if stale
            && let Position::Queued(Queued { node, own, step: Step::Behind { watch, .. }, told, .. }) =
                std::mem::take(&mut self.position)
        {
            self.forget(watch);
            self.position = self.look_for(node, own, told, None);
        }
    }

    /// First in the queue, as was told, over another connection.
    pub(super) fn stay_elected(&mut self, node: String, found: Found) -> Position {
        let own = self.ask(Request::UntilDeleted { node: node.clone(), synced: true });
        Position::Elected(Elected { node, own, found })
    }

    pub(super) fn answer_to_queued(&mut self, at: At, queued: Queued, id: RequestId, answer: Answer) -> Position {
        let Queued { node, own, step, told, wanted } = queued;
        if id == own {
            return self.fall(Loss::NodeDeleted, None);
        }
        match (step, answer) {
            (Step::Looking(waited), Answer::Looked(looked)) if waited == id => {
                let look = looked.and_then(|looked| self.judge(&node, *looked));
                self.found(at, (node, own), look, told, wanted)
            }
            (Step::Behind { watch, .. }, Answer::Deleted) if watch == id => self.look_for(node, own, told, wanted),
            (step @ (Step::Looking(_) | Step::Behind { .. } | Step::Later(_)), _) => {
                Position::Queued(Queued { node, own, step, told, wanted })
            }
        }
    }

    fn found(
        &mut self,
        at: At,
        (node, own): (String, RequestId),
        look: Result<Look, Failure>,
        told: Option<u64>,
        wanted: Option<Box<Wanted>>,
    ) -> Position {
        let later = Step::Later(at.moment + RETRY);
        let is_the_one = |found: &Found| told == Some(found.outcome.epoch) && !found.outcome.paused;
        let mut next_to = None;
        let step = match look {
            Ok(Look::Behind { before, next }) => {
                let watch = self.ask(Request::UntilDeleted { node: before.clone(), synced: false });
                match (next, wanted) {
                    (Some(found), Some(wanted)) if is_the_one(&found) => {
                        return self.claim(at, Elected { node, own, found: *found }, *wanted);
                    }
                    (next, wanted) => {
                        if wanted.is_some() {
                            self.refuse("another leadership stands before this node");
                        }
                        next_to = next.as_ref().map(|next| next.outcome.epoch);
                        let found = next.as_ref().map(|next| Box::new(next.outcome.clone()));
                        self.tell(Fact::Behind { election_node: before.clone(), next: found });
                        Step::Behind { watch, before, next }
                    }
                }
            }
            Ok(Look::First(found)) if wanted.is_some() && is_the_one(&found) => {
                let wanted = wanted.expect("it is looked at");
                return self.claim(at, Elected { node, own, found: *found }, *wanted);
            }
            Ok(_) if wanted.is_some() => {
                self.refuse("what was to be claimed has changed");
                Step::Later(at.moment)
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
                if wanted.is_some() {
                    self.refuse(&failure.words);
                }
                if failure.is_definite() {
                    self.tell_disconnected(format!("cannot look at the queue: {failure}"));
                }
                later
            }
        };
        Position::Queued(Queued { node, own, step, told: next_to, wanted: None })
    }

    /// Enters the queue, or looks at it, again when it is time to.
    pub(super) fn try_again(&mut self, at: At, position: Position) -> Position {
        match position {
            Position::Entering(Entering::Later(later)) if later <= at.moment => self.enter_if_wanted(),
            Position::Queued(Queued { node, own, step: Step::Later(later), told, wanted }) if later <= at.moment => {
                self.look_for(node, own, told, wanted)
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
    pub(super) fn order_to_queued(&mut self, at: At, queued: Queued, order: ElectionOrder) -> Position {
        let Queued { node, own, step, told, wanted: waiting } = queued;
        match (order, step) {
            (ElectionOrder::Yield, Step::Behind { watch, .. }) => {
                self.forget(watch);
                self.leave_queue(&node, own)
            }
            // It was behind somebody a moment ago: who looks again is not to lead for that.
            (ElectionOrder::Yield, Step::Looking(look)) if told.is_some() => {
                self.forget(look);
                self.leave_queue(&node, own)
            }
            (ElectionOrder::Claim { breadcrumb, volume, entry, predecessor_ended }, step) => {
                let wanted = Wanted { breadcrumb, volume, entry, predecessor_ended };
                match step {
                    // The watch stays: the claim itself makes it tell.
                    Step::Behind { next: Some(found), .. } => {
                        self.claim(at, Elected { node, own, found: *found }, wanted)
                    }
                    // Who stood before this node is gone, or something else has changed.
                    step @ (Step::Looking(_) | Step::Later(_)) if told.is_some() => {
                        Position::Queued(Queued { node, own, step, told, wanted: Some(Box::new(wanted)) })
                    }
                    step @ (Step::Looking(_) | Step::Later(_) | Step::Behind { .. }) => {
                        self.refuse("this node is not next in line");
                        Position::Queued(Queued { node, own, step, told, wanted: waiting })
                    }
                }
            }
            (_, step) => Position::Queued(Queued { node, own, step, told, wanted: waiting }),
        }
    }

    pub(super) fn order_to_elected(&mut self, at: At, elected: Elected, order: ElectionOrder) -> Position {
        match order {
            ElectionOrder::Yield => self.leave_queue(&elected.node, elected.own),
            ElectionOrder::Claim { .. } if elected.found.outcome.paused => {
                self.refuse("elections are paused");
                Position::Elected(elected)
            }
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
