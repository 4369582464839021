//! The volume as a standby sees it: what a leader needs of it, tried as far as that is possible without the lock.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::client;
use super::files;
use super::identity;
use super::lock_file::{LockFile, ask_anew, record_in};
use super::mounts::Mount;
use super::problems;
use super::trial::{self, Outcome, Trial};
use crate::guardian::protocol::VolumeView;

/// Looks at the directory, and opens the lock file for writing as soon as the volume has its identity: a first open
/// while the holder is unreachable blocks until the server has recalled that one's delegation (13 s).
pub fn look(
    directory: &Path,
    node: &str,
    min_free_space: u64,
    file: &mut Option<LockFile>,
    trial: &mut Trial,
) -> VolumeView {
    let mut view = VolumeView::default();
    let mount = Mount::of(directory);
    if let Some(mount) = &mount {
        view.file_system = Some(mount.file_system.clone());
        view.warnings = mount.warnings();
    }
    view.problem = problem(directory, &mut view, mount.as_ref(), file);
    if view.problem.is_none() {
        view.problem = try_to_write(directory, node, &mut view, trial);
    }
    view.free_bytes = problems::free_bytes(directory).ok();
    view.warnings.extend(view.free_bytes.and_then(|free| scarce(directory, free, min_free_space)));
    view.record = file.as_ref().and_then(|file| file.read().ok()).and_then(|content| record_in(&content));
    if view.problem.is_none() {
        view.problem = view.record.as_ref().and_then(|record| client::twin(record, node, directory));
    }
    view
}

fn problem(
    directory: &Path,
    view: &mut VolumeView,
    mount: Option<&Mount>,
    file: &mut Option<LockFile>,
) -> Option<String> {
    if let Some(parent) = directory.parent() {
        ask_anew(parent);
    }
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Some(format!("lock.directory {} is not a directory", directory.display())),
        Err(error) => {
            *file = None;
            if error.kind() != std::io::ErrorKind::NotFound {
                return Some(problems::directory(directory, &error));
            }
            let cannot = not_to_be_created(directory);
            view.missing = cannot.is_none();
            return cannot.or_else(|| Some(problems::directory(directory, &error)));
        }
    }
    if let Err(error) = files::directory(directory) {
        return Some(problems::of("open", directory, &error));
    }
    match identity::read(directory) {
        Ok(id) => view.id = id,
        Err(error) => return Some(problems::of("read", &identity::path(directory), &error)),
    }
    if mount.is_some_and(Mount::is_read_only) {
        return Some(format!("{} is mounted read-only; remount it for writing", directory.display()));
    }
    if let Err(error) = access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Some(problems::of("write to", directory, &error.into()));
    }
    if let Some(open) = file {
        match open.is_at_its_path() {
            Ok(true) => return None,
            Ok(false) => *file = None,
            Err(error) => return Some(problems::of("use", open.path(), &error)),
        }
    }
    if view.id.is_some() {
        match LockFile::open(directory) {
            Ok(opened) => *file = Some(opened),
            Err(error) => return Some(problems::of("open", &directory.join(super::lock_file::FILE_NAME), &error)),
        }
    }
    None
}

/// Why this account could not make the directory, where the first active would have to.
fn not_to_be_created(directory: &Path) -> Option<String> {
    let above = directory.ancestors().skip(1).find(|above| above.exists())?;
    let error = access(above, AccessFlags::W_OK | AccessFlags::X_OK).err()?;
    Some(format!(
        "lock.directory {} does not exist, and {}",
        directory.display(),
        problems::of("write to", above, &error.into())
    ))
}

/// The trial write. What it finds is a problem, but for a disk without room for one more file: the lock file is there and can
/// be overwritten.
fn try_to_write(directory: &Path, node: &str, view: &mut VolumeView, trial: &mut Trial) -> Option<String> {
    let path = directory.join(trial::file_name(node));
    match trial.run(directory, node, view.id.is_some()) {
        Ok(Outcome::Written) => None,
        Ok(Outcome::NoRoom) => {
            view.warnings.push(problems::of("create or extend", &path, &Errno::ENOSPC.into()));
            None
        }
        Err(error) => Some(problems::of("write and sync", &path, &error)),
    }
}

/// A warning if there is less free space than wanted.
pub fn scarce(directory: &Path, free: u64, min_free_space: u64) -> Option<String> {
    (free < min_free_space).then(|| {
        format!(
            "the volume of {} has less than lock.min_free_space free ({min_free_space} bytes); free space on it",
            directory.display()
        )
    })
}

/// Whether two views differ by more than a little free space: that changes all the time.
pub fn differ(former: &VolumeView, present: &VolumeView) -> bool {
    let without_space = |view: &VolumeView| VolumeView { free_bytes: None, ..view.clone() };
    let space_moved = match (former.free_bytes, present.free_bytes) {
        (Some(before), Some(after)) => before.abs_diff(after) > before / 16,
        (before, after) => before.is_some() != after.is_some(),
    };
    space_moved || without_space(former) != without_space(present)
}
