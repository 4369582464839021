//! What the end of a command means for the role.

use std::time::Duration;

use crate::guardian::protocol::{CommandOutcome, GuardianOrder};
use crate::moment::Moment;
use crate::node::Node;
use crate::node::commands::{Command, CommandName, NOTICE_TIMEOUT, Purpose};
use crate::node::predecessor;
use crate::node::say::Say;
use crate::role::Event;

impl Node {
    pub(in crate::node) fn run(&mut self, command: Command, purpose: Purpose) {
        let order = self.commands.begin(command, purpose);
        self.order(GuardianOrder::Run(Box::new(order)));
    }

    pub(in crate::node) fn run_hook(
        &mut self,
        name: CommandName,
        argv: Vec<String>,
        timeout: Duration,
        purpose: Purpose,
    ) {
        let environment = self.facts.hook_environment(self.machine.epoch());
        self.run(Command { name, argv, environment, timeout }, purpose);
    }

    /// Runs on_active or on_standby beside everything else.
    pub(in crate::node) fn notice(&mut self, name: CommandName, argv: Vec<String>, limit: Duration) {
        if !argv.is_empty() {
            self.run_hook(name, argv, limit, Purpose::Notice);
        }
    }

    /// Runs on_standby, if that is due: the guardian of a leadership ends with it, so it is the next one that runs it.
    pub(in crate::node) fn notice_standby(&mut self, limit: Duration) {
        if std::mem::take(&mut self.standby_is_news) {
            let argv = self.facts.config.hooks.on_standby.clone();
            self.notice(CommandName::OnStandby, argv, limit);
        }
    }

    /// Runs on_fenced, which is told what the fencing command was.
    fn tell_that_it_is_fenced(&mut self) {
        let argv = self.facts.config.hooks.on_fenced.clone();
        if argv.is_empty() {
            return;
        }
        let mut environment = self.facts.hook_environment(None);
        environment.extend(predecessor::environment(&self.facts.own(), self.facts.predecessor().as_ref()));
        let command = Command { name: CommandName::OnFenced, argv, environment, timeout: NOTICE_TIMEOUT };
        self.run(command, Purpose::Alarm);
    }

    /// A command has ended, and nothing of it is left.
    pub(in crate::node) fn hear_command(&mut self, id: u64, outcome: &CommandOutcome, now: Moment) -> Option<Event> {
        let (name, purpose) = self.commands.end(id)?;
        let succeeded = outcome.succeeded();
        match purpose {
            Purpose::Probe { question } => {
                let answer = if succeeded { Ok(()) } else { Err(outcome.to_string()) };
                return self.hear_answer(question, answer, now);
            }
            Purpose::Drain => {
                self.hear_drained(succeeded, outcome.to_string(), now);
                return None;
            }
            Purpose::Notice | Purpose::Alarm => {
                if !succeeded {
                    self.say(Say::HookFailed { hook: name, error: outcome.to_string() });
                }
                return None;
            }
            Purpose::FencePredecessor { .. } | Purpose::BeforeStart { .. } | Purpose::AfterStop => {}
        }
        if !succeeded {
            let mut detail = format!("{}: {outcome}", name.as_str());
            if let Purpose::FencePredecessor { required: true, .. } = purpose
                && let Some(predecessor) = self.facts.predecessor()
            {
                detail = format!("{detail}; if {0} is off for certain: `primacy confirm-fenced {0}`", predecessor.node);
            }
            self.say(Say::CommandFailed { hook: name, detail: detail.clone() });
            self.facts.detail = Some(detail);
        }
        match purpose {
            Purpose::FencePredecessor { epoch, required } => {
                if !succeeded && !required {
                    self.say(Say::FencingFailed { error: outcome.to_string() });
                }
                self.facts.predecessor_fenced |= succeeded;
                if succeeded {
                    self.tell_that_it_is_fenced();
                }
                Some(Event::PredecessorFenced { epoch, succeeded })
            }
            Purpose::BeforeStart { epoch } => Some(Event::Prepared { epoch, succeeded }),
            Purpose::AfterStop => Some(Event::Tidied),
            Purpose::Notice | Purpose::Alarm | Purpose::Drain | Purpose::Probe { .. } => None,
        }
    }
}
