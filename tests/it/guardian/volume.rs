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
        waiting.order(GuardianOrder::AcquireLock { expected_volume: None, patient });
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
        guardian.order(GuardianOrder::Kill);
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
    guardian.order(GuardianOrder::AcquireLock { expected_volume: expected.clone(), patient: false });
    assert!(guardian.unusable().contains("does not exist"));
    assert!(!settings.lock_directory.exists(), "an unmounted mount point stays as it is");
    fs::create_dir(&settings.lock_directory).unwrap();
    guardian.order(GuardianOrder::AcquireLock { expected_volume: expected.clone(), patient: false });
    assert!(guardian.unusable().contains("is the volume mounted?"));
    fs::write(settings.lock_directory.join("volume.json"), "{\"id\":\"other\"}").unwrap();
    guardian.order(GuardianOrder::AcquireLock { expected_volume: expected, patient: false });
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
    guardian.order(GuardianOrder::AcquireLock { expected_volume: None, patient: false });
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
    guardian.order(GuardianOrder::WriteRecord(record));
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
    guardian.order(GuardianOrder::Ping { number: 5 });
    guardian.expect_report(&Report::Pong { number: 5 });
    guardian.order(GuardianOrder::Kill);
    guardian.expect_report(&Report::TreeDead);
    assert!(!lives(main, 0) && !lives(daemon, 0));
    guardian.order(GuardianOrder::CloseLock { cause: End::VolumeLost.into() });
    guardian.expect(|report| match report {
        Report::LockClosed { .. } => panic!("closed on a volume that hangs"),
        Report::Note { text, .. } => text.contains("closing the lock waits").then_some(()),
        _ => None,
    });
    guardian.order(GuardianOrder::Ping { number: 6 });
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
    guardian.order(GuardianOrder::SetDeadline { deadline: clock::now() + Duration::from_millis(200) });
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
        guardian.order(GuardianOrder::AcquireLock { expected_volume: None, patient });
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

/// What the guardian says of a directory in which `place` has put something under the name of a file of its own.
fn refused(name: &str, place: impl Fn(&Path, &Path)) -> (String, Guardian) {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    fs::create_dir(&settings.lock_directory).unwrap();
    fs::write(settings.lock_directory.join("volume.json"), "{\"id\":\"the-clusters\"}").unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "root:secret\n").unwrap();
    let path = settings.lock_directory.join(name);
    let _ = fs::remove_file(&path);
    place(&path, &victim);
    let mut guardian = Guardian::configured(&settings);
    let problem = guardian.expect(|report| view_in(report)?.problem);
    guardian.order(GuardianOrder::AcquireLock { expected_volume: Some("the-clusters".to_owned()), patient: false });
    let lock_refused = guardian.expect(|report| match report {
        Report::VolumeUnusable { .. } => Some(true),
        Report::LockAcquired { .. } => Some(false),
        _ => None,
    });
    if !name.starts_with(".primacy-trial") {
        assert!(lock_refused, "{name}: {problem}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "root:secret\n", "{name}: {problem}");
    assert!(problem.contains(name), "{problem}");
    (problem, guardian)
}

#[test]
fn a_link_in_the_place_of_a_file_in_lock_directory_is_refused_and_its_target_stays_as_it_is() {
    use std::os::unix::fs::symlink;
    for name in ["coordinator.lock", "volume.json", ".primacy-trial-node-a"] {
        let (problem, _guardian) = refused(name, |path, victim| symlink(victim, path).unwrap());
        assert!(problem.contains("is a symbolic link"), "{problem}");
        let (problem, _guardian) = refused(name, |path, _| symlink("/not/there", path).unwrap());
        assert!(problem.contains("is a symbolic link"), "{problem}");
    }
    for name in ["coordinator.lock", ".primacy-trial-node-a"] {
        let (problem, _guardian) = refused(name, |path, victim| fs::hard_link(victim, path).unwrap());
        assert!(problem.contains("has another name"), "{problem}");
    }
}

#[test]
fn what_is_no_regular_file_in_lock_directory_is_refused_and_does_not_hang() {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    for name in ["coordinator.lock", "volume.json", ".primacy-trial-node-a"] {
        let (problem, _guardian) = refused(name, |path, _| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap());
        assert!(problem.contains("is a pipe"), "{problem}");
        let (problem, _guardian) = refused(name, |path, _| fs::create_dir(path).unwrap());
        assert!(problem.contains("is a directory"), "{problem}");
        let (problem, _guardian) = refused(name, |path, _| drop(std::os::unix::net::UnixListener::bind(path).unwrap()));
        assert!(problem.contains("is a socket"), "{problem}");
        if mknod(&TempDir::new().unwrap().path().join("null"), SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).is_err() {
            return skipped("a device cannot be made here");
        }
        let device = |path: &Path, _: &Path| mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3)).unwrap();
        let (problem, _guardian) = refused(name, device);
        assert!(problem.contains("is a device"), "{problem}");
    }
}

#[test]
fn a_lock_directory_that_is_a_strangers_link_is_not_followed() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can make a link of another user's");
    }
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &settings.lock_directory).unwrap();
    std::os::unix::fs::lchown(&settings.lock_directory, Some(12345), None).unwrap();
    let mut guardian = Guardian::configured(&settings);
    let problem = guardian.expect(|report| view_in(report)?.problem);
    assert!(problem.contains("is a symbolic link that belongs to user 12345"), "{problem}");
    guardian.order(GuardianOrder::AcquireLock { expected_volume: None, patient: false });
    assert!(guardian.unusable().contains("symbolic link"));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    // root's own is an administrator's decision.
    std::os::unix::fs::lchown(&settings.lock_directory, Some(0), None).unwrap();
    guardian.expect(|report| view_in(report).filter(|view| view.problem.is_none()));
    guardian.acquire(None);
    assert!(elsewhere.join("coordinator.lock").exists());
}

#[test]
fn a_lock_file_that_a_backup_has_linked_is_still_the_lock_file() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    let mut first = Guardian::leading(&settings, 1);
    fs::hard_link(lock_path(&settings), directory.path().join("backup")).unwrap();
    first.hang_up();
    first.until_end();
    let mut second = Guardian::configured(&settings);
    let (_, record) = second.acquire(None);
    assert_eq!(record.unwrap().epoch, 1);
}

#[test]
fn a_symlink_to_the_lock_file_itself_is_a_replaced_lock_file() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exec sleep 1000");
    let (mut guardian, _) = Guardian::running(&settings);
    let moved = directory.path().join("moved");
    fs::rename(lock_path(&settings), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, lock_path(&settings)).unwrap();
    assert!(guardian.lost().contains("deleted, replaced"));
}

#[test]
fn a_volume_that_hangs_is_told_by_a_standby_that_has_never_seen_it_and_by_one_that_has() {
    let directory = TempDir::new().unwrap();
    let mut settings = settings(directory.path(), "exit");
    settings.probe_timeout = Duration::from_millis(300);
    let Some(mut volume) = Freezable::new(&settings.lock_directory, &directory.path().join("image")) else {
        return skipped("no file system can be mounted and frozen here");
    };
    drop(Guardian::leading(&settings, 1));
    let hangs = |report: &Report| view_in(report)?.problem.filter(|problem| problem.contains("has not answered"));
    let usable = |report: &Report| view_in(report).filter(|view| view.problem.is_none());
    for seen_before in [false, true] {
        if !seen_before {
            volume.freeze(true);
        }
        let mut guardian = Guardian::configured(&settings);
        if seen_before {
            guardian.expect(usable);
            volume.freeze(true);
        }
        guardian.expect(|report| {
            assert!(usable(report).is_none(), "usable, and frozen");
            hangs(report)
        });
        volume.freeze(false);
        guardian.expect(usable);
        guardian.hang_up();
        guardian.until_end();
    }
}

#[test]
fn a_standby_tries_a_write_to_a_file_of_its_own_and_leaves_the_lock_file_alone() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    let mut first = Guardian::leading(&settings, 1);
    first.hang_up();
    first.until_end();
    let before = fs::metadata(lock_path(&settings)).unwrap().modified().unwrap();
    let mut guardian = Guardian::configured(&settings);
    guardian.expect(|report| view_in(report).filter(|view| view.problem.is_none()));
    assert_eq!(fs::metadata(lock_path(&settings)).unwrap().modified().unwrap(), before);
    let trial = settings.lock_directory.join(".primacy-trial-node-a");
    let tried = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let first = wait_for("a trial write", || tried(&trial));
    wait_for("another one", || (tried(&trial)? > first).then_some(()));
}

#[test]
fn a_directory_without_an_identity_is_tried_without_leaving_anything() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    fs::create_dir(&settings.lock_directory).unwrap();
    let mut guardian = Guardian::configured(&settings);
    guardian.expect(|report| view_in(report).filter(|view| view.problem.is_none()));
    guardian.order(GuardianOrder::Ping { number: 7 });
    guardian.expect_report(&Report::Pong { number: 7 });
    assert_eq!(fs::read_dir(&settings.lock_directory).unwrap().count(), 0);
}

#[test]
fn a_full_volume_keeps_no_standby_out_that_could_overwrite_in_place() {
    let directory = TempDir::new().unwrap();
    let settings = settings(directory.path(), "exit");
    let Some(_volume) = Mounted::tmpfs(&settings.lock_directory, "size=64k") else {
        return skipped("no file system can be mounted here");
    };
    drop(Guardian::leading(&settings, 1));
    let _ = fs::remove_file(settings.lock_directory.join(".primacy-trial-node-a"));
    let mut filler = fs::File::create(settings.lock_directory.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let mut guardian = Guardian::configured(&settings);
    let view = guardian.expect(view_in);
    assert_eq!(view.problem, None);
    assert!(view.warnings.iter().any(|warning| warning.contains("full")), "{view:?}");
}
