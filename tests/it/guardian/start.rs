//! What a start needs, and how a refused one is explained.

use super::*;

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
