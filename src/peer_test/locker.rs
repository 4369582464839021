//! The volume's side: files of the test's own, and a process that locks one.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::time::timeout;

use super::words::STEP;
use crate::guardian::volume::{self, files, problems};
use crate::moment::in_words;

/// Bytes read of the other's file; a nonce has 36.
const NONCE_LIMIT: u64 = 256;

/// `lock.directory`, or what it is going to be created in.
pub fn place(directory: &Path) -> Result<PathBuf, String> {
    for path in [Some(directory), directory.parent()].into_iter().flatten() {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(path.to_owned()),
            // One that may not be looked into is there: the other node may well write in it.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(problems::of("use", path, &error));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(format!("{} does not exist; mount the volume", directory.display()))
}

pub fn write(path: &Path, content: &str) -> std::io::Result<()> {
    let (directory, name) = split(path)?;
    let mut file = files::create(&directory, name)?;
    std::io::Write::write_all(&mut file, content.as_bytes())?;
    file.sync_all()
}

/// What another node has written: a nonce.
pub fn read(path: &Path) -> std::io::Result<String> {
    let (directory, name) = split(path)?;
    let mut content = String::new();
    files::open(&directory, name, false)?.take(NONCE_LIMIT).read_to_string(&mut content)?;
    Ok(content)
}

fn split(path: &Path) -> std::io::Result<(std::fs::File, &str)> {
    let parts = path.parent().zip(path.file_name().and_then(std::ffi::OsStr::to_str));
    let (directory, name) = parts.ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok((files::directory(directory)?, name))
}

/// Another process that tries the lock, and keeps it until it is killed if it is to.
pub struct Locker {
    child: Child,
    /// `locked`, `busy`, or what went wrong.
    pub said: String,
}

impl Locker {
    pub fn start(file: &Path, keeps: bool) -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["try-lock", "--hold"])
            .arg(file)
            .stdin(if keeps { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let mut locker = Self { child, said: said.trim().to_owned() };
        if !keeps {
            locker.child.wait()?;
        }
        Ok(locker)
    }

    pub fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The other process: says whether it has the lock, and keeps it until its standard input ends.
pub fn hold_lock(path: &Path) -> String {
    let file = split(path).and_then(|(directory, name)| files::open(&directory, name, true));
    let locked = file.and_then(|file| Ok((volume::try_lock(&file)?, file)));
    match locked {
        Ok((true, file)) => {
            if let Err(error) = crate::output::print("locked\n") {
                return error.to_string();
            }
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(file);
            String::new()
        }
        Ok((false, _)) => "busy".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// On a thread of its own: a dead mount may block it for ever.
pub async fn on_volume<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match timeout(STEP, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the volume does not answer within {}", in_words(STEP))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_looked_into_is_not_taken_for_a_missing_one() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join(".primacy");
        assert_eq!(place(&directory).unwrap(), top.path(), "it is created in the volume's root");
        // Errors that root gets, too: a path that goes round in circles.
        std::os::unix::fs::symlink(&directory, &directory).unwrap();
        let problem = place(&directory).unwrap_err();
        assert!(problem.contains("ELOOP") && !problem.contains("does not exist"), "{problem}");
    }
}
