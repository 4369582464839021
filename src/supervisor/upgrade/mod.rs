//! The program at its path is executed anew, in this very process: same pid, so it stays the service manager's, and the parent of
//! whatever runs below.
//!
//! # Theory of operation
//! The program at the path is asked first, as a child ([`offer`]): does it read this configuration, and would it take over what
//! this process has? Whatever is no clear yes is a no: a program that is missing, broken, older than the question, or silent. Only
//! then does this one leave, as far as the node says, and [`Program::execute`] follows. What crosses is in a sealed memory file
//! ([`carried`]), and the listening socket of the API, so that nobody is refused meanwhile.
//!
//! Signals that people and service managers send are held back from before the exec until the handlers of the next program
//! stand: they wait, and none of them ends a process that was just about to hear it.
//!
//! A program that said yes and still cannot be executed: the image that runs is executed anew, which is always there.
//!
//! Rejected: to start another process and let this one end. It would have another pid, and would be nobody's parent.

mod carried;
mod offer;
mod program;

pub use self::carried::Carried;
pub use self::offer::{Answer, Offer, answer, ask};
pub use self::program::Program;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What people and service managers send.
fn of_others() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2].into_iter().collect()
}

/// Lets nothing but those wait, in this thread and in those that it starts from here on.
pub fn hold_signals() {
    let _ = of_others().thread_set_mask();
}

/// Their handlers stand.
pub fn release_signals() {
    let _ = SigSet::empty().thread_set_mask();
}

/// As [`hold_signals`], at the end of a program.
pub fn hold_signals_again() {
    let _ = of_others().thread_swap_mask(SigmaskHow::SIG_BLOCK);
}
