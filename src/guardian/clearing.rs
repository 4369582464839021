//! Clears away what a dead guardian of this node has left, before an always-on coordinator starts: on a thread of its own, for
//! nobody may wait for it. (Under the lock the volume's thread does that.)

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use nix::sys::eventfd::EventFd;

use super::protocol::NoteLevel;
use super::remains::{self, Cleared, Mine};

/// It may be under way.
#[derive(Debug)]
pub struct Clearing {
    answer: Receiver<Cleared>,
    /// What stands in the way of a start.
    result: Option<Result<(), String>>,
}

impl Clearing {
    /// Begins; the bell is rung when it is done.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn begin(mine: Mine, bell: Arc<EventFd>) -> std::io::Result<Self> {
        let (sender, answer) = channel();
        std::thread::Builder::new().name("clearing".to_owned()).spawn(move || {
            // Without a receiver the process is ending.
            let _ = sender.send(remains::clear(&mine));
            let _ = bell.write(1);
        })?;
        Ok(Self { answer, result: None })
    }

    /// Takes in what has come of it: what people should know.
    pub fn hear(&mut self) -> Vec<(NoteLevel, String)> {
        let Ok(cleared) = self.answer.try_recv() else { return Vec::new() };
        self.result = Some(cleared.obstacle().map_or(Ok(()), Err));
        cleared.notes().into_iter().map(|text| (NoteLevel::Warn, text)).collect()
    }

    /// `None` while it is under way.
    pub fn result(&self) -> Option<Result<(), String>> {
        self.result.clone()
    }
}
