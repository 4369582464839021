//! SIGTERM and SIGINT as an event. They are blocked in all threads and taken by one of its own; so nothing is interrupted,
//! and the order of what happens at the end is ours.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// Blocks both for this thread and all that it starts. Call it before the first thread is started.
pub fn block() -> Result<SigSet> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().context("cannot block signals")?;
    Ok(signals)
}

/// Calls `then` once, at the first of them.
pub fn at_signal(signals: SigSet, then: impl FnOnce() + Send + 'static) -> Result<()> {
    let wait = move || {
        if signals.wait().is_ok() {
            then();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}
