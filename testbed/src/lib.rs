//! What the tests, the drills and the demo share. It knows nothing of primacy but what its users see.
//!
//! ```text
//! clock      the one that everything is judged by
//! span       a stretch of time
//! lives      signs of life, joined into lives
//! judge      the one judgement over them: two at once, nobody, epochs that do not grow
//! ticks      what coordinators write of themselves, and its reader
//! observer   what a node says of itself
//! zookeeper  a real server
//! mortal     processes that die with this one
//! ```

pub mod clock;
pub mod judge;
pub mod lives;
pub mod mortal;
pub mod observer;
pub mod span;
pub mod ticks;
pub mod zookeeper;
