//! What the tests, the drills and the demo share. It knows nothing of primacy but what its users see.
//!
//! ```text
//! span    a stretch of time
//! lives   signs of life, joined into lives
//! judge   the one judgement over them: two at once, nobody, epochs that do not grow
//! ```

pub mod judge;
pub mod lives;
pub mod span;
