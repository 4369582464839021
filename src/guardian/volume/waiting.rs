//! The volume thread's part of waiting for the lock ([`super::waiter`]): which file is waited for, whether it is still the one at
//! its path and on the cluster's volume, and what becomes of a grant.

use super::client;
use super::identity;
use super::lock_file::{ask_anew, record_in};
use super::thread::{Part, Thread};
use super::waiter::{Waiter, Waiting};
use super::{VolumeEvent, problems};
use crate::clock;
use crate::guardian::protocol::NoteLevel;
use crate::moment::Moment;

impl Thread {
    pub(super) fn wait_due(&self) -> Option<Moment> {
        self.waiting.as_ref()?.waiter.as_ref()?.0.next
    }

    pub(super) fn begin_to_wait(&mut self, expected_volume: Option<String>) {
        if self.held.is_some() || self.attempt.is_some() {
            return;
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.expected_volume = expected_volume;
        } else {
            self.waiting = Some(Waiting { expected_volume, waiter: None, number: 0 });
        }
        self.go_on_waiting();
    }

    /// Waits for the file that is at the path now; another one's lock is nobody's.
    pub(super) fn go_on_waiting(&mut self) {
        let inode = self.file.as_ref().and_then(|file| file.inode().ok());
        let Some(waiting) = &mut self.waiting else { return };
        if waiting.waiter.as_ref().is_some_and(|(_, waited)| Some(*waited) != inode)
            && let Some((waiter, _)) = waiting.waiter.take()
        {
            let _ = waiter.end();
        }
        let (Some(file), Some(inode), None) = (&self.file, inode, &waiting.waiter) else { return };
        if self.settings.mismatch(waiting.expected_volume.as_deref()).is_some() {
            return;
        }
        waiting.number += 1;
        match Waiter::begin(file, waiting.number, self.own_tasks.clone()) {
            Ok(waiter) => waiting.waiter = Some((waiter, inode)),
            Err(error) => {
                let text = problems::of("wait for the lock of", file.path(), &error);
                self.outbox.note(NoteLevel::Warn, text);
            }
        }
    }

    /// Begins the wait anew where that is due, for what is still the right file.
    pub(super) fn wait_on(&mut self) {
        if self.wait_due().is_none_or(|due| clock::now() < due) {
            return;
        }
        let right = self.file.as_ref().is_some_and(|file| file.is_at_its_path().unwrap_or(false));
        if !right {
            // The look that follows opens the one that is there.
            self.next = clock::now();
        }
        if let Some((waiter, _)) = self.waiting.as_mut().and_then(|waiting| waiting.waiter.as_mut()) {
            waiter.ask_again();
        }
    }

    /// A waiter has ended by itself: it has the lock, or there was an error.
    pub(super) fn waited(&mut self, number: u64) {
        let Some(waiting) = &mut self.waiting else { return };
        if waiting.waiter.as_ref().is_none_or(|(waiter, _)| waiter.number != number) {
            return;
        }
        let Some((waiter, _)) = waiting.waiter.take() else { return };
        match waiter.end() {
            Ok(true) => self.granted(),
            // With the next look.
            Ok(false) => {}
            Err(error) => {
                let path = self.settings.directory.join(super::FILE_NAME);
                self.outbox.note(NoteLevel::Warn, problems::of("wait for the lock of", &path, &error));
            }
        }
    }

    /// The open file has the lock: it counts if it is the one at the path, on the cluster's volume. A lock that does not is given
    /// back; closing is the only way.
    fn granted(&mut self) {
        let Some(file) = &self.file else { return };
        let expected = self.waiting.as_ref().and_then(|waiting| waiting.expected_volume.clone());
        let right = file.is_at_its_path().unwrap_or(false) && self.settings.mismatch(expected.as_deref()).is_none();
        let content = file.read().ok().filter(|_| right);
        let node = &self.settings.node;
        let is_twin = |content: &Vec<u8>| {
            record_in(content).and_then(|record| client::twin(&record, node, &self.settings.directory)).is_some()
        };
        match (content.filter(|content| !is_twin(content)), expected) {
            (Some(content), Some(volume)) => {
                self.waiting = None;
                self.hold(volume, content, false);
            }
            _ => {
                self.file = None;
                self.next = clock::now();
            }
        }
    }

    /// Ends the wait. `keep`: a lock that was granted meanwhile is kept, and told.
    pub(super) fn stop_waiting(&mut self, keep: bool) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let Some((waiter, _)) = waiting.waiter.take() else { return };
        // Whoever watches sees a file server that does not let it end.
        self.looking.began(clock::now());
        let granted = waiter.end().unwrap_or(false);
        self.looking_is_due();
        if granted && keep {
            self.waiting = Some(waiting);
            self.granted();
            self.waiting = None;
        }
    }

    pub(super) fn call_off(&mut self) {
        self.stop_waiting(false);
        // A record says that more than waiting has come of it: that is closed in order.
        if self.held.as_ref().is_none_or(|held| held.record.is_none()) {
            self.held = None;
            self.file = None;
            self.probing.none();
            self.next = clock::now();
            self.looking_is_due();
            self.outbox.send(VolumeEvent::CalledOff);
        }
    }
}

impl Part {
    /// Why the directory is not on the cluster's volume; nothing is waited for on one that has no identity yet.
    fn mismatch(&self, expected: Option<&str>) -> Option<String> {
        ask_anew(&self.directory);
        match expected {
            Some(expected) => identity::mismatch(&self.directory, expected),
            None => Some("the cluster has no volume yet".to_owned()),
        }
    }
}
