//! The shared volume: what is mounted, whether locks exclude, whether writes reach the disk, how much room there is.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::clock;
use crate::config::{Config, ElectionKind};
use crate::guardian::volume::{self, Mount};
use crate::status::CheckResult;

use super::{fail, ok, warn};

const NAME: &str = "lock.directory";

/// All of it on a thread of its own: a dead mount may block it for ever. `expected` is the id of the cluster's volume,
/// where it has one.
pub fn check(config: &Config, expected: Option<String>) -> Vec<CheckResult> {
    let (sender, receiver) = mpsc::channel();
    let lock = config.lock.clone();
    let node = config.node.clone();
    let first_creates = config.election == ElectionKind::ZooKeeper;
    std::thread::spawn(move || {
        let _ = sender.send(look(&lock.directory, &node, lock.min_free_space, first_creates, expected.as_deref()));
    });
    receiver.recv_timeout(config.lock.probe_timeout).unwrap_or_else(|_| {
        vec![fail(
            NAME,
            format!("{} does not answer within {:?}", config.lock.directory.display(), config.lock.probe_timeout),
            "is the file server reachable? see dmesg and the mount's options",
        )]
    })
}

fn look(
    directory: &Path,
    node: &str,
    min_free_space: u64,
    first_creates: bool,
    expected: Option<&str>,
) -> Vec<CheckResult> {
    let mut results = Vec::new();
    let mount = Mount::of(directory);
    if let Some(mount) = &mount {
        let found = format!("{} on {}", mount.file_system, mount.point.display());
        let warnings = mount.warnings();
        if warnings.is_empty() {
            results.push(ok("volume.mount", found));
        }
        for warning in warnings {
            let (detail, remedy) = warning.split_once("; ").unwrap_or((&warning, "mount an nfs4 volume there"));
            results.push(warn("volume.mount", detail, remedy));
        }
    }
    let (place, missing) = if directory.is_dir() {
        (directory.to_owned(), false)
    } else {
        (directory.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(directory).to_owned(), true)
    };
    if let Some(problem) = expected.and_then(|expected| volume::mismatch(directory, expected)) {
        let (detail, remedy) = problem.rsplit_once("; ").unwrap_or((&problem, "mount the cluster's volume"));
        results.push(fail("volume.id", detail, remedy));
        if missing {
            return results;
        }
    } else if expected.is_some() {
        results.push(ok("volume.id", "this is the cluster's volume"));
    }
    if missing {
        let detail = format!("{} does not exist", directory.display());
        results.push(if first_creates {
            warn(NAME, detail, "is the volume mounted? the first active of a new cluster creates the directory")
        } else {
            fail(NAME, detail, "mount the volume, then create the directory once with mkdir")
        });
        if first_creates && !place.join(".").exists() {
            return results;
        }
    }
    results.extend(mount.as_ref().and_then(|mount| identity(mount, directory, node)));
    results.extend(write_and_lock(&place));
    results.push(match fs2::available_space(&place) {
        Ok(free) if free >= min_free_space => ok("volume.free_space", format!("{} free", bytesize::ByteSize(free))),
        Ok(free) => warn(
            "volume.free_space",
            format!(
                "{} free, less than lock.min_free_space = {}",
                bytesize::ByteSize(free),
                bytesize::ByteSize(min_free_space)
            ),
            "free space on the volume",
        ),
        Err(error) => fail("volume.free_space", error.to_string(), "is the volume mounted?"),
    });
    results
}

/// By which name the server knows this host, and whether the last holder of the lock had the same.
fn identity(mount: &Mount, directory: &Path, node: &str) -> Option<CheckResult> {
    const NAME: &str = "volume.client_identity";
    let own = volume::client_identity(mount)?;
    let record = std::fs::read(directory.join(volume::FILE_NAME)).ok().and_then(|content| volume::record_in(&content));
    let twin = record.and_then(|record| volume::twin(&record, node, directory));
    Some(match twin.as_deref().map(|twin| twin.rsplit_once("; ").unwrap_or((twin, ""))) {
        None => ok(NAME, format!("the NFS server knows this host as \"{own}\"")),
        Some((detail, remedy)) => fail(NAME, detail, remedy),
    })
}

fn write_and_lock(place: &Path) -> Vec<CheckResult> {
    let path = place.join(format!(".primacy-check-{}", std::process::id()));
    let mut results = Vec::new();
    let begun = clock::now();
    let written = OpenOptions::new().create_new(true).read(true).write(true).open(&path).and_then(|mut file| {
        file.write_all(b"primacy check\n")?;
        file.sync_all()?;
        Ok(file)
    });
    match written {
        Err(error) => results.push(fail(
            "volume.write",
            format!("{}: {error}", path.display()),
            "make the volume writable for this user, and mount it read-write",
        )),
        Ok(file) => {
            let took = clock::now().since(begun);
            results.push(ok("volume.write", format!("write and fsync in {:.1} ms", took.as_secs_f64() * 1e3)));
            results.push(exclusion(&file, &path));
        }
    }
    // Gone already where it could not be created.
    let _ = std::fs::remove_file(&path);
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
    OpenOptions::new().read(true).write(true).open(path).is_ok_and(|file| volume::try_lock(&file).unwrap_or(false))
}
