//! What an endpoint sees.

use axum::http::{HeaderMap, Uri};

use crate::api::Shared;
use crate::api::process::Usage;
use crate::api::standing::Standing;

/// What an endpoint sees.
pub struct Asked<'a> {
    pub standing: Standing,
    pub shared: &'a Shared,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
}

impl Asked<'_> {
    pub fn usage(&self) -> Usage {
        let pid = self.standing.snapshot.server.coordinator.pid;
        self.shared.sampler.lock().unwrap_or_else(std::sync::PoisonError::into_inner).usage(pid, self.standing.now)
    }
}
