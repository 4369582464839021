//! The guardian: the small process between supervisor and coordinator, which owns what must live and die together: the
//! lock's descriptor and the coordinator's process tree.
//!
//! # Theory of operation
//! Two threads. The *main* thread waits for signals, its timer, the supervisor and the volume thread, and never blocks
//! on anything else: killing at the deadline needs nothing but itself. The *volume* thread does all that touches the
//! shared volume, which may hang for as long as a file server is away.
//!
//! The main thread kills the tree when the deadline passes, when the supervisor is gone (end of file, the parent-death
//! signal, or something on the socket that is no order), or when told. After the first two it ends the leadership by
//! itself, in the only safe order: tree proven dead, end noted in the lock file, lock closed, and only then the
//! [last will](crate::zookeeper::last_will), by which the next one is elected at once. It is single-use: after that the process ends.
//!
//! What runs on where both processes were killed is looked for by the next guardian of the host ([`remains`]).
//!
//! Where there is a [`watchdog`], it is armed before a tree lives and fed only while the lease allows it, so that a host on
//! which none of this works any more is reset.
//!
//! Rejected: one process for all. A supervisor that is busy, swapped out or deadlocked must not be what kills.

mod account;
mod cgroup;
mod clearing;
mod commands;
mod ending;
mod environment;
pub mod frames;
mod launch;
mod link;
mod main_thread;
mod permission;
mod process_setup;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod protocol;
mod recorded_link;
pub mod remains;
pub mod runner;
mod sentences;
mod tree;
pub mod volume;
mod wakeups;
pub mod watchdog;

/// By which a guardian is known in the process list (15 characters at most).
pub const PROCESS_NAME: &str = "primacy-guard";

/// `primacy guardian`: its end of the socketpair is descriptor [`protocol::GUARDIAN_FD`]. Returns the exit code.
pub fn run() -> i32 {
    match main_thread::MainThread::start() {
        Ok(guardian) => guardian.run(),
        Err(error) => {
            crate::output::complain(&format!("primacy guardian is started by primacy run, not by hand: {error}"));
            1
        }
    }
}
