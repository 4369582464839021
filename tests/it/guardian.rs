//! A real guardian over a real socketpair, with real coordinators, locks and mounts.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use primacy::clock;
use primacy::guardian::frames::{read_frame, write_frame};
use primacy::guardian::protocol::{
    ExitStatus, GUARDIAN_FD, Order, Record, Report, Settings, Testament, VolumeView, ZooKeeperAccess,
};
use primacy::processes::{Stat, boot_id, host_id, lives};
use tempfile::TempDir;

/// Generous: only a failure takes that long.
const LIMIT: Duration = Duration::from_secs(30);
const FAR: Duration = Duration::from_secs(600);

/// A guardian and this end of its socketpair.
struct Guardian {
    child: Child,
    stream: Option<UnixStream>,
    reports: Receiver<Report>,
    /// What came while something else was waited for.
    passed: Vec<Report>,
}

impl Guardian {
    fn spawn() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
        command.arg("guardian");
        Self::spawned_by(command)
    }

    /// By a command that becomes a guardian.
    fn spawned_by(mut command: Command) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(GUARDIAN_FD, 0, "the guardian finds its socket as its standard input");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        drop(command);
        let (sender, reports) = channel();
        let mut reader = ours.try_clone().unwrap();
        std::thread::spawn(move || {
            while let Ok(Some(report)) = read_frame(&mut reader) {
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        Self { child, stream: Some(ours), reports, passed: Vec::new() }
    }

    fn configured(settings: &Settings) -> Self {
        Self::spawn().with(settings)
    }

    fn with(self, settings: &Settings) -> Self {
        let mut guardian = self;
        guardian.order(Order::Configure(Box::new(settings.clone())));
        guardian.expect(|report| matches!(report, Report::Ready { .. }).then_some(()));
        guardian
    }

    /// Holds the lock and has written the record of this epoch.
    fn leading(settings: &Settings, epoch: u64) -> Self {
        let mut guardian = Self::configured(settings);
        guardian.acquire(None);
        guardian.write_record(settings, epoch);
        guardian
    }

    fn running(settings: &Settings) -> (Self, i32) {
        let mut guardian = Self::leading(settings, 1);
        let pid = guardian.start(1);
        (guardian, pid)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn order(&mut self, order: Order) {
        write_frame(self.stream.as_mut().unwrap(), &order).unwrap();
    }

    fn acquire(&mut self, expected_volume: Option<String>) -> (String, Option<Record>) {
        self.order(Order::AcquireLock { expected_volume, patient: false });
        self.expect(|report| match report {
            Report::LockAcquired { volume, record } => Some((volume.clone(), record.clone())),
            Report::VolumeUnusable { problem } => panic!("{problem}"),
            _ => None,
        })
    }

    fn write_record(&mut self, settings: &Settings, epoch: u64) {
        let record = record_of(settings, self.pid(), epoch);
        self.order(Order::WriteRecord(record));
        self.expect(|report| (*report == Report::RecordWritten { epoch }).then_some(()));
    }

    fn start(&mut self, epoch: u64) -> i32 {
        self.order(Order::Start { epoch, deadline: clock::now() + FAR });
        self.expect(|report| match report {
            Report::Started { pid, .. } => Some(*pid),
            Report::StartFailed { problem } => panic!("{problem}"),
            _ => None,
        })
    }

    fn start_failure(&mut self, epoch: u64) -> String {
        self.order(Order::Start { epoch, deadline: clock::now() + FAR });
        self.expect(|report| match report {
            Report::StartFailed { problem } => Some(problem.clone()),
            Report::Started { .. } => panic!("started"),
            _ => None,
        })
    }

    /// The first report that `wanted` has an answer for.
    fn expect<T>(&mut self, wanted: impl Fn(&Report) -> Option<T>) -> T {
        let until = clock::now() + LIMIT;
        loop {
            // Probes are reported all the time, so the limit is for all of it.
            match self.reports.recv_timeout(until.since(clock::now())) {
                Ok(report) => match wanted(&report) {
                    Some(found) => return found,
                    None => self.passed.push(report),
                },
                Err(RecvTimeoutError::Timeout) => panic!("did not come; before: {:#?}", self.passed),
                Err(RecvTimeoutError::Disconnected) => panic!("guardian ended; before: {:#?}", self.passed),
            }
        }
    }

    fn expect_report(&mut self, report: &Report) {
        self.expect(|other| (other == report).then_some(()));
    }

    fn unusable(&mut self) -> String {
        self.expect(|report| match report {
            Report::VolumeUnusable { problem } => Some(problem.clone()),
            Report::LockAcquired { .. } => panic!("acquired"),
            _ => None,
        })
    }

    fn lost(&mut self) -> String {
        self.expect(|report| match report {
            Report::VolumeLost { problem } => Some(problem.clone()),
            _ => None,
        })
    }

    /// All that comes until the guardian has ended.
    fn until_end(mut self) -> Vec<Report> {
        let mut seen = std::mem::take(&mut self.passed);
        let until = clock::now() + LIMIT;
        loop {
            match self.reports.recv_timeout(until.since(clock::now())) {
                Ok(report) => seen.push(report),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the guardian does not end; before: {seen:#?}"),
            }
        }
        let child = &mut self.child;
        wait_for("the guardian's end", || child.try_wait().unwrap());
        seen
    }

    fn hang_up(&mut self) {
        let stream = self.stream.take().unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // A guardian that sees its supervisor's end clears its tree away.
        if let Some(stream) = self.stream.take() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let began = clock::now();
        while clock::now().since(began) < Duration::from_secs(5) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of a test that must not outlive it.
struct Reaped(i32);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = clock::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(clock::now().since(began) < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn wait_for_death(pid: i32) {
    wait_for("a process's death", || (!lives(pid, 0)).then_some(()));
}

/// The first line of a file that a shell writes, once it is whole.
fn line_in(path: &Path) -> String {
    wait_for("a file", || {
        let text = fs::read_to_string(path).ok()?;
        text.split_once('\n').map(|(line, _)| line.to_owned())
    })
}

fn pid_in(path: &Path) -> i32 {
    line_in(path).parse().unwrap()
}

fn settings(directory: &Path, script: &str) -> Settings {
    Settings {
        cluster: "test".to_owned(),
        node: "node-a".to_owned(),
        lock_directory: directory.join("volume"),
        probe_interval: Duration::from_millis(50),
        probe_timeout: LIMIT,
        min_free_space: 0,
        command: ["/bin/bash", "-c", script].map(str::to_owned).to_vec(),
        forking: false,
        working_directory: None,
        environment: [("DIR".to_owned(), directory.to_str().unwrap().to_owned())].into(),
        user: None,
        stop_signal: Signal::SIGTERM as i32,
        stop_timeout: LIMIT,
        before_kill: Vec::new(),
    }
}

fn record_of(settings: &Settings, pid: i32, epoch: u64) -> Record {
    Record {
        node: settings.node.clone(),
        host: host_id(),
        host_id: host_id(),
        boot_id: boot_id(),
        pid,
        pid_started: Stat::of(pid).unwrap().started,
        epoch,
        since: clock::timestamp(),
        ended: None,
    }
}

fn lock_path(settings: &Settings) -> PathBuf {
    settings.lock_directory.join("coordinator.lock")
}

/// Whether somebody has the lock, asked as another candidate would.
#[expect(clippy::cast_possible_truncation, reason = "the constants are 0 and 1; the C structure has them as short")]
fn is_locked(settings: &Settings) -> bool {
    let file = fs::OpenOptions::new().read(true).write(true).open(lock_path(settings)).unwrap();
    let range = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => false,
        Err(nix::errno::Errno::EAGAIN) => true,
        Err(error) => panic!("{error}"),
    }
}

fn record_on(settings: &Settings) -> Record {
    serde_json::from_slice(&fs::read(lock_path(settings)).unwrap()).unwrap()
}

/// Runs beside the main process, in a session of its own, its parent gone, deaf to SIGTERM and SIGHUP.
const DAEMON: &str = r#"(setsid bash -c 'trap "" TERM HUP; echo $$ > $DIR/daemon; while :; do sleep 1000; done' &)"#;

#[test]
fn a_coordinator_is_started_and_stopped_and_the_lock_outlives_it() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(
        directory.path(),
        "echo $PRIMACY_CLUSTER $PRIMACY_NODE $PRIMACY_EPOCH $PRIMACY_LOCK_FD $PWD $(ulimit -a >/dev/null; cat /proc/$$/status | grep SigBlk | cut -f2) > $DIR/out; exec sleep 1000",
    );
    settings.working_directory = Some(PathBuf::from("/usr"));
    let mut guardian = Guardian::leading(&settings, 7);
    guardian.order(Order::Start { epoch: 7, deadline: clock::now() + FAR });
    let pid = guardian.expect(|report| match report {
        Report::Started { pid, holds_lock } => {
            assert!(holds_lock);
            Some(*pid)
        }
        _ => None,
    });
    let out = line_in(&directory.path().join("out"));
    let words: Vec<&str> = out.split(' ').collect();
    assert_eq!(words[..3], ["test", "node-a", "7"]);
    assert!(fs::read_link(format!("/proc/{pid}/fd/{}", words[3])).unwrap().ends_with("volume/coordinator.lock"));
    assert_eq!(words[4], "/usr");
    assert_eq!(nix::unistd::getpgid(Some(Pid::from_raw(pid))).unwrap().as_raw(), pid);
    assert_eq!(nix::unistd::getsid(Some(Pid::from_raw(pid))).unwrap().as_raw(), pid);
    guardian.order(Order::Stop);
    guardian.expect(|report| match report {
        Report::Exited { .. } => panic!("a stop is not an exit by itself"),
        Report::TreeDead => Some(()),
        _ => None,
    });
    assert!(!lives(pid, 0));
    assert!(is_locked(&settings));
    guardian.order(Order::CloseLock { cause: "stopped".to_owned() });
    guardian.expect_report(&Report::LockClosed);
    assert!(!is_locked(&settings));
    assert_eq!(record_on(&settings).ended.unwrap().cause, "stopped");
}

#[test]
fn signals_are_at_their_defaults_in_the_coordinator() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec grep -E '^Sig(Blk|Ign)' /proc/self/status > $DIR/out");
    let (mut guardian, _) = Guardian::running(&settings);
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(0) });
    for line in fs::read_to_string(directory.path().join("out")).unwrap().lines() {
        let mask = u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
        // 32 and 33 are the C library's own: it lets nobody change them.
        assert_eq!(mask & !(0b11 << 31), 0, "{line}");
    }
}

#[test]
fn the_coordinator_inherits_the_lock_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut command = Command::new("/bin/sh");
    // As from a service manager or a shell that leaves descriptors open.
    command.args(["-c", "exec 7</etc/passwd; exec $0 guardian", env!("CARGO_BIN_EXE_primacy")]);
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    let pid = guardian.start(1);
    let others = || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        Some(targets.filter(|target| *target != lock_path(&settings)).collect::<Vec<PathBuf>>())
    };
    // A program that starts opens its libraries for a moment.
    wait_for("a coordinator with standard input, output and error only", || {
        others().filter(|others| others.len() == 3)
    });
    assert!(!others().unwrap().contains(&PathBuf::from("/etc/passwd")));
}

#[test]
fn an_exit_is_reported_and_the_rest_of_the_tree_is_killed() {
    let directory = TempDir::new().unwrap();
    let settings =
        settings(directory.path(), &format!("{DAEMON}; until [ -s $DIR/daemon ]; do sleep 0.01; done; exit 5"));
    let (mut guardian, _) = Guardian::running(&settings);
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(5) });
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(pid_in(&directory.path().join("daemon")), 0));
    let second = guardian.start(1);
    assert!(second > 0, "after the tree's death the same leadership may start it again");
}

#[test]
fn a_daemonised_grandchild_is_killed_too() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.order(Order::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0) && !lives(daemon, 0));
    assert!(is_locked(&settings));
}

#[test]
fn a_tree_that_forks_all_the_time_is_killed() {
    let directory = TempDir::new().unwrap();
    let script = directory.path().join("chain");
    // Each one starts its successor in a session of its own and leaves.
    fs::write(&script, "#!/bin/bash\necho $$ >> $DIR/chain.pids\n[ $(wc -l < $DIR/chain.pids) -gt 3000 ] && exit\nsetsid $DIR/chain & exit\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = settings(directory.path(), "$DIR/chain & $DIR/chain & exec sleep 1000");
    let (mut guardian, _) = Guardian::running(&settings);
    let pids = directory.path().join("chain.pids");
    let count = || fs::read_to_string(&pids).map_or(0, |text| text.lines().count());
    wait_for("a few links", || (count() > 10).then_some(()));
    guardian.order(Order::Kill);
    guardian.expect_report(&Report::TreeDead);
    let text = fs::read_to_string(&pids).unwrap();
    assert!(text.lines().count() < 3000, "it must be killed, not end by itself");
    assert!(
        text.lines()
            .all(|pid| pid.parse().is_ok_and(|pid| !lives(pid, 0) || Stat::of(pid).unwrap().command != "chain"))
    );
}

#[test]
fn a_frozen_coordinator_is_killed() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    for pid in [main, daemon] {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    guardian.order(Order::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0) && !lives(daemon, 0));
}

#[test]
fn a_coordinator_that_ignores_the_stop_signal_is_killed_after_before_kill_has_seen_it() {
    let directory = TempDir::new().unwrap();
    let mut settings =
        settings(directory.path(), "trap '' TERM; echo ready > $DIR/ready; while :; do sleep 1000; done");
    settings.stop_timeout = Duration::from_millis(100);
    settings.before_kill = ["/bin/bash", "-c", "echo $PRIMACY_PID > $DIR/asked"].map(str::to_owned).to_vec();
    let (mut guardian, main) = Guardian::running(&settings);
    line_in(&directory.path().join("ready"));
    guardian.order(Order::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert_eq!(pid_in(&directory.path().join("asked")), main);
    assert!(!lives(main, 0));
}

#[test]
fn a_forking_coordinator_lives_as_long_as_its_tree() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(
        directory.path(),
        "(setsid bash -c 'echo $$ > $DIR/daemon; until [ -e $DIR/go ]; do sleep 0.01; done' &); exit 3",
    );
    settings.forking = true;
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    wait_for_death(main);
    guardian.order(Order::Ping { number: 1 });
    guardian.expect(|report| match report {
        Report::Exited { .. } | Report::TreeDead => panic!("{report:?}"),
        Report::Pong { number: 1 } => Some(()),
        _ => None,
    });
    assert!(lives(daemon, 0));
    fs::write(directory.path().join("go"), "").unwrap();
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(3) });
    guardian.expect_report(&Report::TreeDead);

    fs::remove_file(directory.path().join("go")).unwrap();
    fs::remove_file(directory.path().join("daemon")).unwrap();
    guardian.start(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.order(Order::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(daemon, 0));
}

#[test]
fn the_deadline_kills_without_any_message() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    let deadline = clock::now() + Duration::from_millis(200);
    guardian.order(Order::SetDeadline { deadline });
    let seen = guardian.until_end();
    assert!(clock::now() >= deadline);
    assert!(!lives(main, 0) && !lives(daemon, 0));
    assert!(!is_locked(&settings));
    let order: Vec<&Report> = seen
        .iter()
        .filter(|report| {
            matches!(report, Report::TreeDead | Report::LockClosed | Report::Fenced { .. } | Report::Exited { .. })
        })
        .collect();
    assert_eq!(order, [&Report::TreeDead, &Report::LockClosed, &Report::Fenced { deadline }]);
    assert_eq!(record_on(&settings).ended.unwrap().cause, "lease_expired");
}

#[test]
fn a_later_deadline_replaces_the_former() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    let first = clock::now() + Duration::from_millis(300);
    guardian.order(Order::SetDeadline { deadline: first });
    guardian.order(Order::SetDeadline { deadline: clock::now() + FAR });
    wait_for("the first deadline", || (clock::now() > first + Duration::from_millis(100)).then_some(()));
    guardian.order(Order::Ping { number: 2 });
    guardian.expect_report(&Report::Pong { number: 2 });
    assert!(lives(main, 0));
}

#[test]
fn a_guardian_that_was_frozen_over_the_deadline_kills_when_it_thaws() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    let deadline = clock::now() + Duration::from_millis(200);
    guardian.order(Order::SetDeadline { deadline });
    guardian.order(Order::Ping { number: 3 });
    guardian.expect_report(&Report::Pong { number: 3 });
    let pid = Pid::from_raw(guardian.pid());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_for("the deadline", || (clock::now() > deadline).then_some(()));
    assert!(lives(main, 0));
    // A renewal that arrives after the deadline is too late.
    guardian.order(Order::SetDeadline { deadline: clock::now() + FAR });
    kill(pid, Signal::SIGCONT).unwrap();
    let seen = guardian.until_end();
    assert!(seen.contains(&Report::Fenced { deadline }));
    assert!(!lives(main, 0));
}

#[test]
fn the_end_of_the_supervisor_is_the_end_of_the_tree() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.hang_up();
    guardian.until_end();
    assert!(!lives(main, 0) && !lives(daemon, 0));
    assert!(!is_locked(&settings));
    assert_eq!(record_on(&settings).ended.unwrap().cause, "supervisor_lost");
}

#[test]
fn an_idle_guardian_ends_with_its_supervisor() {
    let directory = TempDir::new().unwrap();
    let mut guardian = Guardian::configured(&settings(directory.path(), "exit"));
    guardian.hang_up();
    guardian.until_end();
}

#[test]
fn signals_for_the_whole_service_leave_the_guardian_at_work() {
    let directory = TempDir::new().unwrap();
    let (mut guardian, main) = Guardian::running(&settings(directory.path(), "exec sleep 1000"));
    let pid = Pid::from_raw(guardian.pid());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGQUIT] {
        kill(pid, signal).unwrap();
    }
    guardian.order(Order::Ping { number: 4 });
    guardian.expect_report(&Report::Pong { number: 4 });
    assert!(lives(main, 0));
    assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid, "a session of its own");
}

#[test]
fn what_is_no_order_ends_in_a_kill() {
    for garbage in [b"\xff\xff\xff\xff".as_slice(), b"\0\0\0\x04oops", b"\0\0\0\x0b\"self-harm\""] {
        let directory = TempDir::new().unwrap();
        let settings = settings(directory.path(), "exec sleep 1000");
        let (mut guardian, main) = Guardian::running(&settings);
        guardian.stream.as_mut().unwrap().write_all(garbage).unwrap();
        guardian.until_end();
        assert!(!lives(main, 0));
        assert!(!is_locked(&settings));
    }
}

#[test]
fn a_killed_guardian_takes_the_main_process_with_it() {
    let directory = TempDir::new().unwrap();
    let (mut guardian, main) = Guardian::running(&settings(directory.path(), "exec sleep 1000"));
    guardian.child.kill().unwrap();
    wait_for_death(main);
}

#[test]
fn what_a_killed_guardian_leaves_keeps_the_lock_until_the_next_one_of_that_node_clears_it() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    let _reaped = Reaped(daemon);
    guardian.child.kill().unwrap();
    guardian.child.wait().unwrap();
    wait_for_death(main);
    assert!(lives(daemon, 0));
    assert!(is_locked(&settings), "the lock lives as long as the tree");

    let other = Settings { node: "node-b".to_owned(), ..settings.clone() };
    let mut other = Guardian::configured(&other);
    other.order(Order::AcquireLock { expected_volume: None, patient: true });
    let holder = other.expect(|report| match report {
        Report::LockRefused { holder } => holder.clone(),
        _ => None,
    });
    assert_eq!((holder.node.as_str(), holder.epoch), ("node-a", 1));
    assert!(lives(daemon, 0), "another node must not touch it");
    drop(other);

    let mut next = Guardian::configured(&settings);
    next.acquire(None);
    wait_for_death(daemon);
}

#[test]
fn a_living_holder_is_named_and_its_death_hands_the_lock_over() {
    let directory = TempDir::new().unwrap();
    let first = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&first);
    for patient in [false, true] {
        let second = Settings { node: if patient { "node-c" } else { "node-b" }.to_owned(), ..first.clone() };
        let mut waiting = Guardian::configured(&second);
        waiting.order(Order::AcquireLock { expected_volume: None, patient });
        let holder = waiting.expect(|report| match report {
            Report::LockRefused { holder } => holder.clone(),
            _ => None,
        });
        assert_eq!(holder.node, "node-a");
        assert!(lives(main, 0));
        if patient {
            guardian.hang_up();
            waiting.expect(|report| matches!(report, Report::LockAcquired { .. }).then_some(()));
            assert!(!lives(main, 0));
        }
    }
}

#[test]
fn a_coordinator_that_closes_the_lock_is_reported() {
    let directory = TempDir::new().unwrap();
    let script = "exec {PRIMACY_LOCK_FD}>&-; echo closed > $DIR/closed; while :; do sleep 1000; done";
    let mut guardian = Guardian::leading(&settings(directory.path(), script), 1);
    guardian.order(Order::Start { epoch: 1, deadline: clock::now() + FAR });
    // At once, if it was quicker than the guardian's look; else later.
    guardian.expect(|report| match report {
        Report::Started { holds_lock, .. } | Report::HoldsLock { holds_lock } => (!holds_lock).then_some(()),
        _ => None,
    });
    line_in(&directory.path().join("closed"));
}

#[test]
fn each_failure_to_start_is_explained() {
    let directory = TempDir::new().unwrap();
    let plain = directory.path().join("plain");
    fs::write(&plain, "text").unwrap();
    let base = settings(directory.path(), "exit");
    let command = |program: &str| Settings { command: vec![program.to_owned()], ..base.clone() };
    let nowhere = Some(directory.path().join("nowhere"));
    for (settings, words) in [
        (command("/nonexistent/program"), ["/nonexistent/program", "No such file"]),
        (command("no-such-program"), ["no-such-program", "No such file"]),
        (command(plain.to_str().unwrap()), ["executable", "Permission denied"]),
        (Settings { working_directory: nowhere, ..base.clone() }, ["working_directory", "No such file"]),
        (Settings { user: Some("no-such-user".to_owned()), ..base.clone() }, ["no-such-user", "does not exist"]),
    ] {
        let mut guardian = Guardian::leading(&settings, 1);
        let problem = guardian.start_failure(1);
        assert!(words.iter().all(|word| problem.contains(word)), "{problem}");
        assert!(is_locked(&settings));
        guardian.order(Order::CloseLock { cause: "start_failed".to_owned() });
        guardian.expect_report(&Report::LockClosed);
    }
}

#[test]
fn a_program_is_found_by_its_name() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(directory.path(), "");
    settings.command = ["sleep", "1000"].map(str::to_owned).to_vec();
    let (_guardian, pid) = Guardian::running(&settings);
    assert_eq!(Stat::of(pid).unwrap().command, "sleep");
}

#[test]
fn nothing_starts_without_lock_record_and_lease() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::configured(&settings);
    assert!(guardian.start_failure(1).contains("lock is not held"));
    guardian.order(Order::SetDeadline { deadline: clock::now() + FAR });
    guardian.acquire(None);
    assert!(guardian.start_failure(1).contains("record of epoch 1"));
    guardian.write_record(&settings, 2);
    assert!(guardian.start_failure(1).contains("record of epoch 1"));
    guardian.start(2);
    assert!(guardian.start_failure(2).contains("still live"));
}

#[test]
fn a_start_after_the_deadline_is_refused() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    guardian.order(Order::Start { epoch: 1, deadline: clock::now() });
    guardian.expect(|report| match report {
        Report::StartFailed { problem } => {
            assert!(problem.contains("lease"), "{problem}");
            Some(())
        }
        Report::Started { .. } => panic!("started"),
        _ => None,
    });
    guardian.until_end();
}

#[test]
fn the_coordinator_runs_as_its_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut settings = settings(
        directory.path(),
        "echo $(id -un) $(id -gn) $(id -Gn) $USER $LOGNAME $HOME > $DIR/out; exec sleep 1000",
    );
    settings.user = Some("nobody".to_owned());
    let (mut guardian, pid) = Guardian::running(&settings);
    let home = nix::unistd::User::from_name("nobody").unwrap().unwrap().dir;
    assert_eq!(
        line_in(&directory.path().join("out")),
        format!("nobody nogroup nogroup nobody nobody {}", home.display())
    );
    guardian.child.kill().unwrap();
    wait_for_death(pid);
}

#[test]
fn a_deleted_or_replaced_lock_file_is_a_lost_lock() {
    for replace in [false, true] {
        let directory = TempDir::new().unwrap();
        let settings = settings(directory.path(), "exec sleep 1000");
        let (mut guardian, _) = Guardian::running(&settings);
        guardian.expect(|report| matches!(report, Report::Probed { .. }).then_some(()));
        fs::remove_file(lock_path(&settings)).unwrap();
        if replace {
            fs::write(lock_path(&settings), "").unwrap();
        }
        let problem = guardian.lost();
        assert!(problem.contains("deleted, replaced"), "{problem}");
        guardian.order(Order::Kill);
        guardian.expect_report(&Report::TreeDead);
        assert!(guardian.start_failure(1).contains("lost"));
    }
}

#[test]
fn another_volume_under_a_held_lock_is_a_lost_lock() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, _) = Guardian::running(&settings);
    fs::write(settings.lock_directory.join("volume.json"), "{\"id\":\"other\"}").unwrap();
    assert!(guardian.lost().contains("foreign"));
}

#[test]
fn a_volume_that_is_not_the_clusters_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::configured(&settings);
    let view = guardian.expect(view_in);
    assert!(view.missing && view.problem.unwrap().contains("does not exist"));
    let expected = Some("the-clusters".to_owned());
    guardian.order(Order::AcquireLock { expected_volume: expected.clone(), patient: false });
    assert!(guardian.unusable().contains("does not exist"));
    assert!(!settings.lock_directory.exists(), "an unmounted mount point stays as it is");
    fs::create_dir(&settings.lock_directory).unwrap();
    guardian.order(Order::AcquireLock { expected_volume: expected.clone(), patient: false });
    assert!(guardian.unusable().contains("is the volume mounted?"));
    fs::write(settings.lock_directory.join("volume.json"), "{\"id\":\"other\"}").unwrap();
    guardian.order(Order::AcquireLock { expected_volume: expected, patient: false });
    assert!(guardian.unusable().contains("foreign"));
    guardian
        .expect(|report| view_in(report).filter(|view| view.id.as_deref() == Some("other") && view.problem.is_none()));
    let (volume, _) = guardian.acquire(Some("other".to_owned()));
    assert_eq!(volume, "other");
}

fn view_in(report: &Report) -> Option<VolumeView> {
    if let Report::Volume(view) = report { Some(view.clone()) } else { None }
}

/// A small file system of its own; `None` where mounting is not permitted.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status().unwrap();
        mounted.success().then(|| Self(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        assert!(Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_volume_is_named() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    let Some(volume) = Mounted::tmpfs(&settings.lock_directory, "size=64k") else { return };
    volume.remount("remount,ro");
    let mut guardian = Guardian::configured(&settings);
    let view = guardian.expect(view_in);
    assert_eq!(view.file_system.as_deref(), Some("tmpfs"));
    assert!(view.problem.unwrap().contains("read-only"));
    assert!(view.warnings.iter().any(|warning| warning.contains("not nfs4")));
    guardian.order(Order::AcquireLock { expected_volume: None, patient: false });
    let problem = guardian.unusable();
    assert!(problem.contains("read-only"), "{problem}");
}

#[test]
fn a_full_volume_is_named() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(directory.path(), "exit");
    settings.min_free_space = 1 << 20;
    let Some(_volume) = Mounted::tmpfs(&settings.lock_directory, "size=64k") else { return };
    let mut guardian = Guardian::configured(&settings);
    let view = guardian.expect(view_in);
    assert!(view.warnings.iter().any(|warning| warning.contains("min_free_space")), "{view:?}");
    guardian.acquire(None);
    let mut filler = fs::File::create(settings.lock_directory.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let record = record_of(&settings, guardian.pid(), 1);
    guardian.order(Order::WriteRecord(record));
    guardian.expect(|report| match report {
        Report::VolumeUnusable { problem } | Report::VolumeLost { problem } => {
            assert!(problem.contains("full"), "{problem}");
            Some(())
        }
        Report::RecordWritten { .. } => panic!("written"),
        _ => None,
    });
}

#[test]
fn a_guardian_is_small() {
    let directory = TempDir::new().unwrap();
    let (guardian, _) = Guardian::running(&settings(directory.path(), "exec sleep 1000"));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", guardian.pid())).unwrap();
    let pss = rollup.lines().find(|line| line.starts_with("Pss_Anon:")).unwrap();
    let kib: u64 = pss.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    // Private memory; what the binary itself takes is shared with the supervisor. Of 8 MiB for both.
    assert!(kib < 3 * 1024, "{rollup}");
}

#[test]
fn the_testament_is_executed_only_after_the_lock_is_closed() {
    use zookeeper_client::{Acls, Client, CreateMode};

    let server = crate::zookeeper::Server::shared();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.address()).await.unwrap();
        let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
        // A breadcrumb that is still ours, one that another leadership has taken, and none.
        for (name, expected_version) in [("ours", Some(0)), ("taken", Some(7)), ("none", None)] {
            let root = format!("/testament-{name}");
            client.mkdir(&format!("{root}/election"), &persistent).await.unwrap();
            let (node, crumb) = (format!("{root}/election/latch-0"), format!("{root}/active"));
            // By the session of a supervisor that is frozen: it lives on.
            client.create(&node, b"node-a", &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
            client.create(&crumb, b"dirty", &persistent).await.unwrap();

            let directory = TempDir::new().unwrap();
            let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
            let (mut guardian, main) = Guardian::running(&settings);
            guardian.order(Order::Testament(Some(Testament {
                zookeeper: ZooKeeperAccess {
                    servers: server.address(),
                    session_timeout: Duration::from_secs(4),
                    digest: None,
                    tls: None,
                },
                election_node: node.clone(),
                breadcrumb: expected_version.map(|version| (crumb.clone(), version, "clean".to_owned())),
                also_delete: vec![format!("{root}/never-there")],
            })));
            let deleted = client.check_and_watch_stat(&node).await.unwrap();
            assert!(deleted.0.is_some());
            let killed = clock::now();
            guardian.hang_up();
            tokio::time::timeout(LIMIT, deleted.1.changed()).await.expect("the election node is deleted");
            eprintln!("{name}: deleted {:?} after the supervisor's end", clock::now().since(killed));
            assert!(!lives(main, 0));
            assert!(!is_locked(&settings), "the lock is closed before");
            guardian.until_end();
            let (content, _) = client.get_data(&crumb).await.unwrap();
            assert_eq!(content, if name == "ours" { b"clean".as_slice() } else { b"dirty" });
        }
    });
}

#[test]
fn a_testament_that_cannot_be_executed_does_not_keep_the_guardian_for_ever() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    guardian.order(Order::Testament(Some(Testament {
        zookeeper: ZooKeeperAccess {
            servers: format!("127.0.0.1:{}", crate::zookeeper::free_port()),
            session_timeout: Duration::from_millis(300),
            digest: None,
            tls: None,
        },
        election_node: "/election/latch-0".to_owned(),
        breadcrumb: None,
        also_delete: Vec::new(),
    })));
    guardian.hang_up();
    guardian.until_end();
    assert!(!lives(main, 0));
    assert!(!is_locked(&settings));
}

/// An ext4 of its own that can be frozen: what writes to it hangs until it thaws, as on a file server that is away.
struct Freezable {
    mounted: Mounted,
    frozen: bool,
}

impl Freezable {
    fn new(at: &Path, image: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
        let quiet = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let mounted = quiet(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
            && quiet(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        mounted.then(|| Self { mounted: Mounted(at.to_owned()), frozen: false })
    }

    fn freeze(&mut self, frozen: bool) {
        let flag = if frozen { "--freeze" } else { "--unfreeze" };
        assert!(Command::new("fsfreeze").arg(flag).arg(&self.mounted.0).status().unwrap().success());
        self.frozen = frozen;
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        if self.frozen {
            let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.mounted.0).status();
        }
    }
}

#[test]
fn a_volume_that_hangs_is_lost_and_keeps_nobody_from_killing() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    settings.probe_timeout = Duration::from_millis(200);
    let Some(mut volume) = Freezable::new(&settings.lock_directory, &directory.path().join("image")) else { return };
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.expect(|report| matches!(report, Report::Probed { .. }).then_some(()));
    volume.freeze(true);
    assert!(guardian.lost().contains("has not answered"));
    guardian.order(Order::Ping { number: 5 });
    guardian.expect_report(&Report::Pong { number: 5 });
    guardian.order(Order::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0) && !lives(daemon, 0));
    guardian.order(Order::CloseLock { cause: "volume_lost".to_owned() });
    guardian.expect(|report| match report {
        Report::LockClosed => panic!("closed on a volume that hangs"),
        Report::Note { text, .. } => text.contains("closing the lock waits").then_some(()),
        _ => None,
    });
    guardian.order(Order::Ping { number: 6 });
    guardian.expect_report(&Report::Pong { number: 6 });
    volume.freeze(false);
    guardian.expect_report(&Report::LockClosed);
}

#[test]
fn the_deadline_kills_while_the_volume_hangs() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let Some(mut volume) = Freezable::new(&settings.lock_directory, &directory.path().join("image")) else { return };
    let (mut guardian, main) = Guardian::running(&settings);
    volume.freeze(true);
    guardian.order(Order::SetDeadline { deadline: clock::now() + Duration::from_millis(200) });
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0));
    volume.freeze(false);
    let seen = guardian.until_end();
    assert!(seen.iter().any(|report| matches!(report, Report::Fenced { .. })));
    assert!(!is_locked(&settings));
}

#[test]
fn a_cgroup_of_its_own_is_used_and_removed() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let Some(root) = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next().filter(|_| fields.next() == Some("cgroup2"))
    }) else {
        return;
    };
    let group = Path::new(root).join(format!("primacy-test-{}", std::process::id()));
    if fs::create_dir(&group).is_err() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg("echo $$ > $0/cgroup.procs && exec $1 guardian")
        .arg(&group)
        .arg(env!("CARGO_BIN_EXE_primacy"));
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    guardian.start(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    let membership = fs::read_to_string(format!("/proc/{daemon}/cgroup")).unwrap();
    let own = format!("/primacy-{}", guardian.pid());
    assert!(membership.lines().any(|line| line.starts_with("0::") && line.ends_with(&own)), "{membership}");
    guardian.order(Order::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(daemon, 0));
    guardian.hang_up();
    guardian.until_end();
    // Fails if the guardian left its directory there.
    fs::remove_dir(&group).unwrap();
}

#[test]
fn a_before_kill_that_cannot_be_run_is_explained_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let mut settings =
        settings(directory.path(), "trap '' TERM; echo ready > $DIR/ready; while :; do sleep 1000; done");
    settings.stop_timeout = Duration::from_millis(50);
    settings.before_kill = vec!["/nonexistent/hook".to_owned()];
    let (mut guardian, _) = Guardian::running(&settings);
    line_in(&directory.path().join("ready"));
    guardian.order(Order::Stop);
    guardian.expect(|report| match report {
        Report::Note { text, .. } => text.contains("/nonexistent/hook").then_some(()),
        Report::TreeDead => panic!("not explained"),
        _ => None,
    });
    guardian.expect_report(&Report::TreeDead);
}
