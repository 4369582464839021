//! The coordinator's tree: started, inherited, stopped, killed to the last process.

use super::*;

#[test]
fn a_coordinator_is_started_and_stopped_and_the_lock_outlives_it() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(
        directory.path(),
        "echo $PRIMACY_CLUSTER $PRIMACY_NODE $PRIMACY_EPOCH $PRIMACY_LOCK_FD $PWD $(ulimit -a >/dev/null; cat /proc/$$/status | grep SigBlk | cut -f2) > $DIR/out; exec sleep 1000",
    );
    settings.working_directory = Some(PathBuf::from("/usr"));
    let mut guardian = Guardian::leading(&settings, 7);
    guardian.order(GuardianOrder::Start { epoch: 7, deadline: clock::now() + FAR });
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
    guardian.order(GuardianOrder::Stop);
    guardian.expect(|report| match report {
        Report::Exited { .. } => panic!("a stop is not an exit by itself"),
        Report::TreeDead => Some(()),
        _ => None,
    });
    assert!(!lives(pid, 0));
    assert!(is_locked(&settings));
    guardian.order(GuardianOrder::CloseLock { cause: End::Stopped.into() });
    guardian.expect_report(&Report::LockClosed { clean: true });
    assert!(!is_locked(&settings));
    assert_eq!(record_on(&settings).ended.unwrap().cause, End::Stopped.into());
}

/// A guardian of a parent that ignores and blocks signals, as nohup, systemd and careless programs do.
fn of_a_parent_deaf_to_signals(settings: &Settings) -> Guardian {
    let mut command = Command::new("python3");
    command.args([
        "-c",
        "import os, sys\n\
         from signal import *\n\
         for deaf in SIGCHLD, SIGHUP, SIGPIPE, SIGUSR2, SIGRTMAX: signal(deaf, SIG_IGN)\n\
         pthread_sigmask(SIG_BLOCK, [SIGTERM, SIGALRM])\n\
         os.execv(sys.argv[1], [sys.argv[1], 'guardian'])",
        env!("CARGO_BIN_EXE_primacy"),
    ]);
    let mut guardian = Guardian::spawned_by(command).with(settings);
    guardian.acquire(None);
    guardian.write_record(settings, 1);
    guardian
}

#[test]
fn signals_are_at_their_defaults_in_the_coordinator() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec grep -E '^Sig(Blk|Ign)' /proc/self/status > $DIR/out");
    let mut guardian = of_a_parent_deaf_to_signals(&settings);
    guardian.start(1);
    // Whoever ignores SIGCHLD is never told how a child ended.
    guardian.expect_report(&Report::Exited { status: ExitStatus::Code(0) });
    // A hook or a probe starts as the coordinator does.
    guardian.run_beside("exec grep -E '^Sig(Blk|Ign)' /proc/self/status >> $DIR/out", &settings);
    guardian.expect(|report| match report {
        Report::CommandEnded { outcome, .. } => {
            assert!(outcome.succeeded(), "{outcome}");
            Some(())
        }
        _ => None,
    });
    let out = fs::read_to_string(directory.path().join("out")).unwrap();
    assert_eq!(out.lines().count(), 4);
    for line in out.lines() {
        let mask = u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
        // 32 and 33 are the C library's own: it lets nobody change them.
        assert_eq!(mask & !(0b11 << 31), 0, "{line}");
    }
}

#[test]
fn what_the_service_manager_says_to_primacy_reaches_neither_the_coordinator_nor_before_kill() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(
        directory.path(),
        "trap '' TERM; env > $DIR/coordinator; echo >> $DIR/coordinator; while :; do sleep 1000; done",
    );
    settings.environment.insert("LISTEN_FDNAMES".to_owned(), "configured".to_owned());
    settings.stop_timeout = Duration::from_millis(50);
    settings.before_kill = ["/bin/sh", "-c", "env > $DIR/hook"].map(str::to_owned).to_vec();
    let private = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "PRIMACY_FORMER_NODE"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    command.arg("guardian").envs(private.map(|name| (name, "1"))).env("KEPT", "1").env("LISTEN_FDNAMES", "1");
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    guardian.start(1);
    wait_for("the coordinator's environment", || {
        fs::read_to_string(directory.path().join("coordinator")).ok()?.ends_with("\n\n").then_some(())
    });
    guardian.run_beside("env > $DIR/probe", &settings);
    guardian.expect(|report| matches!(report, Report::CommandEnded { .. }).then_some(()));
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    for name in ["coordinator", "hook", "probe"] {
        let environment = fs::read_to_string(directory.path().join(name)).unwrap();
        let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(private.iter().all(|private| !names.contains(private)), "{environment}");
        assert!(names.contains(&"KEPT"), "{environment}");
        assert!(environment.lines().any(|line| line == "LISTEN_FDNAMES=configured"), "{environment}");
    }
}

#[test]
fn the_coordinator_is_not_spared_with_its_guardian_when_memory_runs_out() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "cat /proc/$$/oom_score_adj > $DIR/out; exec sleep 1000");
    let out = directory.path().join("out");
    // As with OOMScoreAdjust= of a unit.
    for (given, expected) in [("300", "300"), ("-900", "0")] {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $0 > /proc/self/oom_score_adj && exec $1 guardian", given]);
        command.arg(env!("CARGO_BIN_EXE_primacy"));
        if given.starts_with('-') && fs::write("/proc/self/oom_score_adj", "-1").is_err() {
            return skipped("an OOM score may not be lowered here");
        }
        let mut guardian = Guardian::spawned_by(command).with(&settings);
        guardian.acquire(None);
        guardian.write_record(&settings, 1);
        guardian.start(1);
        assert_eq!(line_in(&out), expected);
        guardian.order(GuardianOrder::Kill);
        guardian.expect_report(&Report::TreeDead);
        fs::remove_file(&out).unwrap();
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
    guardian.order(GuardianOrder::Kill);
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
    guardian.order(GuardianOrder::Kill);
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
    guardian.order(GuardianOrder::Kill);
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
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
    assert_eq!(pid_in(&directory.path().join("asked")), main);
    assert!(!lives(main, 0));
}

/// A start script without `exec`: its shell waits for the application, which does this when it is asked to stop.
fn start_script(directory: &Path, on_stop: &str) -> Settings {
    let application = directory.join("application");
    let text =
        format!("#!/bin/bash\ntrap '{on_stop}' TERM\necho $$ > $DIR/application.pid\nwhile :; do sleep 0.02; done\n");
    fs::write(&application, text).unwrap();
    fs::set_permissions(&application, fs::Permissions::from_mode(0o755)).unwrap();
    settings(directory, "$DIR/application; true")
}

#[test]
fn what_a_start_script_without_exec_leaves_at_a_stop_gets_the_signal_too_and_the_rest_of_the_time() {
    let directory = TempDir::new().unwrap();
    let settings = start_script(directory.path(), "sleep 0.5; echo orderly > $DIR/out; exit 0");
    let (mut guardian, main) = Guardian::running(&settings);
    let application = pid_in(&directory.path().join("application.pid"));
    assert_ne!(main, application);
    guardian.order(GuardianOrder::Stop);
    guardian.expect(|report| match report {
        Report::Remark { text } => panic!("{text}"),
        Report::TreeDead => Some(()),
        _ => None,
    });
    assert_eq!(line_in(&directory.path().join("out")), "orderly");
    assert!(!lives(application, 0));
}

#[test]
fn what_a_start_script_left_and_does_not_stop_in_time_is_shown_to_before_kill_and_named() {
    let directory = TempDir::new().unwrap();
    let mut settings = start_script(directory.path(), "");
    settings.stop_timeout = Duration::from_millis(300);
    settings.before_kill = ["/bin/bash", "-c", "echo $PRIMACY_PID > $DIR/asked"].map(str::to_owned).to_vec();
    let (mut guardian, main) = Guardian::running(&settings);
    let application = pid_in(&directory.path().join("application.pid"));
    guardian.order(GuardianOrder::Stop);
    let text = guardian.expect(|report| match report {
        Report::Remark { text } => Some(text.clone()),
        Report::TreeDead => panic!("nobody was named"),
        _ => None,
    });
    assert!(text.contains("stop_timeout") && text.contains(&format!("application ({application})")), "{text}");
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0) && !lives(application, 0));
    assert_eq!(pid_in(&directory.path().join("asked")), application);
}

#[test]
fn a_kill_that_cuts_a_stop_short_names_whom_it_killed() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "trap '' TERM; echo ready > $DIR/ready; while :; do sleep 1000; done");
    let (mut guardian, main) = Guardian::running(&settings);
    line_in(&directory.path().join("ready"));
    guardian.order(GuardianOrder::Stop);
    guardian.order(GuardianOrder::Kill);
    let text = guardian.expect(|report| match report {
        Report::Remark { text } => Some(text.clone()),
        Report::TreeDead => panic!("nobody was named"),
        _ => None,
    });
    assert!(text.contains(&format!("bash ({main})")), "{text}");
    guardian.expect_report(&Report::TreeDead);
}

/// A guardian in a cgroup of its own, where cgroup v2 is mounted and may be changed.
fn in_a_cgroup(group: &Path, settings: &Settings) -> Guardian {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg("echo $$ > $0/cgroup.procs && exec $1 guardian")
        .arg(group)
        .arg(env!("CARGO_BIN_EXE_primacy"));
    let mut guardian = Guardian::spawned_by(command).with(settings);
    guardian.acquire(None);
    guardian.write_record(settings, 1);
    guardian
}

fn new_cgroup(name: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next().filter(|_| fields.next() == Some("cgroup2"))
    })?;
    let group = Path::new(root).join(format!("primacy-test-{name}-{}", std::process::id()));
    fs::create_dir(&group).is_ok().then_some(group)
}

#[test]
fn a_cgroup_of_its_own_is_used_again_and_removed() {
    let Some(group) = new_cgroup("used") else {
        return skipped("a control group (v2) is not to be had here");
    };
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let mut guardian = in_a_cgroup(&group, &settings);
    // The second one follows a kill of that cgroup, after which some kernels let nobody be born into it.
    for _ in 0..2 {
        guardian.start(1);
        let daemon = pid_in(&directory.path().join("daemon"));
        let membership = fs::read_to_string(format!("/proc/{daemon}/cgroup")).unwrap();
        let own = format!("/primacy-{}", guardian.pid());
        assert!(membership.lines().any(|line| line.starts_with("0::") && line.ends_with(&own)), "{membership}");
        guardian.order(GuardianOrder::Kill);
        guardian.expect_report(&Report::TreeDead);
        assert!(!lives(daemon, 0));
        fs::remove_file(directory.path().join("daemon")).unwrap();
    }
    guardian.hang_up();
    guardian.until_end();
    // Fails if the guardian left its directory there.
    fs::remove_dir(&group).unwrap();
}

#[test]
fn a_guardian_in_a_cgroup_that_was_killed_once_starts_a_coordinator_all_the_same() {
    let Some(group) = new_cgroup("killed") else {
        return skipped("a control group (v2) is not to be had here");
    };
    fs::write(group.join("cgroup.kill"), "1").unwrap();
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let mut guardian = in_a_cgroup(&group, &settings);
    guardian.start(1);
    let daemon = pid_in(&directory.path().join("daemon"));
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(daemon, 0));
    guardian.hang_up();
    guardian.until_end();
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
    guardian.order(GuardianOrder::Stop);
    guardian.expect(|report| match report {
        Report::Note { text, .. } => text.contains("/nonexistent/hook").then_some(()),
        Report::TreeDead => panic!("not explained"),
        _ => None,
    });
    guardian.expect_report(&Report::TreeDead);
}

fn stuck(guardian: &mut Guardian) -> primacy::guardian::protocol::StuckProcess {
    guardian.expect(|report| match report {
        Report::Stuck { processes } => processes.first().cloned(),
        Report::TreeDead => panic!("it was told as dead"),
        _ => None,
    })
}

#[test]
fn a_dead_process_that_a_debugger_keeps_from_its_guardian_is_named_with_the_debugger() {
    let directory = TempDir::new().unwrap();
    let (mut guardian, main) = Guardian::running(&settings(directory.path(), "exec sleep 1000"));
    // PTRACE_SEIZE, and then never a look at it.
    let program = "import ctypes, sys, time\n\
                   done = ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None)\n\
                   print('traced' if done == 0 else 'refused', flush=True)\n\
                   time.sleep(1000)";
    let mut tracer =
        Command::new("python3").args(["-c", program, &main.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(tracer.stdout.take().unwrap()), &mut said).unwrap();
    if said.trim() == "refused" {
        skipped("tracing is not permitted here");
    } else {
        guardian.order(GuardianOrder::Kill);
        let stuck = stuck(&mut guardian);
        assert_eq!(stuck.pid, main);
        assert_eq!(stuck.waits_in, format!("its tracer python3 (pid {})", tracer.id()));
    }
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
}

#[test]
fn a_process_that_this_account_may_not_kill_is_named_and_not_told_as_dead() {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("becomes-root");
    // As sudo does; as long as one of its user ids is the old one it may be killed.
    fs::copy("/usr/bin/python3", &program).unwrap();
    for (path, mode) in [(directory.path(), 0o777), (&program, 0o4755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let script = "exec $DIR/becomes-root -c 'import os, time; os.setresuid(0, 0, 0); time.sleep(1000)'";
    let settings = settings(directory.path(), script);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--clear-groups", env!("CARGO_BIN_EXE_primacy"), "guardian"]);
    let mut reachable = Command::new("setpriv");
    reachable.args(["--reuid", "nobody", "--clear-groups", "test", "-x", env!("CARGO_BIN_EXE_primacy")]);
    if !reachable.status().is_ok_and(|status| status.success()) {
        return skipped("this test needs to be root, setpriv, and a program that nobody may execute");
    }
    let mut guardian = Guardian::spawned_by(command).with(&settings);
    guardian.acquire(None);
    guardian.write_record(&settings, 1);
    let main = guardian.start(1);
    let _reaped = Reaped(main);
    let has_become_root = || {
        let status = fs::read_to_string(format!("/proc/{main}/status")).ok()?;
        status.lines().any(|line| line == "Uid:\t0\t0\t0\t0").then_some(true)
    };
    let has_ended = || (!lives(main, 0)).then_some(false);
    if !wait_for("the program's change of user", || has_become_root().or_else(has_ended)) {
        return skipped("set-user-ID programs have no effect where temporary files are");
    }
    guardian.order(GuardianOrder::Kill);
    let stuck = stuck(&mut guardian);
    assert_eq!((stuck.pid, stuck.command.as_str()), (main, "becomes-root"));
    assert!(stuck.waits_in.contains("another user"), "{}", stuck.waits_in);
    kill(Pid::from_raw(main), Signal::SIGKILL).unwrap();
    guardian.expect_report(&Report::TreeDead);
}

#[test]
fn a_tree_with_a_pid_namespace_below_it_is_killed_to_the_last_process() {
    let directory = TempDir::new().unwrap();
    // As bwrap and the like do: the processes there have other numbers among themselves, and a parent of their own.
    let script = "unshare --pid --fork bash -c 'setsid sleep 12345 & : > $DIR/inside; wait' & wait";
    let settings = settings(directory.path(), script);
    if !Command::new("unshare").args(["--pid", "--fork", "true"]).status().is_ok_and(|status| status.success()) {
        return skipped("this test needs the permission to make a pid namespace");
    }
    let (mut guardian, main) = Guardian::running(&settings);
    wait_for("the namespace", || directory.path().join("inside").exists().then_some(()));
    let inside = || {
        let mut found = primacy::processes::descendants_of(main);
        found.retain(|pid| Stat::of(*pid).is_some_and(|stat| stat.command == "sleep"));
        found.first().copied()
    };
    let sleep = wait_for("the process inside", inside);
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(sleep, 0) && !lives(main, 0));
}
