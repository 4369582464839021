//! The claim: one transaction takes the epoch and leaves the breadcrumb, guarded by what the look at the queue saw.
//!
//! Every write is a transaction that checks the own election node (its name is unique, so it cannot be anybody else's) and
//! the version of the epoch node. Rejected: a check of a fixed-name node's version alone. A node that is created again
//! starts at version 0, and the old owner's write succeeds.
//!
//! Once it is under way its outcome is waited for: whoever is ordered to resign meanwhile has to know what to give back.

use super::look::{Elected, Look};
use super::messages::{Answer, At, Failure, Kind, Leadership, Request, RequestId, Write};
use super::{Candidacy, Position, json, short};
use crate::election::port::Loss;
use crate::moment::Moment;
use crate::status::{Breadcrumb, HistoryEntry};

/// What a claim writes.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub breadcrumb: Breadcrumb,
    pub volume: String,
    pub entry: HistoryEntry,
    /// How the former leadership ended, if nobody has noted it.
    pub predecessor_ended: Option<HistoryEntry>,
}

#[derive(Debug)]
pub struct Claiming {
    elected: Elected,
    wanted: Wanted,
    /// The history has an entry of this epoch: left by a cluster that was partly deleted.
    entry_exists: bool,
    /// The directories were looked after.
    ensured: bool,
    /// What was found has been looked at once more.
    looked_again: bool,
    /// Whether the own node was deleted meanwhile. The claim's answer says first what is left of it.
    own_deleted: bool,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Writing {
        id: RequestId,
        sent: Moment,
        parts: Vec<Part>,
    },
    Ensuring(RequestId),
    /// Refused, for this reason: is it only that the former active has said goodbye?
    LookingAgain(RequestId, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Own,
    Epoch,
    Breadcrumb,
    Entry,
    PredecessorsEntry,
    Volume,
    /// What people want.
    Control,
    /// The election node of the leadership that is over.
    Former,
}

impl Candidacy {
    pub(super) fn claim(&mut self, at: At, elected: Elected, mut wanted: Wanted) -> Position {
        let (epoch, last) = (wanted.breadcrumb.epoch, elected.found.outcome.epoch);
        if epoch <= last {
            self.refuse(&format!("epoch {epoch} does not follow {last}"));
            return Self::as_before(elected);
        }
        wanted.breadcrumb.election_node = Some(elected.node.clone());
        let step = self.write_claim(at, &elected, &wanted, false);
        Position::Claiming(Box::new(Claiming {
            elected,
            wanted,
            entry_exists: false,
            ensured: false,
            looked_again: false,
            own_deleted: false,
            step,
        }))
    }

    /// Takes the epoch, leaves the breadcrumb, begins the history entry, completes the former one and notes the volume: all or
    /// nothing. (Completed later, the former entry would last for ever if this leadership ended before that.)
    fn write_claim(&mut self, at: At, elected: &Elected, wanted: &Wanted, entry_exists: bool) -> Step {
        let paths = &self.terms.paths;
        let own = Write::Check { path: elected.node.clone(), version: None };
        let set_or_create = |path: &String, data, version| match version {
            Some(version) => Write::Set { path: path.clone(), data, version: Some(version) },
            None => Write::Create { path: path.clone(), data },
        };
        let (epoch, found) = (wanted.breadcrumb.epoch, &elected.found);
        let entry = json(&short(wanted.entry.clone()));
        let history = paths.history_of(epoch);
        let mut parts = vec![
            (Part::Own, own),
            (Part::Epoch, set_or_create(&paths.epoch, epoch.to_string().into_bytes(), found.epoch_version)),
            (Part::Breadcrumb, set_or_create(&paths.active, json(&wanted.breadcrumb), found.breadcrumb_version)),
            (
                Part::Entry,
                match entry_exists {
                    true => Write::Set { path: history, data: entry, version: None },
                    false => Write::Create { path: history, data: entry },
                },
            ),
        ];
        if let Some(ended) = wanted.predecessor_ended.clone().map(short) {
            let path = paths.history_of(ended.epoch);
            parts.push((Part::PredecessorsEntry, Write::Set { path, data: json(&ended), version: None }));
        }
        if found.outcome.volume.is_none() {
            let (path, data) = (paths.volume.clone(), wanted.volume.clone().into_bytes());
            parts.push((Part::Volume, Write::Create { path, data }));
        }
        if let Some(before) = &found.before {
            if let Some(version) = found.control_version {
                parts.push((Part::Control, Write::Check { path: paths.control.clone(), version: Some(version) }));
            }
            // Last: what stands before a node can only vanish, and who is next is told by that.
            parts.push((Part::Former, Write::Delete { path: before.clone() }));
        }
        let (parts, writes) = parts.into_iter().unzip();
        Step::Writing { id: self.ask(Request::Write(writes)), sent: at.moment, parts }
    }

    pub(super) fn answer_to_claim(
        &mut self,
        at: At,
        mut claiming: Box<Claiming>,
        id: RequestId,
        answer: Answer,
    ) -> Position {
        if id == claiming.elected.own {
            claiming.own_deleted = true;
            return Position::Claiming(claiming);
        }
        match (&mut claiming.step, answer) {
            (Step::Writing { id: waited, sent, parts }, Answer::Written(written)) if *waited == id => {
                let (sent, parts) = (*sent, std::mem::take(parts));
                match written {
                    Ok(versions) => self.taken(at, *claiming, sent, &versions),
                    Err((index, failure)) => {
                        let part = index.and_then(|index| parts.get(index).copied());
                        self.not_taken(at, claiming, part, failure)
                    }
                }
            }
            (Step::Ensuring(waited), Answer::Done(_)) if *waited == id => self.claim_again(at, claiming),
            (Step::LookingAgain(waited, reason), Answer::Looked(looked)) if *waited == id => {
                let reason = std::mem::take(reason);
                let look = looked.and_then(|looked| self.judge(&claiming.elected.node, *looked));
                match look {
                    Ok(Look::First(again))
                        if claiming.elected.found.differs_only_by_the_goodbye(&again)
                            || claiming.elected.found.differs_only_by_the_queue(&again) =>
                    {
                        // Who says goodbye by itself completes its own history entry; its guardian cannot.
                        if again.outcome.predecessor.as_ref().is_some_and(|predecessor| predecessor.to.is_some()) {
                            claiming.wanted.predecessor_ended = None;
                        }
                        claiming.elected.found = *again;
                        (claiming.entry_exists, claiming.ensured) = (false, false);
                        self.claim_again(at, claiming)
                    }
                    _ => self.refused(*claiming, &reason),
                }
            }
            (Step::Writing { .. } | Step::Ensuring(_) | Step::LookingAgain(..), _) => Position::Claiming(claiming),
        }
    }

    fn claim_again(&mut self, at: At, mut claiming: Box<Claiming>) -> Position {
        claiming.step = self.write_claim(at, &claiming.elected, &claiming.wanted, claiming.entry_exists);
        Position::Claiming(claiming)
    }

    fn taken(&mut self, at: At, claiming: Claiming, sent: Moment, versions: &[i32]) -> Position {
        let Claiming { elected, wanted, own_deleted, .. } = claiming;
        let version = |part: Part| versions.get(part as usize).copied().unwrap_or_default();
        let leadership = Leadership {
            node: elected.node,
            breadcrumb: wanted.breadcrumb,
            epoch_version: version(Part::Epoch),
            breadcrumb_version: version(Part::Breadcrumb),
        };
        let leading = self.begin(at, sent, leadership, elected.own);
        if own_deleted { self.fall(Loss::NodeDeleted, Some(leading.leadership)) } else { Position::Leading(leading) }
    }

    fn not_taken(&mut self, at: At, mut claiming: Box<Claiming>, part: Option<Part>, failure: Failure) -> Position {
        if !failure.is_definite() {
            return self.abandon(format!("unknown whether the epoch was taken: {failure}"));
        }
        let reason = match (part, failure.kind) {
            (Some(Part::Own), _) => return self.fall(Loss::NodeDeleted, None),
            (Some(Part::Epoch), _) => format!("the epoch was taken by another ({failure})"),
            (Some(Part::Breadcrumb), _) => format!("the breadcrumb is another's ({failure})"),
            // The history must not keep anybody from leading.
            (Some(Part::Entry), Kind::NodeExists) => {
                claiming.entry_exists = true;
                return self.claim_again(at, claiming);
            }
            (Some(Part::Entry), Kind::NoNode) if !claiming.ensured => {
                claiming.ensured = true;
                claiming.step = Step::Ensuring(self.ask(Request::EnsureDirectories));
                return Position::Claiming(claiming);
            }
            (Some(Part::PredecessorsEntry), Kind::NoNode) => {
                claiming.wanted.predecessor_ended = None;
                return self.claim_again(at, claiming);
            }
            (Some(Part::Control), _) => format!("what people want has changed ({failure})"),
            (Some(Part::Former), _) => format!("who led before has left the queue ({failure})"),
            (Some(Part::Volume), Kind::NodeExists) => "the cluster has got a volume meanwhile".to_owned(),
            (Some(Part::Entry | Part::PredecessorsEntry | Part::Volume) | None, _) => failure.words,
        };
        if std::mem::replace(&mut claiming.looked_again, true) {
            return self.refused(*claiming, &reason);
        }
        // Its election node may be gone before its goodbye (somebody deleted it, its session ended), and the claim waits only
        // for its lock.
        let node = claiming.elected.node.clone();
        claiming.step = Step::LookingAgain(self.ask(Request::Look { node }), reason);
        Position::Claiming(claiming)
    }

    fn refused(&mut self, claiming: Claiming, reason: &str) -> Position {
        self.refuse(reason);
        if claiming.own_deleted { self.fall(Loss::NodeDeleted, None) } else { Self::as_before(claiming.elected) }
    }

    /// Where a claim was refused, this node is what it was: first in the queue, or behind somebody, which is looked at again.
    fn as_before(elected: Elected) -> Position {
        let is_first = elected.found.before.is_none();
        if is_first { Position::Elected(elected) } else { Self::look_later(elected.node, elected.own) }
    }

    /// The connection is lost: what is not under way is certainly not done.
    pub(super) fn part_from_claim(&mut self, claiming: Claiming) -> Position {
        match claiming.step {
            Step::Writing { .. } => {
                self.abandon("unknown whether the epoch was taken: the connection was lost".to_owned())
            }
            Step::Ensuring(_) => self.refused(claiming, "the connection was lost before the epoch was taken"),
            Step::LookingAgain(_, ref reason) => {
                let reason = reason.clone();
                self.refused(claiming, &reason)
            }
        }
    }
}
