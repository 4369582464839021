//! The thread that writes segments. It may hang on its disk; whoever records does not wait for it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Settings, segments};

/// Messages that may wait for the disk: some hundred fail-overs, or two minutes of an idle node.
const QUEUE: usize = 64;
/// Of the thread's stack, in bytes.
const STACK: usize = 128 * 1024;

enum Message {
    Begin { name: String, header: Vec<u8> },
    Lines(Vec<u8>),
    Finish(SyncSender<()>),
}

#[derive(Default)]
struct Outcome {
    failed: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl Outcome {
    fn tell(&self, problem: String) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }
}

pub struct Writer {
    queue: SyncSender<Message>,
    outcome: Arc<Outcome>,
    /// The problem that was told last: the same one again is no news.
    told: Option<String>,
}

impl Writer {
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let outcome = Arc::new(Outcome::default());
        let theirs = Arc::clone(&outcome);
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .stack_size(STACK)
            .spawn(move || write(&settings, &messages, &theirs))?;
        Ok(Self { queue, outcome, told: None })
    }

    /// False if it cannot be taken.
    pub fn begin(&self, name: String, header: Vec<u8>) -> bool {
        self.leave(Message::Begin { name, header })
    }

    /// False if they cannot be taken.
    pub fn lines(&self, lines: Vec<u8>) -> bool {
        self.leave(Message::Lines(lines))
    }

    fn leave(&self, message: Message) -> bool {
        let taken = self.queue.try_send(message).is_ok();
        if !taken {
            self.outcome.tell("the disk does not take what is to be recorded".to_owned());
        }
        taken
    }

    /// One whose disk hangs from the start.
    #[cfg(test)]
    pub fn hanging() -> (Self, impl Sized) {
        let (queue, messages) = sync_channel(QUEUE);
        (Self { queue, outcome: Arc::default(), told: None }, messages)
    }

    /// Whether something could not be written since this was asked last.
    pub fn takes_failure(&self) -> bool {
        self.outcome.failed.load(Ordering::Relaxed) && self.outcome.failed.swap(false, Ordering::Relaxed)
    }

    pub fn problem(&mut self) -> Option<String> {
        let problem = self.outcome.problem.lock().unwrap_or_else(PoisonError::into_inner).take();
        let news = problem.filter(|problem| self.told.as_ref() != Some(problem))?;
        self.told = Some(news.clone());
        Some(news)
    }

    pub fn finish(&self, limit: Duration) {
        let (done, finished) = sync_channel(1);
        if self.queue.try_send(Message::Finish(done)).is_ok() {
            let _ = finished.recv_timeout(limit);
        }
    }
}

fn write(settings: &Settings, messages: &Receiver<Message>, outcome: &Outcome) {
    let mut file: Option<File> = None;
    for message in messages {
        let written = match message {
            Message::Begin { name, header } => {
                drop(file.take());
                begin(settings, &name, &header).map(|begun| file = Some(begun))
            }
            Message::Lines(lines) => file.as_mut().map_or(Ok(()), |file| file.write_all(&lines)),
            Message::Finish(done) => {
                let _ = done.try_send(());
                Ok(())
            }
        };
        if let Err(error) = written {
            file = None;
            let folder = settings.folder();
            outcome.tell(format!("{}: {error}", folder.display()));
            outcome.failed.store(true, Ordering::Relaxed);
        }
    }
}

fn begin(settings: &Settings, name: &str, header: &[u8]) -> io::Result<File> {
    let folder = settings.folder();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    make_room(&folder, settings.limit)?;
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(folder.join(name))?;
    file.write_all(header)?;
    Ok(file)
}

/// Removes the oldest segments, so that another one fits in.
fn make_room(folder: &Path, limit: u64) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if segments::is_one(&entry.file_name()) {
            let about = entry.metadata()?;
            found.push((about.modified()?, about.len(), entry.path()));
        }
    }
    found.sort();
    let mut total: u64 = found.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in found {
        if total + segments::size(limit) <= limit {
            break;
        }
        match fs::remove_file(&path) {
            Ok(()) => total -= size,
            // The other process of this node makes room, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => total -= size,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
