//! Asks the coordinator how it is, and takes in what it answers.

use crate::config::{self, HealthProbe};
use crate::moment::{Moment, in_words};
use crate::node::Node;
use crate::node::commands::{Command, CommandName, Purpose};
use crate::node::health::{Due, Verdict};
use crate::node::output::Output;
use crate::node::say::Say;
use crate::role::Event;

impl Node {
    /// Begins to ask a coordinator that runs; `ready`: it was ready already. One that is being stopped is asked nothing: the proof that
    /// everything is dead, which is under way then, would not be one of a probe that begins now.
    pub(in crate::node) fn begin_probing(&mut self, ready: bool, now: Moment) {
        self.health.end();
        if self.machine.end().is_none() && self.facts.config.health.probe.is_some() {
            self.health.begin(ready, &self.facts.config.health, now);
            self.tend_health(now);
        }
    }

    /// After a reload: what runs is asked by what is configured.
    pub(in crate::node) fn probe_anew(&mut self, former: &config::Health, now: Moment) -> Option<Event> {
        let runs = self.machine.tree_may_live() && self.facts.coordinator.pid.is_some();
        if *former == self.facts.config.health || !runs || self.machine.end().is_some() {
            return None;
        }
        if self.facts.config.health.probe.is_none() {
            // Without a probe it is ready as soon as it runs.
            self.health.end();
            self.facts.coordinator.ready = true;
            return Some(Event::Ready);
        }
        self.begin_probing(self.facts.coordinator.ready, now);
        None
    }

    /// Asks if that is due, and gives up a question that nobody answers.
    pub(in crate::node) fn tend_health(&mut self, now: Moment) -> Option<Event> {
        match self.health.due(&self.facts.config.health, now)? {
            Due::Ask(question) => self.ask(question, now),
            Due::Silence(question) => {
                let timeout = in_words(self.facts.config.health.timeout);
                self.hear_answer(question, Err(format!("no answer within {timeout}")), now)
            }
        }
    }

    fn ask(&mut self, question: u64, now: Moment) -> Option<Event> {
        let (probe, timeout) = (self.facts.config.health.probe.clone()?, self.facts.config.health.timeout);
        match probe {
            HealthProbe::Command(_) if self.commands.has_probe() => {
                let hangs = "an earlier one has not ended, and cannot be killed";
                return self.hear_answer(question, Err(hangs.to_owned()), now);
            }
            HealthProbe::Command(argv) => {
                let environment = self.facts.hook_environment(self.machine.epoch());
                let command = Command { name: CommandName::Health, argv, environment, timeout };
                self.run(command, Purpose::Probe { question });
            }
            HealthProbe::Http(_) | HealthProbe::Tcp(_) => {
                self.outputs.push_back(Output::Ask { question, probe, timeout });
            }
        }
        None
    }

    pub(in crate::node) fn hear_answer(
        &mut self,
        question: u64,
        answer: Result<(), String>,
        now: Moment,
    ) -> Option<Event> {
        let verdict = self.health.hear(question, answer, &self.facts.config.health, now)?;
        self.changed = true;
        match verdict {
            Verdict::Ready => {
                self.facts.coordinator.ready = true;
                Some(Event::Ready)
            }
            Verdict::Failing { failures, reason } => {
                self.say(Say::ProbeFailed { failures, reason });
                None
            }
            Verdict::Unhealthy { reason } => {
                self.say(Say::Unhealthy { reason: reason.clone() });
                self.facts.detail = Some(reason);
                Some(Event::Unhealthy)
            }
        }
    }
}
