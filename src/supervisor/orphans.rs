//! What a dead guardian leaves behind. The supervisor is a subreaper, so orphans become its children: it reaps them, and
//! kills them when it is told to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::processes;

/// Between two looks at what is left: the time from a SIGKILL to the zombie is well under a millisecond on an idle host.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The children that this process started itself (guardian, hooks, probes): somebody waits for them already.
#[derive(Clone, Debug, Default)]
pub struct OwnChildren(Arc<Mutex<BTreeSet<i32>>>);

impl OwnChildren {
    pub fn add(&self, pid: i32) {
        self.0.lock().expect("nobody panics while holding this lock").insert(pid);
    }

    pub fn remove(&self, pid: i32) {
        self.0.lock().expect("nobody panics while holding this lock").remove(&pid);
    }

    fn contains(&self, pid: i32) -> bool {
        self.0.lock().expect("nobody panics while holding this lock").contains(&pid)
    }
}

/// Makes this process the parent of its descendants' orphans.
///
/// # Errors
/// Never on Linux 3.4 and later.
pub fn become_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Waits for every orphan that has died. Returns the orphans that live.
pub fn reap(children: &OwnChildren) -> Vec<i32> {
    processes::children()
        .into_iter()
        .filter(|pid| !children.contains(*pid))
        .filter(|pid| {
            matches!(
                waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)),
                Ok(nix::sys::wait::WaitStatus::StillAlive)
            )
        })
        .collect()
}

/// Kills everything below this process except what it started itself, and returns when nothing of it is left. Whoever
/// calls this has seen the guardian dead, so what its tree left is, or is about to become, our child.
pub async fn kill_all(children: OwnChildren) {
    loop {
        let orphans = reap(&children);
        if orphans.is_empty() {
            return;
        }
        for orphan in &orphans {
            let _ = kill(Pid::from_raw(*orphan), Signal::SIGKILL);
            for descendant in processes::descendants_of(*orphan) {
                let _ = kill(Pid::from_raw(descendant), Signal::SIGKILL);
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
