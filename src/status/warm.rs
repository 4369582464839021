//! What a standby keeps in its page cache.

use serde::{Deserialize, Serialize};

/// As of the last pass over `[standby] warm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Warm {
    /// Files that are kept whole.
    pub files: u64,
    /// Bytes of what is kept that are in the page cache.
    pub bytes: u64,
    /// Files for which `warm_limit` had no room, or not for all of it.
    pub left_out: u64,
    /// What is not kept, and why; a sentence each.
    pub problems: Vec<String>,
}
