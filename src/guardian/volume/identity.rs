//! `volume.json`: which volume this is.
//!
//! A lock in an unmounted mount point succeeds, locally, on every host. So the volume carries a random id that the
//! cluster knows, and a directory without it is refused.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::renameat;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files;
use crate::guardian::protocol::is_volume_id;

/// The file's name in `lock.directory`.
const FILE_NAME: &str = "volume.json";

/// Bytes; the file has about fifty.
const CONTENT_LIMIT: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Content {
    id: String,
}

/// Where the identity is kept.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE_NAME)
}

/// The volume's id; `None` where there is no such file.
pub fn read(directory: &Path) -> io::Result<Option<String>> {
    let file = match files::directory(directory).and_then(|directory| files::open(&directory, FILE_NAME, false)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(CONTENT_LIMIT + 1).read_to_end(&mut content)?;
    id_in(&content).map(Some)
}

/// The id in the file's content.
pub fn id_in(content: &[u8]) -> io::Result<String> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    if content.len() as u64 > CONTENT_LIMIT {
        return Err(invalid("it is too large"));
    }
    let id = serde_json::from_slice::<Content>(content)?.id;
    if is_volume_id(&id) { Ok(id) } else { Err(invalid("its id is none")) }
}

/// Why this directory is not the volume that the cluster knows as `expected`; `None` if it is.
pub fn mismatch(directory: &Path, expected: &str) -> Option<String> {
    let at = directory.display();
    match read(directory) {
        Ok(Some(id)) if id == expected => None,
        Ok(Some(id)) => Some(format!(
            "{at} is a foreign volume: it has the id {id}, the cluster's is {expected}; mount the cluster's volume"
        )),
        Ok(None) => match fs::metadata(directory) {
            Ok(_) => Some(format!(
                "{at} has no {FILE_NAME}, the cluster's volume {expected} has one; is the volume mounted?"
            )),
            Err(error) => Some(super::problems::directory(directory, &error)),
        },
        // Not from the file system, so from the parser.
        Err(error) if error.raw_os_error().is_none() && files::refusal(&error).is_none() => {
            Some(format!("{} is unreadable: {error}; restore it with the id {expected}", path(directory).display()))
        }
        Err(error) => Some(super::problems::of("read", &path(directory), &error)),
    }
}

/// The id that is there, or else a random one, made durable. Only under the lock.
pub fn adopt_or_create(directory: &Path) -> io::Result<String> {
    if let Some(id) = read(directory)? {
        return Ok(id);
    }
    let id = Uuid::new_v4().to_string();
    let temporary = format!(".{FILE_NAME}.{id}");
    let directory = files::directory(directory)?;
    let written = write_durably(&directory, &temporary, &id)
        .and_then(|()| Ok(renameat(&directory, temporary.as_str(), &directory, FILE_NAME)?));
    if written.is_err() {
        // The error that matters is the one above.
        let _ = files::remove(&directory, &temporary);
    }
    written?;
    directory.sync_all()?;
    Ok(id)
}

fn write_durably(directory: &File, name: &str, id: &str) -> io::Result<()> {
    let mut file = files::create(directory, name)?;
    serde_json::to_writer(&mut file, &Content { id: id.to_owned() })?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_created_once_and_adopted_ever_after() {
        let directory = tempfile::tempdir().unwrap();
        let id = adopt_or_create(directory.path()).unwrap();
        assert_eq!(adopt_or_create(directory.path()).unwrap(), id);
        assert_eq!(mismatch(directory.path(), &id), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_an_end_is_refused_and_one_that_is_no_file_does_not_hang() {
        let directory = tempfile::tempdir().unwrap();
        File::create(path(directory.path())).unwrap().set_len(1 << 40).unwrap();
        assert!(mismatch(directory.path(), "x").unwrap().contains("too large"));
        fs::remove_file(path(directory.path())).unwrap();
        nix::unistd::mkfifo(&path(directory.path()), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(mismatch(directory.path(), "x").unwrap().contains("is a pipe"));
    }

    #[test]
    fn each_kind_of_wrong_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(mismatch(&directory.path().join("gone"), "x").unwrap().contains("does not exist"));
        assert!(mismatch(directory.path(), "x").unwrap().contains("is the volume mounted?"));
        fs::write(path(directory.path()), "{\"id\":\"y\"}").unwrap();
        assert!(mismatch(directory.path(), "x").unwrap().contains("foreign volume"));
        fs::write(path(directory.path()), "{\"id\":\"\\u001b[31m\"}").unwrap();
        assert!(mismatch(directory.path(), "x").unwrap().contains("unreadable"));
        fs::write(path(directory.path()), "half").unwrap();
        assert!(mismatch(directory.path(), "x").unwrap().contains("unreadable"));
    }
}
