//! What is to be kept warm: plain data, from the node to the process that does it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The process reads it, a line of JSON, from its standard input; the end of that is its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub paths: Vec<PathBuf>,
    /// Bytes.
    pub limit: u64,
    /// `lock.directory`: what lies on its file system is not touched.
    pub volume: PathBuf,
}
