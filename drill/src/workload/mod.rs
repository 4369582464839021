//! What the cluster is there for, in two kinds, each of which leaves proof of what happened.
//!
//! ```text
//! coordinators   appender      a small one: a journal on the shared volume, increments by HTTP
//!                postgresql    a real one: PostgreSQL, its data on the shared volume
//! clients        ask the active coordinator for increments (or rows) and note what they were told
//! ticks          a file per coordinator process, on a local disk: when it was alive
//! ```
//!
//! Three sources that know nothing of each other (ticks, the journal or the table, the clients' notes) meet only in the
//! judge. An operation has an id of its own; a client repeats an unanswered one under the *same* id until it is answered,
//! and the coordinator applies an id once. So a lost operation, a doubled one and a late one can be told apart by ids alone.
//!
//! All of these are subcommands of `drill`, for they run on the hosts, as processes that are killed with them.

use anyhow::Result;

pub mod appender;
pub mod clients;
pub mod postgresql;
pub mod stop;
pub mod ticking;
pub mod ticks;

/// What the lab starts on its hosts.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// A small coordinator: appends to a journal on the shared volume.
    Appender(appender::Args),
    /// Clients of the active coordinator, until SIGTERM.
    Clients(clients::ClientPlan),
    /// Ticks for as long as COMMAND, which takes this process's place, or anything that it has started lives.
    Ticking(ticking::Args),
}

impl Command {
    pub fn run(self) -> Result<()> {
        match self {
            Self::Appender(args) => appender::run(args),
            Self::Clients(plan) => clients::run(&plan),
            Self::Ticking(args) => ticking::run(args),
        }
    }
}
