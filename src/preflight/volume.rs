//! The shared volume: what is mounted, whether locks exclude, whether writes reach the disk, how much room there is.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clock;
use crate::config::{Config, ElectionKind};
use crate::guardian::volume::{self, LockFile, Mount, files, problems};
use crate::moment::in_words;
use crate::status::CheckResult;

use super::apart::Told;
use super::{fail, nfs_lease, ok, warn};

/// The check that stands for the whole volume.
pub const NAME: &str = "lock.directory";

/// `expected` is the id of the cluster's volume, where it has one.
pub fn look(config: &Config, expected: Option<&str>, told: &mut Told) {
    let (directory, node) = (config.lock.directory.as_path(), config.node.as_str());
    let first_creates = config.election == ElectionKind::ZooKeeper;
    let mount = Mount::of(directory);
    told.step("volume.mount", || mounted(mount.as_ref()));
    told.step("volume.nfs_lease", || nfs_lease::look(config, mount.as_ref()));
    let mut place = None;
    told.step(NAME, || {
        let (found, usable) = find(directory, first_creates, expected);
        place = usable;
        found
    });
    let Some(place) = place else { return };
    told.step("volume.client_identity", || mount.as_ref().and_then(|mount| identity(mount, directory, node)));
    told.step("volume.write", || write_and_lock(&place));
    told.step("volume.free_space", || [free_space(&place, config.lock.min_free_space)]);
    // Last: where the holder's host is unreachable, a first open waits for the server.
    told.step(LOCK_FILE, || lock_file(directory));
    told.step("volume.files", || own_files(directory, node));
}

fn mounted(mount: Option<&Mount>) -> Vec<CheckResult> {
    let Some(mount) = mount else { return Vec::new() };
    let warnings = mount.warnings();
    if warnings.is_empty() {
        return vec![ok("volume.mount", format!("{} on {}", mount.file_system, mount.point.display()))];
    }
    let parts =
        warnings.iter().map(|warning| warning.split_once("; ").unwrap_or((warning, "mount an nfs4 volume there")));
    parts.map(|(detail, remedy)| warn("volume.mount", detail, remedy)).collect()
}

/// Whether the directory is there and the cluster's, and where to try a write: in it, or in what it would be made in.
fn find(directory: &Path, first_creates: bool, expected: Option<&str>) -> (Vec<CheckResult>, Option<PathBuf>) {
    let mut results = Vec::new();
    let missing = match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => false,
        Ok(_) => {
            let detail = format!("{} is not a directory", directory.display());
            return (vec![fail(NAME, detail, "name a directory on the shared volume")], None);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return (vec![failed(NAME, &problems::directory(directory, &error))], None),
    };
    if let Some(problem) = expected.and_then(|expected| volume::mismatch(directory, expected)) {
        results.push(failed("volume.id", &problem));
        if missing {
            return (results, None);
        }
    } else if expected.is_some() {
        results.push(ok("volume.id", "this is the cluster's volume"));
    }
    if !missing {
        return (results, Some(directory.to_owned()));
    }
    let detail = format!("{} does not exist", directory.display());
    results.push(if first_creates {
        warn(NAME, detail, "is the volume mounted? the first active of a new cluster creates the directory")
    } else {
        fail(NAME, detail, "mount the volume, then create the directory once with mkdir")
    });
    (results, directory.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned))
}

/// A sentence with its remedy, as the guardian would say it.
fn failed(name: &str, problem: &str) -> CheckResult {
    let (detail, remedy) = problem.rsplit_once("; ").unwrap_or((problem, "mount the cluster's volume"));
    fail(name, detail, remedy)
}

fn free_space(place: &Path, least: u64) -> CheckResult {
    const NAME: &str = "volume.free_space";
    if problems::has_no_inodes(place) {
        return warn(NAME, "no inodes are left: no file can be created", "delete files on the volume");
    }
    match problems::free_bytes(place) {
        Ok(free) if free >= least => ok(NAME, format!("{} free", bytesize::ByteSize(free))),
        Ok(free) => warn(
            NAME,
            format!("{} free, less than lock.min_free_space = {}", bytesize::ByteSize(free), bytesize::ByteSize(least)),
            "free space on the volume",
        ),
        Err(error) => fail(NAME, error.to_string(), "is the volume mounted?"),
    }
}

const LOCK_FILE: &str = "volume.lock_file";

/// Whether this account may use the lock file that is there: made by another one, perhaps.
fn lock_file(directory: &Path) -> Option<CheckResult> {
    let path = directory.join(volume::FILE_NAME);
    let opened = files::directory(directory).and_then(|directory| files::open(&directory, volume::FILE_NAME, true));
    match opened {
        Ok(_) => Some(ok(LOCK_FILE, format!("{} may be written", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(failed(LOCK_FILE, &problems::of("write", &path, &error))),
    }
}

/// What a standby of this node writes.
fn own_files(directory: &Path, node: &str) -> Option<CheckResult> {
    let name = volume::trial_file_name(node);
    let opened = files::directory(directory).and_then(|directory| files::open(&directory, &name, true));
    match opened {
        Err(error) if files::refusal(&error).is_some() => {
            Some(failed("volume.files", &problems::of("write", &directory.join(name), &error)))
        }
        // A file of another account's is replaced.
        _ => None,
    }
}

/// By which name the server knows this host, and whether the last holder of the lock had the same.
fn identity(mount: &Mount, directory: &Path, node: &str) -> Option<CheckResult> {
    const NAME: &str = "volume.client_identity";
    let own = volume::client_identity(mount)?;
    let record = LockFile::read_at(directory).ok().and_then(|content| volume::record_in(&content));
    let twin = record.and_then(|record| volume::twin(&record, node, directory));
    Some(match twin.as_deref().map(|twin| twin.rsplit_once("; ").unwrap_or((twin, ""))) {
        None => ok(NAME, format!("the NFS server knows this host as \"{own}\"")),
        Some((detail, remedy)) => fail(NAME, detail, remedy),
    })
}

fn write_and_lock(place: &Path) -> Vec<CheckResult> {
    const NAME: &str = "volume.write";
    let name = format!(".primacy-check-{}", uuid::Uuid::new_v4());
    let path = place.join(&name);
    let mut results = Vec::new();
    let begun = clock::now();
    let directory = files::directory(place);
    let written = directory.and_then(|directory| {
        let mut file = files::create(&directory, &name)?;
        let written = file.write_all(b"primacy check\n").and_then(|()| file.sync_all());
        Ok((directory, file, written))
    });
    match written {
        Err(error) => results.push(failed(NAME, &problems::of("write", &path, &error))),
        Ok((directory, file, written)) => {
            match written {
                Err(error) => results.push(failed(NAME, &problems::of("write and sync", &path, &error))),
                Ok(()) => {
                    results.push(ok(NAME, format!("write and fsync in {}", in_words(clock::now().since(begun)))));
                    results.push(exclusion(&file, &path));
                }
            }
            if let Err(error) = files::remove(&directory, &name) {
                results.push(warn(NAME, problems::of("remove", &path, &error), "remove it by hand"));
            }
        }
    }
    results
}

/// Locks the file here and lets another process try: it must fail, and it must succeed once the lock is gone.
fn exclusion(file: &File, path: &PathBuf) -> CheckResult {
    const REMEDY: &str = "this file system cannot protect a coordinator; use NFSv4 without nolock or local_lock";
    match volume::try_lock(file) {
        Ok(true) => {}
        Ok(false) => return fail("volume.lock", "a file that was just created is locked already", REMEDY),
        Err(error) => return fail("volume.lock", format!("an OFD lock cannot be taken: {error}"), REMEDY),
    }
    match other_process_locks(path) {
        Ok(false) => ok("volume.lock", "another process is kept out while the lock is held"),
        Ok(true) => fail("volume.lock", "another process got the lock while it was held", REMEDY),
        Err(error) => fail("volume.lock", format!("no second process could be started: {error}"), "try again"),
    }
}

fn other_process_locks(path: &PathBuf) -> std::io::Result<bool> {
    let status = Command::new("/proc/self/exe").arg("try-lock").arg(path).stdin(Stdio::null()).status()?;
    Ok(status.success())
}

/// The other process: whether it gets the lock.
pub fn try_lock(path: &Path) -> bool {
    let parts = path.parent().zip(path.file_name().and_then(std::ffi::OsStr::to_str));
    let file = parts.and_then(|(directory, name)| files::open(&files::directory(directory).ok()?, name, true).ok());
    file.is_some_and(|file| volume::try_lock(&file).unwrap_or(false))
}
