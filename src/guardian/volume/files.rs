//! Opening what lies in `lock.directory`.
//!
//! The directory may belong to a user who may put anything there under any name, and primacy may run as root. So no name
//! in it is followed elsewhere, nothing that is no regular file is opened (a pipe would make the opener wait, and some
//! devices act when they are opened), and what is going to be written has no other name, under which it may be somebody
//! else's file. The directory itself is opened first, and each name is looked up in what was opened.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::geteuid;

/// A file that was replaced between two looks is looked for again this often.
const REPLACED: usize = 3;

/// Why something in the directory is not used, as the end of a sentence about its path.
#[derive(Debug, thiserror::Error)]
#[error("it {what}")]
pub struct Refused {
    pub what: String,
    pub remedy: &'static str,
}

fn refuse<T>(what: impl Into<String>, remedy: &'static str) -> io::Result<T> {
    Err(io::Error::other(Refused { what: what.into(), remedy }))
}

/// What was refused, if it was not the file system that failed.
pub fn refusal(error: &io::Error) -> Option<&Refused> {
    error.get_ref()?.downcast_ref()
}

/// Opens a directory. A link in its place counts if it is root's or this account's: then an administrator has put it there.
///
/// On NFS this asks the server what is in it: looking a name up believes what was there up to a minute ago, "nothing"
/// included (acdirmin, acdirmax); opening the directory does not.
pub fn directory(path: &Path) -> io::Result<File> {
    // Not waiting for a pipe in its place.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
        Ok(opened) => return Ok(opened.into()),
        // With O_DIRECTORY a link is "not a directory".
        Err(Errno::ELOOP | Errno::ENOTDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let found = std::fs::symlink_metadata(path)?;
    if found.is_symlink() && !is_trusted(&found) {
        return refuse(
            format!("is a symbolic link that belongs to user {}, who may point it anywhere", found.uid()),
            "name the directory itself, or let the link belong to root",
        );
    }
    Ok(nix::fcntl::open(path, flags, Mode::empty())?.into())
}

fn is_trusted(link: &Metadata) -> bool {
    link.uid() == 0 || link.uid() == geteuid().as_raw()
}

/// Opens a file in an open directory for reading, and for writing too where `write`.
pub fn open(directory: &File, name: &str, write: bool) -> io::Result<File> {
    let found = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    check_kind(found.st_mode)?;
    let access = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    // Between the two somebody may have put another thing there.
    check_kind(kind_of(&file.metadata()?))?;
    Ok(file)
}

/// Makes a file that is not there yet.
pub fn create(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(directory, name, flags, Mode::from_bits_truncate(0o644))?.into())
}

/// Opens a file for writing; makes it where there is none.
pub fn open_or_create(directory: &File, name: &str) -> io::Result<File> {
    for _ in 0..REPLACED {
        match open(directory, name, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match create(directory, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
    refuse("is being made and removed again and again", "who does that?")
}

/// Removes a name, whatever it stands for.
pub fn remove(directory: &File, name: &str) -> io::Result<()> {
    Ok(nix::unistd::unlinkat(directory, name, nix::unistd::UnlinkatFlags::NoRemoveDir)?)
}

/// Refuses a file that has a second name.
pub fn check_single(file: &File) -> io::Result<()> {
    if file.metadata()?.nlink() > 1 {
        return refuse(
            "has another name (a hard link), under which it may be somebody else's file",
            "remove this name; another file is made in its place",
        );
    }
    Ok(())
}

/// Whether a name in the directory is this very file, without following a link.
pub fn is_at(directory: &File, name: &OsStr, file: &File) -> io::Result<bool> {
    let here = file.metadata()?;
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(FileStat { st_dev, st_ino, .. }) => Ok((here.dev(), here.ino()) == (st_dev, st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kind_of(found: &Metadata) -> nix::libc::mode_t {
    let kind = found.file_type();
    let flag = if kind.is_file() {
        SFlag::S_IFREG
    } else if kind.is_dir() {
        SFlag::S_IFDIR
    } else if kind.is_fifo() {
        SFlag::S_IFIFO
    } else if kind.is_socket() {
        SFlag::S_IFSOCK
    } else {
        SFlag::S_IFCHR
    };
    flag.bits()
}

fn check_kind(mode: nix::libc::mode_t) -> io::Result<()> {
    let what = match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFLNK => "is a symbolic link",
        SFlag::S_IFDIR => "is a directory",
        SFlag::S_IFIFO => "is a pipe",
        SFlag::S_IFSOCK => "is a socket",
        _ => "is a device",
    };
    refuse(format!("{what}, where a regular file belongs"), "remove it, and find out who put it there")
}
