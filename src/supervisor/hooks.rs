//! Commands that the operator gave: hooks, the fencing command, command probes. The guardian runs them (argv without a shell,
//! the coordinator's environment, a time-out), for they must be dead before the lock is closed; here is what each one is for,
//! and what its end means.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::guardian::protocol::{CommandOrder, CommandOutcome, Order};
use crate::role::Event;

use super::shell::Shell;

/// after_stop delays the hand-over to the next node.
pub const AFTER_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// on_active and on_standby delay nothing.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same of an on_standby that this process waits for before it ends.
pub const LAST_NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to run.
#[derive(Clone, Debug)]
pub struct Hook {
    /// As in the configuration: `before_start`, `fencing.command`, …
    pub name: &'static str,
    pub argv: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub timeout: Duration,
}

/// Why a command runs, and so what its end means.
#[derive(Debug)]
pub enum Purpose {
    /// `required`: nothing is started unless it succeeds.
    FenceFormer {
        epoch: u64,
        required: bool,
    },
    BeforeStart {
        epoch: u64,
    },
    AfterStop,
    /// on_active or on_standby: nothing depends on it.
    Notice,
    /// Whoever probes is told how it failed.
    Probe(oneshot::Sender<Result<(), String>>),
}

/// What a probe asks for.
pub type ProbeRequest = (Hook, oneshot::Sender<Result<(), String>>);

/// The commands whose end is not known yet.
#[derive(Debug, Default)]
pub struct Commands {
    last: u64,
    running: BTreeMap<u64, (&'static str, Purpose)>,
}

impl Commands {
    /// Of a guardian that is gone nothing more is heard. Whoever probes sees it by the answer that is dropped.
    pub fn forget(&mut self) {
        self.running.clear();
    }

    fn has_probe(&self) -> bool {
        self.running.values().any(|(_, purpose)| matches!(purpose, Purpose::Probe(_)))
    }

    pub fn has_notice(&self) -> bool {
        self.running.values().any(|(_, purpose)| matches!(purpose, Purpose::Notice))
    }
}

impl Shell {
    pub(super) fn run(&mut self, hook: Hook, purpose: Purpose) {
        if self.commands.has_probe()
            && let Purpose::Probe(answer) = purpose
        {
            // It could not be killed when its time was up; the next one would hang in the same place.
            let _ = answer.send(Err("an earlier one has not ended, and cannot be killed".to_owned()));
            return;
        }
        let Hook { name, argv, environment, timeout } = hook;
        self.commands.last += 1;
        let id = self.commands.last;
        let notice = matches!(purpose, Purpose::Notice);
        let order = CommandOrder { id, name: name.to_owned(), argv, environment, timeout, notice };
        self.commands.running.insert(id, (name, purpose));
        self.order(Order::Run(Box::new(order)));
    }

    /// A command has ended, and nothing of it is left.
    pub(super) fn hear_command(&mut self, id: u64, outcome: &CommandOutcome) -> Option<Event> {
        let (name, purpose) = self.commands.running.remove(&id)?;
        let succeeded = outcome.succeeded();
        if let Purpose::Probe(answer) = purpose {
            let _ = answer.send(if succeeded { Ok(()) } else { Err(outcome.to_string()) });
            return None;
        }
        if let Purpose::Notice = purpose {
            if !succeeded {
                tracing::warn!(hook = name, error = %outcome, "a hook failed");
            }
            return None;
        }
        if !succeeded {
            let detail = format!("{name}: {outcome}");
            tracing::error!(hook = name, "{detail}");
            self.knowledge.detail = Some(detail);
        }
        match purpose {
            Purpose::FenceFormer { epoch, required } => {
                if !succeeded && !required {
                    let error = outcome.to_string();
                    tracing::warn!(error, "fencing.command failed; going on, since fencing.required is false");
                }
                Some(Event::FormerFenced { epoch, succeeded })
            }
            Purpose::BeforeStart { epoch } => Some(Event::Prepared { epoch, succeeded }),
            Purpose::AfterStop => Some(Event::Tidied),
            Purpose::Notice | Purpose::Probe(_) => None,
        }
    }
}
