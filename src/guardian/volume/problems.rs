//! Sentences for what the volume may answer, each with its remedy.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::files;

/// `verb` as in "cannot read": what failed on `path`.
pub fn of(verb: &str, path: &Path, error: &io::Error) -> String {
    if let Some(refused) = files::refusal(error) {
        return format!("{} {}; {}", path.display(), refused.what, refused.remedy);
    }
    let errno = error.raw_os_error().map(Errno::from_raw);
    let remedy = match errno {
        Some(Errno::ENOENT | Errno::ENOTDIR) => "is the volume mounted?",
        Some(Errno::ENOSPC) if path.parent().is_some_and(has_no_inodes) => {
            "the volume has no inodes left, so no file can be created: delete files on it"
        }
        Some(Errno::ENOSPC) => "the volume is full: free space on it",
        Some(Errno::EDQUOT) => "this account's quota on the volume is used up: raise it, or free space",
        Some(Errno::EROFS) => "the volume is read-only: remount it for writing",
        Some(Errno::EACCES | Errno::EPERM) => {
            "let the user that primacy runs as write there; if the file server has fenced this host, reboot it"
        }
        Some(Errno::EIO) => {
            "the server has given up this client's lock or state, or the device is broken; see the kernel's log"
        }
        Some(Errno::ESTALE) => {
            "the server no longer knows this file: remount the volume; if the file server has fenced this host, reboot it"
        }
        Some(Errno::ENOLCK) => "the volume has no lock service: mount NFS with version 4.2",
        _ => "see the kernel's log",
    };
    let text = errno.map_or_else(|| error.to_string(), |errno| format!("{} ({errno:?})", errno.desc()));
    format!("cannot {verb} {}: {text}; {remedy}", path.display())
}

/// Whether the file system at `path` has room for bytes and none for files. (Some have no such number.)
pub fn has_no_inodes(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|found| found.files() > 0 && found.files_available() == 0)
}

/// Bytes that this account may still write to the file system at `path`.
///
/// # Errors
/// The file system does not say.
pub fn free_bytes(path: &Path) -> nix::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// What is wrong with `lock.directory` itself.
pub fn directory(directory: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        format!("lock.directory {} does not exist; mount the volume", directory.display())
    } else {
        of("use lock.directory", directory, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_a_file_server_has_fenced_is_told_to_reboot() {
        // A Linux NFS server refuses by EACCES who is not exported to; others by ESTALE.
        for errno in [Errno::EACCES, Errno::ESTALE] {
            let problem = directory(Path::new("/volume/.primacy"), &errno.into());
            assert!(problem.ends_with("if the file server has fenced this host, reboot it"), "{problem}");
        }
    }
}
