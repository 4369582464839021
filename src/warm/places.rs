//! Where a path lies, found out without touching the shared volume: each component is looked up in the table of mounts before
//! it is looked at.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const MOST_LINKS: u32 = 40;

/// Nobody looks further than this for what is only a path: what is below is another host's, or a program's.
const REMOTE: [&str; 10] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs", "lustre", "afs", "gpfs"];

/// One line of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// `major:minor`.
    device: String,
    kind: String,
    source: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Some(Self {
            point: unescape(left.get(4)?),
            device: (*left.get(2)?).to_owned(),
            kind: (*right.first()?).to_owned(),
            source: (*right.get(1)?).to_owned(),
        })
    }

    fn is_remote(&self) -> bool {
        REMOTE.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }

    /// The same file system, however often it is mounted.
    fn is(&self, other: &Self) -> bool {
        self.device == other.device || (self.is_remote() && other.is_remote() && self.source == other.source)
    }
}

/// Blanks and backslashes are written in octal.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| text.get(at + 1..at + 4)).flatten();
        match octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 4;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// Why a path is not looked at.
#[derive(Debug)]
pub enum Refusal {
    /// It lies there, or leads there.
    OnVolume(String),
    Error(String),
}

impl Refusal {
    fn sentence(self) -> String {
        match self {
            Self::OnVolume(why) | Self::Error(why) => why,
        }
    }
}

/// The mounts at this moment, and which of them is the volume's.
#[derive(Debug)]
pub struct Places {
    mounts: Vec<Mount>,
    volume: Option<Mount>,
}

impl Places {
    /// # Errors
    /// The table cannot be read, or it is not known on which mount `volume` lies.
    pub fn look(volume: &Path) -> io::Result<Self> {
        Self::of(&fs::read_to_string("/proc/self/mountinfo")?, volume)
    }

    fn of(mountinfo: &str, volume: &Path) -> io::Result<Self> {
        let mounts = mountinfo.lines().filter_map(Mount::parse).collect();
        let mut places = Self { mounts, volume: None };
        // A link on a local disk may lead to it; below a remote mount point nothing is asked.
        let (_, mount) =
            places.walk(volume, Mount::is_remote, true).map_err(|refusal| io::Error::other(refusal.sentence()))?;
        places.volume = Some(mount);
        Ok(places)
    }

    /// The path without links, if neither it nor a link on its way leads to the volume.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, Refusal> {
        let (found, mount) = self.walk(path, |mount| self.is_volume(mount), false)?;
        if self.is_volume(&mount) {
            let (device, point) = (&mount.device, mount.point.display());
            return Err(Refusal::OnVolume(format!(
                "{} lies on the file system of lock.directory ({point}, device {device})",
                path.display()
            )));
        }
        Ok(found)
    }

    /// Whether something is mounted exactly there.
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.point == path)
    }

    /// Whether a file that is open is the volume's after all.
    pub fn is_volume_device(&self, device: u64) -> bool {
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        self.volume.as_ref().is_some_and(|volume| volume.device == format!("{major}:{minor}"))
    }

    fn is_volume(&self, mount: &Mount) -> bool {
        self.volume.as_ref().is_some_and(|volume| volume.is(mount))
    }

    /// The latest of the longest mount points above it.
    fn mount(&self, path: &Path) -> Option<&Mount> {
        let above = self.mounts.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }

    /// Follows links, and looks at nothing on a mount where `stop` says so. What is not there is no error with `missing`.
    fn walk(&self, path: &Path, stop: impl Fn(&Mount) -> bool, missing: bool) -> Result<(PathBuf, Mount), Refusal> {
        let error = |why: String| Refusal::Error(format!("{}: {why}", path.display()));
        let mut left: VecDeque<OsString> = parts(path);
        let mut found = PathBuf::from("/");
        let mut links = 0;
        loop {
            let mount = self.mount(&found).ok_or_else(|| error("on no mount".to_owned()))?;
            let Some(part) = left.pop_front() else { return Ok((found, mount.clone())) };
            if part.as_bytes() == b".." {
                found.pop();
                continue;
            }
            let next = found.join(&part);
            if self.mount(&next).is_some_and(|it| it.point == next) {
                // A mount point is a directory or a file, no link, and its mount is looked up first.
                found = next;
                continue;
            }
            if stop(mount) {
                return Ok((found, mount.clone()));
            }
            match fs::symlink_metadata(&next) {
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(error("too many links".to_owned()));
                    }
                    let target = fs::read_link(&next).map_err(|why| error(why.to_string()))?;
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    for part in parts(&target).into_iter().rev() {
                        left.push_front(part);
                    }
                }
                Ok(_) => found = next,
                Err(why) if missing && why.kind() == io::ErrorKind::NotFound => found = next,
                Err(why) => return Err(error(why.to_string())),
            }
        }
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// `/` is a disk; the folder's `volume`, `again` and `net` are mounted, the last from the volume's server.
    fn table(folder: &Path) -> String {
        let folder = folder.display();
        format!(
            "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
             40 22 0:44 / {folder}/volume rw shared:7 - nfs4 srv:/export rw,vers=4.2\n\
             41 22 0:44 / {folder}/again rw - nfs4 srv:/export ro\n\
             42 22 0:46 / {folder}/net\\040work rw - nfs4 srv:/export rw,nosharecache\n\
             43 22 0:47 / {folder}/other rw - nfs4 srv:/other rw\n"
        )
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["volume", "again", "net work", "other", "jars"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("jars/a.jar"), "a").unwrap();
        folder
    }

    fn places(folder: &Path, volume: &str) -> Places {
        Places::of(&table(folder), &folder.join(volume)).unwrap()
    }

    #[test]
    fn what_lies_on_the_volume_is_refused_however_it_is_reached() {
        let folder = folder();
        let folder = fs::canonicalize(folder.path()).unwrap();
        for (link, target) in [
            ("jars/straight", folder.join("volume/lib")),
            ("jars/relative", PathBuf::from("../volume/lib")),
            ("jars/twice", folder.join("jars/straight")),
            ("directory", folder.join("volume")),
        ] {
            symlink(target, folder.join(link)).unwrap();
        }
        let places = places(&folder, "volume/.primacy");
        for path in [
            "volume",
            "volume/lib/x.jar",
            "again/x",
            "net work/x",
            "jars/straight",
            "jars/relative",
            "jars/twice",
            "directory/x",
            "jars/../volume/x",
        ] {
            let refused = places.resolve(&folder.join(path));
            assert!(matches!(refused, Err(Refusal::OnVolume(_))), "{path}: {refused:?}");
        }
        assert_eq!(places.resolve(&folder.join("jars/a.jar")).unwrap(), folder.join("jars/a.jar"));
        assert!(places.resolve(&folder.join("other")).is_ok());
        assert!(matches!(places.resolve(&folder.join("jars/none")), Err(Refusal::Error(_))));
    }

    #[test]
    fn a_lock_directory_behind_a_link_is_found_where_it_really_lies() {
        let folder = folder();
        let folder = fs::canonicalize(folder.path()).unwrap();
        symlink(folder.join("volume"), folder.join("metadata")).unwrap();
        let places = places(&folder, "metadata/.primacy");
        assert!(matches!(places.resolve(&folder.join("volume/x")), Err(Refusal::OnVolume(_))));
        assert!(places.resolve(&folder.join("jars/a.jar")).is_ok());
    }

    #[test]
    fn a_volume_that_is_not_mounted_makes_everything_beside_its_mount_point_the_volumes() {
        let folder = folder();
        let folder = fs::canonicalize(folder.path()).unwrap();
        let places = places(&folder, "jars/nothing/here");
        let refused = places.resolve(&folder.join("jars/a.jar"));
        assert!(matches!(&refused, Err(Refusal::OnVolume(why)) if why.contains("254:0")), "{refused:?}");
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = folder();
        symlink(folder.path().join("b"), folder.path().join("a")).unwrap();
        symlink(folder.path().join("a"), folder.path().join("b")).unwrap();
        let folder = fs::canonicalize(folder.path()).unwrap();
        let refused = places(&folder, "volume").resolve(&folder.join("a"));
        assert!(matches!(&refused, Err(Refusal::Error(why)) if why.contains("links")), "{refused:?}");
    }
}
