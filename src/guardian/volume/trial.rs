//! The trial write: what a leader's probe does, done by a standby before it stands for election and for as long as it does.
//!
//! It goes to a file of this node's own, never to the lock file: that one is the holder's to write. Reading alone proves
//! little: a frozen file system, a server that has fenced this host, and a full disk all answer reads.
//!
//! The file stays, so that the trial is what the probe is: the same bytes over themselves. Where the directory has no
//! identity yet, it may be the mount point of a volume that is not mounted, and nothing is left in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use uuid::Uuid;

use super::files;
use super::lock_file::try_lock;

/// Bytes; one block, as the lock file's record.
const SIZE: usize = 512;

/// The trial's file, kept open between two trials.
#[derive(Debug, Default)]
pub struct Trial(Option<File>);

/// What came of it where the volume answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// There is no room for another file. What is there already can be overwritten all the same on most file systems.
    NoRoom,
}

/// The file's name in `lock.directory`.
pub fn file_name(node: &str) -> String {
    format!(".primacy-trial-{node}")
}

impl Trial {
    /// Writes and syncs. `identified`: the directory is a volume that knows its own name.
    pub fn run(&mut self, directory: &Path, node: &str, identified: bool) -> io::Result<Outcome> {
        let outcome = if identified { self.overwrite(directory, node) } else { once(directory, node) };
        if !matches!(outcome, Ok(Outcome::Written)) {
            // An error may stick to the descriptor: the next trial opens the file anew.
            self.0 = None;
        }
        outcome
    }

    fn overwrite(&mut self, path: &Path, node: &str) -> io::Result<Outcome> {
        let name = file_name(node);
        let directory = files::directory(path)?;
        let file = match self.0.take() {
            Some(file) if files::is_at(&directory, name.as_ref(), &file)? => file,
            _ => match own(&directory, &name) {
                Err(error) if is_full(&error) => return Ok(Outcome::NoRoom),
                opened => opened?,
            },
        };
        files::check_single(&file)?;
        // Nobody else has reason to lock it; that locking is possible at all is what counts.
        try_lock(&file)?;
        let had_room = file.metadata()?.size() >= SIZE as u64;
        match write(&file, node) {
            // A file system that cannot even overwrite would not take the leader's record either.
            Err(error) if is_full(&error) && !had_room => Ok(Outcome::NoRoom),
            Err(error) => Err(error),
            Ok(()) => {
                self.0 = Some(file);
                Ok(Outcome::Written)
            }
        }
    }
}

/// The node's file. One that another account has made, when primacy ran as that, is replaced.
fn own(directory: &File, name: &str) -> io::Result<File> {
    match files::open_or_create(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            files::remove(directory, name)?;
            files::open_or_create(directory, name)
        }
        opened => opened,
    }
}

/// In a file that is removed at once.
fn once(path: &Path, node: &str) -> io::Result<Outcome> {
    let directory = files::directory(path)?;
    let name = format!("{}-{}", file_name(node), Uuid::new_v4());
    let written = files::create(&directory, &name).and_then(|file| {
        let locked_and_written = try_lock(&file).and_then(|_| write(&file, node));
        files::remove(&directory, &name).and(locked_and_written)
    });
    match written {
        Err(error) if is_full(&error) => Ok(Outcome::NoRoom),
        written => written.map(|()| Outcome::Written),
    }
}

fn write(file: &File, node: &str) -> io::Result<()> {
    let mut content =
        format!("written by node {node} while it is a standby, to see whether the volume takes writes").into_bytes();
    content.resize(SIZE - 1, b' ');
    content.push(b'\n');
    file.write_all_at(&content, 0)?;
    file.sync_data()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOSPC | Errno::EDQUOT))
}
