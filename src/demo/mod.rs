//! `primacy demo`: what this program is for, shown on one machine in a minute.
//!
//! The demo starts a ZooKeeper and two candidates (`primacy run`, as child processes with a configuration each) around a
//! small coordinator that appends the time to a log on the shared folder every 5 ms. Then it breaks one thing after the
//! other. What it says about gaps and overlaps comes from that log alone, never from what the candidates claim of
//! themselves: a demo that asked the supervisor whether all was well would show nothing.
//!
//! It uses the program from outside (command line, configuration file, HTTP, exit codes), as a user would, and nothing of
//! its insides. Plain threads and one loop that looks every 10 ms: an async runtime would buy nothing here.
//!
//! Nothing outlives the demo, however it ends. Children are started through [`child`], which has the kernel kill them
//! when the demo dies; the demo is a subreaper, so that what they leave behind comes back to it; and a guard stops all of
//! it on every orderly way out.

pub mod child;
mod cluster;
pub mod coordinator;
mod faults;
mod relay;
mod screen;
mod show;
mod ticks;
mod watch;
mod zookeeper;

pub use faults::Fault;
pub use show::run;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Leave the cluster up after the faults, until Ctrl-C.
    pub keep: bool,
    /// With ZooKeeper, or with `election = "lock"`.
    pub zookeeper: bool,
    /// Which faults to make, in this order.
    pub faults: Vec<Fault>,
    /// The program whose `run` is shown; by default this one.
    pub binary: Option<std::path::PathBuf>,
}

/// The demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Failed(String),
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
}

impl Problem {
    fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }
}
