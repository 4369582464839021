//! Waiting in the kernel for the lock of the leadership before this node: nobody asks twice, and nobody is told late.
//!
//! A thread of its own sits in F_OFD_SETLKW on a second descriptor of the open lock file; the lock belongs to the open file, so a
//! grant is this process's, while the volume thread goes on looking. It can be called off at any time: the thread is interrupted
//! until it has ended, and says whether it was granted the lock. On a network file system the wait is begun anew every second,
//! for the server forgets who does not ask again.
//!
//! Rejected: a process instead of the thread. It could be killed while the file server does not answer, and the thread cannot be
//! interrupted then; but so can this guardian, which has nothing else to lose while it waits, and is watched for hanging.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Task;
use super::lock_file::{LockFile, wait_for_lock};
use crate::clock;
use crate::moment::Moment;
use crate::syscalls;

/// How long one wait on a network file system lasts.
const SLICE: Duration = Duration::from_secs(1);
/// Between two interruptions of a thread that is to end: the first may come before it waits.
const INSIST: Duration = Duration::from_millis(1);
/// Of the thread's stack, in bytes: it makes one call.
const STACK: usize = 64 * 1024;

/// The wish to have the lock as soon as whoever has it lets go.
pub struct Waiting {
    pub expected_volume: Option<String>,
    /// `None` while there is nothing to wait for: the volume is not as it should be.
    pub waiter: Option<(Waiter, u64)>,
    pub number: u64,
}

/// Somebody who waits for the lock.
pub struct Waiter {
    thread: JoinHandle<io::Result<bool>>,
    over: Arc<AtomicBool>,
    /// By which what it says is known from what another one has said.
    pub number: u64,
    /// When to begin the wait anew; `None` where that is not needed.
    pub next: Option<Moment>,
}

impl Waiter {
    pub fn begin(file: &LockFile, number: u64, done: Sender<Task>) -> io::Result<Self> {
        let shared = file.share()?;
        let over = Arc::new(AtomicBool::new(false));
        let called_off = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("waiter".to_owned()).stack_size(STACK).spawn(move || {
            let granted = wait(&shared, &called_off);
            if !called_off.load(Ordering::Acquire) {
                let _ = done.send(Task::Waited { number });
            }
            granted
        })?;
        let next = file.needs_write_back().then(|| clock::now() + SLICE);
        Ok(Self { thread, over, number, next })
    }

    /// Begins the wait anew.
    pub fn ask_again(&mut self) {
        syscalls::interrupt(&self.thread);
        self.next = Some(clock::now() + SLICE);
    }

    /// Ends the wait. True: the lock was granted, and this open file has it. Hangs as long as the file server does.
    pub fn end(self) -> io::Result<bool> {
        self.over.store(true, Ordering::Release);
        while !self.thread.is_finished() {
            syscalls::interrupt(&self.thread);
            std::thread::sleep(INSIST);
        }
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that waited for it failed")))
    }
}

fn wait(file: &File, over: &AtomicBool) -> io::Result<bool> {
    while !over.load(Ordering::Acquire) {
        if wait_for_lock(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}
