//! Running commands by order, and before_kill by this guardian's own.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::time::Duration;

use super::{Configured, Lock, MainThread};
use crate::guardian::commands::{Finished, Surrounding};
use crate::guardian::environment;
use crate::guardian::launch::{Purpose, variables};
use crate::guardian::protocol::{CommandOrder, CommandOutcome, NoteLevel, Report};
use crate::moment::Moment;
use crate::recording::guardian::Deed;

/// before_kill is this guardian's own command; the supervisor's are numbered from one.
const BEFORE_KILL: u64 = 0;
/// How long before_kill may take (contract).
const BEFORE_KILL_LIMIT: Duration = Duration::from_secs(10);
/// What it takes to kill one that takes longer; the tree is killed after that in any case.
const BEFORE_KILL_SLACK: Duration = Duration::from_secs(1);

impl MainThread {
    pub(super) fn stop_timed_out(&mut self, main: i32, now: Moment) {
        match self.run_before_kill(main) {
            Ok(true) => self.tree.ask_first(now + BEFORE_KILL_LIMIT + BEFORE_KILL_SLACK),
            Ok(false) => self.tree.kill(now),
            Err(problem) => {
                self.tree.kill(now);
                self.note(NoteLevel::Warn, format!("before_kill was not run: {problem}"));
            }
        }
    }

    /// False where there is none.
    fn run_before_kill(&mut self, main: i32) -> Result<bool, String> {
        let Some(Configured { settings, account, .. }) = &self.configured else { return Ok(false) };
        if settings.before_kill.is_empty() {
            return Ok(false);
        }
        let account = account.account().ok_or("coordinator.user is not known")??;
        let lock = self.held_lock();
        let surrounding = Surrounding {
            variables: variables(settings, account, &Purpose { epoch: self.epoch, lock, main: Some(main) }),
            lock,
            identity: account.identity.clone(),
            user: settings.user.clone(),
            working_directory: settings.working_directory.clone(),
            oom_score_adj: self.oom_score_adj(),
        };
        let order = CommandOrder {
            id: BEFORE_KILL,
            name: "before_kill".to_owned(),
            argv: settings.before_kill.clone(),
            environment: BTreeMap::new(),
            timeout: BEFORE_KILL_LIMIT,
            notice: false,
        };
        let runner = self.commands.start(order, surrounding)?;
        self.tree.adopt(runner);
        self.alive = true;
        self.link.did(Deed::Ran { id: BEFORE_KILL });
        Ok(true)
    }

    fn oom_score_adj(&self) -> Option<CString> {
        self.process_setup.oom_score_adj.as_deref().and_then(|score| CString::new(score).ok())
    }

    pub(super) fn run_command(&mut self, order: CommandOrder, now: Moment) {
        let id = order.id;
        if order.notice && self.commands.end_notice() {
            if let Some(superseded) = self.next_notice.replace(order) {
                let outcome = CommandOutcome::Killed;
                self.link.send(&Report::CommandEnded { id: superseded.id, outcome });
            }
            return;
        }
        if let Err(problem) = self.start_command(order, now) {
            let outcome = CommandOutcome::NotStarted(problem);
            self.link.send(&Report::CommandEnded { id, outcome });
        }
    }

    fn start_command(&mut self, order: CommandOrder, now: Moment) -> Result<(), String> {
        if self.tree.is_ending() || self.close_once_dead.is_some() || matches!(self.lock, Lock::Closing { .. }) {
            return Err("what it would run for is being ended".to_owned());
        }
        if self.lock != Lock::Open && self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err("the lease has ended".to_owned());
        }
        let lock = self.held_lock();
        let mut variables: BTreeMap<OsString, OsString> = environment::inherited();
        variables.extend(order.environment.iter().map(|(name, value)| (name.into(), value.into())));
        if let Some(fd) = lock {
            variables.insert("PRIMACY_LOCK_FD".into(), fd.to_string().into());
        }
        let oom_score_adj = self.oom_score_adj();
        let id = order.id;
        let runner =
            self.commands.start(order, Surrounding { variables, lock, oom_score_adj, ..Surrounding::default() })?;
        self.tree.adopt(runner);
        self.alive = true;
        self.link.did(Deed::Ran { id });
        Ok(())
    }

    pub(super) fn command_ended(&mut self, finished: Finished, now: Moment) {
        let Finished { order, outcome } = finished;
        if order.id == BEFORE_KILL {
            match outcome {
                CommandOutcome::NotStarted(problem) => {
                    self.note(NoteLevel::Warn, format!("before_kill was not run: {problem}"));
                }
                outcome if outcome.succeeded() => {}
                outcome => self.note(NoteLevel::Warn, format!("before_kill: {outcome}")),
            }
            return self.tree.kill(now);
        }
        self.link.send(&Report::CommandEnded { id: order.id, outcome });
        if order.notice
            && let Some(next) = self.next_notice.take()
        {
            self.run_command(next, now);
        }
    }

    pub(super) fn hear_runners(&mut self) {
        for report in self.commands.hear() {
            if let Report::Output { .. } = report {
                self.link.send_if_read(&report);
            } else {
                self.link.send(&report);
            }
        }
    }
}
