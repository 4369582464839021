//! Starting the coordinator: what must be so, and what it waits for without anybody waiting.

use std::time::Duration;

use super::{AwaitedStart, MainThread, Place};
use crate::guardian::launch::{Purpose, prepare};
use crate::guardian::permission::{Asked, Ground, Permission};
use crate::guardian::protocol::{NoteLevel, Report, WatchdogView};
use crate::guardian::{account, remains};
use crate::moment::Moment;
use crate::recording::guardian::Deed;
use crate::{clock, seeded_bug};

/// How long a start waits for its cgroup: making one takes a few milliseconds, and it can do without.
const CGROUP_LIMIT: Duration = Duration::from_secs(1);

impl MainThread {
    pub(super) fn order_start(&mut self, asked: Asked, now: Moment) {
        match (self.permission(asked), &mut self.configured) {
            (Ok(_), Some(configured)) => {
                configured.account.retry(now);
                self.tree.prepare_birth();
                self.awaited_start = Some(AwaitedStart { asked, since: now });
                self.go_on_starting(now);
            }
            (permission, _) => {
                let problem = permission.err().unwrap_or_default();
                self.link.send(&Report::StartFailed { problem });
            }
        }
    }

    /// What a start needs may take its time. Nothing waits here: this thread is called again when it is there.
    pub(super) fn go_on_starting(&mut self, now: Moment) {
        let Some(configured) = &mut self.configured else { return };
        let account = configured.account.hear(now).map(|text| (NoteLevel::Warn, text));
        let cleared = if let Place::Host(clearing) = &mut configured.place { clearing.hear() } else { Vec::new() };
        for (level, text) in account.into_iter().chain(cleared) {
            self.note(level, text);
        }
        let (Some(start), Some(configured)) = (self.awaited_start, &self.configured) else { return };
        let cleared = if let Place::Host(clearing) = &configured.place { clearing.result() } else { Some(Ok(())) };
        let started = match (configured.account.account(), cleared) {
            (None, _) if now < start.since + account::LIMIT => return,
            (None, _) => Err(configured.account.silence(now)),
            (Some(Err(problem)), _) | (_, Some(Err(problem))) => Err(problem),
            // It takes a few seconds at most, and rings the bell.
            (Some(Ok(_)), None) => return,
            (Some(Ok(_)), Some(Ok(()))) if self.tree.awaits_cgroup() && now < start.since + CGROUP_LIMIT => return,
            (Some(Ok(_)), Some(Ok(()))) => self.start_coordinator(start.asked),
        };
        self.awaited_start = None;
        if let Err(problem) = started {
            self.link.send(&Report::StartFailed { problem });
        }
    }

    /// Whether that may be started now, and by what.
    fn permission(&self, asked: Asked) -> Result<Permission, String> {
        let kind = self.configured.as_ref().ok_or("the guardian has no settings yet")?.settings.permission;
        let ground =
            Ground { kind, held: self.held_lock(), lost: self.lost, written: self.written, deadline: self.deadline };
        let permission = Permission::ask(asked, &ground, clock::now())?;
        if self.tree.has_coordinator() {
            return Err("processes of the coordinator still live".to_owned());
        }
        Ok(permission)
    }

    fn start_coordinator(&mut self, asked: Asked) -> Result<(), String> {
        let permission = self.permission(asked)?;
        let configured = self.configured.as_ref().ok_or("the guardian has no settings yet")?;
        let account = configured.account.account().ok_or("coordinator.user is not known yet")??;
        let settings = &configured.settings;
        let (lock, told) = match &permission {
            Permission::Lock(lock) => (Some(lock.fd()), Some(seeded_bug::told(lock.epoch()))),
            Permission::AlwaysOn(_) => (None, None),
        };
        let purpose = Purpose { epoch: told, lock, main: None };
        let mut launch = prepare(settings, account, self.process_setup.oom_score_adj.as_deref(), &purpose)?;
        let forking = settings.forking;
        if let Permission::Lock(lock) = &permission {
            // Before the fork: from then on a process may exist that cannot be killed.
            let armed = self.watchdog.arm(lock.deadline(), clock::now());
            if self.watchdog.view() != WatchdogView::default() {
                self.tell_watchdog(None);
            }
            armed?;
            launch.watchdog = self.watchdog.descriptor();
            // The child looks at it once more, for the fork itself may take its time.
            launch.not_after = Some(lock.deadline().as_nanos());
        }
        // All that led here took time.
        let checked = clock::now();
        let permission = self.permission(asked)?;
        let (epoch, deed) = match (&permission, told) {
            (Permission::Lock(lock), Some(told)) => {
                (Some(lock.epoch()), Deed::Forked { epoch: lock.epoch(), told, checked })
            }
            (Permission::Lock(_), None) => return Err("the permission has changed".to_owned()),
            (Permission::AlwaysOn(_), _) => (None, Deed::ForkedAlwaysOn),
        };
        self.epoch = epoch;
        self.tree.start(&launch, forking).map_err(|error| format!("cannot fork: {}", error.desc()))?;
        self.alive = true;
        self.link.did(deed);
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
