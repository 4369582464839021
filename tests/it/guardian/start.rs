//! What a start needs, and how a refused one is explained.

use primacy::guardian::protocol::VERSION;

use super::*;

#[test]
fn a_guardian_that_gets_no_second_thread_ends_so_that_another_one_tries() {
    let Some(tasks) = crate::limits::Tasks::new() else { return crate::skipped(crate::limits::NO_GROUP) };
    tasks.limit(1);
    let directory = TempDir::new().unwrap();
    let mut command = tasks.command(env!("CARGO_BIN_EXE_primacy"));
    command.arg("guardian");
    let mut guardian = Guardian::spawned_by(command);
    guardian.order(GuardianOrder::Configure(Box::new(settings(directory.path(), "exit"))));
    let seen = guardian.until_end();
    let said = |report: &Report| matches!(report, Report::Note { text, .. } if text.contains("volume thread"));
    assert!(seen.iter().any(said), "{seen:#?}");
}

#[test]
fn a_guardian_takes_no_orders_of_another_version_of_the_protocol() {
    let directory = TempDir::new().unwrap();
    let mut guardian = Guardian::spawn();
    let other = Settings { version: VERSION + 1, ..settings(directory.path(), "exec sleep 1000") };
    guardian.order(GuardianOrder::Configure(Box::new(other)));
    let seen = guardian.until_end();
    let said =
        |report: &Report| matches!(report, Report::Note { text, .. } if text.contains("the program was replaced"));
    assert!(seen.iter().any(said), "{seen:#?}");
    assert!(!seen.iter().any(|report| matches!(report, Report::Ready { .. })), "{seen:#?}");
}

#[test]
fn a_coordinator_that_closes_the_lock_is_reported() {
    let directory = TempDir::new().unwrap();
    let script = "exec {PRIMACY_LOCK_FD}>&-; echo closed > $DIR/closed; while :; do sleep 1000; done";
    let mut guardian = Guardian::leading(&settings(directory.path(), script), 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    // At once, if it was quicker than the guardian's look; else later.
    guardian.expect(|report| match report {
        Report::Started { holds_lock, .. } | Report::HoldsLock { holds_lock } => (!holds_lock).then_some(()),
        _ => None,
    });
    line_in(&directory.path().join("closed"));
}

#[test]
fn a_daemonised_process_without_the_lock_is_reported_although_the_main_process_holds_it() {
    let directory = TempDir::new().unwrap();
    // As sudo does: the descriptors closed, a session of its own.
    let script =
        "(setsid bash -c 'exec {PRIMACY_LOCK_FD}>&-; echo $$ > $DIR/daemon; exec sleep 1000' &); exec sleep 1000";
    let (mut guardian, main) = Guardian::running(&settings(directory.path(), script));
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.expect_report(&Report::HoldsLock { holds_lock: false });
    let text = guardian.expect(|report| match report {
        Report::Note { text, .. } => text.contains("PRIMACY_LOCK_FD").then(|| text.clone()),
        _ => None,
    });
    assert!(text.contains(&format!("sleep ({daemon})")) && !text.contains(&format!("({main})")), "{text}");
    assert!(text.contains("sudo") && text.contains("coordinator.user"), "{text}");
    // Once it is gone all of them hold it: seen at the next look, ten seconds after the start.
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    guardian.expect_report(&Report::HoldsLock { holds_lock: true });
}

/// A name service that takes some seconds for everything, in a mount namespace of the guardian's; `None` where that cannot be
/// had.
fn with_a_slow_name_service(directory: &Path, seconds: u32) -> Option<Command> {
    // For the coordinator's user.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    let (source, library) = (directory.join("slow.c"), directory.join("libnss_slow.so.2"));
    let text = format!(
        "#include <nss.h>\n#include <pwd.h>\n#include <unistd.h>\n\
         enum nss_status _nss_slow_getpwnam_r(const char *n, struct passwd *p, char *b, size_t s, int *e)\n\
         {{ sleep({seconds}); return NSS_STATUS_NOTFOUND; }}\n"
    );
    fs::write(&source, text).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    let switch = directory.join("nsswitch.conf");
    fs::write(&switch, "passwd: slow files\ngroup: files\n").unwrap();
    let mount = "mount --bind $0 /etc/nsswitch.conf";
    let mounted = Command::new("unshare").args(["-m", "sh", "-c", mount]).arg(&switch).status();
    if !built.is_ok_and(|status| status.success()) || !mounted.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec $1 guardian")]);
    command.arg(&switch).arg(env!("CARGO_BIN_EXE_primacy")).env("LD_LIBRARY_PATH", directory);
    Some(command)
}

#[test]
fn a_slow_name_service_is_named_and_delays_the_start_alone() {
    let directory = TempDir::new().unwrap();
    let Some(command) = with_a_slow_name_service(directory.path(), 4) else {
        return skipped("a C compiler, /etc/nsswitch.conf or the permission to mount is missing here");
    };
    let mut settings = settings(directory.path(), "exec sleep 1000");
    settings.user = Some("nobody".to_owned());
    let began = clock::now();
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    guardian.order(GuardianOrder::Ping { number: 1 });
    guardian.expect(|report| match report {
        Report::Started { .. } | Report::StartFailed { .. } => {
            panic!("{report:?} before the name service has answered")
        }
        Report::Pong { number: 1 } => Some(()),
        _ => None,
    });
    assert!(clock::now().since(began) < Duration::from_secs(4), "it has waited for the name service");
    let text = guardian.expect(|report| match report {
        Report::Note { text, .. } => text.contains("name service").then(|| text.clone()),
        _ => None,
    });
    assert!(text.contains("getent passwd nobody"), "{text}");
    guardian.expect(|report| match report {
        Report::StartFailed { problem } => panic!("{problem}"),
        Report::Started { .. } => Some(()),
        _ => None,
    });
}

#[test]
fn nothing_starts_once_the_lease_has_ended_while_the_name_service_was_waited_for() {
    let directory = TempDir::new().unwrap();
    let Some(command) = with_a_slow_name_service(directory.path(), 3) else {
        return skipped("a C compiler, /etc/nsswitch.conf or the permission to mount is missing here");
    };
    let mut settings = settings(directory.path(), "echo started > $DIR/started; exec sleep 1000");
    settings.user = Some("nobody".to_owned());
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + Duration::from_millis(500) });
    let seen = guardian.until_end();
    assert!(seen.iter().any(|report| matches!(report, Report::Fenced { .. })), "{seen:?}");
    assert!(!seen.iter().any(|report| matches!(report, Report::Started { .. })), "{seen:?}");
    assert!(!directory.path().join("started").exists());
}

#[test]
fn a_start_that_is_called_off_while_the_name_service_is_waited_for_does_not_come_later() {
    let directory = TempDir::new().unwrap();
    let Some(command) = with_a_slow_name_service(directory.path(), 3) else {
        return skipped("a C compiler, /etc/nsswitch.conf or the permission to mount is missing here");
    };
    let mut settings = settings(directory.path(), "echo started >> $DIR/started; exec sleep 1000");
    settings.user = Some("nobody".to_owned());
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert!(!directory.path().join("started").exists());
    guardian.start(1);
    line_in(&directory.path().join("started"));
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert_eq!(fs::read_to_string(directory.path().join("started")).unwrap(), "started\n");
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
        guardian.order(GuardianOrder::CloseLock { cause: End::StartFailed.into() });
        guardian.expect_report(&Report::LockClosed { clean: true });
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
    guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() + FAR });
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
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() });
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
        return skipped("only root may change the user");
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
fn a_guardian_is_small() {
    let directory = TempDir::new().unwrap();
    let (guardian, _) = Guardian::running(&settings(directory.path(), "exec sleep 1000"));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", guardian.pid())).unwrap();
    let pss = rollup.lines().find(|line| line.starts_with("Pss_Anon:")).unwrap();
    let kib: u64 = pss.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    // Private memory; what the binary itself takes is shared with the supervisor. Of 8 MiB for both.
    assert!(kib < 3 * 1024, "{rollup}");
}
