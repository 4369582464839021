//! Starting the coordinator: what must be so, and what it waits for without anybody waiting.

use std::time::Duration;

use super::{AwaitedStart, Lock, MainThread};
use crate::guardian::launch::{Purpose, prepare};
use crate::guardian::protocol::{NoteLevel, Report, WatchdogView};
use crate::guardian::{account, remains};
use crate::moment::Moment;
use crate::recording::guardian::Deed;
use crate::{clock, seeded_bug};

/// How long a start waits for its cgroup: making one takes a few milliseconds, and it can do without.
const CGROUP_LIMIT: Duration = Duration::from_secs(1);

impl MainThread {
    pub(super) fn order_start(&mut self, epoch: u64, now: Moment) {
        match (self.refusal(epoch), &mut self.configured) {
            (None, Some(configured)) => {
                configured.account.retry(now);
                self.tree.prepare_birth();
                self.awaited_start = Some(AwaitedStart { epoch, since: now });
                self.go_on_starting(now);
            }
            (refusal, _) => {
                let problem = refusal.unwrap_or_default();
                self.link.send(&Report::StartFailed { problem });
            }
        }
    }

    /// What a start needs may take its time. Nothing waits here: this thread is called again when it is there.
    pub(super) fn go_on_starting(&mut self, now: Moment) {
        let Some(configured) = &mut self.configured else { return };
        if let Some(text) = configured.account.hear(now) {
            self.note(NoteLevel::Warn, text);
        }
        let (Some(start), Some(configured)) = (self.awaited_start, &self.configured) else { return };
        let started = match configured.account.account() {
            None if now < start.since + account::LIMIT => return,
            None => Err(configured.account.silence(now)),
            Some(Err(problem)) => Err(problem),
            Some(Ok(_)) if self.tree.awaits_cgroup() && now < start.since + CGROUP_LIMIT => return,
            Some(Ok(_)) => self.start_coordinator(start.epoch),
        };
        self.awaited_start = None;
        if let Err(problem) = started {
            self.link.send(&Report::StartFailed { problem });
        }
    }

    /// Why nothing may be started now.
    fn refusal(&self, epoch: u64) -> Option<String> {
        if self.configured.is_none() {
            Some("the guardian has no settings yet".to_owned())
        } else if !matches!(self.lock, Lock::Held { .. }) {
            Some("the lock is not held".to_owned())
        } else if self.lost {
            Some("the lock was lost".to_owned())
        } else if self.written != Some(epoch) {
            Some(format!("the record of epoch {epoch} is not in the lock file"))
        } else if self.deadline.is_none_or(|deadline| deadline <= clock::now()) {
            Some("the lease has ended".to_owned())
        } else if self.tree.has_coordinator() {
            Some("processes of the coordinator still live".to_owned())
        } else {
            None
        }
    }

    fn start_coordinator(&mut self, epoch: u64) -> Result<(), String> {
        let (Some(configured), Some(fd), Some(deadline)) = (&self.configured, self.held_lock(), self.deadline) else {
            return Err(self.refusal(epoch).unwrap_or_default());
        };
        let account = configured.account.account().ok_or("coordinator.user is not known yet")??;
        let settings = &configured.settings;
        let told = seeded_bug::told(epoch);
        let purpose = Purpose { epoch: told, lock: Some(fd), main: None };
        let mut launch = prepare(settings, account, self.process_setup.oom_score_adj.as_deref(), &purpose)?;
        let forking = settings.forking;
        // Before the fork: from then on a process may exist that cannot be killed.
        let armed = self.watchdog.arm(deadline, clock::now());
        if self.watchdog.view() != WatchdogView::default() {
            self.tell_watchdog(None);
        }
        armed?;
        launch.watchdog = self.watchdog.descriptor();
        // The child looks at it once more, for the fork itself may take its time.
        launch.not_after = Some(deadline.as_nanos());
        // All that led here took time.
        let checked = clock::now();
        if let Some(refusal) = self.refusal(epoch) {
            return Err(refusal);
        }
        self.epoch = epoch;
        self.tree.start(&launch, forking).map_err(|error| format!("cannot fork: {}", error.desc()))?;
        self.alive = true;
        self.link.did(Deed::Forked { epoch, told, checked });
        self.note_coordinator();
        Ok(())
    }

    /// At once: whoever is to find it must know of it before it can have forgotten whose it is.
    fn note_coordinator(&mut self) {
        // That of a coordinator that was restarted here has the same file, and would take it back.
        self.noted = None;
        let (Some(configured), Some(main)) = (&self.configured, self.tree.main()) else { return };
        match remains::note(&configured.settings, main) {
            Ok(noted) => self.noted = Some(noted),
            Err(error) => {
                let text = format!(
                    "the coordinator's session is not noted on this host ({error}): if supervisor and guardian are killed, what \
                     runs on without the lock may not be found"
                );
                self.note(NoteLevel::Warn, text);
            }
        }
    }

    /// When [`MainThread::go_on_starting`] has something to do, if nothing comes before.
    pub(super) fn start_due(&self) -> Option<Moment> {
        let account = &self.configured.as_ref()?.account;
        let limit = self
            .awaited_start
            .map(|start| start.since + if account.account().is_none() { account::LIMIT } else { CGROUP_LIMIT });
        account.due().into_iter().chain(limit).min()
    }
}
