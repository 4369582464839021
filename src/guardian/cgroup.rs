//! An additional hammer where one is at hand: `cgroup.kill` of a child cgroup that holds the coordinator.
//!
//! Only an addition: the proof of death stays `waitpid`. It needs cgroup v2, a delegated subtree (`Delegate=yes`) and a
//! cgroup of our own; anything else means that there is none.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// A child cgroup of the guardian's own, for the coordinator.
pub struct Cgroup {
    path: PathBuf,
    directory: File,
}

impl Cgroup {
    /// Creates it if that is permitted here.
    pub fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.trim().to_owned();
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"))?.get(1).map(PathBuf::from)?;
        if own.is_empty() {
            return None;
        }
        let path = root.join(own).join(format!("primacy-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let Ok(directory) = File::open(&path) else {
            let _ = fs::remove_dir(&path);
            return None;
        };
        let found = Self { path, directory };
        // Dropping it removes the directory again.
        found.path.join("cgroup.kill").exists().then_some(found)
    }

    /// SIGKILL to all that is in it.
    pub fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

/// For the coordinator to be born there.
impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while processes are in it; an empty cgroup that stays does no harm.
        let _ = fs::remove_dir(&self.path);
    }
}
