//! `primacy volume adopt`: a directory that a cluster may take for its volume, held by its lock meanwhile.
//!
//! Whoever leads on that volume has the lock; so who has it here knows that nobody does.

use std::path::{Path, PathBuf};

use super::identity;
use super::lock_file::{LockFile, record_in};
use super::mounts::Mount;
use super::problems;
use crate::guardian::protocol::LockRecord;

/// A directory whose lock is held, for as long as this lives.
#[derive(Debug)]
pub struct Candidate {
    directory: PathBuf,
    /// Its descriptor is the lock.
    lock: LockFile,
    /// `None` where there is no `volume.json`.
    pub id: Option<String>,
    /// The last leadership that was recorded there.
    pub record: Option<LockRecord>,
    /// What is mounted there.
    pub file_system: Option<String>,
    pub warnings: Vec<String>,
}

impl Candidate {
    /// Takes the lock. It may hang where the volume does.
    ///
    /// # Errors
    /// One sentence for a person.
    pub fn take(directory: &Path) -> Result<Self, String> {
        let mount = Mount::of(directory);
        let id = identity::read(directory).map_err(|error| {
            let path = identity::path(directory);
            format!("{}: {error}; restore it, or remove it to give this volume a new id", path.display())
        })?;
        let lock = LockFile::open(directory).map_err(|error| problems::of("open", directory, &error))?;
        let content = lock.read().map_err(|error| problems::of("read", lock.path(), &error))?;
        let record = record_in(&content);
        match lock.try_lock() {
            Ok(true) => {}
            Ok(false) => {
                let holder = record.map_or_else(|| "somebody".to_owned(), |record| record.node);
                return Err(format!("{} is locked by {holder}: somebody leads on this volume", lock.path().display()));
            }
            Err(error) => return Err(problems::of("lock", lock.path(), &error)),
        }
        let (file_system, warnings) =
            mount.map_or_else(Default::default, |mount| (Some(mount.file_system.clone()), mount.warnings()));
        Ok(Self { directory: directory.to_owned(), lock, id, record, file_system, warnings })
    }

    /// Its id; made and made durable where there is none.
    ///
    /// # Errors
    /// One sentence for a person.
    pub fn identify(&self) -> Result<String, String> {
        match self.lock.is_at_its_path() {
            Ok(true) => {}
            Ok(false) => return Err(format!("{} was replaced meanwhile", self.lock.path().display())),
            Err(error) => return Err(problems::of("look at", self.lock.path(), &error)),
        }
        identity::adopt_or_create(&self.directory)
            .map_err(|error| problems::of("write", &identity::path(&self.directory), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_by_its_lock_and_keeps_the_id_that_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let taken = Candidate::take(directory.path()).unwrap();
        assert_eq!((&taken.id, taken.record.is_some()), (&None, false));
        let refused = Candidate::take(directory.path()).unwrap_err();
        assert!(refused.contains("somebody leads on this volume"), "{refused}");
        let id = taken.identify().unwrap();
        drop(taken);
        let again = Candidate::take(directory.path()).unwrap();
        assert_eq!((again.id.as_ref(), again.identify()), (Some(&id), Ok(id.clone())));
    }

    #[test]
    fn one_that_is_not_there_or_whose_id_cannot_be_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        Candidate::take(&directory.path().join("gone")).unwrap_err();
        std::fs::write(identity::path(directory.path()), "half").unwrap();
        assert!(Candidate::take(directory.path()).unwrap_err().contains("remove it to give this volume a new id"));
    }
}
