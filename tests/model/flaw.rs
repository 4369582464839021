//! The node under test, and the deliberately broken ones that the model must catch.
//!
//! A flaw is put in from outside, by altering what the node hears or what it says: production code has no switch that
//! breaks it.

use primacy::moment::Moment;
use primacy::node::Request;
use primacy::role::{Action, End, Event, Predecessor, Recorded, RoleMachine, Rules, Witness};

use super::mind::Mind;
use super::steering::Said;
use super::world::{DAWN, Heard, Order};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    None,
    /// CloseLock follows StopTree and KillTree at once.
    ClosesLockEarly,
    /// A renewal counts from when its reply is handled.
    CountsLeaseFromReply,
    /// Takes its epoch without asking ZooKeeper.
    SkipsClaim,
    /// Believes that every former active stopped cleanly.
    SkipsFencing,
    /// Takes whoever has this node's name for this node.
    SameNameIsSameHost,
    /// Fences whom ZooKeeper names, whatever the lock file says.
    BelievesAnOlderZooKeeper,
    /// Resigns before it stops or kills.
    ResignsEarly,
    /// Never tells the guardian a deadline that could pass.
    HidesDeadline,
    /// Takes in a renewal although the deadline has passed meanwhile.
    BelievesLateRenewal,
    /// Hears of a guardian's death as if its tree had died with it.
    ForgetsOrphans,
    /// Takes care of the coordinator only: a command that runs when the way up ends is left to itself.
    ForgetsCommands,
    /// Takes every closed lock for the end of what was written under it.
    BelievesUnwrittenEnd,
    /// Waits with touches two heartbeats apart, and counts a claim from when it was sent all the same.
    CountsOneHeartbeat,
    /// Does not shorten a lease that runs when less is granted.
    KeepsLongerLease,
    /// Is promoted although elections are paused.
    IgnoresPauses,
    /// Gives the role away when it is isolated, and stands again at once.
    IgnoresIsolation,
    /// Takes every answer of a probe for a good one.
    IgnoresVerdicts,
    /// Takes the main process's end for that of all that it left, and of the probe.
    ForgetsWhatTheCoordinatorLeft,
    /// Takes a fencing command that failed for one that succeeded.
    BelievesFailedFencing,
    /// Takes the lock of the leadership before it for the proof that it is over.
    BelievesTheLockAlone,
    /// Takes the proof that an earlier leadership is over for that of the last.
    BelievesAnOlderProof,
    /// Has who led before fenced as soon as it waits for its lock.
    FencesWhileWaiting,
    /// Takes what it has called off for let go of at once.
    ForgetsToCallOff,
    /// Takes the fencing of who has the lock for the lock.
    TakesFencingForTheLock,
    /// Closes its session when it executes its program anew.
    DropsItsSession,
    /// Takes a new place for the new session, and leaves the old one to its session's end.
    MovesBesideItsOldPlace,
    /// Believes that a lease begins when its program does.
    CountsLeaseFromTheExec,
    /// Moves with a third session when the second one's move has no answer.
    MovesOnceMore,
    /// Takes a person's word on one leadership for one on whoever led last.
    StretchesAWord,
    /// Takes what a switchover's target has said at any time for the answer to its question.
    BelievesOldAnswer,
    /// Takes a volume that takes no writes for a good one.
    IgnoresItsVolume,
    /// Takes a volume that nobody has told of for a good one.
    TrustsAnUnseenVolume,
    /// Goes by priorities alone when it is elected.
    ForgetsWhatIsWanted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core {
    mind: Mind,
    flaw: Flaw,
    /// What ZooKeeper said last of the former active.
    heard: Predecessor,
    /// The epoch of the leadership that it stands behind.
    next: u64,
}

impl Core {
    pub fn new(rules: &Rules, flaw: Flaw, now: Moment) -> Self {
        Self { mind: Mind::new(rules, flaw == Flaw::SameNameIsSameHost, now), flaw, heard: Predecessor::None, next: 0 }
    }

    pub fn machine(&self) -> &RoleMachine {
        self.mind.machine()
    }

    pub fn said(&self) -> Said {
        self.mind.said()
    }

    /// When time alone decides something.
    pub fn next_decision(&self) -> Option<Moment> {
        self.mind.next_decision()
    }

    /// What a look at the queue will find: a person's word on this node, or on another, and for which epoch.
    pub fn learn_of_a_word(&mut self, own: bool, epoch: u64, last: u64) {
        let stretched = self.flaw == Flaw::StretchesAWord;
        self.mind.vouched = Some(if stretched { (false, last) } else { (own, epoch) });
    }

    pub fn step(&mut self, now: Moment, heard: Heard) -> Vec<Order> {
        let orders = match (self.flaw, heard) {
            (Flaw::IgnoresPauses, Heard::Held(succession)) => self.mind.step(now, Event::Elected(succession)),
            (_, Heard::Held(succession)) => self.mind.be_held(now, succession),
            (_, Heard::Resumed) => self.mind.resume(now),
            (flaw, Heard::Answered { well }) => self.mind.be_answered(now, well || flaw == Flaw::IgnoresVerdicts),
            (flaw, Heard::Told(mut view)) => {
                if flaw == Flaw::BelievesOldAnswer {
                    for row in &mut view.rows {
                        row.said.ready_for = row.said.ready_for.map(|_| view.control.written);
                    }
                }
                self.mind.be_told(now, &view)
            }
            (Flaw::ForgetsWhatIsWanted, Heard::Event(event @ Event::Elected(_))) => {
                self.mind.forget_what_is_wanted(now);
                self.mind.step(now, event)
            }
            (flaw, Heard::Asked(request)) => {
                let mut orders = self.mind.be_asked(now, request);
                if flaw == Flaw::IgnoresIsolation && request == Request::Isolate {
                    orders.extend(self.mind.be_asked(now, Request::Activate));
                }
                orders
            }
            (Flaw::ForgetsWhatTheCoordinatorLeft, Heard::Event(Event::Exited)) => {
                let mut orders = self.mind.step(now, Event::Exited);
                orders.extend(self.mind.step(now, Event::TreeDead));
                orders
            }
            (Flaw::TrustsAnUnseenVolume, Heard::Event(Event::GuardianReady)) => {
                let mut orders = self.mind.step(now, Event::GuardianReady);
                orders.extend(self.mind.step(now, Event::VolumeSeen { usable: true }));
                orders
            }
            (Flaw::TakesFencingForTheLock, Heard::Event(event @ Event::PredecessorFenced { succeeded: true, .. })) => {
                let recorded = Recorded { epoch: 0, predecessor: Predecessor::None };
                let mut orders = self.mind.step(now, event);
                orders.extend(self.mind.step(now, Event::LockAcquired { recorded, write_back: false }));
                orders
            }
            (_, Heard::Event(event)) => {
                let (at, heard) = self.hear(now, event);
                self.mind.step(at, heard)
            }
        };
        let mut said = Vec::new();
        for order in orders {
            self.say(now, order, &mut said);
        }
        said
    }

    fn hear(&mut self, now: Moment, event: Event) -> (Moment, Event) {
        let heard = match (self.flaw, event) {
            (Flaw::CountsLeaseFromReply, Event::Renewed { .. }) => Event::Renewed { sent: now },
            (Flaw::CountsLeaseFromReply, Event::Claimed { epoch, .. }) => Event::Claimed { epoch, sent: now },
            (Flaw::SkipsFencing, Event::Elected(mut succession)) => {
                succession.predecessor = Predecessor::Clean;
                Event::Elected(succession)
            }
            (Flaw::BelievesUnwrittenEnd, Event::LockClosed { .. }) => Event::LockClosed { clean: true },
            (Flaw::BelievesUnwrittenEnd, Event::Fenced { .. }) => Event::Fenced { clean: true },
            (Flaw::BelievesUnwrittenEnd, Event::LockAcquired { recorded, .. }) => {
                Event::LockAcquired { recorded, write_back: false }
            }
            (Flaw::SkipsFencing, Event::LockAcquired { recorded, write_back }) => {
                Event::LockAcquired { recorded: Recorded { predecessor: Predecessor::Clean, ..recorded }, write_back }
            }
            (Flaw::BelievesAnOlderZooKeeper, Event::Elected(succession)) => {
                self.heard = succession.predecessor;
                Event::Elected(succession)
            }
            (Flaw::BelievesAnOlderZooKeeper, Event::LockAcquired { recorded, write_back }) => {
                Event::LockAcquired { recorded: Recorded { predecessor: self.heard, ..recorded }, write_back }
            }
            (Flaw::BelievesTheLockAlone | Flaw::BelievesAnOlderProof, Event::NextInLine(Some(next))) => {
                self.next = next.epoch;
                Event::NextInLine(Some(next))
            }
            (Flaw::BelievesTheLockAlone, Event::LockAcquired { write_back, .. }) => {
                let recorded = Recorded { epoch: self.next, predecessor: Predecessor::Clean };
                Event::LockAcquired { recorded, write_back }
            }
            (Flaw::BelievesAnOlderProof, Event::LockAcquired { recorded, write_back })
                if recorded.predecessor == Predecessor::Clean =>
            {
                Event::LockAcquired { recorded: Recorded { epoch: self.next, ..recorded }, write_back }
            }
            (Flaw::BelievesFailedFencing, Event::PredecessorFenced { epoch, .. }) => {
                Event::PredecessorFenced { epoch, succeeded: true }
            }
            (Flaw::BelievesLateRenewal, Event::Renewed { sent }) => return (sent, Event::Renewed { sent }),
            (Flaw::KeepsLongerLease, Event::Granted { .. }) => Event::TimePassed,
            (Flaw::IgnoresItsVolume, Event::VolumeSeen { .. }) => Event::VolumeSeen { usable: true },
            (_, event) => event,
        };
        (now, heard)
    }

    fn say(&mut self, now: Moment, order: Order, said: &mut Vec<Order>) {
        match (self.flaw, &order) {
            (Flaw::ClosesLockEarly, Order::Role(Action::StopTree | Action::KillTree)) => {
                said.push(order);
                said.push(Action::CloseLock(End::Stopped).into());
            }
            (Flaw::ResignsEarly, Order::Role(Action::StopTree | Action::KillTree)) => {
                said.push(Action::Resign { clean: true, end: None }.into());
                said.push(order);
            }
            (Flaw::SkipsClaim, Order::Role(Action::Claim { epoch })) => {
                for order in self.mind.step(now, Event::Claimed { epoch: *epoch, sent: now }) {
                    said.push(order);
                }
            }
            (Flaw::HidesDeadline, Order::Role(Action::SetDeadline(_))) => {}
            (Flaw::HidesDeadline, Order::Role(Action::Start { epoch, .. })) => {
                said.push(Action::Start { epoch: *epoch, deadline: Moment::from_nanos(DAWN << 2) }.into());
            }
            (Flaw::FencesWhileWaiting, Order::Role(Action::AwaitLock { .. })) => {
                said.push(order);
                said.push(Action::FencePredecessor { epoch: 0, named_by: Witness::Breadcrumb }.into());
            }
            (Flaw::ForgetsToCallOff, Order::Role(Action::CallOff)) => {
                said.extend(self.mind.step(now, Event::CalledOff));
            }
            (Flaw::ForgetsCommands, Order::Role(Action::KillTree)) if !self.machine().tree_may_live() => {
                for order in self.mind.step(now, Event::TreeDead) {
                    said.push(order);
                }
            }
            (Flaw::ForgetsOrphans, Order::Role(Action::KillOrphans)) => {
                said.push(order);
                for order in self.mind.step(now, Event::TreeDead) {
                    said.push(order);
                }
            }
            _ => said.push(order),
        }
    }
}
