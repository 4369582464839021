//! What breaks the lab. Each fault has a begin and an end, and the end undoes it completely: what remains broken after
//! all ends is primacy's to answer for.
//!
//! ```text
//! kinds.rs      the list: names, weights, what a kind needs of this machine, what it may not be paired with and why
//! schedule.rs   seed ──► steps: which faults, upon whom, when and how long; knows no lab
//! *.rs          one file per family of faults: what they do to a lab
//! ```
//!
//! A fault whose target has gone meanwhile (a pair's first one may have killed it) takes another, or says that there was
//! nothing to break; that is no failure.

use anyhow::Result;

use crate::lab::Lab;

mod clock_step;
mod files;
mod hosts;
pub mod kinds;
mod load;
mod network;
mod processes;
pub mod schedule;
mod volume;
mod zookeeper;

pub use kinds::Kind;
pub use schedule::{Draw, Planned, Schedule, Step, Target};

/// What was hit.
#[derive(Clone, Debug, Default)]
pub struct Hit {
    /// Names of hosts, or `volume`.
    pub targets: Vec<String>,
    /// One sentence.
    pub detail: String,
}

impl Hit {
    fn of(target: &str, detail: impl Into<String>) -> Self {
        Self { targets: vec![target.to_owned()], detail: detail.into() }
    }
}

/// One fault, once.
pub trait Fault {
    /// Breaks something.
    ///
    /// # Errors
    /// It could not be provoked. What was done half is undone by [`Fault::end`], which is called in any case.
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit>;

    /// Called again and again while it is under way, for what goes on.
    ///
    /// # Errors
    /// It could not go on.
    fn during(&mut self, _lab: &mut Lab) -> Result<()> {
        Ok(())
    }

    /// Undoes it. Answers a sentence.
    ///
    /// # Errors
    /// It could not be undone: the lab cannot be used any more.
    fn end(&mut self, _lab: &mut Lab) -> Result<String> {
        Ok(String::new())
    }
}

/// The candidate that a draw means.
fn target(lab: &Lab, draw: &Draw) -> usize {
    let some = usize::try_from(draw.dice % lab.candidates.len() as u64).unwrap_or(0);
    match draw.target {
        Target::Active => lab.active().unwrap_or(some),
        Target::Some => some,
    }
}
