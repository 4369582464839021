//! The election backends behind one small port: orders go in, facts come out.
//!
//! A backend is a task that owns its connection. It proves and stores; it never decides. Whatever it cannot prove it
//! reports as not so. Every await inside has a time-out.

use tokio::sync::mpsc;

pub mod lock;
pub mod port;
pub mod zookeeper;

pub use port::{ElectionOrder, ElectionOutcome, Fact, Loss, OtherCandidate};

/// The supervisor's end of a backend.
pub struct Handle {
    pub orders: mpsc::UnboundedSender<ElectionOrder>,
    pub facts: mpsc::UnboundedReceiver<Fact>,
}
