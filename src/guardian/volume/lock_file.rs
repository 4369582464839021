//! `coordinator.lock`: byte 0, length 1, as an open-file-description lock; its content is the record of the epoch.
//!
//! There is no unlocking here, and no asking whether the lock is still held: after a loss that others have used
//! meanwhile, locking again succeeds and hides it. The lock ends when the last descriptor is closed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::files;
use crate::guardian::protocol::{LockRecord, UNREADABLE};
use crate::seeded_bug;

/// The file's name in `lock.directory`.
pub const FILE_NAME: &str = "coordinator.lock";

/// What the content's length is a multiple of, in bytes. A record has about 600, with the note of its end 800: one block,
/// overwritten in place, saves the file system (and NFS a request) the change of the size.
const BLOCK: usize = 1024;

/// Bytes read of the file at most: a record has a few hundred.
const CONTENT_LIMIT: usize = 16 * 1024;

/// Takes the lock of an open file, byte 0, for its open file description. True: it is ours. False: somebody else has it.
/// On NFS this waits out outages and grace periods.
pub fn try_lock(file: &File) -> io::Result<bool> {
    set_lock(file, libc::F_WRLCK)
}

/// Waits for the lock as [`try_lock`] takes it. False: interrupted. On NFS the server tells when it is free, and the client asks
/// again after 30 s where it was not told; the server forgets who waits unless it is asked again within a lease.
pub fn wait_for_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLKW(&range(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn set_lock(file: &File, kind: libc::c_int) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the constants are 0 to 2; the C structure has them as short")]
const fn range(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

/// Makes an NFS client ask the server what is in a directory; see [`files::directory`].
pub fn ask_anew(directory: &Path) {
    // What is wrong with it is what the caller finds out next.
    drop(files::directory(directory));
}

/// The lock file, open for writing.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Opens the file, creating it where there is none.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let file = files::open_or_create(&files::directory(directory)?, FILE_NAME)?;
        let lock = Self { file, path: directory.join(FILE_NAME) };
        // A backup may have linked a lock file; anything else with a second name is somebody else's.
        if record_in(&lock.read()?).is_none() {
            files::check_single(&lock.file)?;
        }
        Ok(lock)
    }

    /// What the file contains, where it is there. For those who are not going to write.
    pub fn read_at(directory: &Path) -> io::Result<Vec<u8>> {
        let file = files::open(&files::directory(directory)?, FILE_NAME, false)?;
        Self { file, path: directory.join(FILE_NAME) }.read()
    }

    /// See [`try_lock`].
    pub fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.file)
    }

    /// Another descriptor of the same open file: what is locked by one is locked by both.
    pub fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// What no correct guardian does: the coordinator has inherited the lock, and loses it by this, too.
    pub fn let_go_for_the_seeded_bug(&self) {
        if seeded_bug::lock_goes_before_the_tree() {
            let _ = set_lock(&self.file, libc::F_UNLCK);
        }
    }

    /// Whether the path still leads to this very file: whoever deletes or replaces it lets somebody else lock the
    /// other one. A link to it is another file: nobody would open it.
    pub fn is_at_its_path(&self) -> io::Result<bool> {
        let Some(directory) = self.path.parent() else { return Ok(false) };
        match files::directory(directory) {
            Ok(directory) => files::is_at(&directory, FILE_NAME.as_ref(), &self.file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn inode(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.ino())
    }

    /// Whether other hosts see what this one has written only once it has been written back. A file system of which that is not
    /// known counts as such.
    pub fn needs_write_back(&self) -> bool {
        // One host's own, all of whose processes see the same pages.
        const LOCAL: &[libc::c_long] = &[
            libc::EXT4_SUPER_MAGIC,
            libc::XFS_SUPER_MAGIC,
            libc::BTRFS_SUPER_MAGIC,
            libc::F2FS_SUPER_MAGIC,
            libc::TMPFS_MAGIC,
            libc::OVERLAYFS_SUPER_MAGIC,
            libc::REISERFS_SUPER_MAGIC,
            0x8584_58f6, // ramfs
            0x2fc1_2fc1, // ZFS
            0xca45_1a4e, // bcachefs
        ];
        nix::sys::statfs::fstatfs(&self.file).map_or(true, |found| !LOCAL.contains(&found.filesystem_type().0))
    }

    /// Writes back all that this host has in its memory for the file system that this file lies on.
    pub fn write_back(&self) -> io::Result<()> {
        nix::unistd::syncfs(&self.file).map_err(io::Error::from)
    }

    pub fn number(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut content = vec![0; CONTENT_LIMIT];
        let mut filled = 0;
        while filled < content.len() {
            match self.file.read_at(&mut content[filled..], filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        content.truncate(filled);
        Ok(content)
    }

    /// Replaces the content.
    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, 0)?;
        if self.file.metadata()?.len() > content.len() as u64 {
            self.file.set_len(content.len() as u64)?;
        }
        Ok(())
    }

    /// Makes what was written durable, and learns whether it could be written at all.
    pub fn sync(&self) -> io::Result<()> {
        // fdatasync: a time stamp is not worth a journal commit; a changed size is made durable with the data. NFS makes
        // no difference between the two.
        self.file.sync_data()
    }

    /// Writes `content`, which the file has already, and syncs it: the only proof that the volume still takes this
    /// client's writes.
    pub fn probe(&self, content: &[u8]) -> io::Result<()> {
        // Nothing written is nothing proven; a line end leaves "no record" what it is.
        self.file.write_all_at(if content.is_empty() { b"\n" } else { content }, 0)?;
        self.sync()
    }
}

/// A record as the file's content: JSON, then blanks up to a whole number of [`BLOCK`]s, so that the next record rarely
/// changes the file's size.
pub fn content_of(record: &LockRecord) -> io::Result<Vec<u8>> {
    let mut content = serde_json::to_vec(record)?;
    content.resize((content.len() + 1).next_multiple_of(BLOCK) - 1, b' ');
    content.push(b'\n');
    Ok(content)
}

/// The record in the content; `None` where there is none that can be read. Only the first value counts: the rest may be
/// a longer record's tail, if a write was cut short.
pub fn record_in(content: &[u8]) -> Option<LockRecord> {
    serde_json::Deserializer::from_slice(content).into_iter().next()?.ok()
}

/// The record in the content; `None` only where there is nothing. What is there and cannot be read is somebody's, and nobody
/// knows whose.
pub fn last_record(content: &[u8]) -> Option<LockRecord> {
    record_in(content).or_else(|| {
        let is_blank = content.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0);
        (!is_blank).then(|| LockRecord::of(UNREADABLE, 0))
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::guardian::protocol::{Ended, Over};
    use crate::status::EndCause;

    pub fn record() -> LockRecord {
        LockRecord {
            host: "h".to_owned(),
            host_id: "i".to_owned(),
            boot_id: "b".to_owned(),
            pid: 1,
            pid_started: 2,
            since: "2026-01-02T03:04:05Z".to_owned(),
            ..LockRecord::of("a", 3)
        }
    }

    #[test]
    fn a_second_description_is_refused_until_the_first_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let first = LockFile::open(directory.path()).unwrap();
        let second = LockFile::open(directory.path()).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(second.try_lock().unwrap());
    }

    #[test]
    fn a_replaced_or_deleted_file_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let lock = LockFile::open(directory.path()).unwrap();
        assert!(lock.is_at_its_path().unwrap());
        std::fs::remove_file(lock.path()).unwrap();
        assert!(!lock.is_at_its_path().unwrap());
        LockFile::open(directory.path()).unwrap();
        assert!(!lock.is_at_its_path().unwrap());
    }

    #[test]
    fn a_record_survives_a_probe_and_a_longer_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let lock = LockFile::open(directory.path()).unwrap();
        lock.probe(b"").unwrap();
        assert_eq!(record_in(&lock.read().unwrap()), None);
        let content = content_of(&record()).unwrap();
        lock.write(&content).unwrap();
        lock.probe(&content).unwrap();
        assert_eq!(record_in(&lock.read().unwrap()), Some(record()));
        let tail = [content.as_slice(), b"ngitude\"}\n"].concat();
        assert_eq!(record_in(&tail), Some(record()));
    }

    #[test]
    fn a_content_that_is_no_record_is_somebodys_and_only_an_empty_one_is_nobodys() {
        for nothing in [&b""[..], b"\n", &[0; 512]] {
            assert_eq!(last_record(nothing), None);
        }
        for something in [&b"?"[..], b"{\"node\":\"a\"", b"[]"] {
            let record = last_record(something).unwrap();
            assert_eq!((record.node.as_str(), record.epoch, record.is_over()), (UNREADABLE, 0, false));
        }
        assert_eq!(last_record(&content_of(&record()).unwrap()), Some(record()));
    }

    #[test]
    fn only_its_own_epoch_in_the_proof_says_that_a_leadership_is_over() {
        let of = |epoch| LockRecord { over: Some(Over { epoch, election_node: None }), ..record() };
        assert!(of(3).is_over() && !of(2).is_over() && !of(4).is_over() && !record().is_over());
        let ended = Some(Ended { at: String::new(), cause: EndCause::Unknown });
        assert!(!LockRecord { ended, ..record() }.is_over(), "it is for people");
    }
}
