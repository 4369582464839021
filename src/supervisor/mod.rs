//! The supervisor: one loop that waits for one fact, steps the core, carries out its orders and publishes.
//!
//! Theory of operation: everything that can happen (a report of the guardian, a fact of the election, a signal, the end of
//! a hook, the core's own deadline) becomes an [`Event`](crate::role::Event) in [`hearing`]; every order of the core is carried
//! out in [`perform`] by sending a message to whoever owns the matter. The loop never waits for any of them: what takes
//! time answers later, as another event. It never touches the shared volume (the guardian does) and never serves HTTP (the
//! API's thread does, from a snapshot). It runs on the main thread in a current-thread runtime. What may hang, or end
//! where threads are scarce, is done [`apart`]; a panic of the main thread ends the process at once, which is an end that the
//! guardian knows how to take.
//!
//! Rejected: a loop that decides and acts in one place (a `select!` with the logic in its arms) is what every failed
//! daemon of this kind looks like.

mod advertise;
mod apart;
mod former;
mod gap;
mod guardian_link;
mod health;
mod hearing;
mod hooks;
mod knowledge;
mod notify;
mod orphans;
mod peers;
mod perform;
mod publish;
mod reload;
mod shell;
mod wiring;

pub use wiring::{RunError, Source, run};
