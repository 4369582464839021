//! An additional hammer where one is at hand: `cgroup.kill` of a child cgroup that holds the coordinator.
//!
//! Only an addition: the proof of death stays `waitpid`. It needs cgroup v2, a delegated subtree (`Delegate=yes`) and a
//! cgroup of our own; anything else means that there is none.

use std::fs;
use std::path::PathBuf;

/// A child cgroup of the guardian's own, for the coordinator.
pub struct Cgroup {
    path: PathBuf,
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
        let found = Self { path };
        // Dropping it removes the directory again.
        found.path.join("cgroup.kill").exists().then_some(found)
    }

    /// Puts a process there; its children follow it.
    pub fn add(&self, pid: i32) {
        let _ = fs::write(self.path.join("cgroup.procs"), pid.to_string());
    }

    /// SIGKILL to all that is in it.
    pub fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while processes are in it; an empty cgroup that stays does no harm.
        let _ = fs::remove_dir(&self.path);
    }
}
