//! The pure core: which role this node plays, and what to do next. No I/O, no clock, no async.
//!
//! Theory of operation: the shell tells the [`Machine`] what happened ([`Event`], past tense) and at which moment; the
//! machine answers with orders ([`Action`], imperative) and with the next moment at which time alone will matter
//! ([`Machine::deadline`]). Nothing dangerous relies on the order of a list of actions: each step that must follow another
//! is ordered only when the one before has been acknowledged by an event (`KillTree` … `TreeDead` … `CloseLock` …
//! `LockClosed` … `Resign`). Whatever is unknown or late is treated as lost.
//!
//! The way up:   stand → elected → lock → fence the predecessor → claim epoch + record it → before_start → start → ready.
//! The way down: stop or kill → tree dead → after_stop → lock closed → resign → a fresh guardian.
//!
//! A coordinator that runs on every host has another machine, [`AlwaysOn`], which has no election, lock or lease.
//!
//! What the core relies on in its shell, and cannot see for itself:
//! - Facts come in the order in which each source found them. After `ReplaceGuardian` nothing of the former guardian is
//!   passed on, and after `Resigned` nothing of the former candidacy.
//! - Every order for the guardian is answered while it lives, also `KillTree` and `StopTree` where no tree is left; a
//!   guardian that does not answer is killed and reported as lost. `Resign` is answered in any case.
//! - The guardian starts nothing without the lock, nothing past the deadline that comes with the order, and nothing once it
//!   has begun to fence itself: a supervisor may freeze between a decision and the message.
//!
//! Rejected: taking the epoch before the lock (an elected node that waits for the lock would burn epochs, and the epoch in
//! the lock file would have to be compared twice); leadership as a set of booleans (illegal combinations are then a matter
//! of luck; here a stage carries exactly the data that belongs to it).

#![cfg_attr(
    not(test),
    deny(clippy::wildcard_enum_match_arm, reason = "a new variant is a decision, to be made wherever it matters")
)]

mod action;
mod always_on;
pub mod cause;
mod demotion;
mod either;
mod event;
mod interruptions;
pub mod lease;
mod machine;
mod promotion;
mod rules;
mod wait;
mod waiting;

#[cfg(test)]
mod tests;

pub use action::{Action, Exit};
pub use always_on::AlwaysOn;
pub use cause::{Cause, DeadlineReason, End, Phase, Role, Transition};
pub use either::RoleMachine;
pub use event::{Event, Loss, Predecessor, Recorded, Succession, Witness};
pub use lease::{LeaseTiming, TimingProblem, WatchdogTiming};
pub use machine::Machine;
pub use promotion::predecessor;
pub use rules::{Backoff, Restarts, Rules};
