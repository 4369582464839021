//! A guardian that was made for a coordinator which runs on every host.

use super::*;

fn always_on(directory: &Path, script: &str) -> Settings {
    let permission = PermissionKind::AlwaysOn;
    Settings { permission, lock_directory: PathBuf::new(), ..settings(directory, script) }
}

fn started(guardian: &mut Guardian) -> i32 {
    guardian.order(GuardianOrder::StartAlwaysOn);
    guardian.expect(|report| match report {
        Report::Started { pid, .. } => Some(*pid),
        Report::StartFailed { problem } => panic!("{problem}"),
        _ => None,
    })
}

#[test]
fn an_always_on_coordinator_runs_without_lock_and_epoch_and_dies_with_its_supervisor() {
    let directory = TempDir::new().unwrap();
    let script = "echo \"${PRIMACY_EPOCH-none} ${PRIMACY_LOCK_FD-none}\" > $DIR/told; exec sleep 1000";
    let mut guardian = Guardian::configured(&always_on(directory.path(), script));
    let main = started(&mut guardian);
    assert_eq!(line_in(&directory.path().join("told")), "none none");
    let born = Stat::of(main).unwrap().started;
    guardian.hang_up();
    guardian.until_end();
    assert!(!lives(main, born));
}

#[test]
fn it_is_started_again_by_the_same_guardian_once_nothing_of_it_is_left() {
    let directory = TempDir::new().unwrap();
    let mut guardian = Guardian::configured(&always_on(directory.path(), "exec sleep 1000"));
    let first = started(&mut guardian);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    guardian.expect_report(&Report::TreeDead);
    assert_ne!(started(&mut guardian), first);
    guardian.order(GuardianOrder::Stop);
    guardian.expect_report(&Report::TreeDead);
}

#[test]
fn each_kind_of_guardian_refuses_the_other_kind_of_start() {
    let directory = TempDir::new().unwrap();
    let mut guardian = Guardian::configured(&always_on(directory.path(), "exec sleep 1000"));
    assert!(guardian.start_failure(1).contains("always-on"));
    guardian.order(GuardianOrder::AcquireLock { expected_volume: None, patient: false });
    assert!(guardian.unusable().contains("takes no lock"));

    let under_lock = settings(directory.path(), "exec sleep 1000");
    let mut guardian = Guardian::leading(&under_lock, 1);
    guardian.order(GuardianOrder::StartAlwaysOn);
    let problem = guardian.expect(|report| match report {
        Report::StartFailed { problem } => Some(problem.clone()),
        Report::Started { .. } => panic!("started"),
        _ => None,
    });
    assert!(problem.contains("under the lock only"), "{problem}");
}
