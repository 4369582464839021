//! What an endpoint sees.

use axum::http::{HeaderMap, Uri};

use crate::api::Shared;
use crate::api::process::Usage;
use crate::api::snapshot_at::SnapshotAt;

/// What an endpoint sees.
pub struct Asked<'a> {
    pub seen: SnapshotAt,
    pub shared: &'a Shared,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
}

impl Asked<'_> {
    pub fn usage(&self) -> Usage {
        let pid = self.seen.snapshot.server.coordinator.pid;
        self.shared.sampler.lock().unwrap_or_else(std::sync::PoisonError::into_inner).usage(pid, self.seen.now)
    }
}
