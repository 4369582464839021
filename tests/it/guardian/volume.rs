//! The volume: held by others, replaced, foreign, read-only, full, hanging.

use super::*;

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
    let Some(volume) = Mounted::tmpfs(&settings.lock_directory, "size=64k") else {
        return skipped("mounting is not permitted here");
    };
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
    let Some(_volume) = Mounted::tmpfs(&settings.lock_directory, "size=64k") else {
        return skipped("mounting is not permitted here");
    };
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

/// An ext4 of its own that can be frozen: what writes to it hangs until it thaws, as on a file server that is away.
pub struct Freezable {
    mounted: Mounted,
    frozen: bool,
}

impl Freezable {
    pub fn new(at: &Path, image: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
        let quiet = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let mounted = quiet(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
            && quiet(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        if !mounted {
            eprintln!("SKIPPED: no file system can be mounted here");
        }
        mounted.then(|| Self { mounted: Mounted(at.to_owned()), frozen: false })
    }

    pub fn freeze(&mut self, frozen: bool) {
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
    let Some(mut volume) = Freezable::new(&settings.lock_directory, &directory.path().join("image")) else {
        return skipped("a file system that can be frozen is not to be had here");
    };
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
        Report::LockClosed { .. } => panic!("closed on a volume that hangs"),
        Report::Note { text, .. } => text.contains("closing the lock waits").then_some(()),
        _ => None,
    });
    guardian.order(Order::Ping { number: 6 });
    guardian.expect_report(&Report::Pong { number: 6 });
    volume.freeze(false);
    guardian.expect_report(&Report::LockClosed { clean: true });
}

#[test]
fn the_deadline_kills_while_the_volume_hangs() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let Some(mut volume) = Freezable::new(&settings.lock_directory, &directory.path().join("image")) else {
        return skipped("a file system that can be frozen is not to be had here");
    };
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
fn a_missing_directory_is_made_for_a_first_volume_but_not_where_only_the_lock_decides() {
    for patient in [true, false] {
        let directory = TempDir::new().unwrap();
        let settings =
            Settings { lock_directory: directory.path().join("not-there"), ..settings(directory.path(), "true") };
        let mut guardian = Guardian::configured(&settings);
        guardian.order(Order::AcquireLock { expected_volume: None, patient });
        let locked = guardian.expect(|report| match report {
            Report::LockAcquired { .. } => Some(None),
            Report::VolumeUnusable { problem } => Some(Some(problem.clone())),
            _ => None,
        });
        assert_eq!(locked.is_some(), patient, "{locked:?}");
        assert_eq!(settings.lock_directory.exists(), !patient);
        assert!(locked.is_none_or(|problem| problem.contains("does not exist; mount the volume")));
    }
}
