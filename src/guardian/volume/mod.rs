//! The guardian's second thread: everything that touches the shared volume.
//!
//! Any call here may hang for as long as the file server is away, so the main thread never waits for this one: tasks go
//! in by a channel, events come out by another, with a bell. This thread owns the lock's descriptor; the main thread
//! knows only its number, to let a coordinator inherit it.
//!
//! While standby it looks at the volume every `probe_interval`, and tries in a file of its own whether it takes writes; while
//! it holds the lock it proves as often that the volume still takes this client's writes to the lock file. The first failure is final: another host may have had the lock meanwhile,
//! and nothing that succeeds afterwards would show it.

pub mod adoption;
mod attempt;
mod client;
pub(crate) mod files;
mod identity;
mod leftovers;
mod lock_file;
mod mounts;
mod probing;
pub(crate) mod problems;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod thread;
mod trial;
mod view;
mod waiter;
mod waiting;

pub use client::{identity as client_identity, twin};
pub use identity::{mismatch, read as id};
pub use lock_file::{FILE_NAME, LockFile, record_in, try_lock};
pub use mounts::Mount;
pub use probing::Watch;
pub use trial::file_name as trial_file_name;

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::eventfd::EventFd;

use self::probing::{ProbeClock, Probing};
use self::thread::{Outbox, Part, Thread};
use super::protocol::{LockRecord, Over, Report, Settings};
use super::remains::Mine;
use crate::clock;
use crate::moment::Moment;
use crate::status::EndCause;

/// Of this thread's stack, in bytes: the deepest thing it does is parse a small JSON file.
const STACK: usize = 256 * 1024;

/// What the main thread asks for.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few a day")]
pub enum Task {
    Acquire {
        expected_volume: Option<String>,
        patient: bool,
    },
    /// Wait for the lock that somebody else holds.
    Await {
        expected_volume: Option<String>,
    },
    /// Wait for it no more, and let go of it if it was granted.
    CallOff,
    /// The waiter of that number has ended.
    Waited {
        number: u64,
    },
    /// Look at once, where nothing is held or wanted.
    Look,
    Write(LockRecord),
    /// Note the end in the record and close; also ends an attempt to take the lock.
    Close {
        cause: EndCause,
        /// The proof of the end, where there is one.
        over: Option<Over>,
    },
}

/// What this thread tells the main thread.
#[derive(Debug)]
pub enum VolumeEvent {
    /// For the supervisor, as it is.
    Report(Report),
    Locked {
        fd: RawFd,
        volume: String,
        record: Option<LockRecord>,
        write_back: bool,
    },
    Written {
        epoch: u64,
    },
    /// The attempt or the write failed.
    Unusable(String),
    Probed {
        started: Moment,
        took: Duration,
        free_bytes: u64,
    },
    Lost(String),
    /// The lock is not waited for, and not held.
    CalledOff,
    /// The thread has failed. What it holds it keeps until it is told to close.
    Failed(String),
    Closed {
        /// What was written has reached the volume, as far as it needs to be told.
        clean: bool,
    },
}

/// The main thread's end.
pub struct Volume {
    tasks: Sender<Task>,
    events: Receiver<VolumeEvent>,
    probing: Arc<ProbeClock>,
    looking: Arc<ProbeClock>,
}

impl Volume {
    /// Starts the thread. It inherits the signal mask, so block signals before.
    pub fn open(settings: &Settings, bell: Arc<EventFd>) -> std::io::Result<Self> {
        let (tasks, orders) = channel();
        let (reports, events) = channel();
        let probing = Arc::new(ProbeClock::default());
        let looking = Arc::new(ProbeClock::default());
        // At once: whoever watches need not be told when the thread has begun.
        looking.due(clock::now());
        let clocks = (Arc::clone(&probing), Arc::clone(&looking));
        crate::syscalls::permit_interruptions();
        let own = tasks.clone();
        let settings = Part {
            node: settings.node.clone(),
            mine: Mine::new(settings),
            directory: settings.lock_directory.clone(),
            probe_interval: settings.probe_interval,
            probe_timeout: settings.probe_timeout,
            min_free_space: settings.min_free_space,
        };
        std::thread::Builder::new().name("volume".to_owned()).stack_size(STACK).spawn(move || {
            let mut thread = Thread::new(settings, (own, orders), Outbox { reports, bell }, clocks);
            let outcome = catch_unwind(AssertUnwindSafe(|| thread.run()));
            if outcome.is_err() {
                thread.outbox.send(VolumeEvent::Failed(
                    "the guardian's volume thread failed; this is a defect of primacy".to_owned(),
                ));
                thread.keep_until_told();
            }
        })?;
        Ok(Self { tasks, events, probing, looking })
    }

    /// Never blocks. A thread that has failed has said so by `Lost`.
    pub fn ask(&self, task: Task) {
        let _ = self.tasks.send(task);
    }

    pub fn events(&self) -> Vec<VolumeEvent> {
        self.events.try_iter().collect()
    }

    /// Where the probe is while the lock is held.
    pub fn probing(&self) -> Option<Probing> {
        self.probing.read()
    }

    /// Where the look is while it is not.
    pub fn looking(&self) -> Option<Probing> {
        self.looking.read()
    }
}
