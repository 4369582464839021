//! What may hang is done apart: on a thread of its own, for which the loop does not wait.
//!
//! To start a program waits until its file has been found and read, and a file is read when it likes: on a mount whose
//! server is away, never. Rejected: the runtime's pool for blocking work. Its threads are few ([`super::wiring`]), and one
//! that hangs would keep the others' work from being done.

use std::io;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clock;

use super::orphans::{OwnChild, OwnChildren};

/// Of such a thread's stack, in bytes: it reads a configuration at most.
const STACK: usize = 512 * 1024;

/// Does it on a thread of its own. Whoever does not wait for the end leaves the thread behind, for as long as it hangs.
///
/// # Errors
/// No thread can be had, or it failed.
pub async fn apart<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    thread.spawn(move || drop(sender.send(work())))?;
    outcome.await.map_err(|_| io::Error::other(format!("the thread for it ({name}) failed")))
}

/// Starts a program, and counts it among the own children.
///
/// # Errors
/// No thread or process can be had, or it cannot be executed.
pub async fn spawn(mut command: Command, children: OwnChildren) -> io::Result<(Child, OwnChild)> {
    let runtime = Handle::current();
    let start = children.starts().begin(clock::now());
    apart("start", move || {
        let (_context, _start) = (runtime.enter(), start);
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        let own = children.add(pid);
        Ok((child, own))
    })
    .await?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_hangs_or_fails_apart_hangs_and_fails_alone() {
        assert_eq!(apart("test", || 7).await.unwrap(), 7);
        let failed = apart("test", || panic!("on purpose")).await;
        assert!(failed.unwrap_err().to_string().contains("failed"));
        let (release, hanging) = std::sync::mpsc::channel::<()>();
        let hangs = apart("test", move || hanging.recv().is_ok());
        assert!(tokio::time::timeout(Duration::from_millis(20), hangs).await.is_err());
        drop(release);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_from_one_that_runs() {
        let children = OwnChildren::default();
        let directory = tempfile::tempdir().unwrap();
        let error = spawn(Command::new(directory.path().join("none")), children.clone()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let (mut child, _own) = spawn(Command::new("true"), children).await.unwrap();
        assert!(child.wait().await.unwrap().success());
    }
}
