//! The supervisor: a loop around the [`Node`](crate::node::Node), which decides, and all that it hears and speaks through.
//!
//! Theory of operation: everything that can happen (a report of the guardian, a fact of the election, a signal, the end of
//! something that was begun) becomes an [`Input`](crate::node::Input); every [`Output`](crate::node::Output) goes as a message to
//! whoever owns the matter. The loop ([`event_loop`]) never waits for any of them: what takes time answers later, as another
//! input. It never touches the shared volume (the guardian does) and never serves HTTP (the API's thread does, from a
//! snapshot). It runs on the main thread in a current-thread runtime. What may hang, or end where threads are scarce, is done
//! [`apart`]; a panic of the main thread ends the process at once, which is an end that the guardian knows how to take.
//!
//! Rejected: a loop that decides and acts in one place (a `select!` with the logic in its arms) is what every failed
//! daemon of this kind looks like.

mod advertise;
mod apart;
mod ask;
mod event_loop;
mod guardian_link;
mod notify;
mod orphans;
mod parts;
mod peer_test;
mod recording;
mod reload;
mod source;
mod telling;
pub mod upgrade;
mod warming;
mod wiring;

pub use source::Source;
pub use wiring::{RunError, run};
