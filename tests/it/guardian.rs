//! A real guardian over a real socketpair, with real coordinators, locks and mounts.

use crate::skipped;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use primacy::clock;
use primacy::guardian::frames::{read_frame, write_frame};
use primacy::guardian::protocol::{
    CommandOrder, ExitStatus, GUARDIAN_FD, GuardianOrder, LastWill, LockRecord, PermissionKind, Report, Settings,
    VolumeView, ZooKeeperAccess,
};
use primacy::host::{boot_id, host_id, pid_namespace};
use primacy::processes::{Stat, lives};
use primacy::status::End;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tempfile::TempDir;

mod always_on;
mod commands;
mod end;
mod forking;
mod start;
mod tree;
pub mod volume;
mod waiting;
mod watchdog;

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
        guardian.order(GuardianOrder::Configure(Box::new(settings.clone())));
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

    fn order(&mut self, order: GuardianOrder) {
        write_frame(self.stream.as_mut().unwrap(), &order).unwrap();
    }

    /// Runs a command that nothing waits for, as on_active is one.
    fn run_beside(&mut self, script: &str, settings: &Settings) {
        let order = CommandOrder { timeout: FAR, notice: true, ..command(1, settings, script) };
        self.order(GuardianOrder::Run(Box::new(order)));
    }

    fn acquire(&mut self, expected_volume: Option<String>) -> (String, Option<LockRecord>) {
        self.order(GuardianOrder::AcquireLock { expected_volume, patient: false });
        self.expect(|report| match report {
            Report::LockAcquired { volume, record, .. } => Some((volume.clone(), record.clone())),
            Report::VolumeUnusable { problem } => panic!("{problem}"),
            _ => None,
        })
    }

    fn write_record(&mut self, settings: &Settings, epoch: u64) {
        let record = record_of(settings, self.pid(), epoch);
        self.order(GuardianOrder::WriteRecord(record));
        self.expect(|report| (*report == Report::RecordWritten { epoch }).then_some(()));
    }

    fn start(&mut self, epoch: u64) -> i32 {
        self.order(GuardianOrder::Start { epoch, deadline: clock::now() + FAR });
        self.expect(|report| match report {
            Report::Started { pid, .. } => Some(*pid),
            Report::StartFailed { problem } => panic!("{problem}"),
            _ => None,
        })
    }

    fn start_failure(&mut self, epoch: u64) -> String {
        self.order(GuardianOrder::Start { epoch, deadline: clock::now() + FAR });
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
        version: primacy::guardian::protocol::VERSION,
        cluster: "test".to_owned(),
        node: "node-a".to_owned(),
        permission: PermissionKind::Lock,
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
        watchdog: None,
        configuration: None,
        former_names: Vec::new(),
        recorder: None,
    }
}

fn record_of(settings: &Settings, pid: i32, epoch: u64) -> LockRecord {
    LockRecord {
        format: 1,
        node: settings.node.clone(),
        host: host_id(),
        host_id: host_id(),
        boot_id: boot_id(),
        pid,
        pid_started: Stat::of(pid).unwrap().started,
        pid_namespace: pid_namespace(),
        identity: None,
        api: String::new(),
        epoch,
        since: clock::timestamp(),
        nfs_client: None,
        ended: None,
        over: None,
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

fn record_on(settings: &Settings) -> LockRecord {
    serde_json::from_slice(&fs::read(lock_path(settings)).unwrap()).unwrap()
}

/// Runs beside the main process, in a session of its own, its parent gone, deaf to SIGTERM and SIGHUP.
const DAEMON: &str = r#"(setsid bash -c 'trap "" TERM HUP; echo $$ > $DIR/daemon; while :; do sleep 1000; done' &)"#;

/// A command, as a hook or a probe is one.
fn command(id: u64, settings: &Settings, script: &str) -> CommandOrder {
    CommandOrder {
        id,
        name: "before_start".to_owned(),
        argv: ["/bin/bash", "-c", script].map(str::to_owned).to_vec(),
        environment: settings.environment.clone(),
        timeout: LIMIT,
        notice: false,
    }
}
