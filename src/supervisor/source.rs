//! Where the configuration came from.

use std::path::PathBuf;

use crate::config;

/// Where the configuration came from, so that SIGHUP can read it again.
pub struct Source {
    pub file: PathBuf,
    /// What followed `--`.
    pub command: Option<Vec<String>>,
    /// What the API's socket was bound to, as the configuration called it then.
    pub listen: String,
    /// Applies the configuration's log level, where nothing stronger has decided; says whether it did.
    pub set_log_level: Box<dyn Fn(config::LogLevel) -> bool>,
}

impl Source {
    /// Where the file lies, however it was called.
    pub fn place(&self) -> Option<PathBuf> {
        self.file.canonicalize().ok()
    }
}
