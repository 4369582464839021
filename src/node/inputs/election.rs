//! What the election tells, and what that means for the role.

use std::time::Duration;

use crate::config::ElectionKind;
use crate::election::port::{self, ElectionOrder, ElectionOutcome, Fact};
use crate::guardian::protocol::{GuardianOrder, LastWill, NoteLevel};
use crate::moment::Moment;
use crate::role::{Event, Loss, Phase, Succession};

use crate::node::Node;
use crate::node::facts::Contact;
use crate::node::input::At;
use crate::node::output::Output;
use crate::node::rules::Reckoned;
use crate::node::say::Say;

/// When the servers are asked again for the session that is wanted, if what they granted keeps this node out.
pub const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Node {
    /// Only a defect ends a backend. Whatever it held is unknown now, so nothing is led any more.
    pub(in crate::node) fn hear_election_ended(&mut self) -> Event {
        self.changed = true;
        let text = "the election backend has ended by itself; this is a defect of primacy; starting another";
        self.text(NoteLevel::Error, text.to_owned());
        self.outputs.push_back(Output::StartElection);
        self.published.forget();
        Event::Lost(Loss::SessionExpired)
    }

    pub(in crate::node) fn hear_election(&mut self, at: At, fact: Fact) -> Option<Event> {
        self.changed = true;
        let now = at.moment;
        match fact {
            Fact::Connected { session, timeout, asked } => Some(self.hear_connected(session, timeout, asked, now)),
            Fact::Disconnected { reason } => {
                self.facts.lose_contact(reason);
                None
            }
            Fact::Intended(intended) => {
                self.hear_intended(*intended);
                Some(Event::TimePassed)
            }
            Fact::Behind { election_node, next } => {
                self.facts.stands_behind(Some(election_node), next);
                None
            }
            Fact::Stamped { at, server } => {
                self.facts.server_clock = Some((at, server));
                None
            }
            Fact::Queued(last_will) => {
                self.facts.election_node = Some(last_will.election_node.clone());
                self.facts.stands_behind(None, None);
                self.place = Some(*last_will);
                self.hand_over_the_place();
                None
            }
            Fact::Standing => {
                self.text(NoteLevel::Info, "standing for election".to_owned());
                None
            }
            Fact::Elected(outcome) if outcome.paused => {
                if !std::mem::replace(&mut self.intents.held, true) {
                    self.text(NoteLevel::Info, "first in the queue; elections are paused".to_owned());
                }
                None
            }
            // It has the lock of the leadership before it, and the proof that it is over: its claim is under way.
            Fact::Elected(_) if self.machine.phase(now) != Phase::Standing => None,
            Fact::Elected(outcome) => Some(Event::Elected(self.take_outcome(*outcome))),
            Fact::Claimed { epoch, counts_from: sent, last_will } => {
                self.facts.last_contact = Some(sent);
                self.place = None;
                // Before the start can be ordered: what a guardian must undo is known to it when there is something to undo.
                self.hand_over_the_will(last_will.map(|last_will| *last_will));
                Some(Event::Claimed { epoch, sent })
            }
            Fact::ClaimRefused { reason } => {
                self.say(Say::EpochNotGranted { reason: reason.clone() });
                self.facts.detail = Some(reason);
                Some(Event::ClaimRefused)
            }
            Fact::Renewed { sent, counts_from, acknowledged } => {
                self.facts.metrics.heartbeat_seconds.observe(acknowledged.since(sent).as_secs_f64());
                self.facts.last_contact = Some(acknowledged);
                if self.guardian.ping_is_free(acknowledged) {
                    self.ping(now);
                }
                Some(Event::Renewed { sent: counts_from })
            }
            Fact::Lost(loss) => {
                self.intents.held = false;
                self.facts.leave_queue();
                let (loss, text) = match loss {
                    port::Loss::SessionExpired => (Loss::SessionExpired, "the session expired".to_owned()),
                    port::Loss::NodeDeleted => (Loss::NodeDeleted, "the election node was deleted".to_owned()),
                    port::Loss::Overtaken => (Loss::Overtaken, "another epoch was taken".to_owned()),
                    port::Loss::Backend(text) => (Loss::SessionExpired, text),
                };
                self.text(NoteLevel::Warn, text.clone());
                self.facts.detail = Some(text);
                Some(Event::Lost(loss))
            }
            Fact::Resigned => {
                self.intents.held = false;
                self.facts.leave_queue();
                self.place = None;
                self.hand_over_the_will(None);
                Some(Event::Resigned)
            }
            Fact::DuplicateName { holder } => {
                self.say(Say::DuplicateName { holder, node: self.facts.config.node.clone() });
                Some(Event::DuplicateName)
            }
            Fact::Cluster(view) => {
                let overtaken = self.facts.cluster.epoch != view.epoch;
                self.facts.see(*view, now);
                let over = !self.facts.cluster.paused && std::mem::take(&mut self.intents.held);
                // Who has left the queue meanwhile has nothing to look at.
                if over && self.machine.phase(now) == Phase::Standing {
                    self.text(NoteLevel::Info, "elections go on".to_owned());
                    self.elect(ElectionOrder::Stand);
                }
                if overtaken && self.facts.volume.problem.is_some() {
                    // A directory that was missing has been made by who leads first, say.
                    self.order(GuardianOrder::Look);
                }
                self.tend_peers(now);
                Some(self.word_on_the_volume())
            }
            Fact::History(history) => {
                self.facts.history = history;
                None
            }
        }
    }

    /// This node is to lead next.
    pub(in crate::node) fn take_outcome(&mut self, outcome: ElectionOutcome) -> Succession {
        self.intents.held = false;
        self.leadership += 1;
        self.facts.detail = None;
        self.facts.stands_behind(None, None);
        let succession = self.facts.hear_outcome(&outcome);
        let succession = self.prefer(succession, &outcome);
        self.facts.volume_id.clone_from(&outcome.volume);
        self.facts.election_outcome = Some(outcome);
        succession
    }

    fn hear_connected(&mut self, session: Option<String>, timeout: Duration, asked: Moment, now: Moment) -> Event {
        self.facts.contact = Contact::Connected;
        self.facts.session = session;
        self.facts.last_contact = Some(now);
        if self.machine.is_always_on() {
            self.facts.session_timeout_ms = u64::try_from(timeout.as_millis()).ok();
            return Event::TimePassed;
        }
        if self.facts.config.election != ElectionKind::ZooKeeper {
            return Event::TimePassed;
        }
        let said = self.facts.hear_grant(timeout);
        said.into_iter().for_each(|line| self.say(line));
        self.ask_again = self.facts.wants_another_session().then(|| now + ASK_AGAIN);
        let Reckoned { rules, at_most, hand_over_within: _ } = self.timing.reckon(&self.facts.config, Some(timeout));
        self.go_by(rules);
        Event::Granted { until: asked + at_most }
    }

    /// Tells the guardian what gives up the place in the queue. (Never of a leadership: a second guardian knows nothing of
    /// the first one's tree, and that leadership's place is given up only when its tree is dead.)
    pub(in crate::node) fn hand_over_the_place(&mut self) {
        if let Some(last_will) = self.place.clone() {
            self.hand_over_the_will(Some(last_will));
        }
    }

    /// Tells the guardian what to undo when it ends without this process.
    pub(in crate::node) fn hand_over_the_will(&mut self, will: Option<LastWill>) {
        self.will.clone_from(&will);
        self.order(GuardianOrder::LastWill(will));
    }
}
