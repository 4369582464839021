//! What `/proc` says of processes. Only local, memory-backed reads: none of them can hang on a dead mount.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use nix::libc::ESRCH;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guardian::protocol::StuckProcess;
use crate::host::{self, HostIdentity, ProcessIdentity};

/// Fields of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: i32,
    pub command: String,
    pub state: char,
    pub parent: i32,
    pub session: i32,
    /// Clock ticks of CPU of this process, and of those that it has reaped.
    pub own: u64,
    pub reaped: u64,
    /// Clock ticks since boot: with the pid this names one process for ever (until the next boot).
    pub started: u64,
}

impl Stat {
    /// `None` if there is no such process, or nothing can be learnt of it.
    pub fn of(pid: i32) -> Option<Self> {
        Self::read(pid).ok().flatten()
    }

    /// `Ok(None)` if there is no such process; an error says that this is unknown.
    fn read(pid: i32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            // A process may give itself any bytes as its name.
            Ok(text) => Self::parse(&String::from_utf8_lossy(&text)).map(Some).ok_or(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // The command may itself contain blanks and parentheses: it ends at the last one.
        let (head, tail) = text.rsplit_once(") ")?;
        let (pid, command) = head.split_once(" (")?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        // proc(5) counts from 1, and the first field after the name is its third.
        let field = |number: usize| fields.get(number - 3).copied();
        // Nothing is decided on these: who cannot be counted lives all the same.
        let ticks = |number| field(number).and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        Some(Self {
            pid: pid.parse().ok()?,
            command: command.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            own: ticks(14).saturating_add(ticks(15)),
            reaped: ticks(16).saturating_add(ticks(17)),
            started: field(22)?.parse().ok()?,
        })
    }

    /// Dead, only not yet waited for. A process whose first thread has ended looks the same, but lives as long as any
    /// other thread does: one that waits for a dead file server, say.
    pub fn is_zombie(&self) -> bool {
        self.thread_is_dead() && !threads(self.pid).any(|thread| !thread.thread_is_dead())
    }

    fn thread_is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Whether the process that had this pid and start time still runs. A start time of 0 stands for any. What is unknown is
/// not dead.
pub fn lives(pid: i32, started: u64) -> bool {
    match Stat::read(pid) {
        Ok(Some(stat)) => !stat.is_zombie() && (started == 0 || stat.started == started),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// This process's id.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// This process, as others are told of it.
pub fn own_identity() -> ProcessIdentity {
    ProcessIdentity {
        host_id: host::host_id(),
        boot_id: host::boot_id(),
        pid: own_pid(),
        pid_started: Stat::of(own_pid()).map_or(0, |stat| stat.started),
        pid_namespace: host::pid_namespace(),
        host: Some(HostIdentity::own().clone()),
    }
}

/// The children of this process, zombies included.
///
/// # Errors
/// Where that cannot be known: /proc cannot be read, or there is no descriptor to read it by.
pub fn children() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    if push_children(own_pid(), &mut found)? {
        return Ok(found);
    }
    // A process that hides from this account (hidepid) cannot be found so.
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if Stat::read(pid)?.is_some_and(|stat| stat.parent == own_pid()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Everything below this process. A snapshot of a moving target, and never a proof that there is nobody: who kills by it
/// looks again until the kernel says that there is no child.
pub fn descendants() -> Vec<i32> {
    descendants_of(own_pid())
}

/// Everything below a process.
pub fn descendants_of(root: i32) -> Vec<i32> {
    let mut found = Vec::new();
    if !push_children(root, &mut found).unwrap_or(true) {
        return descendants_by_parent(root);
    }
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let _ = push_children(pid, &mut found);
        next += 1;
    }
    found
}

/// Everything below this process but these children, and what is below them.
pub fn descendants_except(spared: &BTreeSet<i32>) -> Vec<i32> {
    let roots = children().unwrap_or_default().into_iter().filter(|pid| !spared.contains(pid));
    roots.flat_map(|root| [vec![root], descendants_of(root)].concat()).collect()
}

/// A process, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub pid: i32,
    /// `/proc/PID/comm`.
    pub command: String,
}

/// Those of them who live.
pub fn named(pids: &[i32]) -> Vec<Named> {
    let living = pids.iter().filter_map(|pid| Stat::of(*pid)).filter(|stat| !stat.is_zombie());
    living.map(|stat| Named { pid: stat.pid, command: stat.command }).collect()
}

/// Those of them who were not waited for yet.
pub fn named_even_dead(pids: &[i32]) -> Vec<Named> {
    pids.iter().filter_map(|pid| Stat::of(*pid)).map(|stat| Named { pid: stat.pid, command: stat.command }).collect()
}

/// How often [`kill_whom`] looks for more in one go.
const PASSES: usize = 3;

/// SIGKILL to whom `find` finds, to be repeated until nothing is left. They are stopped first, so that a tree that forks
/// all the time stands still. Returns them.
pub fn kill_whom(find: impl Fn() -> Vec<i32>) -> Vec<i32> {
    let mut found: Vec<i32> = Vec::new();
    for _ in 0..PASSES {
        let fresh: Vec<i32> = find().into_iter().filter(|pid| !found.contains(pid)).collect();
        if fresh.is_empty() {
            break;
        }
        for pid in &fresh {
            send(*pid, Signal::SIGSTOP);
        }
        found.extend(fresh);
    }
    for pid in &found {
        send(*pid, Signal::SIGKILL);
    }
    found
}

fn send(pid: i32, signal: Signal) {
    // Zero and negative numbers would mean whole groups.
    if pid > 0 {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Reads the `children` files of all threads of a process: its cost depends on the tree, not on the machine. False where
/// the kernel lacks these files; an error says that this is unknown.
fn push_children(pid: i32, found: &mut Vec<i32>) -> io::Result<bool> {
    let threads = match fs::read_dir(format!("/proc/{pid}/task")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && pid != own_pid() => return Ok(true),
        threads => threads?,
    };
    for thread in threads {
        let thread = thread?.path();
        match fs::read_to_string(thread.join("children")) {
            Ok(children) => {
                for child in children.split_ascii_whitespace().filter_map(|text| text.parse().ok()) {
                    if !found.contains(&child) {
                        found.push(child);
                    }
                }
            }
            // A thread that has ended since has none.
            Err(error) if error.raw_os_error() == Some(ESRCH) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if thread.try_exists()? {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// The same from the parents of all processes.
fn descendants_by_parent(root: i32) -> Vec<i32> {
    let all: Vec<Stat> = pids().filter_map(Stat::of).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let children = all.iter().filter(|stat| stat.parent == pid && !found.contains(&stat.pid)).map(|stat| stat.pid);
        let children: Vec<i32> = children.collect();
        found.extend(children);
        next += 1;
    }
    found.remove(0);
    found
}

/// All processes of this machine (of this pid namespace).
pub fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The threads of a process that /proc still shows.
fn threads(pid: i32) -> impl Iterator<Item = Stat> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| Stat::parse(&fs::read_to_string(task.path().join("stat")).ok()?))
}

/// What a process that does not die waits for; `None` if it is dead, and nothing keeps its parent from knowing. Of its threads the one that cannot be interrupted
/// is told: it is what the others are not gone for.
pub fn stuck(pid: i32) -> Option<StuckProcess> {
    // A signal without a number only asks for the permission. Where that lacks, /proc may hide the process, too.
    let forbidden = kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::EPERM);
    let stat = Stat::of(pid);
    if forbidden && stat.as_ref().is_none_or(|stat| !stat.is_zombie()) {
        let command = stat.map_or_else(|| "unknown".to_owned(), |stat| stat.command);
        let waits_in = "nothing: it has become another user, and this account may not kill it".to_owned();
        return Some(StuckProcess { pid, command, waits_in });
    }
    let stat = stat?;
    let alive: Vec<Stat> = threads(pid).filter(|thread| !thread.thread_is_dead()).collect();
    let Some(thread) = alive.iter().find(|thread| thread.state == 'D').or_else(|| alive.first()) else {
        return held_by_tracer(stat);
    };
    let waits_in = fs::read_to_string(format!("/proc/{pid}/task/{}/wchan", thread.pid)).unwrap_or_default();
    Some(StuckProcess { pid, command: stat.command, waits_in })
}

/// A dead one is kept from its parent as long as a debugger that traces it does not look.
fn held_by_tracer(dead: Stat) -> Option<StuckProcess> {
    let status = fs::read(format!("/proc/{}/status", dead.pid)).ok()?;
    let status = String::from_utf8_lossy(&status).into_owned();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().parse().ok()?;
    let name = Stat::of(tracer).filter(|_| tracer != 0)?.command;
    Some(StuckProcess { pid: dead.pid, command: dead.command, waits_in: format!("its tracer {name} (pid {tracer})") })
}

/// Whether a process has an OFD lock on what it has open at descriptor `fd`.
pub fn holds_ofd_lock(pid: i32, fd: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))
        .is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:") && line.contains("OFDLCK")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_blanks_and_parentheses_does_not_confuse_the_fields() {
        let text = "42 (a) b (c) S 7 42 43 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 100 200";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.command.as_str(), stat.state), (42, "a) b (c", 'S'));
        assert_eq!((stat.parent, stat.session, stat.started), (7, 43, 12345));
        assert_eq!((stat.own, stat.reaped), (11, 15));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_lives_as_long_as_another() {
        let program = "import ctypes, threading, time\n\
                       threading.Thread(target=time.sleep, args=(60,)).start()\n\
                       ctypes.CDLL(None).syscall(60, 0)"; // exit of this thread alone
        let mut child = std::process::Command::new("python3").args(["-c", program]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let began = crate::clock::now();
        while Stat::of(pid).unwrap().state != 'Z' {
            assert!(crate::clock::now().since(began).as_secs() < 60, "its first thread does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(lives(pid, 0));
        assert_eq!(stuck(pid).map(|stuck| stuck.pid), Some(pid));
        child.kill().unwrap();
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(pid)),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        assert!(!lives(pid, 0), "killed, and not yet waited for");
        assert_eq!(stuck(pid), None);
        child.wait().unwrap();
    }

    #[test]
    fn this_process_lives_and_a_former_owner_of_its_pid_does_not() {
        let own = Stat::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(lives(own.pid, own.started));
        assert!(!lives(own.pid, own.started + 1));
    }

    #[test]
    fn a_process_whose_name_is_not_utf_8_lives_and_is_found() {
        use std::os::unix::ffi::OsStrExt;

        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe) R"));
        fs::copy("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (stat, alive) = (Stat::of(pid), lives(pid, 0));
        let found = descendants_by_parent(own_pid()).contains(&pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(stat.unwrap().parent, own_pid());
        assert!(alive && found);
        assert!(!lives(pid, 0));
    }

    #[test]
    fn both_ways_of_finding_descendants_find_a_grandchild() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut shell = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
        let grandchild: i32 = line.trim().parse().unwrap();
        assert!(descendants().contains(&grandchild));
        assert!(descendants_by_parent(own).contains(&grandchild));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(grandchild), nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
    }
}
