//! The watchdog, with a FIFO in the device's place: it records what the guardian writes, and that it was closed.

use super::*;

use primacy::guardian::protocol::{WatchdogSettings, WatchdogTerms, WatchdogView};

/// The reading end, and what has been read of it.
struct Device {
    receiver: Receiver<u8>,
    read: String,
}

impl Device {
    fn at(path: &Path) -> Self {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (sender, receiver) = channel();
        // Open for writing, too: the reader would see the end before the guardian has opened it.
        let (opened, is_open) = channel();
        let path = path.to_owned();
        std::thread::spawn(move || {
            use std::io::Read;
            use std::os::unix::fs::OpenOptionsExt;
            let mut reader = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
            opened.send(()).unwrap();
            let (mut seen, mut byte) = (false, [0]);
            loop {
                match reader.read(&mut byte) {
                    Ok(1) => {
                        seen = true;
                        if sender.send(byte[0]).is_err() {
                            return;
                        }
                    }
                    // Nobody has it open: before the first byte that means nothing.
                    Ok(_) if seen => return,
                    _ => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        is_open.recv().unwrap();
        Self { receiver, read: String::new() }
    }

    fn expect_feeding(&mut self, times: usize) {
        for _ in 0..times {
            let byte = self.receiver.recv_timeout(LIMIT).expect("the device is fed");
            self.read.push(char::from(byte));
            assert_eq!(byte, b'.', "{}", self.read);
        }
    }

    /// All that was written, once nobody has it open.
    fn until_closed(mut self) -> String {
        while let Ok(byte) = self.receiver.recv_timeout(LIMIT) {
            self.read.push(char::from(byte));
        }
        self.read
    }
}

const TERMS: WatchdogTerms =
    WatchdogTerms { seconds: 1, longest: Duration::from_secs(30), grace: Duration::from_millis(500) };

fn with_device(directory: &Path, required: bool) -> Settings {
    running(directory, required, "exec sleep 1000")
}

fn running(directory: &Path, required: bool, script: &str) -> Settings {
    let device = directory.join("watchdog");
    let watchdog = Some(WatchdogSettings { device, required });
    Settings { watchdog, ..settings(directory, script) }
}

fn leading(settings: &Settings) -> Guardian {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("guardian").env("PRIMACY_TEST_WATCHDOG_IS_A_FILE", "1");
    let mut guardian = Guardian::spawned_by(command).with(settings);
    guardian.acquire(None);
    guardian.write_record(settings, 1);
    guardian.order(GuardianOrder::SetWatchdog(TERMS));
    guardian
}

fn armed(report: &Report) -> Option<()> {
    matches!(report, Report::Watchdog(WatchdogView { armed: Some(_), .. })).then_some(())
}

#[test]
fn it_is_armed_before_the_start_fed_while_a_tree_lives_and_disarmed_when_that_is_dead() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let mut device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    guardian.expect(|report| {
        assert!(!matches!(report, Report::Started { .. }), "armed only after the start");
        armed(report)
    });
    guardian.expect(|report| matches!(report, Report::Started { .. }).then_some(()));
    device.expect_feeding(5);
    guardian.order(GuardianOrder::Stop);
    guardian.expect(|report| {
        assert_ne!(*report, Report::TreeDead, "it is disarmed before anybody hears of the death");
        (*report == Report::Watchdog(WatchdogView { warning: warning(&settings), ..WatchdogView::default() }))
            .then_some(())
    });
    guardian.expect_report(&Report::TreeDead);
    let written = device.until_closed();
    assert_eq!(written.trim_start_matches('.'), "V");
}

fn warning(settings: &Settings) -> Option<String> {
    settings.watchdog.as_ref().map(|watchdog| format!("{} stands in for a watchdog", watchdog.device.display()))
}

#[test]
fn a_killed_guardian_leaves_it_armed() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let mut device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    let coordinator = guardian.start(1);
    device.expect_feeding(2);
    kill(Pid::from_raw(guardian.pid()), Signal::SIGKILL).unwrap();
    assert_eq!(device.until_closed().trim_start_matches('.'), "", "no V");
    wait_for_death(coordinator);
}

#[test]
fn as_long_as_a_process_of_the_tree_outlives_a_killed_guardian_the_device_stays_open() {
    let directory = TempDir::new().unwrap();
    let daemon = "(setsid sh -c 'echo $$ > $DIR/daemon; exec sleep 1000' &)";
    let settings = running(directory.path(), true, &format!("{daemon}; exec sleep 1000"));
    let device = settings.watchdog.as_ref().unwrap().device.clone();
    let mut fed = Device::at(&device);
    let mut guardian = leading(&settings);
    let coordinator = guardian.start(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    fed.expect_feeding(1);
    kill(Pid::from_raw(guardian.pid()), Signal::SIGKILL).unwrap();
    wait_for_death(coordinator);
    // A close is what the kernel takes for one more feeding.
    let open: Vec<_> = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().map(Result::unwrap).collect();
    let open: Vec<_> = open.iter().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    // First, for nobody else is left to do it.
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    assert!(open.contains(&device), "{open:?}");
    assert_eq!(fed.until_closed().trim_start_matches('.'), "", "no V");
}

#[test]
fn at_the_deadline_the_tree_dies_first_and_then_it_is_disarmed() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let mut device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    guardian.start(1);
    device.expect_feeding(1);
    let deadline = clock::now() + Duration::from_secs(2);
    guardian.order(GuardianOrder::SetDeadline { deadline });
    let seen = guardian.until_end();
    let disarmed = seen.iter().rposition(|report| matches!(report, Report::Watchdog(view) if view.armed.is_none()));
    let dead = seen.iter().position(|report| *report == Report::TreeDead);
    assert!(disarmed.is_some() && disarmed < dead, "{seen:#?}");
    assert_eq!(device.until_closed().trim_start_matches('.'), "V");
}

#[test]
fn a_supervisors_end_disarms_it_once_the_tree_is_dead() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let mut device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    guardian.start(1);
    device.expect_feeding(1);
    guardian.hang_up();
    assert_eq!(device.until_closed().trim_start_matches('.'), "V");
}

#[test]
fn a_required_one_that_cannot_be_had_keeps_everything_from_starting_and_an_automatic_one_does_not() {
    for required in [true, false] {
        let directory = TempDir::new().unwrap();
        let settings = with_device(directory.path(), required);
        let mut guardian = leading(&settings);
        if required {
            assert!(guardian.start_failure(1).contains("cannot be opened"));
        } else {
            guardian.start(1);
        }
        let told = guardian.passed.iter().find_map(|report| match report {
            Report::Watchdog(view) => Some(view.clone()),
            _ => None,
        });
        assert!(told.unwrap().problem.unwrap().contains("modprobe softdog"));
    }
}

#[test]
fn a_lease_too_short_to_arm_it_under_is_no_lease_to_start_under() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    guardian.order(GuardianOrder::SetWatchdog(WatchdogTerms { seconds: 20, ..TERMS }));
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + Duration::from_secs(15) });
    let problem = guardian.expect(|report| match report {
        Report::StartFailed { problem } => Some(problem.clone()),
        Report::Started { .. } => panic!("started"),
        _ => None,
    });
    assert!(problem.contains("the lease has only"), "{problem}");
    assert_eq!(device.until_closed(), "V");
}

#[test]
fn one_that_is_armed_is_set_to_a_shorter_time_out_when_the_session_is_cut() {
    let directory = TempDir::new().unwrap();
    let settings = with_device(directory.path(), true);
    let mut device = Device::at(&settings.watchdog.as_ref().unwrap().device);
    let mut guardian = leading(&settings);
    let set_to = |guardian: &mut Guardian, seconds: u64| {
        guardian.expect(|report| match report {
            Report::Watchdog(WatchdogView { armed: Some(timeout), .. }) => {
                (*timeout == Duration::from_secs(seconds)).then_some(())
            }
            _ => None,
        });
    };
    guardian.order(GuardianOrder::SetWatchdog(WatchdogTerms { seconds: 20, ..TERMS }));
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    set_to(&mut guardian, 20);
    guardian.expect(|report| matches!(report, Report::Started { .. }).then_some(()));
    guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() + FAR });
    guardian.order(GuardianOrder::SetWatchdog(TERMS));
    set_to(&mut guardian, 1);
    // A device of 20 s is fed every five.
    let began = clock::now();
    device.expect_feeding(4);
    assert!(clock::now().since(began) < Duration::from_secs(10), "fed as rarely as before");
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    device.until_closed();
}
