//! Commands: hooks, probes and fencing commands, which are dead before the lock is closed.

use primacy::guardian::protocol::CommandOutcome;

use super::*;

fn run(guardian: &mut Guardian, order: CommandOrder) {
    guardian.order(GuardianOrder::Run(Box::new(order)));
}

fn outcome_of(guardian: &mut Guardian, wanted: u64) -> CommandOutcome {
    guardian.expect(|report| match report {
        Report::CommandEnded { id, outcome } if *id == wanted => Some(outcome.clone()),
        _ => None,
    })
}

fn lines(guardian: &Guardian) -> Vec<String> {
    let lines = guardian.passed.iter().filter_map(|report| match report {
        Report::Output { line, .. } => Some(line.clone()),
        _ => None,
    });
    lines.collect()
}

#[test]
fn a_command_s_end_says_how_and_what_it_printed_came_before() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    run(&mut guardian, command(1, &settings, "echo one; echo two >&2; echo -n three; exit 5"));
    assert_eq!(outcome_of(&mut guardian, 1), CommandOutcome::Ended(ExitStatus::Code(5)));
    assert_eq!(lines(&guardian), ["one", "two", "three"]);
    run(&mut guardian, command(2, &settings, "kill -9 $$"));
    assert_eq!(outcome_of(&mut guardian, 2), CommandOutcome::Ended(ExitStatus::Signal(9)));
    let mut missing = command(3, &settings, "");
    missing.argv = vec!["/nonexistent/hook".to_owned()];
    run(&mut guardian, missing);
    let CommandOutcome::NotStarted(problem) = outcome_of(&mut guardian, 3) else { panic!("it was run") };
    assert!(problem.contains("/nonexistent/hook") && problem.contains("No such file"), "{problem}");
    // None of this was the coordinator's death, and it can be started.
    assert!(!guardian.passed.contains(&Report::TreeDead));
    guardian.start(1);
}

#[test]
fn what_a_command_leaves_is_dead_when_its_end_is_told_however_it_ended() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    let coordinator = guardian.start(1);
    for (id, rest, limit) in [(1, "exit 0", LIMIT), (2, "sleep 1000", Duration::from_millis(300))] {
        let mut order =
            command(id, &settings, &format!("{DAEMON}; while [ ! -s $DIR/daemon ]; do sleep 0.01; done; {rest}"));
        order.timeout = limit;
        run(&mut guardian, order);
        let outcome = outcome_of(&mut guardian, id);
        assert_eq!(outcome.succeeded(), id == 1, "{outcome}");
        assert!(!lives(pid_in(&directory.path().join("daemon")), 0), "{outcome}");
        fs::remove_file(directory.path().join("daemon")).unwrap();
    }
    assert!(lives(coordinator, 0), "a command's end is not the coordinator's");
}

#[test]
fn commands_are_dead_before_the_tree_counts_as_dead_and_before_the_lock_is_closed() {
    let stop: fn(&mut Guardian) = |guardian| guardian.order(GuardianOrder::Stop);
    let kill: fn(&mut Guardian) = |guardian| guardian.order(GuardianOrder::Kill);
    let close: fn(&mut Guardian) = |guardian| guardian.order(GuardianOrder::CloseLock { cause: End::Stopped.into() });
    for (how, end) in [("stop", stop), ("kill", kill), ("close", close)] {
        for with_coordinator in [false, true] {
            let directory = TempDir::new().unwrap();
            let settings = settings(directory.path(), "exec sleep 1000");
            let mut guardian = Guardian::leading(&settings, 1);
            if with_coordinator {
                guardian.start(1);
            }
            run(&mut guardian, command(1, &settings, &format!("{DAEMON}; sleep 1000")));
            let daemon = pid_in(&directory.path().join("daemon"));
            end(&mut guardian);
            if how == "close" {
                guardian.expect_report(&Report::LockClosed { clean: true });
            } else {
                guardian.expect_report(&Report::TreeDead);
                assert!(is_locked(&settings));
            }
            assert!(!lives(daemon, 0), "{how}, {with_coordinator}");
        }
    }
}

#[test]
fn commands_are_dead_before_the_lock_is_free_when_the_guardian_ends_by_itself() {
    for by_deadline in [false, true] {
        let directory = TempDir::new().unwrap();
        let settings = settings(directory.path(), "exec sleep 1000");
        let mut guardian = Guardian::leading(&settings, 1);
        run(&mut guardian, command(1, &settings, &format!("{DAEMON}; sleep 1000")));
        let daemon = pid_in(&directory.path().join("daemon"));
        if by_deadline {
            guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() });
        } else {
            guardian.hang_up();
        }
        wait_for("a free lock", || (!is_locked(&settings)).then_some(()));
        assert!(!lives(daemon, 0), "{by_deadline}");
    }
}

/// As the coordinator's: whatever lives of a command keeps the lock.
#[test]
fn a_command_inherits_the_lock_so_that_a_killed_guardian_does_not_free_it_early() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    run(&mut guardian, command(1, &settings, "echo $PRIMACY_LOCK_FD > $DIR/fd; exec sleep 1000"));
    let fd = line_in(&directory.path().join("fd"));
    let own = Pid::from_raw(guardian.pid());
    let sleeping = wait_for("the command", || {
        let below = primacy::processes::descendants_of(own.as_raw());
        below.into_iter().find(|pid| Stat::of(*pid).is_some_and(|stat| stat.command == "sleep"))
    });
    assert!(fs::read_link(format!("/proc/{sleeping}/fd/{fd}")).unwrap().ends_with("volume/coordinator.lock"));
    kill(own, Signal::SIGKILL).unwrap();
    wait_for("a free lock", || (!is_locked(&settings)).then_some(()));
    assert!(!lives(sleeping, 0), "the lock is free while it lives");
}

#[test]
fn a_runner_that_is_killed_takes_its_command_with_it_and_what_is_left_is_cleared() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    run(&mut guardian, command(1, &settings, &format!("{DAEMON}; echo $$ > $DIR/main; sleep 1000")));
    let (daemon, main) = (pid_in(&directory.path().join("daemon")), pid_in(&directory.path().join("main")));
    let runner = Stat::of(main).unwrap().parent;
    assert_ne!(runner, guardian.pid());
    kill(Pid::from_raw(runner), Signal::SIGKILL).unwrap();
    assert_eq!(outcome_of(&mut guardian, 1), CommandOutcome::Killed);
    wait_for_death(main);
    wait_for_death(daemon);
    assert!(is_locked(&settings));
    // No order was answered by that.
    assert!(!guardian.passed.contains(&Report::TreeDead));
    // Dead is not yet waited for, and until then nothing is started.
    let below = || primacy::processes::descendants_of(guardian.pid());
    wait_for("the last wait for a child", || below().is_empty().then_some(()));
    guardian.start(1);
}

#[test]
fn a_later_notice_ends_an_earlier_one_first() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    let notice = |id, script: &str| CommandOrder { notice: true, ..command(id, &settings, script) };
    run(&mut guardian, notice(1, &format!("{DAEMON}; sleep 1000")));
    let daemon = pid_in(&directory.path().join("daemon"));
    run(&mut guardian, notice(2, "exit 7"));
    run(&mut guardian, notice(3, &format!("kill -0 {daemon} && exit 9; exit 8")));
    assert_eq!(outcome_of(&mut guardian, 2), CommandOutcome::Killed, "the third came before it could run");
    assert_eq!(outcome_of(&mut guardian, 1), CommandOutcome::Killed);
    assert_eq!(outcome_of(&mut guardian, 3), CommandOutcome::Ended(ExitStatus::Code(8)));
}

#[test]
fn nothing_new_runs_beside_what_is_being_stopped() {
    let directory = TempDir::new().unwrap();
    let deaf = directory.path().join("deaf");
    let script = format!("trap '' TERM; : > {}; while :; do sleep 0.05; done", deaf.display());
    let settings = settings(directory.path(), &script);
    let mut guardian = Guardian::leading(&settings, 1);
    guardian.start(1);
    wait_for("a coordinator that ignores the stop signal", || deaf.exists().then_some(()));
    guardian.order(GuardianOrder::Stop);
    run(&mut guardian, command(1, &settings, "exit 0"));
    let CommandOutcome::NotStarted(problem) = outcome_of(&mut guardian, 1) else { panic!("it was run") };
    assert!(problem.contains("is being ended"), "{problem}");
}

#[test]
fn a_flood_of_output_without_a_line_end_costs_nothing() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&settings, 1);
    run(
        &mut guardian,
        command(1, &settings, "head -c 300000000 /dev/zero; echo; head -c 1000000 /dev/urandom; echo end; exit 3"),
    );
    assert_eq!(outcome_of(&mut guardian, 1), CommandOutcome::Ended(ExitStatus::Code(3)), "its pipe stayed open");
    let lines = lines(&guardian);
    let shown: usize = lines.iter().map(String::len).sum();
    assert!(shown < 1 << 20, "{shown} bytes");
    assert!(lines[0].contains("bytes more"), "{}", &lines[0][lines[0].len() - 60..]);
    let memory = fs::read_to_string(format!("/proc/{}/status", guardian.pid())).unwrap();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
    assert!(peak < 100_000, "the guardian used {peak} kB");
}
