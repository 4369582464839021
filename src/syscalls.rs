//! The only `unsafe` of the crate: taking over a descriptor by number, handing one to the async runtime, fork + exec, the
//! process's end, and a watchdog's ioctls.
//!
//! Rejected: `std::process::Command` with `pre_exec`. Its `spawn` blocks until the exec has happened, and the child may
//! hang before that (the working directory or the program lies on a dead mount). The guardian must go on watching its
//! deadline meanwhile, so the exec's outcome arrives on a pipe that it polls.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Takes over the descriptor that the parent process left at a number agreed upon, and keeps it from further children.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(F_SETFD) works on a number; it fails with EBADF where nothing is open there.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above) and, by the agreement with the parent, nobody else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the async runtime say when a descriptor can be read. It is a copy of `watched`, whose owner goes on using it.
pub fn watch_for_reading(watched: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = watched.try_clone_to_owned()?;
    // SAFETY: an OwnedFd is open, and the same descriptor, for as long as it lives, and the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }.map_err(io::Error::from)
}

/// Keeps every descriptor that was inherited, but for the standard ones, from this process's children.
pub fn keep_descriptors_from_children() {
    let (first, last, close_on_exec): (libc::c_uint, libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX, 1 << 2);
    // SAFETY: sets a flag on descriptors, by number; nothing is closed before an exec.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, close_on_exec) } == 0 {
        return;
    }
    // Kernels before 5.11 cannot do it in one call.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for fd in open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok()).filter(|fd| *fd > 2) {
        // SAFETY: as above; a number behind which nothing is open any more is refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Takes back what a parent process has had this one ignore or block: where SIGCHLD is ignored nobody hears how a child
/// ended, and a blocked SIGTERM stops nothing. SIGPIPE stays ignored, for a write into a closed pipe is an error here. For
/// the start of a process, while it has one thread.
pub fn hear_signals_again() {
    hear_ignored_signals_again();
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// The same, but what is blocked stays so.
pub fn hear_ignored_signals_again() {
    for signal in (1..=64).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: a structure of integers, and of a pointer that is only compared.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: reads into the local structure; a number that is no signal is refused.
        let known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            // SAFETY: installs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// The signal that interrupts a thread that waits in the kernel. By default it is ignored, and nobody else sends it.
const INTERRUPTION: libc::c_int = libc::SIGURG;

extern "C" fn be_interrupted(_: libc::c_int) {}

/// Makes [`interrupt`] end whatever call of the kernel a thread waits in, where the kernel allows that.
pub fn permit_interruptions() {
    // SAFETY: an all-zero sigaction is a valid one, with an empty mask and no flags (so no call is restarted).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = be_interrupted as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, which is safe at any moment; nothing of ours had another one.
    let _ = unsafe { libc::sigaction(INTERRUPTION, &raw const action, std::ptr::null_mut()) };
}

/// Interrupts what the thread waits in. It may be about to begin: who wants to be sure interrupts again.
pub fn interrupt<T>(thread: &std::thread::JoinHandle<T>) {
    use std::os::unix::thread::JoinHandleExt;
    // SAFETY: the thread has not been joined, since there is its handle; one that has ended is not signalled.
    let _ = unsafe { libc::pthread_kill(thread.as_pthread_t(), INTERRUPTION) };
}

/// Ends the process without running any destructor.
pub fn end_at_once(code: i32) -> ! {
    // SAFETY: takes a number and does not return; nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

/// From linux/sched.h; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which step of a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Prepare,
    User,
    WorkingDirectory,
    ParentGone,
    Exec,
    /// It is later than it may be.
    Late,
}

/// What a child reports of its failed launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchError {
    pub step: Step,
    pub errno: i32,
}

/// Whom the child becomes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub uid: libc::uid_t,
    pub gid: libc::gid_t,
    pub groups: Vec<libc::gid_t>,
}

/// A process to start: everything allocated beforehand, for nothing may be allocated between fork and exec.
#[derive(Debug)]
pub struct Launch {
    /// Paths to try in turn, as the search in PATH found them.
    pub programs: Vec<CString>,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    pub working_directory: Option<CString>,
    pub identity: Option<Identity>,
    /// The lock's. Stays open at its number over the exec.
    pub inherit: Option<RawFd>,
    /// The armed watchdog's. Stays open, too.
    pub watchdog: Option<RawFd>,
    /// Becomes standard input, instead of /dev/null.
    pub input: Option<RawFd>,
    /// Becomes standard output and standard error, instead of this process's.
    pub output: Option<RawFd>,
    /// Closed at once, so that this child cannot keep the supervisor from seeing that the guardian is gone.
    pub close: RawFd,
    /// Written to `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<CString>,
    /// A child that is born later than that, in nanoseconds of CLOCK_BOOTTIME, executes nothing.
    pub not_after: Option<u64>,
}

/// Forks and execs. The pipe's end says end-of-file once the exec has happened, or holds a [`LaunchError`] (read it with
/// [`launch_outcome`]). The child is killed when the calling *thread* ends. With a `cgroup`'s directory it is born there.
pub fn launch(launch: &Launch, cgroup: Option<BorrowedFd<'_>>) -> nix::Result<(Pid, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let null = nix::fcntl::open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
    };
    let (arguments, environment) = (pointers(&launch.arguments), pointers(&launch.environment));
    let parent = nix::unistd::getpid().as_raw();
    // SAFETY: the child only makes async-signal-safe calls on memory that was prepared above, and ends in exec or _exit.
    match unsafe { fork_into(cgroup) }? {
        ForkResult::Parent { child } => Ok((child, reader)),
        ForkResult::Child => {
            // SAFETY: as above; the pointer arrays end in null and outlive the call.
            let error = unsafe { become_child(launch, &arguments, &environment, null.as_raw_fd(), parent) };
            let mut message = [0_u8; 8];
            message[0] = error.step as u8;
            message[4..].copy_from_slice(&error.errno.to_ne_bytes());
            // SAFETY: writes eight bytes of a local array to an open pipe, then leaves without running any destructor.
            unsafe {
                libc::write(writer.as_raw_fd(), message.as_ptr().cast(), message.len());
                libc::_exit(127)
            }
        }
    }
}

/// Forks, into the cgroup where that is possible: moving a process there later waits for the whole machine's forks, and
/// misses what it has forked by then.
///
/// By the kernel's call rather than the C library's, which first waits for locks that another thread may hold while it
/// waits for a name service.
///
/// # Safety
/// As for fork, and the child must not call what the C library does for all threads (setuid and its kin): after clone3
/// it does not know that the other threads are not there.
unsafe fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> nix::Result<ForkResult> {
    // Without the cgroup, where it is not permitted or not known to this kernel.
    for cgroup in cgroup.map(Some).into_iter().chain([None]) {
        // SAFETY: a structure of integers, for which zero means "nothing special".
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = cgroup {
            arguments.flags = CLONE_INTO_CGROUP;
            arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
        }
        // SAFETY: without CLONE_VM this is a fork; the kernel only reads the structure.
        match unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) } {
            0 => return Ok(ForkResult::Child),
            pid if pid > 0 => {
                let child = libc::pid_t::try_from(pid).expect("the kernel returns a pid");
                return Ok(ForkResult::Parent { child: Pid::from_raw(child) });
            }
            _ => {}
        }
    }
    // SAFETY: by the caller. For kernels before 5.3, and sandboxes that know of no clone3.
    unsafe { nix::unistd::fork() }
}

/// Whether a process that is born into the cgroup with this directory lives: some kernels kill it at once. Only for a
/// process whose children nobody else waits for.
pub fn can_be_born_in(cgroup: BorrowedFd<'_>) -> bool {
    // SAFETY: the child makes one async-signal-safe call, which ends it.
    match unsafe { fork_into(Some(cgroup)) } {
        // SAFETY: ends the process without running any destructor.
        Ok(ForkResult::Child) => unsafe { libc::_exit(0) },
        Ok(ForkResult::Parent { child }) => loop {
            match nix::sys::wait::waitpid(child, None) {
                Err(nix::errno::Errno::EINTR) => {}
                status => return status == Ok(nix::sys::wait::WaitStatus::Exited(child, 0)),
            }
        },
        Err(_) => false,
    }
}

/// `None`: not known yet. `Some(Ok)`: the exec has happened (or the child was killed before it).
pub fn launch_outcome(pipe: &OwnedFd) -> Option<Result<(), LaunchError>> {
    let mut message = [0_u8; 8];
    match nix::unistd::read(pipe, &mut message) {
        Ok(8) => {
            let step = match message[0] {
                1 => Step::User,
                2 => Step::WorkingDirectory,
                3 => Step::ParentGone,
                4 => Step::Exec,
                5 => Step::Late,
                _ => Step::Prepare,
            };
            let errno = i32::from_ne_bytes([message[4], message[5], message[6], message[7]]);
            Some(Err(LaunchError { step, errno }))
        }
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => None,
        Ok(_) | Err(_) => Some(Ok(())),
    }
}

/// Everything between fork and exec. Returns only if it failed.
///
/// # Safety
/// Only for the child of a fork; `arguments` and `environment` end in null.
unsafe fn become_child(
    launch: &Launch,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
    null: RawFd,
    parent: libc::pid_t,
) -> LaunchError {
    let failed = |step| LaunchError { step, errno: nix::errno::Errno::last_raw() };
    // SAFETY: plain system calls on numbers, on C strings that `launch` owns and on zeroed plain structs.
    unsafe {
        libc::close(launch.close);
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if let Some(not_after) = launch.not_after {
            let mut now: libc::timespec = std::mem::zeroed();
            let known = libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) == 0;
            if !known || now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned() >= not_after {
                return failed(Step::Late);
            }
        }
        if libc::setsid() < 0 || libc::dup2(launch.input.unwrap_or(null), 0) < 0 {
            return failed(Step::Prepare);
        }
        if let Some(output) = launch.output
            && (libc::dup2(output, 1) < 0 || libc::dup2(output, 2) < 0)
        {
            return failed(Step::Prepare);
        }
        if let Some(score) = &launch.oom_score_adj {
            let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::write(file, score.as_ptr().cast(), score.as_bytes().len());
                libc::close(file);
            }
        }
        if let Some(identity) = &launch.identity
            // Straight to the kernel: the C library's functions would wait for threads that this child does not have.
            && (libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr()) < 0
                || libc::syscall(libc::SYS_setgid, identity.gid) < 0
                || libc::syscall(libc::SYS_setuid, identity.uid) < 0)
        {
            return failed(Step::User);
        }
        if let Some(directory) = &launch.working_directory
            && libc::chdir(directory.as_ptr()) < 0
        {
            return failed(Step::WorkingDirectory);
        }
        // A change of the uid clears the parent-death signal. A parent that died before this line is seen by getppid.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
            return failed(Step::Prepare);
        }
        if libc::getppid() != parent {
            return failed(Step::ParentGone);
        }
        for fd in [launch.inherit, launch.watchdog].into_iter().flatten() {
            if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                return failed(Step::Prepare);
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        exec(&launch.programs, arguments, environment)
    }
}

/// Tries each program. As execvp does, goes on after "not there" and "not permitted", and remembers the latter.
///
/// # Safety
/// As for [`become_child`].
unsafe fn exec(
    programs: &[CString],
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> LaunchError {
    let mut errno = libc::ENOENT;
    let attempt = |program: &CStr| {
        // SAFETY: a C string and two null-terminated arrays of C strings, all alive.
        unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        nix::errno::Errno::last_raw()
    };
    for program in programs {
        match attempt(program) {
            libc::EACCES => errno = libc::EACCES,
            libc::ENOENT | libc::ENOTDIR => {}
            other => {
                errno = other;
                break;
            }
        }
    }
    LaunchError { step: Step::Exec, errno }
}

/// Sends a signal by number, real-time signals included (nix's enumeration lacks them). False if it was not sent.
pub fn send_signal(pid: Pid, signal: i32) -> bool {
    // Zero and negative numbers would mean whole groups.
    // SAFETY: kill takes two numbers and touches no memory of ours.
    pid.as_raw() > 0 && unsafe { libc::kill(pid.as_raw(), signal) } == 0
}

/// What a watchdog's driver says of itself (`struct watchdog_info` of linux/watchdog.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchdogInfo {
    pub options: u32,
    pub firmware_version: u32,
    pub identity: [u8; 32],
}

impl WatchdogInfo {
    /// Only a `V` before the close stops it: the end of the process that feeds it does not.
    pub const fn has_magic_close(&self) -> bool {
        self.options & 0x0100 != 0
    }
}

/// The letter under which a watchdog's ioctls are numbered.
const WATCHDOG: u32 = b'W' as u32;

/// What the device is; ENOTTY where it is no watchdog.
pub fn watchdog_info(device: BorrowedFd<'_>) -> io::Result<WatchdogInfo> {
    let mut info = WatchdogInfo::default();
    // SAFETY: WDIOC_GETSUPPORT fills in the structure that it is given.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::_IOR::<WatchdogInfo>(WATCHDOG, 0), &raw mut info) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

/// Asks for a time-out in seconds, which also feeds.
pub fn set_watchdog_timeout(device: BorrowedFd<'_>, seconds: i32) -> io::Result<()> {
    let mut seconds: libc::c_int = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads an integer, and writes back what the device made of it.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::_IOWR::<libc::c_int>(WATCHDOG, 6), &raw mut seconds) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The time-out that counts, in seconds.
pub fn watchdog_timeout(device: BorrowedFd<'_>) -> io::Result<i32> {
    let mut seconds: libc::c_int = 0;
    // SAFETY: WDIOC_GETTIMEOUT writes an integer.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::_IOR::<libc::c_int>(WATCHDOG, 7), &raw mut seconds) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(seconds) }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Exited(i32),
    Killed(i32),
}

/// Waits for any child that is dead already. `None`: all of them live; ECHILD: there are none. (nix's waitpid swallows
/// the pid of a child that died of a real-time signal.)
pub fn wait_any() -> nix::Result<Option<(Pid, Death)>> {
    wait(-1)
}

/// The same for one child.
pub fn wait_for(child: Pid) -> nix::Result<Option<Death>> {
    assert!(child.as_raw() > 0, "other numbers mean many");
    Ok(wait(child.as_raw())?.map(|(_, death)| death))
}

fn wait(which: libc::pid_t) -> nix::Result<Option<(Pid, Death)>> {
    let mut status = 0;
    // SAFETY: writes the status into a local integer.
    match unsafe { libc::waitpid(which, &raw mut status, libc::WNOHANG | libc::__WALL) } {
        0 => Ok(None),
        pid if pid < 0 => Err(nix::errno::Errno::last()),
        pid if libc::WIFSIGNALED(status) => Ok(Some((Pid::from_raw(pid), Death::Killed(libc::WTERMSIG(status))))),
        pid => Ok(Some((Pid::from_raw(pid), Death::Exited(libc::WEXITSTATUS(status))))),
    }
}

/// ECHILD: this process has no child at all, alive or dead. Nobody is waited for.
pub fn has_children() -> nix::Result<()> {
    // SAFETY: a structure of integers and a pointer that is not looked at.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: writes into the local structure.
    let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut found, flags) };
    nix::errno::Errno::result(done).map(drop)
}

/// From linux/ioprio.h: of this process, the class that gets what nobody else wants of the disk.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_IDLE: libc::c_int = 3 << 13;

/// Of the processor it gets a tenth of what others get: with nothing but leftovers a busy host would keep it for minutes.
const NICE: libc::c_int = 10;

/// Takes of the disk only what is left over, and of the processor little. Where that is refused it runs as others do.
pub fn run_modestly() {
    // SAFETY: sets a number of this thread's.
    unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) };
    // SAFETY: sets another one.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// How many of a file's first bytes are in the page cache. Looking brings in nothing. Of a file that this process may not
/// write the kernel says that all are (mincore(2)).
pub fn resident(file: BorrowedFd<'_>, bytes: u64) -> io::Result<u64> {
    const PAGE: usize = 4096;
    let Some(length) = usize::try_from(bytes).ok().and_then(std::num::NonZeroUsize::new) else { return Ok(0) };
    let (protection, flags) = (nix::sys::mman::ProtFlags::PROT_NONE, nix::sys::mman::MapFlags::MAP_SHARED);
    // SAFETY: a new mapping, at a place that the kernel chooses; nobody reads through it.
    let mapping = unsafe { nix::sys::mman::mmap(None, length, protection, flags, file, 0) }?;
    // A page may be larger than this: then fewer bytes are written.
    let mut pages = vec![0_u8; length.get().div_ceil(PAGE)];
    // SAFETY: the mapping is as long as is said, and there is a byte for each of its pages.
    let looked = unsafe { libc::mincore(mapping.as_ptr(), length.get(), pages.as_mut_ptr()) };
    let outcome = if looked < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the mapping of above, of which nothing is in use.
    unsafe { nix::sys::mman::munmap(mapping, length.get()) }?;
    outcome?;
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(PAGE);
    let resident = pages[..length.get().div_ceil(page)].iter().filter(|page| **page & 1 != 0).count();
    Ok((resident as u64 * page as u64).min(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_born_after_its_time_executes_nothing() {
        for (not_after, expected) in [(1, Err(Step::Late)), (u64::MAX, Ok(()))] {
            let order = Launch {
                programs: vec![c"/bin/true".to_owned()],
                arguments: vec![c"true".to_owned()],
                environment: Vec::new(),
                working_directory: None,
                identity: None,
                inherit: None,
                watchdog: None,
                input: None,
                output: None,
                close: -1,
                oom_score_adj: None,
                not_after: Some(not_after),
            };
            let (child, outcome) = launch(&order, None).unwrap();
            nix::sys::wait::waitpid(child, None).unwrap();
            assert_eq!(launch_outcome(&outcome).unwrap().map_err(|error| error.step), expected);
        }
    }
}
