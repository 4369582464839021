//! An additional hammer where one is at hand: `cgroup.kill` of a child cgroup that holds the coordinator.
//!
//! Only an addition: the proof of death stays `waitpid`. It needs cgroup v2, a delegated subtree (`Delegate=yes`) and a
//! cgroup of our own; anything else means that there is none.
//!
//! Linux since 6.13 (and its stable branches) kills a process at its birth if the cgroup that it is born into and that of
//! its parent have not been killed equally often: it compares the two counters by mistake. So a birth is tried out before
//! a coordinator depends on it, and a cgroup that has been killed is replaced before the next start.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use crate::syscalls::can_be_born_in;

/// A child cgroup of the guardian's own, for the coordinator.
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    killed: Cell<bool>,
}

impl Cgroup {
    /// Creates it if that is permitted here, and works.
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
        let found = Self { path, directory, killed: Cell::new(false) };
        // Dropping it removes the directory again.
        (found.path.join("cgroup.kill").exists() && can_be_born_in(found.as_fd())).then_some(found)
    }

    /// Itself, or another one if it has been killed. Only while nothing is in it.
    pub fn unspent(self) -> Option<Self> {
        if !self.killed.get() {
            return Some(self);
        }
        drop(self);
        Self::find()
    }

    /// SIGKILL to all that is in it.
    pub fn kill(&self) {
        self.killed.set(true);
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
