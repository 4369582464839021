//! What this thread knows, for its flight recording.

use super::{Lock, MainThread};
use crate::recording::guardian::State;

impl MainThread {
    /// Begins a segment, if one is due.
    pub(super) fn begin_segment(&mut self) {
        if self.link.wants_beginning() {
            let state = self.state();
            self.link.begin(&state);
        }
    }

    /// What it knows, for its recording.
    fn state(&self) -> State {
        State {
            lock: self
                .configured
                .as_ref()
                .filter(|configured| configured.volume().is_some())
                .map(|configured| configured.settings.lock_directory.clone()),
            permission: self.configured.as_ref().map_or_else(Default::default, |it| it.settings.permission),
            held: self.lock != Lock::Open,
            lost: self.lost,
            written: self.written,
            deadline: self.deadline,
            alive: self.alive,
            ending: self.ending.is_some(),
        }
    }
}
