//! What each order of the supervisor's does.

use std::time::Duration;

use super::{Configured, Lock, MainThread, Place};
use crate::clock;
use crate::guardian::account::Lookup;
use crate::guardian::clearing::Clearing;
use crate::guardian::ending::Ending;
use crate::guardian::permission::Asked;
use crate::guardian::protocol::{GuardianOrder, NoteLevel, PermissionKind, Report, Settings, VERSION};
use crate::guardian::remains::Mine;
use crate::guardian::volume::{Task, Volume};
use crate::guardian::watchdog::Watchdog;
use crate::moment::Moment;

const NO_VOLUME: &str = "this guardian was made for an always-on coordinator: it takes no lock";

impl MainThread {
    pub(super) fn obey(&mut self, order: GuardianOrder) {
        if self.ending.is_some() {
            if let GuardianOrder::Ping { number } = order {
                self.link.send(&Report::Pong { number });
            }
            return;
        }
        self.link.heard(&order);
        let now = clock::now();
        if let GuardianOrder::Stop | GuardianOrder::Kill | GuardianOrder::CloseLock { .. } = order {
            self.awaited_start = None;
        }
        match order {
            GuardianOrder::Configure(settings) => self.configure(*settings),
            GuardianOrder::AcquireLock { expected_volume, patient } => match (&self.configured, self.lost) {
                (Some(configured), false) => match configured.volume() {
                    Some(volume) => {
                        self.waiting = None;
                        volume.ask(Task::Acquire { expected_volume, patient });
                    }
                    None => self.unusable(NO_VOLUME),
                },
                (None, _) => self.unusable("the guardian has no settings yet"),
                (_, true) => self.unusable("the lock was lost; this guardian must be replaced"),
            },
            GuardianOrder::AwaitLock { until, grace, expected_volume } => {
                self.await_lock(until, grace, expected_volume);
            }
            GuardianOrder::CallOff => self.call_off(),
            GuardianOrder::Look => {
                if let Some(volume) = self.configured.as_ref().and_then(Configured::volume) {
                    volume.ask(Task::Look);
                }
            }
            GuardianOrder::WriteRecord(record) => match &self.configured {
                Some(configured) => match configured.volume() {
                    Some(volume) => volume.ask(Task::Write(record)),
                    None => self.unusable(NO_VOLUME),
                },
                None => self.unusable("the guardian has no settings yet"),
            },
            GuardianOrder::SetDeadline { deadline } => self.set_deadline(deadline),
            GuardianOrder::SetWatchdog(terms) => {
                let failed = self.watchdog.set_terms(terms, self.deadline, now);
                if self.watchdog.is_armed() {
                    self.tell_watchdog(failed);
                }
            }
            GuardianOrder::Start { epoch, deadline } => {
                self.set_deadline(deadline);
                self.order_start(Asked::InEpoch(epoch), now);
            }
            GuardianOrder::StartAlwaysOn => self.order_start(Asked::AlwaysOn, now),
            GuardianOrder::Run(command) => self.run_command(*command, now),
            GuardianOrder::Stop => match &self.configured {
                Some(configured) if self.tree.has_coordinator() => {
                    self.commands.end_all();
                    self.tree.stop(configured.settings.stop_signal, now + configured.settings.stop_timeout);
                }
                _ if !self.tree.is_empty() => self.tree.kill(now),
                _ => self.link.send(&Report::TreeDead),
            },
            GuardianOrder::Kill if self.tree.is_empty() => self.link.send(&Report::TreeDead),
            GuardianOrder::Kill => self.tree.kill(now),
            GuardianOrder::CloseLock { cause } if !self.tree.is_empty() => {
                self.tree.kill(now);
                self.close_once_dead = Some(cause);
            }
            GuardianOrder::CloseLock { cause } => self.close_lock(cause, now),
            GuardianOrder::LastWill(last_will) => self.last_will = last_will,
            GuardianOrder::Rehearse(fault) => self.rehearse(fault, now),
            GuardianOrder::Ping { number } => self.link.send(&Report::Pong { number }),
        }
    }

    /// Waits for the lock, which another one has as a rule.
    fn await_lock(&mut self, until: Moment, grace: Duration, expected_volume: Option<String>) {
        let volume = self.configured.as_ref().and_then(Configured::volume).filter(|_| !self.lost);
        match (volume, self.lock) {
            (Some(volume), Lock::Open) => {
                if self.waiting.replace((until, grace)).is_none() {
                    volume.ask(Task::Await { expected_volume });
                }
            }
            // Granted meanwhile, or on its way down.
            (Some(_), Lock::Held { .. } | Lock::Closing { .. }) => {}
            (None, _) => self.link.send(&Report::CalledOff),
        }
    }

    /// Waits no more; the answer comes once nothing is held.
    pub(super) fn call_off(&mut self) {
        self.waiting = None;
        match (self.configured.as_ref().and_then(Configured::volume), self.written) {
            // Whatever runs beside it: a command of a standby's, which is to hold nobody up.
            (Some(volume), None) => volume.ask(Task::CallOff),
            // Nothing was waited for, or more than waiting has come of it.
            (None, _) | (Some(_), Some(_)) => self.link.send(&Report::CalledOff),
        }
    }

    fn configure(&mut self, settings: Settings) {
        if self.configured.is_some() {
            self.note(NoteLevel::Error, "a guardian is configured only once".to_owned());
            return;
        }
        if settings.version != VERSION {
            let text = format!(
                "this guardian speaks version {VERSION} of the protocol and its supervisor version {}: the program was replaced \
                 while it ran; restart primacy on this host",
                settings.version
            );
            self.note(NoteLevel::Error, text);
            self.begin_to_end(Ending::without_supervisor(), clock::now());
            return;
        }
        let bell = self.wakeups.bell();
        let (place, thread) = match settings.permission {
            PermissionKind::Lock => (Volume::open(&settings, bell).map(Place::Volume), "volume"),
            PermissionKind::AlwaysOn => (Clearing::begin(Mine::new(&settings), bell).map(Place::Host), "clearing"),
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                let text = format!("cannot start the guardian's {thread} thread: {error}; another guardian will try");
                self.note(NoteLevel::Error, text);
                self.begin_to_end(Ending::without_supervisor(), clock::now());
                return;
            }
        };
        self.watchdog = Watchdog::new(settings.watchdog.clone());
        self.link.record(settings.recorder.clone());
        self.link.send(&Report::Ready { pid: nix::unistd::getpid().as_raw() });
        for text in std::mem::take(&mut self.process_setup.notes) {
            self.note(NoteLevel::Info, text);
        }
        let account = Lookup::begin(settings.user.as_deref(), self.wakeups.bell(), clock::now());
        self.configured = Some(Configured { settings, account, place });
        self.begin_segment();
    }

    fn set_deadline(&mut self, deadline: Moment) {
        self.deadline = Some(deadline);
    }
}
