//! Taking the lock: identity, lock, the same file, identity again, record; and the patience between two tries.
//!
//! Rejected: a blocking F_OFD_SETLKW. It cannot be called off when the file it waits for is replaced, and it gains
//! nothing: the lock is released when the former holder's last process is gone, a moment that polling meets closely.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::lock_file::{FILE_NAME, LockFile, ask_anew, record_in};
use super::{client, identity, problems};
use crate::clock;
use crate::guardian::protocol::LockRecord;
use crate::moment::Moment;

/// A fail-over waits for the former holder's last process, which is dying as a rule.
const BRISK: Duration = Duration::from_millis(5);
/// When somebody else holds it for longer.
const SLOW: Duration = Duration::from_millis(50);
/// Where only the lock decides, standbys wait for days.
const PATIENT: Duration = Duration::from_millis(25);
const PATIENT_SLOW: Duration = Duration::from_millis(100);
/// How long the first pace is kept.
const AT_FIRST: Duration = Duration::from_secs(1);
/// The holder's record is read again this often.
const LOOK_AT_HOLDER: Duration = Duration::from_secs(1);
/// A file that was replaced between open and lock is opened again this often.
const REPLACED: usize = 3;

/// The wish to have the lock.
pub struct Attempt {
    expected_volume: Option<String>,
    patient: bool,
    began: Moment,
    pub next: Moment,
    tries: u64,
    identified: bool,
    /// What was last told of the holder.
    told: Option<Option<LockRecord>>,
    looked: Option<(Moment, Option<LockRecord>)>,
}

/// What one try came to.
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Outcome {
    Held { volume: String, content: Vec<u8> },
    Busy { holder: Option<LockRecord> },
    Unusable(String),
}

impl Attempt {
    pub fn new(expected_volume: Option<String>, patient: bool, now: Moment) -> Self {
        Self { expected_volume, patient, began: now, next: now, tries: 0, identified: false, told: None, looked: None }
    }

    /// Whether no more than one try was made.
    pub fn is_first(&self) -> bool {
        self.tries == 1
    }

    /// Whether only the lock decides.
    pub const fn is_patient(&self) -> bool {
        self.patient
    }

    pub fn retry_at(&mut self, at: Moment) {
        self.next = at;
    }

    /// Whether the supervisor should hear of this holder: once, and after each change.
    pub fn tell(&mut self, holder: Option<&LockRecord>) -> bool {
        if self.told.as_ref().is_some_and(|told| told.as_ref() == holder) {
            return false;
        }
        self.told = Some(holder.cloned());
        true
    }

    /// One try.
    pub fn once(&mut self, directory: &Path, node: &str, file: &mut Option<LockFile>) -> Outcome {
        let now = clock::now();
        self.tries += 1;
        self.next = now
            + match (self.patient, now.since(self.began) < AT_FIRST) {
                (false, true) => BRISK,
                (false, false) => SLOW,
                (true, true) => PATIENT,
                (true, false) => PATIENT_SLOW,
            };
        match self.try_to_lock(directory, node, file, now) {
            Ok(outcome) => outcome,
            Err(problem) => Outcome::Unusable(problem),
        }
    }

    fn try_to_lock(
        &mut self,
        directory: &Path,
        node: &str,
        file: &mut Option<LockFile>,
        now: Moment,
    ) -> Result<Outcome, String> {
        if !self.identified {
            self.identify(directory)?;
            self.identified = true;
        }
        for _ in 0..REPLACED {
            let open = match file.take() {
                Some(open) => open,
                None => LockFile::open(directory)
                    .map_err(|error| problems::of("open", &directory.join(FILE_NAME), &error))?,
            };
            let describe = |verb: &'static str| {
                let path = open.path().to_owned();
                move |error: io::Error| problems::of(verb, &path, &error)
            };
            let locked = open.try_lock().map_err(describe("lock"))?;
            if !open.is_at_its_path().map_err(describe("find"))? {
                continue;
            }
            if !locked {
                let holder = self.holder(&open, now);
                *file = Some(open);
                return Ok(Outcome::Busy { holder });
            }
            let volume = self.volume(directory)?;
            let content = open.read().map_err(describe("read"))?;
            if let Some(twin) = record_in(&content).and_then(|record| client::twin(&record, node, directory)) {
                return Err(twin);
            }
            *file = Some(open);
            return Ok(Outcome::Held { volume, content });
        }
        Err(format!("{} is being replaced again and again; who does that?", directory.join(FILE_NAME).display()))
    }

    /// Before the lock: is this the volume at all? A cluster without one gets its directory here, unless only the lock
    /// decides: then nobody could tell a first start from a volume that is not mounted.
    fn identify(&self, directory: &Path) -> Result<(), String> {
        ask_anew(directory);
        match &self.expected_volume {
            Some(expected) => identity::mismatch(directory, expected).map_or(Ok(()), Err),
            None if self.patient => {
                std::fs::metadata(directory).map(|_| ()).map_err(|error| problems::directory(directory, &error))
            }
            None => std::fs::create_dir_all(directory).map_err(|error| problems::of("create", directory, &error)),
        }
    }

    /// Under the lock: the volume's id.
    fn volume(&self, directory: &Path) -> Result<String, String> {
        match &self.expected_volume {
            Some(expected) => identity::mismatch(directory, expected).map_or_else(|| Ok(expected.clone()), Err),
            None => identity::adopt_or_create(directory)
                .map_err(|error| problems::of("create or read", &identity::path(directory), &error)),
        }
    }

    fn holder(&mut self, file: &LockFile, now: Moment) -> Option<LockRecord> {
        if self.looked.as_ref().is_none_or(|(at, _)| now.since(*at) >= LOOK_AT_HOLDER) {
            let record = file.read().ok().and_then(|content| record_in(&content));
            self.looked = Some((now, record));
        }
        self.looked.as_ref().and_then(|(_, record)| record.clone())
    }
}
