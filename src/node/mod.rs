//! The mind of a supervisor: everything that it knows and wants is one value, [`Node`]. No I/O, no clock, no async.
//!
//! Theory of operation: whatever happens is an [`Input`], told with the moment at which it is told; whatever is to be done
//! is an [`Output`]; and [`Node::deadline`] is the moment at which time alone will matter. The loop around it only
//! translates. So a node can be driven by a test, by the model checker, or by a recording of what another one heard, and
//! does the same in all of them.
//!
//! ```text
//! input ─► hear                                                  what it means: facts, and an event for the role
//!               │
//!               ▼
//!          role::Machine                                         which role, and which step is next
//!               │ actions
//!               ▼
//!          orders ─► outputs                                     to whom which order goes, with what it has to say
//!          reasons, view, publish ─► outputs                     what people and other nodes are told
//! ```
//!
//! Rejected: to keep what people are told in the loop. Every text there was a decision on what is so, made twice.

#![cfg_attr(
    not(test),
    deny(clippy::wildcard_enum_match_arm, reason = "a new variant is a decision, to be made wherever it matters")
)]

mod alarm;
mod commands;
mod facts;
mod gap;
mod health;
mod input;
mod inputs;
mod intents;
mod kill;
mod leaving;
mod orders;
mod output;
mod peers;
mod predecessor;
mod publish;
mod reasons;
mod reload;
mod rules;
mod say;
mod upgrade;
mod view;
mod waiting;
mod warming;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::config::{Config, ElectionKind, Mode};
use crate::guardian::protocol::{GuardianOrder, LastWill, NoteLevel, WatchdogTerms};
use crate::intents::Asked;
use crate::moment::Moment;
use crate::role::{AlwaysOn, Event, Machine, RoleMachine, Rules, Witness};
use crate::status::Snapshot;
use crate::warm::order::Order;

use self::alarm::Alarm;
use self::commands::Commands;
pub use self::commands::Purpose;
use self::facts::Facts;
use self::health::Health;
use self::intents::Intents;
use self::leaving::Leaving;
use self::peers::Peers;
use self::publish::Published;
use self::reload::Reloading;
use self::upgrade::Upgrading;
use self::watch::Watch;

pub use self::facts::{Identity, LOCK_FILE};
pub use self::input::{At, GuardianInput, Input, Reread, StopSignal};
pub use self::intents::Request;
pub use self::output::Output;
pub use self::rules::{Reckoned, Timing};
pub use self::say::{Say, Unchanged};

/// Everything that a supervisor knows and wants.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Node {
    #[serde(skip)]
    timing: Timing,
    machine: RoleMachine,
    facts: Facts,
    intents: Intents,
    guardian: Watch,
    commands: Commands,
    health: Health,
    peers: Peers,
    published: Published,
    reloading: Reloading,
    #[serde(default)]
    reload_requests: reload::Requests,
    leaving: Leaving,
    #[serde(default)]
    upgrading: Upgrading,
    #[serde(default)]
    alarm: Alarm,
    /// What was ordered last.
    #[serde(default)]
    warming: Option<Order>,
    /// Counts candidacies that were elected: what answers an earlier one is void.
    leadership: u64,
    /// on_standby has not been run since this node became a standby.
    standby_is_news: bool,
    /// How often a stop was asked for.
    stops: u32,
    /// What gives up this node's place in the queue, as long as it has no more than that.
    #[serde(serialize_with = "crate::redacted::serialize_wanted_last_will")]
    place: Option<LastWill>,
    /// What the guardian was told last.
    #[serde(serialize_with = "crate::redacted::serialize_wanted_last_will")]
    will: Option<LastWill>,
    /// What this guardian was told last of its device.
    watchdog_set: Option<WatchdogTerms>,
    /// When to ask for another session.
    ask_again: Option<Moment>,
    /// Something that people can see has changed since the last publication.
    changed: bool,
    /// When something was heard last.
    heard: Moment,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A standby that knows nothing yet; its first output starts a guardian.
    pub fn new(config: Arc<Config>, identity: Identity, at: At) -> Self {
        Self::under(Timing::default(), config, identity, at)
    }

    /// As [`Node::new`], reckoning time in another way.
    pub fn under(timing: Timing, config: Arc<Config>, identity: Identity, at: At) -> Self {
        // Until it is known what people want of this node, it does not stand.
        let known = config.election != ElectionKind::ZooKeeper;
        let rules = timing.reckon(&config, None).rules;
        let rules = Rules { may_stand: rules.may_stand && known, ..rules };
        let machine = match config.mode {
            Mode::ActiveStandby => RoleMachine::Elected(Machine::new(rules)),
            Mode::AlwaysOn => RoleMachine::AlwaysOn(AlwaysOn::new(rules)),
        };
        let mut node = Self {
            timing,
            machine,
            facts: Facts::new(config, identity, at),
            intents: Intents { known, ..Intents::default() },
            guardian: Watch::new(at.moment),
            commands: Commands::default(),
            health: Health::default(),
            peers: Peers::default(),
            published: Published::default(),
            reloading: Reloading::default(),
            reload_requests: reload::Requests::default(),
            leaving: Leaving::default(),
            upgrading: Upgrading::default(),
            alarm: Alarm::default(),
            warming: None,
            leadership: 0,
            standby_is_news: false,
            stops: 0,
            place: None,
            will: None,
            watchdog_set: None,
            ask_again: None,
            changed: true,
            heard: at.moment,
            outputs: VecDeque::new(),
        };
        node.start_guardian(at.moment);
        node
    }

    /// Takes in what has happened. What follows from it is in [`Node::poll_output`].
    pub fn hear(&mut self, at: At, input: Input) {
        self.note_own_silence(at.moment);
        let event = self.understand(at, input);
        if !self.is_leaving()
            && let Some(event) = event
        {
            self.changed |= event != Event::TimePassed;
            for action in self.machine.step(at.moment, event) {
                self.changed = true;
                self.carry_out(at, action);
            }
        }
        if !self.is_leaving()
            && let Some(event) = self.tend_intents(at)
        {
            for action in self.machine.step(at.moment, event) {
                self.changed = true;
                self.carry_out(at, action);
            }
        }
        if !self.is_leaving()
            && let Some(event) = self.tend_waiting()
        {
            for action in self.machine.step(at.moment, event) {
                self.changed = true;
                self.carry_out(at, action);
            }
        }
        if !self.is_leaving() {
            self.tend_alarm(at.moment);
        }
        self.tend_warming();
        self.leave_if_done(at.moment);
        if std::mem::take(&mut self.changed) {
            self.outputs.extend(self.published.publish(&self.facts, &self.machine, at.moment));
        }
    }

    /// The next thing to be done, in the order in which it was decided.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::TimePassed`] is to be heard if nothing else is before.
    pub fn deadline(&self) -> Moment {
        let candidates = [
            self.machine.deadline().map(|(at, _)| at).filter(|_| !self.is_leaving()),
            self.health.deadline(),
            self.ask_again,
            self.published.due(),
            self.peers.due(self.heard),
            self.leaving.deadline(),
            self.upgrading.deadline(),
            self.alarm_due(),
            self.intents.deadline().filter(|_| !self.is_leaving()),
        ];
        candidates.into_iter().flatten().fold(self.guardian.deadline(), Moment::min)
    }

    /// When [`Input::TimePassed`] would decide something; the rest of [`Node::deadline`] is housekeeping.
    pub fn next_decision(&self) -> Option<Moment> {
        let machine = self.machine.deadline().map(|(at, _)| at).filter(|_| !self.is_leaving());
        let intents = self.intents.deadline().filter(|_| !self.is_leaving());
        let upgrading = self.upgrading.deadline();
        let others = [self.guardian.respawn(), self.health.deadline(), self.leaving.deadline(), intents, upgrading];
        others.into_iter().chain([machine]).flatten().min()
    }

    /// The machine of the role.
    pub const fn machine(&self) -> &RoleMachine {
        &self.machine
    }

    /// The commands that run, and what for.
    pub fn running(&self) -> impl Iterator<Item = (u64, Purpose)> {
        self.commands.running()
    }

    /// Whose word counts on who led before.
    pub const fn witness(&self) -> Witness {
        self.facts.witness
    }

    /// What others are told of a switchover to this node.
    pub const fn ready_for(&self) -> Option<i64> {
        self.facts.ready_for
    }

    /// Hashes what can bear on a decision at `now` or later; what is only told to people is left out.
    pub fn hash_bearing(&self, now: Moment, state: &mut impl Hasher) {
        self.machine.hash(state);
        self.facts.hash_bearing(state);
        if self.intents.seen.control.switchover.is_some() {
            self.facts.hash_others(state);
        }
        self.guardian.hash_bearing(now, state);
        self.health.hash_bearing(state);
        for (_, purpose) in self.commands.running() {
            match purpose {
                Purpose::Probe { question } => (true, self.health.awaits(question)).hash(state),
                Purpose::FencePredecessor { .. }
                | Purpose::BeforeStart { .. }
                | Purpose::AfterStop
                | Purpose::Drain
                | Purpose::Notice
                | Purpose::Alarm => (false, purpose).hash(state),
            }
        }
        (&self.intents, self.leaving, &self.upgrading, self.standby_is_news, self.stops, self.place.is_some())
            .hash(state);
    }

    /// What is so at this moment, for people.
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        self.facts.snapshot(&self.machine, now)
    }

    /// The configuration in force.
    pub const fn config(&self) -> &Arc<Config> {
        &self.facts.config
    }

    fn understand(&mut self, at: At, input: Input) -> Option<Event> {
        match input {
            Input::Guardian(input) => self.hear_guardian(at, input),
            Input::Election(fact) => self.hear_election(at, fact),
            Input::ElectionEnded if self.is_leaving() => {
                self.leaving.closed();
                None
            }
            Input::ElectionEnded => Some(self.hear_election_ended()),
            Input::OrphansDead { leadership } => (leadership == self.leadership).then_some(Event::TreeDead),
            Input::Answered { question, answer } => self.hear_answer(question, answer, at.moment),
            Input::PeerTested { node, test } => Some(self.hear_peer(node, test, at.moment)),
            Input::Warmed(warm) => {
                self.hear_warmed(warm);
                None
            }
            Input::StopAsked { signal } => Some(self.hear_stop(signal)),
            Input::Requested(request) => Some(self.hear_request(request)),
            Input::Asked(Asked::State(wanted)) => {
                self.hear_state_asked(wanted);
                Some(Event::TimePassed)
            }
            Input::Asked(Asked::Reload { number }) => {
                self.reload_requests.latest = number;
                self.ask_for_reload("POST /reload");
                None
            }
            Input::Asked(Asked::Rehearse { fault, by }) => {
                self.hear_rehearsed(fault, &by, at.moment);
                None
            }
            Input::Asked(Asked::Upgrade { number, by, reason }) => {
                self.hear_upgrade_asked(number, &by, reason, at.moment);
                None
            }
            Input::ProgramChecked(checked) => {
                self.hear_program_checked(checked, at.moment);
                None
            }
            Input::ReloadAsked => {
                self.ask_for_reload("SIGHUP");
                None
            }
            Input::Reread(read) => self.hear_reread(read, at.moment),
            Input::TimePassed => Some(self.pass_time(at.moment)),
        }
    }

    fn hear_stop(&mut self, signal: StopSignal) -> Event {
        self.stops += 1;
        self.call_upgrade_off();
        if self.stops == 1 {
            self.say(Say::Stopping { signal });
            Event::StopRequested
        } else {
            self.say(Say::StoppingAgain { signal });
            Event::KillRequested
        }
    }

    /// After a sleep of its own a node knows nothing of others' silence: their answers wait to be heard.
    fn note_own_silence(&mut self, now: Moment) {
        if let Some(silent) = self.guardian.excuse(self.heard, now) {
            self.say(Say::OwnSilence { silent });
        }
        self.heard = now;
    }

    fn pass_time(&mut self, now: Moment) -> Event {
        if self.guardian.falls_silent(now) {
            self.say(Say::GuardianSilent { pid: self.guardian.pid() });
            self.facts.detail = Some("the guardian did not answer for a second".to_owned());
            self.outputs.push_back(Output::KillGuardian);
        }
        if self.guardian.ping_is_due(now) {
            self.ping(now);
        }
        if self.guardian.is_due(now) {
            self.start_guardian(now);
        }
        if self.ask_again.is_some_and(|at| at <= now) {
            self.ask_again = Some(now + inputs::ASK_AGAIN);
            self.elect(crate::election::port::ElectionOrder::AskAgain);
        }
        for order in self.published.settle(&self.facts, &self.machine, now) {
            self.elect(order);
        }
        if let Some(event) = self.tend_upgrade(now) {
            return event;
        }
        if let Some(event) = self.tend_health(now) {
            return event;
        }
        self.tend_peers(now).unwrap_or(Event::TimePassed)
    }

    fn order(&mut self, order: GuardianOrder) {
        self.outputs.push_back(Output::Guardian(order));
    }

    fn elect(&mut self, order: crate::election::port::ElectionOrder) {
        self.outputs.push_back(Output::Election(order));
    }

    fn say(&mut self, line: Say) {
        self.outputs.push_back(Output::Say(line));
    }

    fn text(&mut self, level: NoteLevel, text: String) {
        self.say(Say::Text(level, text));
    }
}
