//! Ends that the guardian makes by itself: the deadline, the lost supervisor, its own death, the last will.

use super::*;

#[test]
fn the_deadline_kills_without_any_message() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
    let (mut guardian, main) = Guardian::running(&settings);
    let daemon = pid_in(&directory.path().join("daemon"));
    let deadline = clock::now() + Duration::from_millis(200);
    guardian.order(GuardianOrder::SetDeadline { deadline });
    let seen = guardian.until_end();
    assert!(clock::now() >= deadline);
    assert!(!lives(main, 0) && !lives(daemon, 0));
    assert!(!is_locked(&settings));
    let order: Vec<&Report> = seen
        .iter()
        .filter(|report| {
            matches!(
                report,
                Report::TreeDead | Report::LockClosed { .. } | Report::Fenced { .. } | Report::Exited { .. }
            )
        })
        .collect();
    assert_eq!(
        order,
        [&Report::TreeDead, &Report::LockClosed { clean: true }, &Report::Fenced { deadline, clean: true }]
    );
    assert_eq!(record_on(&settings).ended.unwrap().cause, End::LeaseExpired.into());
}

#[test]
fn a_later_deadline_replaces_the_former() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    let first = clock::now() + Duration::from_millis(300);
    guardian.order(GuardianOrder::SetDeadline { deadline: first });
    guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() + FAR });
    wait_for("the first deadline", || (clock::now() > first + Duration::from_millis(100)).then_some(()));
    guardian.order(GuardianOrder::Ping { number: 2 });
    guardian.expect_report(&Report::Pong { number: 2 });
    assert!(lives(main, 0));
}

#[test]
fn a_guardian_that_was_frozen_over_the_deadline_kills_when_it_thaws() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    let deadline = clock::now() + Duration::from_millis(200);
    guardian.order(GuardianOrder::SetDeadline { deadline });
    guardian.order(GuardianOrder::Ping { number: 3 });
    guardian.expect_report(&Report::Pong { number: 3 });
    let pid = Pid::from_raw(guardian.pid());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_for("the deadline", || (clock::now() > deadline).then_some(()));
    assert!(lives(main, 0));
    // A renewal that arrives after the deadline is too late.
    guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() + FAR });
    kill(pid, Signal::SIGCONT).unwrap();
    let seen = guardian.until_end();
    assert!(seen.contains(&Report::Fenced { deadline, clean: true }));
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
    assert_eq!(record_on(&settings).ended.unwrap().cause, End::SupervisorLost.into());
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
    guardian.order(GuardianOrder::Ping { number: 4 });
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
    other.order(GuardianOrder::AcquireLock { expected_volume: None, patient: true });
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
fn what_runs_on_without_the_lock_and_its_environment_is_cleared_away_also_after_a_restart_of_the_coordinator() {
    let directory = TempDir::new().unwrap();
    let script = "exec {PRIMACY_LOCK_FD}>&-; env -i sleep 1000 & echo $! > $DIR/forgotten; wait";
    let mut settings = settings(directory.path(), script);
    settings.cluster = format!("test-{}", std::process::id());
    let (mut guardian, _) = Guardian::running(&settings);
    let forgotten = directory.path().join("forgotten");
    let first = pid_in(&forgotten);
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
    wait_for_death(first);
    fs::remove_file(&forgotten).unwrap();
    let main = guardian.start(1);
    let second = pid_in(&forgotten);
    let _reaped = Reaped(second);
    guardian.child.kill().unwrap();
    guardian.child.wait().unwrap();
    wait_for_death(main);
    assert!(lives(second, 0) && !is_locked(&settings), "it is no longer what holds the lock");

    let other = Settings { node: "node-b".to_owned(), ..settings.clone() };
    drop(Guardian::configured(&other).acquire(None));
    assert!(lives(second, 0), "another node must not touch it");
    let renamed = Settings { former_names: vec![settings.node.clone()], ..other };
    let mut next = Guardian::configured(&renamed);
    let note = next.expect(|report| match report {
        Report::Note { text, .. } if text.contains("left over") => Some(text.clone()),
        _ => None,
    });
    assert!(note.contains(&format!("killed sleep ({second})")), "{note}");
    wait_for_death(second);
}

#[test]
fn the_last_will_is_executed_only_after_the_lock_is_closed() {
    use zookeeper_client::{Acls, Client, CreateMode};

    let server = crate::zookeeper::Server::shared();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.address()).await.unwrap();
        let successor = Client::connect(&server.address()).await.unwrap();
        let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
        // A breadcrumb that is still ours, one that another leadership has taken, and none: of a place in the queue.
        for (name, expected_version) in [("ours", Some(0)), ("taken", Some(7)), ("none", None)] {
            let root = format!("/last_will-{name}");
            client.mkdir(&format!("{root}/election"), &persistent).await.unwrap();
            let (node, crumb) = (format!("{root}/election/latch-0"), format!("{root}/active"));
            // By the session of a supervisor that is frozen: it lives on.
            client.create(&node, b"node-a", &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
            client.create(&crumb, b"dirty", &persistent).await.unwrap();
            let epoch = format!("{root}/epoch");
            client.create(&epoch, b"7", &persistent).await.unwrap();
            // The supervisor that was started again has registered under the same names.
            let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
            client.create(&format!("{root}/own"), b"", &ephemeral).await.unwrap();
            successor.create(&format!("{root}/another-s"), b"", &ephemeral).await.unwrap();

            let directory = TempDir::new().unwrap();
            let settings = settings(directory.path(), &format!("{DAEMON}; exec sleep 1000"));
            let (mut guardian, main) = Guardian::running(&settings);
            guardian.order(GuardianOrder::LastWill(Some(LastWill {
                zookeeper: ZooKeeperAccess {
                    servers: server.address(),
                    session_timeout: Duration::from_secs(4),
                    digest: None,
                    tls: None,
                    addresses: Default::default(),
                },
                election_node: node.clone(),
                breadcrumb: expected_version.map(|version| (crumb.clone(), version, "clean".to_owned())),
                session: Some(client.session_id().0),
                epoch: expected_version.map(|_| (epoch, 0)),
                also_delete: vec![format!("{root}/never-there"), format!("{root}/own"), format!("{root}/another-s")],
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
            assert!(client.check_stat(&format!("{root}/own")).await.unwrap().is_none(), "{name}");
            let kept = client.check_stat(&format!("{root}/another-s")).await.unwrap();
            assert!(kept.is_some(), "{name}: what another session has made under the same name is its own");
            let (content, _) = client.get_data(&crumb).await.unwrap();
            assert_eq!(content, if name == "ours" { b"clean".as_slice() } else { b"dirty" });
        }
    });
}

#[test]
fn a_last_will_that_cannot_be_executed_does_not_keep_the_guardian_for_ever() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, main) = Guardian::running(&settings);
    guardian.order(GuardianOrder::LastWill(Some(LastWill {
        zookeeper: ZooKeeperAccess {
            servers: format!("127.0.0.1:{}", crate::zookeeper::free_port()),
            session_timeout: Duration::from_millis(300),
            digest: None,
            tls: None,
            addresses: Default::default(),
        },
        election_node: "/election/latch-0".to_owned(),
        breadcrumb: None,
        session: None,
        epoch: None,
        also_delete: Vec::new(),
    })));
    guardian.hang_up();
    guardian.until_end();
    assert!(!lives(main, 0));
    assert!(!is_locked(&settings));
}
