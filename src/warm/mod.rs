//! A standby's page cache: the coordinator's programs and libraries are read now and then, so that a start need not wait for
//! the disk (`[standby] warm`).
//!
//! # Theory of operation
//!
//! A process of its own does it (`primacy warm`), one that may hang: what it reads may lie on a mount that is away. The
//! supervisor starts it while the node is a standby, kills it when it is not, and waits for nothing that it does. It runs at the
//! lowest priority for the disk and a low one for the processor.
//!
//! It never touches the shared volume: reading there may hang, costs the active one its server's time, and takes metadata for warm
//! that are stale at the fail-over. What lies there is found out without asking the volume, from the kernel's table of mounts:
//! a path is resolved component by component, and each is looked up in that table before it is looked at ([`places`]).
//!
//! A path on the volume fails `primacy check`, and is left out by whoever runs. Rejected: a configuration that is not valid with it.
//! What lies where is known only once everything is mounted, and a host that boots before its file server answers would stay down.
//!
//! Rejected: to lock the pages in memory. The kernel could not take them back from a standby whose host has better use for
//! them. Rejected, too: a thread of the supervisor. A process of which one thread waits for a frozen file system does not end.

pub mod order;
mod pass;
mod places;

use std::io::{BufRead, Read, Write};
use std::time::Duration;

use crate::status::Warm;
use crate::syscalls;

use self::order::Order;

/// From the end of one pass to the begin of the next. What was evicted meanwhile is read again; a pass over what is there
/// costs some 10 ms for 100 MB.
const INTERVAL: Duration = Duration::from_secs(30);

/// A pass that takes longer hangs: even an idle priority gets its turn in this time.
pub const PASS_LIMIT: Duration = Duration::from_secs(600);

/// Of an order, in bytes: far more than any configuration has.
const LONGEST_ORDER: u64 = 1 << 20;

/// What of it lies on the volume, or leads there: each with why. Touches nothing there; may hang elsewhere.
///
/// # Errors
/// The table of mounts cannot be read.
pub fn refused(order: &Order) -> std::io::Result<Vec<String>> {
    pass::on_volume(order)
}

/// The process: a pass, a line that says what came of it, a pause, for ever. Ends with its standard input.
///
/// # Errors
/// There is no order.
pub fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().take(LONGEST_ORDER).read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    std::thread::Builder::new().name("parent".to_owned()).spawn(|| {
        // Whatever comes, the order stands; what counts is the end.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        syscalls::end_at_once(0);
    })?;
    syscalls::run_modestly();
    loop {
        let said = serde_json::to_string(&pass::pass(&order))? + "\n";
        let mut output = std::io::stdout().lock();
        if output.write_all(said.as_bytes()).and_then(|()| output.flush()).is_err() {
            return Ok(());
        }
        std::thread::sleep(INTERVAL);
    }
}

/// As a problem of all that was ordered.
#[must_use]
pub fn nothing(why: String) -> Warm {
    Warm { problems: vec![why], ..Warm::default() }
}
