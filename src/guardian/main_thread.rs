//! The main thread: one loop that waits, kills what is overdue before anything else, and then looks at what happened.

use std::os::fd::RawFd;
use std::time::Duration;

use nix::unistd::{Pid, getppid};

use super::account::Lookup;
use super::cgroup::Cgroup;
use super::clearing::Clearing;
use super::commands::Commands;
use super::ending::{Ending, Step};
use super::launch::explain;
use super::link::Gone;
use super::permission::Asked;
use super::process_setup::{self, ProcessSetup};
use super::protocol::{CommandOrder, GUARDIAN_FD, LastWill, NoteLevel, Over, Report, Settings, VolumeView};
use super::recorded_link::RecordedLink;
use super::remains::Noted;
use super::sentences;
use super::tree::{Happening, StartFailure, Tree};
use super::volume::{Task, Volume, VolumeEvent, Watch};
use super::wakeups::Wakeups;
use super::watchdog::Watchdog;
use crate::moment::Moment;
use crate::recording::guardian::Deed;
use crate::status::EndCause;
use crate::{clock, seeded_bug, syscalls};

mod commanding;
mod obeying;
mod recording;
mod rehearsing;
mod starting;

/// When it is worth saying that closing the lock takes long.
const CLOSE_IS_LATE: Duration = Duration::from_secs(1);

/// The lock, as far as this thread knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Open,
    Held {
        fd: RawFd,
    },
    /// `late`: when to say that it takes long.
    Closing {
        late: Option<Moment>,
    },
}

/// What was configured.
struct Configured {
    settings: Settings,
    account: Lookup,
    /// What it may touch before it may start anything.
    place: Place,
}

/// Where a coordinator runs, as far as something has to be seen to there.
enum Place {
    Volume(Volume),
    /// Nothing is shared; what was left on this host is cleared away.
    Host(Clearing),
}

impl Configured {
    const fn volume(&self) -> Option<&Volume> {
        if let Place::Volume(volume) = &self.place { Some(volume) } else { None }
    }
}

/// A start that was ordered and waits for what it needs.
#[derive(Clone, Copy, Debug)]
struct AwaitedStart {
    asked: Asked,
    since: Moment,
}

/// The main thread's state.
pub struct MainThread {
    wakeups: Wakeups,
    link: RecordedLink,
    process_setup: ProcessSetup,
    parent: Pid,
    configured: Option<Configured>,
    lock: Lock,
    /// Until when the lock is waited for, and how long one that is granted is kept without a word.
    waiting: Option<(Moment, Duration)>,
    /// Latched.
    lost: bool,
    /// The epoch whose record is in the lock file.
    written: Option<u64>,
    probe_watch: Watch,
    look_watch: Watch,
    /// A look at the volume hangs, which was told.
    hung: bool,
    tree: Tree,
    /// Something was started since nothing was left the last time.
    alive: bool,
    awaited_start: Option<AwaitedStart>,
    commands: Commands,
    /// on_active or on_standby that waits for the end of an earlier one.
    next_notice: Option<CommandOrder>,
    /// The lock is to be closed, with this cause, once nothing is left.
    close_once_dead: Option<EndCause>,
    /// What was written has reached the volume, as far as that is known.
    written_back: bool,
    watchdog: Watchdog,
    /// Of what was started last; `None` where there are no epochs.
    epoch: Option<u64>,
    deadline: Option<Moment>,
    last_will: Option<LastWill>,
    /// When the supervisor is thawed that this process has frozen.
    thaw: Option<Moment>,
    /// By which the coordinator is found if this process is killed; kept until the lock is closed.
    noted: Option<Noted>,
    /// Set when this process ends the leadership by itself. Final.
    ending: Option<Ending>,
}

impl MainThread {
    /// Takes over the socket and sets this process up.
    pub fn start() -> std::io::Result<Self> {
        let parent = getppid();
        let socket = syscalls::adopt(GUARDIAN_FD)?;
        syscalls::keep_descriptors_from_children();
        syscalls::hear_signals_again();
        let wakeups = Wakeups::new()?;
        let process_setup = process_setup::arrange()?;
        let tree = Tree::new(Cgroup::make(wakeups.bell()));
        Ok(Self {
            wakeups,
            link: RecordedLink::new(socket)?,
            process_setup,
            parent,
            configured: None,
            lock: Lock::Open,
            waiting: None,
            lost: false,
            written: None,
            probe_watch: Watch::default(),
            look_watch: Watch::default(),
            hung: false,
            tree,
            alive: false,
            awaited_start: None,
            commands: Commands::default(),
            next_notice: None,
            close_once_dead: None,
            written_back: true,
            watchdog: Watchdog::none(),
            epoch: None,
            deadline: None,
            last_will: None,
            thaw: None,
            noted: None,
            ending: None,
        })
    }

    /// Until the supervisor is gone, or this leadership was ended.
    pub fn run(mut self) -> i32 {
        loop {
            self.begin_segment();
            self.keep_time();
            let will = self.end();
            if let Some(will) = will {
                return self.leave(will);
            }
            self.link.flush();
            let mut others = self.commands.sockets();
            others.extend(self.tree.exec_pipe());
            let ready = match self.wakeups.wait(self.due(), self.link.pollable(), &others) {
                Ok(ready) => ready,
                Err(error) => {
                    // Without a way to wait there is no way to keep a deadline.
                    self.supervisor_gone(&Gone(format!("cannot wait for events: {error}")));
                    continue;
                }
            };
            self.keep_time();
            if ready.parent_died && getppid() != self.parent {
                self.supervisor_gone(&Gone("the supervisor died".to_owned()));
            }
            // Without its bell, too: what is not urgent waits there for the next turn.
            self.hear_volume();
            if ready.socket {
                self.hear_supervisor();
            }
        }
    }

    /// What this process can still do for the others; it has nothing left of its own.
    fn leave(mut self, will: Option<LastWill>) -> i32 {
        let election_node = will.as_ref().map(|will| will.election_node.clone());
        self.link.did(Deed::Left { election_node });
        self.link.flush();
        let code = will.map_or(0, |will| crate::zookeeper::last_will::execute(&will));
        self.wait_for_the_thaw();
        self.link.finish();
        code
    }

    /// What time alone demands, the deadline first: this thread may have been frozen since it began to wait.
    fn keep_time(&mut self) {
        let now = clock::now();
        self.thaw_if_due(now);
        if let Some(deadline) = self.deadline.filter(|deadline| now >= *deadline && self.has_to_end()) {
            if seeded_bug::lock_goes_before_the_tree() {
                self.tree.stop(0, now + seeded_bug::SURVIVES);
            }
            self.begin_to_end(Ending::at_deadline(deadline), now);
            self.note(NoteLevel::Error, format!("the deadline {deadline} has passed: whatever runs is killed"));
        }
        let happenings = self.tree.advance(now);
        if self.alive && self.tree.is_empty() {
            self.alive = false;
            self.link.did(Deed::SawAllDead);
        }
        self.keep_watchdog(now);
        self.hear_runners();
        for happening in happenings {
            self.tell(happening, now);
        }
        if self.tree.is_empty()
            && let Some(cause) = self.close_once_dead.take()
        {
            self.close_lock(cause, now);
        }
        self.go_on_starting(now);
        if self.waiting.is_some_and(|(until, _)| until <= now) {
            self.call_off();
        }
        self.watch_volume(now);
        if let Lock::Closing { late: Some(late) } = self.lock
            && now >= late
        {
            self.lock = Lock::Closing { late: None };
            let at =
                self.configured.as_ref().map(|configured| configured.settings.lock_directory.display().to_string());
            let text = format!("closing the lock waits for the volume at {}", at.unwrap_or_default());
            self.note(NoteLevel::Warn, text);
        }
    }

    /// A volume that does not answer is a lost one while the lock is held, and one that cannot be used while it is not.
    fn watch_volume(&mut self, now: Moment) {
        let Some(configured) = self.configured.as_ref() else { return };
        let (settings, Some(volume)) = (&configured.settings, configured.volume()) else { return };
        let silent = || {
            let directory = settings.lock_directory.display();
            format!("the volume at {directory} has not answered within lock.probe_timeout; is its server reachable?")
        };
        if !self.lost && self.probe_watch.hangs(volume.probing(), settings.probe_timeout, now) {
            let problem = silent();
            return self.lose(problem);
        }
        if !self.hung && self.look_watch.hangs(volume.looking(), settings.probe_timeout, now) {
            let view = VolumeView { problem: Some(silent()), ..VolumeView::default() };
            self.hung = true;
            self.link.send(&Report::Volume(view));
        }
    }

    /// When [`MainThread::watch_volume`] should look again.
    fn volume_due(&self) -> Option<Moment> {
        let configured = self.configured.as_ref()?;
        let (settings, volume) = (&configured.settings, configured.volume()?);
        let probe = self.probe_watch.due(volume.probing(), settings.probe_timeout).filter(|_| !self.lost);
        let look = self.look_watch.due(volume.looking(), settings.probe_timeout).filter(|_| !self.hung);
        [probe, look].into_iter().flatten().min()
    }

    /// Armed while a tree may live, fed while the lease allows it.
    fn keep_watchdog(&mut self, now: Moment) {
        if self.watchdog.is_armed() && self.tree.is_empty() {
            let failed = self.watchdog.disarm();
            self.tell_watchdog(failed);
        }
        if let Some(problem) = self.watchdog.feed(self.deadline, now) {
            self.note(NoteLevel::Error, problem);
        }
        if self.watchdog.look(now) {
            self.tell_watchdog(None);
        }
    }

    fn tell_watchdog(&mut self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.note(NoteLevel::Error, problem);
        }
        let view = self.watchdog.view();
        self.link.send(&Report::Watchdog(view));
    }

    /// Whether there is something that the deadline ends.
    fn has_to_end(&self) -> bool {
        self.ending.is_none() && (!self.tree.is_empty() || self.lock != Lock::Open)
    }

    /// When [`MainThread::keep_time`] has something to do.
    fn due(&self) -> Option<Moment> {
        let deadline = self.deadline.filter(|_| self.has_to_end());
        let closing = if let Lock::Closing { late } = self.lock { late } else { None };
        let watchdog = self.watchdog.due(self.deadline);
        let waiting = self.waiting.map(|(until, _)| until);
        [deadline, self.volume_due(), closing, self.tree.due(), watchdog, self.start_due(), self.thaw, waiting]
            .into_iter()
            .flatten()
            .min()
    }

    fn hear_supervisor(&mut self) {
        let (orders, gone) = match self.link.receive() {
            Ok(orders) => (orders, None),
            Err((orders, gone)) => (orders, Some(gone)),
        };
        for order in orders {
            self.obey(order);
        }
        if let Some(gone) = gone {
            self.supervisor_gone(&gone);
        }
    }

    fn tell(&mut self, happening: Happening, now: Moment) {
        let report = match happening {
            Happening::Started { pid, holds_lock } => Report::Started { pid, holds_lock },
            Happening::StartFailed(failure) => {
                let problem = self.configured.as_ref().map(|configured| {
                    let Settings { command, working_directory, user, .. } = &configured.settings;
                    match failure {
                        StartFailure::Launch(error) => {
                            explain(command, working_directory.as_deref(), user.as_deref(), error)
                        }
                        StartFailure::Script { status, left } => sentences::script_failed(command, status, &left),
                    }
                });
                Report::StartFailed { problem: problem.unwrap_or_default() }
            }
            Happening::HoldsLock(holds_lock) => Report::HoldsLock { holds_lock },
            Happening::Exited(status) => Report::Exited { status },
            Happening::Dead => Report::TreeDead,
            Happening::Stuck(processes) => Report::Stuck { processes },
            Happening::WithoutLock(processes) => {
                return self.note(NoteLevel::Warn, sentences::without_lock(&processes));
            }
            Happening::LeftBehind(status, left) => Report::Remark { text: sentences::left_behind(status, &left) },
            Happening::StopCutShort(killed) => Report::Remark { text: sentences::stop_cut_short(&killed) },
            Happening::ScriptStillRan(script) => Report::Remark { text: sentences::script_still_ran(script) },
            Happening::StopTimedOut { main, left } => {
                self.link.send(&Report::Remark { text: sentences::stop_timed_out(&left) });
                return self.stop_timed_out(main, now);
            }
            Happening::CommandEnded { pid, status } => {
                if let Some(finished) = self.commands.ended(pid, status) {
                    self.command_ended(finished, now);
                }
                return;
            }
        };
        self.link.send(&report);
    }

    fn held_lock(&self) -> Option<RawFd> {
        if let Lock::Held { fd } = self.lock { Some(fd) } else { None }
    }

    fn hear_volume(&mut self) {
        let volume = self.configured.as_ref().and_then(Configured::volume);
        let events = volume.map(Volume::events).unwrap_or_default();
        for event in events {
            match event {
                VolumeEvent::Report(report) => {
                    self.hung &= !matches!(report, Report::Volume(_));
                    self.link.send(&report);
                }
                VolumeEvent::Locked { fd, volume, record, write_back } => {
                    // A lock that comes after CloseLock was asked for is closed by that.
                    if self.lock == Lock::Open {
                        self.lock = Lock::Held { fd };
                        if let Some((_, grace)) = self.waiting.take() {
                            // A supervisor that does not take it up is frozen, say.
                            self.deadline = Some(clock::now() + grace);
                        }
                        self.link.send(&Report::LockAcquired { volume, record, write_back });
                    }
                }
                VolumeEvent::Written { epoch } => {
                    self.written = Some(epoch);
                    self.link.send(&Report::RecordWritten { epoch });
                }
                VolumeEvent::Unusable(problem) => self.link.send(&Report::VolumeUnusable { problem }),
                VolumeEvent::Probed { started, took, free_bytes } => {
                    if !self.lost {
                        self.link.send(&Report::Probed { started, took, free_bytes });
                    }
                }
                VolumeEvent::Lost(problem) => self.lose(problem),
                VolumeEvent::Failed(problem) => {
                    self.note(NoteLevel::Error, problem.clone());
                    self.lose(problem);
                    // A guardian without its second thread is good for nothing, so there must be another one.
                    if self.lock == Lock::Open && self.tree.is_empty() {
                        self.begin_to_end(Ending::without_supervisor(), clock::now());
                    }
                }
                VolumeEvent::CalledOff => {
                    if self.lock != Lock::Open {
                        self.lock = Lock::Open;
                        self.deadline = None;
                    }
                    self.link.send(&Report::CalledOff);
                }
                VolumeEvent::Closed { clean } => {
                    self.lock = Lock::Open;
                    self.noted = None;
                    self.written = None;
                    // There is no lease without the lock.
                    self.deadline = None;
                    self.written_back &= clean;
                    self.link.send(&Report::LockClosed { clean });
                }
            }
        }
    }

    fn lose(&mut self, problem: String) {
        if !self.lost {
            self.lost = true;
            self.link.send(&Report::VolumeLost { problem });
        }
    }

    fn close_lock(&mut self, cause: EndCause, now: Moment) {
        match (self.configured.as_ref().and_then(Configured::volume), self.lock) {
            (Some(volume), Lock::Open | Lock::Held { .. }) => {
                let over = self.written.filter(|_| self.tree.is_empty()).map(|epoch| Over {
                    epoch,
                    election_node: self.last_will.as_ref().map(|last_will| last_will.election_node.clone()),
                });
                self.link.did(Deed::AskedToClose { proof: over.is_some() });
                volume.ask(Task::Close { cause, over });
                self.lock = Lock::Closing { late: Some(now + CLOSE_IS_LATE) };
                self.waiting = None;
            }
            // Its end is reported in any case.
            (Some(_), Lock::Closing { .. }) => {}
            (None, _) => self.link.send(&Report::LockClosed { clean: true }),
        }
    }

    fn supervisor_gone(&mut self, gone: &Gone) {
        self.note(NoteLevel::Error, gone.0.clone());
        self.link.close();
        if self.ending.is_none() {
            self.begin_to_end(Ending::without_supervisor(), clock::now());
        }
    }

    fn begin_to_end(&mut self, ending: Ending, now: Moment) {
        self.awaited_start = None;
        self.link.did(Deed::BeganToEnd { cause: ending.cause().into() });
        if !(seeded_bug::lock_goes_before_the_tree() && ending.is_at_deadline()) {
            self.tree.kill(now);
        }
        if self.waiting.is_some() {
            // Before the last will: whoever comes next finds the lock free.
            self.close_lock(ending.cause().into(), now);
        }
        if let (Some(volume), Lock::Open) = (self.configured.as_ref().and_then(Configured::volume), self.lock) {
            // Calls off an attempt that may be under way.
            volume.ask(Task::Close { cause: ending.cause().into(), over: None });
        }
        self.ending = Some(ending);
    }

    /// Goes on with the end as far as it is possible. `Some`: this process has done all it can; what remains is the
    /// last will, if there is one.
    fn end(&mut self) -> Option<Option<LastWill>> {
        let locked = self.lock != Lock::Open;
        let tree_is_dead = self.tree.is_empty() || (seeded_bug::lock_goes_before_the_tree() && locked);
        let ending = self.ending?;
        match ending.next_step(tree_is_dead, locked) {
            Step::AwaitTree => None,
            Step::CloseLock => {
                if matches!(self.lock, Lock::Held { .. }) {
                    self.close_lock(ending.cause().into(), clock::now());
                }
                None
            }
            Step::Leave { fenced_at } => {
                if let Some(deadline) = fenced_at {
                    self.link.send(&Report::Fenced { deadline, clean: self.written_back });
                }
                let written_back = self.written_back;
                Some(self.last_will.take().map(|last_will| last_will.of_an_end(written_back)))
            }
        }
    }

    fn unusable(&mut self, problem: &str) {
        self.link.send(&Report::VolumeUnusable { problem: problem.to_owned() });
    }

    fn note(&mut self, level: NoteLevel, text: String) {
        self.link.send(&Report::Note { level, text });
    }
}
