//! A coordinator whose start script ends while it goes on, and one that is taken for such.

use super::*;

#[test]
fn a_main_process_that_puts_the_coordinator_into_the_background_is_pointed_to_the_other_kind() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; until [ -s $DIR/daemon ]; do sleep 0.01; done"));
    let (mut guardian, _) = Guardian::running(&settings);
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(0) });
    let daemon = pid_in(&directory.path().join("daemon"));
    let text = guardian.expect(|report| match report {
        Report::Remark { text } => Some(text.clone()),
        _ => None,
    });
    assert!(text.contains(&format!("bash ({daemon})")) && text.contains("coordinator.kind = \"forking\""), "{text}");
    guardian.expect_report(&Report::TreeDead);
}

/// A forking coordinator: a daemon that runs until a file `go` appears, and then how its start script ends.
fn forking(directory: &Path, end: &str) -> Settings {
    let script = format!(
        "(setsid bash -c 'echo $$ > $DIR/daemon; until [ -e $DIR/go ]; do sleep 0.01; done; exit 3' &)
         until [ -s $DIR/daemon ]; do sleep 0.01; done; {end}"
    );
    Settings { forking: true, ..settings(directory, &script) }
}

#[test]
fn a_forking_coordinator_lives_as_long_as_its_tree() {
    let directory = TempDir::new().unwrap();
    let settings = forking(directory.path(), "exit 0");
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    assert_eq!(main, daemon, "the start script is gone, and its daemon is the coordinator");
    guardian.order(GuardianOrder::Ping { number: 1 });
    guardian.expect(|report| match report {
        Report::Exited { .. } | Report::TreeDead => panic!("{report:?}"),
        Report::Pong { number: 1 } => Some(()),
        _ => None,
    });
    assert!(lives(daemon, 0));
    fs::write(directory.path().join("go"), "").unwrap();
    // The daemon's end, not its start script's.
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(3) });
    guardian.expect_report(&Report::TreeDead);

    fs::remove_file(directory.path().join("go")).unwrap();
    fs::remove_file(directory.path().join("daemon")).unwrap();
    guardian.start(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(daemon, 0));
}

#[test]
fn a_forking_coordinator_has_started_when_its_start_script_has_ended() {
    let directory = TempDir::new().unwrap();
    let settings = forking(directory.path(), "until [ -e $DIR/ended ]; do sleep 0.01; done; exit 0");
    let mut guardian = Guardian::leading(&settings, 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    pid_in(&directory.path().join("daemon"));
    guardian.order(GuardianOrder::Ping { number: 1 });
    guardian.expect(|report| match report {
        Report::Started { .. } => panic!("its start script runs"),
        Report::Pong { number: 1 } => Some(()),
        _ => None,
    });
    fs::write(directory.path().join("ended"), "").unwrap();
    guardian.expect(|report| matches!(report, Report::Started { holds_lock: true, .. }).then_some(()));
}

#[test]
fn a_start_script_that_fails_is_a_failed_start_whatever_it_left() {
    let directory = TempDir::new().unwrap();
    let settings = forking(directory.path(), "exit 7");
    let mut guardian = Guardian::leading(&settings, 1);
    let problem = guardian.start_failure(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    assert!(problem.contains("exit status: 7") && problem.contains(&format!("bash ({daemon})")), "{problem}");
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(daemon, 0));
    assert!(!guardian.passed.contains(&Report::TreeDead), "it is told once");
}

#[test]
fn a_start_script_that_leaves_nothing_is_a_failed_start() {
    let directory = TempDir::new().unwrap();
    for (end, words) in
        [("exit 0", "left nothing that runs"), ("exit 7", "exit status: 7"), ("kill -9 $$", "signal: 9")]
    {
        let settings = Settings { forking: true, ..settings(directory.path(), end) };
        let mut guardian = Guardian::leading(&settings, 1);
        let problem = guardian.start_failure(1);
        assert!(problem.contains(words), "{problem}");
        guardian.order(GuardianOrder::Stop);
        guardian.expect_report(&Report::TreeDead);
    }
}

#[test]
fn a_start_script_that_has_not_ended_at_a_stop_is_pointed_to_the_other_kind() {
    let directory = TempDir::new().unwrap();
    let settings = Settings { forking: true, ..settings(directory.path(), "echo $$ > $DIR/script; exec sleep 1000") };
    let mut guardian = Guardian::leading(&settings, 1);
    guardian.order(GuardianOrder::Start { epoch: 1, deadline: clock::now() + FAR });
    pid_in(&directory.path().join("script"));
    guardian.order(GuardianOrder::Stop);
    let text = guardian.expect(|report| match report {
        Report::Remark { text } => Some(text.clone()),
        Report::StartFailed { .. } | Report::TreeDead => panic!("nothing was said"),
        _ => None,
    });
    assert!(text.contains("coordinator.kind = \"foreground\""), "{text}");
    guardian.expect(|report| match report {
        Report::StartFailed { problem } => panic!("{problem}"),
        Report::TreeDead => Some(()),
        _ => None,
    });
}

#[test]
fn the_end_of_a_forking_coordinator_is_noticed_beside_a_command_that_runs() {
    let directory = TempDir::new().unwrap();
    let settings = forking(directory.path(), "exit 0");
    let (mut guardian, _) = Guardian::running(&settings);
    guardian.run_beside("exec sleep 1000", &settings);
    fs::write(directory.path().join("go"), "").unwrap();
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(3) });
    guardian.expect_report(&Report::TreeDead);
}

#[test]
fn a_failed_start_is_told_beside_a_command_that_runs() {
    let directory = TempDir::new().unwrap();
    let settings = Settings { command: vec!["/nonexistent/program".to_owned()], ..settings(directory.path(), "") };
    let mut guardian = Guardian::leading(&settings, 1);
    guardian.run_beside("exec sleep 1000", &settings);
    assert!(guardian.start_failure(1).contains("/nonexistent/program"));
    // The command goes on until it is told otherwise.
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
}
