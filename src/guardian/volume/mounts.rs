//! What is mounted where a path lies, from `/proc/self/mountinfo`: reading that cannot hang, unlike asking the file
//! system itself.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes; larger than most hosts' tables, and only a hint.
const MOUNTINFO_SIZE: usize = 16 << 10;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    pub file_system: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
}

impl Mount {
    /// The mount that `path` lies on, by its text: the longest mount point above it, the latest of several.
    pub fn of(path: &Path) -> Option<Self> {
        // With room for all of it: the file tells no size, and growing a buffer to it takes a dozen reads every time.
        let mut mountinfo = String::with_capacity(MOUNTINFO_SIZE);
        File::open("/proc/self/mountinfo").ok()?.read_to_string(&mut mountinfo).ok()?;
        Self::find(&mountinfo, path)
    }

    pub(super) fn find(mountinfo: &str, path: &Path) -> Option<Self> {
        let mut best: Option<Self> = None;
        for mount in mountinfo.lines().filter_map(Self::parse).filter(|mount| path.starts_with(&mount.point)) {
            if best.as_ref().is_none_or(|best| mount.point.components().count() >= best.point.components().count()) {
                best = Some(mount);
            }
        }
        best
    }

    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let options = [left.get(5)?, *right.get(2)?].into_iter().flat_map(|options| options.split(','));
        Some(Self {
            point: unescape(left.get(4)?),
            file_system: (*right.first()?).to_owned(),
            options: options.map(str::to_owned).collect(),
        })
    }

    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    /// What is questionable about this mount for a lock that several hosts share.
    pub fn warnings(&self) -> Vec<String> {
        let (point, kind) = (self.point.display(), &self.file_system);
        let has = |wanted: &str| self.options.iter().any(|option| option == wanted);
        match kind.as_str() {
            "nfs4" => {
                let mut warnings = Vec::new();
                if !has("hard") {
                    warnings.push(format!(
                        "{point} is not a hard mount: after an outage the server may keep a lock that nobody holds; mount it with \"hard\""
                    ));
                }
                if self.options.iter().any(|option| option.starts_with("local_lock=") && option != "local_lock=none") {
                    warnings.push(format!(
                        "{point} keeps locks on this host only; mount it with \"local_lock=none\", or two coordinators may run"
                    ));
                }
                warnings
            }
            "nfs" => vec![format!(
                "{point} is NFSv3: the lock of a dead host stays until somebody removes it; mount it with \"vers=4.2\""
            )],
            _ => vec![format!(
                "{point} is {kind}, not nfs4: if it is a local file system, the lock excludes only this host's processes"
            )],
        }
    }
}

/// Blanks and backslashes are written in octal.
fn unescape(text: &str) -> PathBuf {
    let mut result = text.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        result = result.replace(code, character);
    }
    PathBuf::from(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 22 0:44 / /mnt/meta\\040data rw,relatime shared:7 - nfs4 srv:/ rw,vers=4.2,hard,proto=tcp,local_lock=none
41 22 0:45 / /mnt/soft ro,relatime - nfs4 srv:/ rw,vers=4.2,softerr,local_lock=all
42 22 0:46 / /mnt/three rw - nfs srv:/ rw,vers=3,hard
";

    #[test]
    fn the_longest_mount_point_above_the_path_counts() {
        let nfs = Mount::find(MOUNTS, Path::new("/mnt/meta data/.primacy")).unwrap();
        assert_eq!((nfs.file_system.as_str(), nfs.warnings()), ("nfs4", vec![]));
        let root = Mount::find(MOUNTS, Path::new("/mnt/meta")).unwrap();
        assert_eq!(root.point, Path::new("/"));
        assert_eq!(root.warnings().len(), 1);
    }

    #[test]
    fn mounts_that_break_locks_are_warned_of_by_name() {
        let soft = Mount::find(MOUNTS, Path::new("/mnt/soft/x")).unwrap();
        assert!(soft.is_read_only());
        assert!(soft.warnings()[0].contains("hard"));
        assert!(soft.warnings()[1].contains("local_lock=none"));
        assert!(Mount::find(MOUNTS, Path::new("/mnt/three")).unwrap().warnings()[0].contains("NFSv3"));
    }
}
