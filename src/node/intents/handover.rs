//! A planned hand-over: nobody is stopped before the target has said, just now, that it is ready.
//!
//! The active node asks by writing `control` once more; the target answers by writing into its own member the transaction
//! that it saw. So an answer is to this very question: one that was given before, or by a node that has died since, is none.
//! The candidates before the target go to the back of the queue while the active one still leads.

use std::time::Duration;

use super::drain::Drain;
use crate::election::port::{ElectionOrder, ElectionOutcome};
use crate::guardian::protocol::NoteLevel;
use crate::intents::{Ended, Switchover, moment, queue_key};
use crate::moment::{Moment, in_words};
use crate::node::Node;
use crate::node::input::At;
use crate::role::{End, Event, Phase, Succession};
use crate::status::{Member, NodeState};

/// A hand-over that is due and that nobody could begin for so long is not begun any more.
const LATE: Duration = Duration::from_secs(60);
/// How often a target that is not able yet is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How far the active node has come with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Handover {
    step: Step,
    /// Since when it has been due.
    begun: Option<Moment>,
    next: Option<Moment>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
enum Step {
    #[default]
    No,
    Draining(Drain),
    /// The question of that number is to be written; `until` counts from here, for whoever writes may see late that it was written.
    Asking {
        number: u64,
        until: Moment,
    },
    /// It was, by that transaction; an answer after `until` is none.
    Asked {
        written: i64,
        until: Moment,
    },
    /// The target has answered in time: the role is being given away.
    Going,
}

impl Handover {
    pub fn deadline(&self) -> Option<Moment> {
        let step = match &self.step {
            Step::Draining(drain) => drain.deadline(),
            Step::Asked { until, .. } => Some(*until),
            Step::No | Step::Asking { .. } | Step::Going => None,
        };
        [step, self.next].into_iter().flatten().min()
    }

    pub fn hear_drained(&mut self, empty: bool, said: String, now: Moment) {
        if let Step::Draining(drain) = &mut self.step {
            drain.hear(empty, said, now);
        }
    }
}

impl Node {
    /// Goes one step further towards the switchover that is wanted, if one is.
    pub(in crate::node) fn tend_handover(&mut self, at: At) -> Option<Event> {
        let wanted = self.intents.seen.control.switchover.clone();
        let ready = wanted.as_ref().is_some_and(|wanted| self.is_ready_for(wanted));
        let ready_for = ready.then_some(self.intents.seen.written);
        if self.facts.ready_for != ready_for {
            self.facts.ready_for = ready_for;
            self.changed = true;
        }
        let leads = self.machine.phase(at.moment) == Phase::Leading;
        let Some(wanted) = wanted else {
            self.intents.handover = Handover::default();
            self.intents.made_room = None;
            return None;
        };
        match self.machine.epoch().filter(|_| leads) {
            Some(epoch) if wanted.expect_epoch < epoch => {
                self.end_switchover(at, None);
                None
            }
            Some(epoch) if wanted.expect_epoch == epoch => self.hand_over(at, wanted),
            // Of a leadership that this node has not heard of yet: nothing that was begun before belongs to it.
            Some(_) => {
                self.intents.handover = Handover::default();
                None
            }
            None => {
                self.intents.handover = Handover::default();
                self.make_room_for(&wanted, at.moment);
                None
            }
        }
    }

    /// Who is elected after an epoch that a switchover ended goes by that, and by no priority.
    pub(in crate::node) fn prefer(&self, succession: Succession, outcome: &ElectionOutcome) -> Succession {
        let switchover = self.intents.seen.control.switchover.as_ref();
        let Some(wanted) = switchover.filter(|wanted| wanted.expect_epoch == outcome.epoch) else { return succession };
        let able = || outcome.others.iter().any(|other| other.node == wanted.to && other.eligible);
        let better_candidate = wanted.to != self.facts.config.node && able();
        Succession { better_candidate, ..succession }
    }

    /// Whether this node is the target, and would be elected as soon as the active one leaves.
    fn is_ready_for(&self, wanted: &Switchover) -> bool {
        let active = self.facts.cluster.active.as_ref().filter(|active| active.epoch == wanted.expect_epoch);
        let before = active.and_then(|active| self.member(&active.node)?.election_node.as_ref());
        wanted.to == self.facts.config.node
            && self.intents.seen.control.paused.is_none()
            && self.facts.cluster_is_current
            && self.machine.eligible()
            && before.is_some_and(|before| self.facts.behind.as_ref() == Some(before))
    }

    fn member(&self, node: &str) -> Option<&Member> {
        self.facts.cluster.members.iter().find(|member| member.row.node == node)
    }

    /// Who stands before the target goes to the back of the queue: only the intent counts, and no priority.
    fn make_room_for(&mut self, wanted: &Switchover, now: Moment) {
        let bound = self.facts.cluster.active.as_ref().is_some_and(|active| active.epoch == wanted.expect_epoch);
        // Who waits for the active one's lock calls that off first.
        let stands = self.machine.phase(now) == Phase::Standing && self.machine.waits_for_nothing();
        if wanted.to == self.facts.config.node || !bound || !stands {
            self.intents.made_room = None;
            return;
        }
        let target = self.member(&wanted.to).and_then(|target| target.election_node.clone());
        let (Some(target), Some(own)) = (target, self.facts.election_node.clone()) else { return };
        let tried = |(node, when): &(String, Moment)| *node == own && now < *when + LOOK_AGAIN;
        if queue_key(&own) < queue_key(&target) && !self.intents.made_room.as_ref().is_some_and(tried) {
            self.text(NoteLevel::Info, format!("going to the back of the queue: the role is to go to {}", wanted.to));
            self.intents.made_room = Some((own, now));
            self.elect(ElectionOrder::Yield);
        } else if queue_key(&own) > queue_key(&target) {
            self.intents.made_room = None;
        }
    }

    /// The active node's part.
    fn hand_over(&mut self, at: At, wanted: Switchover) -> Option<Event> {
        let now = at.moment;
        if self.intents.handover.step == Step::Going {
            return None;
        }
        if let Some(pause) = &self.intents.seen.control.paused {
            let why = format!("elections were paused ({})", pause.wish.in_words());
            return self.end_switchover(at, Some(why));
        }
        if self.intents.handover.begun.is_none() {
            if let Some(due) = &wanted.not_before {
                let Some(due) = moment(due) else {
                    return self.end_switchover(at, Some(format!("{due:?} is no time")));
                };
                // By the clock that all nodes share; until it is known, nothing is due.
                let server = self.facts.server_now(now)?;
                if let Ok(left) = due.duration_since(server)
                    && !left.is_zero()
                {
                    self.intents.handover.next = Some(now + left);
                    return None;
                }
                if server.duration_since(due).is_ok_and(|late| late > LATE) {
                    return self.end_switchover(at, Some("its time had passed by more than a minute".to_owned()));
                }
            }
            self.text(NoteLevel::Info, format!("switchover to {}: {}", wanted.to, wanted.wish.in_words()));
            self.intents.handover.begun = Some(now);
            let drain = &self.facts.config.drain;
            self.intents.handover.step = if wanted.now || drain.command.is_empty() {
                self.to_ask(&wanted, now)
            } else {
                Step::Draining(Drain::begin(drain, Duration::ZERO, now))
            };
        }
        self.proceed_to_hand_over(at, &wanted)
    }

    fn proceed_to_hand_over(&mut self, at: At, wanted: &Switchover) -> Option<Event> {
        let now = at.moment;
        if let Step::Draining(mut drain) = self.intents.handover.step.clone() {
            let over = self.goes_on_draining(&mut drain, now);
            self.intents.handover.step = if over { self.to_ask(wanted, now) } else { Step::Draining(drain) };
            if !over {
                return None;
            }
            // The target's time counts from here.
            self.intents.handover.begun = Some(now);
        }
        let within = self.timing.reckon(&self.facts.config, None).hand_over_within;
        let until = self.intents.handover.begun? + within;
        let target = self.member(&wanted.to);
        let why_not = match target {
            None => Some("it is no member any more".to_owned()),
            Some(target) if target.row.state != NodeState::Active || !target.row.eligible => {
                Some(target.row.reason.clone())
            }
            Some(_) => None,
        };
        if until <= now {
            let why =
                why_not.unwrap_or_else(|| "it does not answer, or a stranger stands before it in the queue".to_owned());
            let within = in_words(within);
            return self.end_switchover(at, Some(format!("{} was not ready within {within}: {why}", wanted.to)));
        }
        let answered = target.and_then(|target| target.ready_for);
        self.intents.handover.next = Some((now + LOOK_AGAIN).min(until));
        if why_not.is_some() {
            self.intents.handover.step = self.to_ask(wanted, now);
            return None;
        }
        match self.intents.handover.step.clone() {
            Step::Asking { number, until } if wanted.asked >= number => {
                self.intents.handover.step = Step::Asked { written: self.intents.seen.written, until };
                None
            }
            Step::Asking { number, .. } => {
                let change = self.intents.change_control(|control| {
                    control.switchover = Some(Switchover { asked: number, ..wanted.clone() });
                });
                self.order_change(change, now);
                None
            }
            Step::Asked { written, until } if written == self.intents.seen.written && now < until => {
                if answered != Some(written) {
                    return None;
                }
                self.intents.handover.step = Step::Going;
                Some(Event::StepDownRequested(End::Switchover))
            }
            // Too late, or something else has been written since: an answer would be to another question.
            Step::Asked { .. } => {
                self.intents.handover.step = self.to_ask(wanted, now);
                self.proceed_to_hand_over(at, wanted)
            }
            Step::No | Step::Draining(_) | Step::Going => None,
        }
    }

    /// The next question, asked from here on. Who answers it in time says so of a moment that is not longer ago than that.
    fn to_ask(&self, wanted: &Switchover, now: Moment) -> Step {
        Step::Asking { number: wanted.asked + 1, until: now + self.facts.config.zookeeper.heartbeat_interval }
    }

    /// Takes the intent out of the way. `failed`: why nobody was stopped for it.
    fn end_switchover(&mut self, at: At, failed: Option<String>) -> Option<Event> {
        let wanted = self.intents.seen.control.switchover.clone()?;
        self.intents.handover = Handover::default();
        let stamp = self.facts.server_now(at.moment).unwrap_or(at.wall);
        let ended = Ended {
            to: wanted.to.clone(),
            expect_epoch: wanted.expect_epoch,
            wish: wanted.wish,
            ended: humantime::format_rfc3339_seconds(stamp).to_string(),
            failed: failed.clone(),
        };
        let change = self.intents.change_control(|control| {
            control.switchover = None;
            control.ended = Some(ended);
        });
        if let Some(why) = failed
            && self
                .intents
                .ordered
                .as_ref()
                .is_none_or(|(ordered, _)| ordered.control.as_ref().map(|it| it.0) != Some(self.intents.seen.version))
        {
            self.text(NoteLevel::Warn, format!("no switchover to {}, nobody was stopped: {why}", wanted.to));
        }
        self.order_change(change, at.moment);
        None
    }
}
