//! What a dead guardian leaves behind. The supervisor is a subreaper, so orphans become its children: it reaps them, and
//! kills them when it is told to.
//!
//! The proof that nothing is left is the kernel's word that there is no child (ECHILD), or, beside children of this
//! process's own, a look that found nobody else *before* anybody was waited for. Rejected: to wait for those who were
//! seen, and to call the rest nobody. A process that dies between the look and the wait hands its children over unseen.
//! (A look cannot miss them otherwise: who dies stays in the list until it is waited for, and orphans come behind it, in
//! the list of the one thread that never ends.)

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::clock;
use crate::moment::Moment;
use crate::processes::{self, Stat};
use crate::syscalls;

/// Between two looks at what is left: the time from a SIGKILL to the zombie is well under a millisecond on an idle host.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// The same once it is [late](LATE_AFTER): whoever has not gone by then waits for a device or a server.
const LOOK_AGAIN_LATE: Duration = Duration::from_millis(100);
/// When those that got SIGKILL and still live are named.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// The children that this process started itself (guardian, hooks, probes): somebody waits for them already. With each
/// pid its start time, for the kernel gives a pid to somebody else later.
#[derive(Clone, Debug, Default)]
pub struct OwnChildren(Arc<Mutex<BTreeMap<i32, Option<u64>>>>, Starts);

/// As long as this lives the child is somebody's own.
#[derive(Debug)]
#[must_use = "without it the child counts as an orphan"]
pub struct OwnChild {
    children: OwnChildren,
    pid: i32,
}

/// How long after its beginning a start may have a child that is not [added](OwnChildren::add) yet. It takes a
/// millisecond; one that hangs in a dead mount may be killed for an orphan, and is tried again.
const STARTS_WITHIN: Duration = Duration::from_secs(1);

/// The starts under way, which happen on other threads.
#[derive(Clone, Debug, Default)]
pub struct Starts(Arc<Mutex<Vec<Moment>>>);

/// One of them, until it is dropped.
pub struct Start(Starts, Moment);

impl Starts {
    pub fn begin(&self, now: Moment) -> Start {
        self.0.lock().expect("nobody panics while holding this lock").push(now);
        Start(self.clone(), now)
    }

    fn may_have_a_child(&self, now: Moment) -> bool {
        let starts = self.0.lock().expect("nobody panics while holding this lock");
        starts.iter().any(|began| now < *began + STARTS_WITHIN)
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let mut starts = self.0.0.lock().expect("nobody panics while holding this lock");
        if let Some(at) = starts.iter().position(|began| *began == self.1) {
            starts.swap_remove(at);
        }
    }
}

impl OwnChildren {
    /// To be told of each start that is about to be made.
    pub const fn starts(&self) -> &Starts {
        &self.1
    }

    /// To be said before anything else can look: right after the child was started.
    pub fn add(&self, pid: i32) -> OwnChild {
        let started = Stat::of(pid).map(|stat| stat.started);
        self.0.lock().expect("nobody panics while holding this lock").insert(pid, started);
        OwnChild { children: self.clone(), pid }
    }

    fn is_empty(&self) -> bool {
        self.0.lock().expect("nobody panics while holding this lock").is_empty()
    }

    fn contains(&self, pid: i32) -> bool {
        let known = self.0.lock().expect("nobody panics while holding this lock").get(&pid).copied();
        known.is_some_and(|started| {
            // What cannot be read is taken for what it was: who waits for it knows.
            started.zip(Stat::of(pid)).is_none_or(|(started, stat)| stat.started == started)
        })
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        self.children.0.lock().expect("nobody panics while holding this lock").remove(&self.pid);
    }
}

/// Makes this process the parent of its descendants' orphans.
///
/// # Errors
/// Never on Linux 3.4 and later.
pub fn become_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// What one look found.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Proven: there is no orphan.
    Nobody,
    /// There was somebody, or nobody can tell. These live.
    Somebody(Vec<i32>),
}

/// Waits for every orphan that has died.
pub fn reap(children: &OwnChildren) {
    let _ = look(|| orphans(children));
}

fn orphans(children: &OwnChildren) -> io::Result<Vec<i32>> {
    Ok(processes::children()?.into_iter().filter(|pid| !children.contains(*pid)).collect())
}

fn with_all_below(roots: Vec<i32>) -> Vec<i32> {
    roots.into_iter().flat_map(|root| [vec![root], processes::descendants_of(root)].concat()).collect()
}

/// Looks, and then waits for those of them who are dead.
fn look(orphans: impl FnOnce() -> io::Result<Vec<i32>>) -> Look {
    match orphans() {
        Ok(found) if found.is_empty() => Look::Nobody,
        // Unknown is never "dead".
        Err(_) => Look::Somebody(Vec::new()),
        Ok(found) => Look::Somebody(
            found.into_iter().filter(|pid| !matches!(syscalls::wait_for(Pid::from_raw(*pid)), Ok(Some(_)))).collect(),
        ),
    }
}

/// Kills everything below this process except what it started itself, and returns when nothing of it is left. Whoever
/// calls this has seen the guardian dead, so what its tree left is, or is about to become, our child.
pub async fn kill_all(children: OwnChildren) {
    let began = clock::now();
    let mut named = false;
    loop {
        if children.starts().may_have_a_child(clock::now()) {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        let orphans = match look(|| orphans(&children)) {
            Look::Nobody if !children.is_empty() => return,
            Look::Nobody => Vec::new(),
            Look::Somebody(orphans) => orphans,
        };
        if has_no_child() {
            return;
        }
        processes::kill_whom(|| self::orphans(&children).map(with_all_below).unwrap_or_default());
        let late = clock::now().since(began) >= LATE_AFTER;
        if late && !named {
            named = true;
            let left: Vec<String> = orphans.iter().map(|pid| describe(*pid)).collect();
            tracing::error!("killed, but not dead, of what the guardian has left: {}", left.join(", "));
        }
        tokio::time::sleep(if late { LOOK_AGAIN_LATE } else { LOOK_AGAIN }).await;
    }
}

/// The kernel's word; /proc is not asked.
fn has_no_child() -> bool {
    matches!(syscalls::has_children(), Err(Errno::ECHILD))
}

fn describe(pid: i32) -> String {
    match processes::stuck(pid) {
        Some(stuck) => format!("{} ({}) in {}", stuck.command, stuck.pid, stuck.waits_in),
        None => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::process::{Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "what waits for it is what is tested")]
    fn one_that_dies_between_the_look_and_the_wait_hands_its_children_over_and_is_no_proof() {
        become_subreaper().unwrap();
        let mut wrapper =
            Command::new("/bin/sh").args(["-c", "sleep 60 & echo $!; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(wrapper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child: i32 = line.trim().parse().unwrap();
        let wrapper = Pid::from_raw(i32::try_from(wrapper.id()).unwrap());
        // Only these two: other tests of this process have children, too.
        let of_ours = || {
            let ours = [wrapper.as_raw(), child];
            Ok(processes::children()?.into_iter().filter(|pid| ours.contains(pid)).collect::<Vec<_>>())
        };
        let seen = look(|| {
            let found = of_ours();
            kill(wrapper, Signal::SIGKILL).unwrap();
            waitid(Id::Pid(wrapper), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
            found
        });
        assert_eq!(seen, Look::Somebody(Vec::new()), "the wrapper was there, and is dead");
        assert_eq!(look(of_ours), Look::Somebody(vec![child]), "what it left is ours");
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        waitid(Id::Pid(Pid::from_raw(child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert_eq!(look(of_ours), Look::Somebody(Vec::new()));
        assert_eq!(look(of_ours), Look::Nobody);
    }

    #[test]
    fn a_look_that_fails_is_no_proof() {
        assert_eq!(look(|| Err(io::ErrorKind::Other.into())), Look::Somebody(Vec::new()));
    }

    #[test]
    fn a_pid_that_was_given_to_somebody_else_is_not_an_own_child() {
        let children = OwnChildren::default();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = children.add(pid);
        assert!(children.contains(pid));
        children.0.lock().unwrap().insert(pid, Some(1));
        assert!(!children.contains(pid), "it was started at another time");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(own);
        assert!(children.is_empty(), "whoever gives up waiting takes the pid with it");
    }

    #[test]
    fn a_start_under_way_may_have_a_child_that_is_not_known_yet_and_a_hanging_one_is_not_waited_for() {
        let (starts, began) = (Starts::default(), Moment::from_millis(5));
        let hangs = starts.begin(began);
        let later = starts.begin(began + STARTS_WITHIN);
        assert!(starts.may_have_a_child(began + STARTS_WITHIN));
        drop(later);
        assert!(starts.may_have_a_child(began));
        assert!(!starts.may_have_a_child(began + STARTS_WITHIN));
        drop(hangs);
        assert!(!starts.may_have_a_child(began));
    }
}
