//! The thread that touches the volume: it takes its tasks one at a time, and may hang in any of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::sys::eventfd::EventFd;

use super::attempt::{Attempt, Outcome};
use super::lock_file::{LockFile, content_of, last_record};
use super::probing::ProbeClock;
use super::trial::Trial;
use super::waiter::Waiting;
use super::{Mount, Task, VolumeEvent, client, identity, leftovers, mounts, problems, record_in, view};
use crate::clock;
use crate::guardian::protocol::{Ended, LockRecord, NoteLevel, Over, Report, VolumeView};
use crate::guardian::remains::{self, Mine};
use crate::moment::Moment;
use crate::status::EndCause;

/// How often the mount table is read while the lock is held: only warnings come of it, for whether the lock file is still
/// the one at its path shows at every probe.
const MOUNT_INTERVAL: Duration = Duration::from_secs(30);

/// The part of the settings that concerns the volume.
pub(super) struct Part {
    pub(super) node: String,
    pub(super) mine: Mine,
    pub(super) directory: PathBuf,
    pub(super) probe_interval: Duration,
    pub(super) probe_timeout: Duration,
    pub(super) min_free_space: u64,
}

pub(super) struct Outbox {
    pub(super) reports: Sender<VolumeEvent>,
    pub(super) bell: Arc<EventFd>,
}

impl Outbox {
    pub(super) fn send(&self, event: VolumeEvent) {
        self.leave(event);
        let _ = self.bell.write(1);
    }

    /// For the main thread's next turn, without waking it.
    fn leave(&self, event: VolumeEvent) {
        // Without a receiver the process is ending.
        let _ = self.reports.send(event);
    }

    pub(super) fn note(&self, level: NoteLevel, text: String) {
        self.send(VolumeEvent::Report(Report::Note { level, text }));
    }
}

pub(super) struct Thread {
    pub(super) settings: Part,
    tasks: Receiver<Task>,
    /// For the waiter, which ends by itself.
    pub(super) own_tasks: Sender<Task>,
    pub(super) outbox: Outbox,
    pub(super) file: Option<LockFile>,
    pub(super) attempt: Option<Attempt>,
    pub(super) held: Option<Held>,
    pub(super) waiting: Option<Waiting>,
    /// Nothing of a former leadership runs on this host beside the lock, as far as can be seen.
    clear: bool,
    view: Option<VolumeView>,
    /// When to look or to probe next.
    pub(super) next: Moment,
    trial: Trial,
    pub(super) probing: Arc<ProbeClock>,
    pub(super) looking: Arc<ProbeClock>,
    /// What the path lies on, and when to look at that again.
    mount: (Option<Mount>, Moment),
}

/// The lock is ours.
pub(super) struct Held {
    volume: String,
    /// What the file contains.
    content: Vec<u8>,
    /// Written by this process.
    pub(super) record: Option<LockRecord>,
    /// Where only the lock decides, the probe is the heartbeat, and every one is told at once.
    urgent: bool,
    /// A network file system.
    write_back: bool,
    lost: bool,
    free_bytes: u64,
}

impl Thread {
    pub(super) fn new(
        settings: Part,
        (own_tasks, tasks): (Sender<Task>, Receiver<Task>),
        outbox: Outbox,
        (probing, looking): (Arc<ProbeClock>, Arc<ProbeClock>),
    ) -> Self {
        let next = clock::now();
        Self {
            settings,
            tasks,
            own_tasks,
            outbox,
            file: None,
            attempt: None,
            held: None,
            waiting: None,
            clear: false,
            view: None,
            next,
            trial: Trial::default(),
            probing,
            looking,
            mount: (None, next),
        }
    }

    pub(super) fn run(&mut self) {
        self.look();
        self.clear_leftovers();
        loop {
            let attempt = self.attempt.as_ref().map(|attempt| attempt.next);
            let due = [Some(self.next), attempt, self.wait_due()].into_iter().flatten().min().unwrap_or(self.next);
            match self.tasks.recv_timeout(due.since(clock::now())) {
                Ok(Task::Acquire { expected_volume, patient }) => {
                    // What was waited for may be granted already: that answers this, too.
                    self.stop_waiting(true);
                    if self.held.is_none() {
                        self.attempt = Some(Attempt::new(expected_volume, patient, clock::now()));
                        self.try_to_lock();
                    }
                }
                Ok(Task::Await { expected_volume }) => self.begin_to_wait(expected_volume),
                Ok(Task::Waited { number }) => self.waited(number),
                Ok(Task::CallOff) => self.call_off(),
                Ok(Task::Look) => {
                    if self.held.is_none() && self.attempt.is_none() {
                        self.look();
                    }
                }
                Ok(Task::Write(record)) => self.write(record),
                Ok(Task::Close { cause, over }) => self.close(cause, over),
                Err(RecvTimeoutError::Timeout) => {
                    if self.attempt.as_ref().is_some_and(|attempt| attempt.next <= clock::now()) {
                        self.try_to_lock();
                    }
                    self.wait_on();
                    if self.next <= clock::now() {
                        if self.held.is_some() { self.probe() } else { self.look() }
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// After a defect: the lock must not end before the coordinator does, so it still waits to be closed.
    pub(super) fn keep_until_told(&mut self) {
        for task in &self.tasks {
            if let Task::Close { .. } = task {
                self.file = None;
                self.outbox.send(VolumeEvent::Closed { clean: false });
            }
        }
    }

    fn look(&mut self) {
        let problem = if self.clear { None } else { self.clear_remains() };
        let began = clock::now();
        self.looking.began(began);
        let Part { directory, node, min_free_space, .. } = &self.settings;
        let mut view = view::look(directory, node, *min_free_space, &mut self.file, &mut self.trial);
        if problem.is_some() {
            view = VolumeView { problem, ..VolumeView::default() };
        }
        self.next = clock::now() + self.settings.probe_interval;
        // Before the time is taken: whoever saw it hang until now is told in any case that it has come back.
        self.looking_is_due();
        if clock::now().since(began) >= self.settings.probe_timeout {
            self.view = None;
        }
        self.publish(view);
        self.go_on_waiting();
    }

    /// The next look is due, unless it waits for a try to lock: that has its own limits.
    pub(super) fn looking_is_due(&self) {
        if self.attempt.is_none() && self.held.is_none() {
            self.looking.due(self.next);
        } else {
            self.looking.none();
        }
    }

    fn publish(&mut self, view: VolumeView) {
        if self.view.as_ref().is_none_or(|former| view::differ(former, &view)) {
            self.view = Some(view.clone());
            self.outbox.send(VolumeEvent::Report(Report::Volume(view)));
        }
    }

    fn try_to_lock(&mut self) {
        let Some(mut attempt) = self.attempt.take() else { return };
        self.looking.none();
        match attempt.once(&self.settings.directory, &self.settings.node, &mut self.file) {
            Outcome::Held { volume, content } => self.hold(volume, content, attempt.is_patient()),
            Outcome::Busy { holder } => {
                if attempt.is_first() && self.clear_leftovers() {
                    attempt.retry_at(clock::now());
                } else if attempt.tell(holder.as_ref()) {
                    self.outbox.send(VolumeEvent::Report(Report::LockRefused { holder }));
                }
                self.attempt = Some(attempt);
            }
            Outcome::Unusable(problem) => {
                // Whatever was taken is given back: closing is the only way.
                self.file = None;
                self.looking_is_due();
                self.outbox.send(VolumeEvent::Unusable(problem));
            }
        }
    }

    /// The lock is this open file's.
    pub(super) fn hold(&mut self, volume: String, content: Vec<u8>, urgent: bool) {
        let Some(file) = &self.file else { return };
        let (fd, record) = (file.number(), last_record(&content));
        self.next = clock::now() + self.settings.probe_interval;
        self.probing.due(self.next);
        self.looking.none();
        // What cannot be learnt of a file system is that of one that has to be told.
        let write_back = file.needs_write_back();
        self.outbox.send(VolumeEvent::Locked { fd, volume: volume.clone(), record: record.clone(), write_back });
        self.held = Some(Held { volume, content, record: None, urgent, write_back, lost: false, free_bytes: 0 });
    }

    /// Kills what runs on of a former leadership without the lock; says what keeps this host from standing.
    fn clear_remains(&mut self) -> Option<String> {
        let cleared = remains::clear(&self.settings.mine);
        for text in cleared.notes() {
            self.outbox.note(NoteLevel::Warn, text);
        }
        self.clear = cleared.left.is_empty();
        cleared.obstacle()
    }

    /// True if a process was killed that held the lock.
    fn clear_leftovers(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let Some(record) = file.read().ok().and_then(|content| record_in(&content)) else { return false };
        let Ok(inode) = file.inode() else { return false };
        let Some(cleared) = leftovers::clear(&record, &self.settings.mine, file.path(), inode) else { return false };
        for (pid, command) in &cleared.killed {
            self.outbox.note(
                NoteLevel::Warn,
                format!(
                    "killed {command} ({pid}), left over from epoch {}: its guardian is dead and it held the lock",
                    record.epoch
                ),
            );
        }
        for pid in &cleared.left {
            self.outbox
                .note(NoteLevel::Error, format!("process {pid}, left over, holds the lock and cannot be killed"));
        }
        true
    }

    fn write(&mut self, mut record: LockRecord) {
        record.nfs_client = mounts::Mount::of(&self.settings.directory).as_ref().and_then(client::identity);
        let (Some(file), Some(held)) = (&self.file, &mut self.held) else {
            self.outbox.send(VolumeEvent::Unusable("the lock is not held, so no record may be written".to_owned()));
            return;
        };
        if held.lost {
            self.outbox.send(VolumeEvent::Unusable("the lock is lost, so no record may be written".to_owned()));
            return;
        }
        let written = content_of(&record).and_then(|content| {
            file.write(&content)?;
            file.sync()?;
            Ok(content)
        });
        match written {
            Ok(content) => {
                held.content = content;
                self.outbox.send(VolumeEvent::Written { epoch: record.epoch });
                held.record = Some(record);
            }
            Err(error) => self.outbox.send(VolumeEvent::Unusable(problems::of("write", file.path(), &error))),
        }
    }

    fn probe(&mut self) {
        let (Some(file), Some(held)) = (&self.file, &mut self.held) else { return };
        let started = clock::now();
        self.next = started + self.settings.probe_interval;
        if held.lost {
            return;
        }
        self.probing.began(started);
        let directory = &self.settings.directory;
        if let Err(problem) = prove(file, held, directory) {
            held.lost = true;
            self.outbox.send(VolumeEvent::Lost(problem));
            return;
        }
        self.probing.due(self.next);
        held.free_bytes = problems::free_bytes(directory).unwrap_or(held.free_bytes);
        let (took, free_bytes) = (clock::now().since(started), held.free_bytes);
        let probed = VolumeEvent::Probed { started, took, free_bytes };
        if held.urgent {
            self.outbox.send(probed);
        } else {
            self.outbox.leave(probed);
        }
        let (id, record) = (Some(held.volume.clone()), record_in(&held.content));
        let view = VolumeView {
            id,
            problem: None,
            missing: false,
            free_bytes: Some(free_bytes),
            record,
            ..self.standing_view()
        };
        self.publish(view);
    }

    /// What of the view does not need the file system.
    fn standing_view(&mut self) -> VolumeView {
        let now = clock::now();
        if self.mount.1 <= now {
            self.mount = (Mount::of(&self.settings.directory), now + MOUNT_INTERVAL);
        }
        let mount = self.mount.0.clone();
        let mut warnings = mount.as_ref().map(Mount::warnings).unwrap_or_default();
        let free = self.held.as_ref().map_or(u64::MAX, |held| held.free_bytes);
        warnings.extend(view::scarce(&self.settings.directory, free, self.settings.min_free_space));
        VolumeView { file_system: mount.map(|mount| mount.file_system), warnings, ..VolumeView::default() }
    }

    fn close(&mut self, cause: EndCause, over: Option<Over>) {
        self.attempt = None;
        self.stop_waiting(false);
        let clean = self.write_back();
        if let (Some(file), Some(Held { record: Some(record), lost: false, .. })) = (&self.file, &mut self.held) {
            record.ended = Some(Ended { at: clock::timestamp(), cause });
            if let Err(error) = note_the_end(file, record, over.filter(|_| clean)) {
                let text = problems::of("note the end of the epoch in", file.path(), &error);
                self.outbox.note(NoteLevel::Warn, text);
            }
        }
        if let (Some(file), Some(_)) = (&self.file, &self.held) {
            file.let_go_for_the_seeded_bug();
        }
        self.held = None;
        self.file = None;
        self.probing.none();
        self.next = clock::now() + self.settings.probe_interval;
        self.looking_is_due();
        self.outbox.send(VolumeEvent::Closed { clean });
    }
}

/// Writes the record with its end. The proof counts only once it is on the volume, so it is synced; what is for people alone
/// is not, for closing must not take longer than it has to.
fn note_the_end(file: &LockFile, record: &mut LockRecord, over: Option<Over>) -> std::io::Result<()> {
    record.over = over.filter(|over| over.epoch == record.epoch);
    let write = |record: &LockRecord| content_of(record).and_then(|content| file.write(&content));
    if record.over.is_none() {
        return write(record);
    }
    let proven = write(record).and_then(|()| file.sync());
    if proven.is_err() {
        // Without it, as far as that is possible: what is in doubt is no proof.
        record.over = None;
        let _ = write(record);
    }
    proven
}

impl Thread {
    /// Brings all that this host has written to the volume to where other hosts see it: a killed process leaves pages that its
    /// living host would write later, over what the next coordinator has written there. May take as long as the file server
    /// does; the lock is held meanwhile. False where that is not known to have succeeded.
    fn write_back(&self) -> bool {
        let (Some(file), Some(held)) = (&self.file, &self.held) else { return true };
        if !held.write_back {
            return true;
        }
        match file.write_back() {
            Ok(()) => !held.lost,
            Err(error) => {
                let text = problems::of("write back all that was written beside", file.path(), &error);
                self.outbox.note(NoteLevel::Error, format!("{text}; this end does not count as clean"));
                false
            }
        }
    }
}

/// One probe; the error says what was lost.
fn prove(file: &LockFile, held: &Held, directory: &std::path::Path) -> Result<(), String> {
    file.probe(&held.content).map_err(|error| problems::of("write and sync", file.path(), &error))?;
    match file.is_at_its_path() {
        Ok(true) => {}
        Ok(false) => {
            return Err(format!(
                "{} was deleted, replaced or unmounted while it was locked: others may lock another one in its place",
                file.path().display()
            ));
        }
        Err(error) => return Err(problems::of("find", file.path(), &error)),
    }
    identity::mismatch(directory, &held.volume).map_or(Ok(()), Err)
}
