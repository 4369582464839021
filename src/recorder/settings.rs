//! Where a node records, and how much: what the configuration says, and what the guardian is told of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is recorded where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub directory: PathBuf,
    /// Bytes, of all segments of this node together.
    pub limit: u64,
    pub cluster: String,
    pub node: String,
}

impl Settings {
    /// The folder of this node's segments.
    pub fn folder(&self) -> PathBuf {
        self.directory.join(&self.cluster).join(&self.node)
    }
}
