//! Where the program lies that this process runs, and how it is executed anew.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::execve;

use super::Carried;
use crate::guardian::protocol::UPGRADED;

/// The program that runs, whatever has become of its path.
const RUNNING: &str = "/proc/self/exe";

/// A program, and with what it was started.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// The name by which it was called first.
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// Of this process. `known`: where it lies, as the program before it knew.
    pub fn of_this_process(known: Option<&Path>) -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let called = arguments.first().and_then(|name| called_by(name, std::env::var_os("PATH").as_deref()));
        let path = known.map(Path::to_owned).or(called).or_else(|| std::env::current_exe().ok());
        Self { path: path.unwrap_or_else(|| RUNNING.into()), arguments }
    }

    /// The arguments of `primacy run` with one more option, which goes before the coordinator's command.
    pub fn arguments_with(&self, option: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = self.arguments.iter().skip(1).cloned().collect();
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        arguments.insert(end, option.into());
        arguments
    }

    /// Becomes the program at the path; where that fails, the one that runs already, from its beginning. Returns only if neither
    /// can be executed.
    pub fn execute(&self, carried: &Carried) -> io::Error {
        match self.become_program(&self.path, carried) {
            Ok(never) => match never {},
            Err(error) => tracing::error!(
                %error,
                program = %self.path.display(),
                "it said that it would take over, and cannot be executed: the program that runs begins anew"
            ),
        }
        crate::output::settle();
        match self.become_program(Path::new(RUNNING), carried) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn become_program(&self, path: &Path, carried: &Carried) -> io::Result<std::convert::Infallible> {
        let memory = carried.sealed()?;
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        let arguments = self.arguments.iter().map(|it| text(it)).collect::<io::Result<Vec<_>>>()?;
        let others = std::env::vars_os().filter(|(name, _)| name != UPGRADED);
        let own = (UPGRADED.into(), format!("{}:{}", std::process::id(), memory.as_raw_fd()).into());
        let variables = others.chain([own]).map(|(name, value): (OsString, OsString)| {
            CString::new([name.into_vec(), value.into_vec()].join(&b'=')).map_err(io::Error::from)
        });
        let variables = variables.collect::<io::Result<Vec<_>>>()?;
        let crossing = [Some(memory.as_fd()), carried.socket.as_ref().map(AsFd::as_fd)];
        for fd in crossing.into_iter().flatten() {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let failed = execve(&text(path.as_os_str())?, &arguments, &variables);
        for fd in crossing.into_iter().flatten() {
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
        Ok(failed?)
    }
}

/// The place by which this very program was called: what a link points to when it is executed anew counts, not what it pointed
/// to. `None` where the name leads elsewhere.
fn called_by(name: &OsStr, search: Option<&OsStr>) -> Option<PathBuf> {
    let named = Path::new(name);
    let candidates: Vec<PathBuf> = if named.components().count() > 1 || named.is_absolute() {
        vec![std::path::absolute(named).ok()?]
    } else {
        std::env::split_paths(search?).map(|folder| folder.join(named)).collect()
    };
    let place = |path: &Path| std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
    let running = place(Path::new(RUNNING))?;
    candidates.into_iter().find(|path| place(path) == Some(running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_where_it_was_called_and_a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("current");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &link).unwrap();
        assert_eq!(called_by(link.as_os_str(), None), Some(link.clone()));
        let folders = std::env::join_paths([Path::new("/nonexistent"), directory.path()]).unwrap();
        assert_eq!(called_by(OsStr::new("current"), Some(&folders)), Some(link));
        assert_eq!(called_by(OsStr::new("/bin/sh"), None), None, "another program");
        assert_eq!(called_by(OsStr::new("primacy"), None), None);
    }

    #[test]
    fn the_question_is_put_before_the_coordinators_command() {
        let program = |line: &str| Program {
            path: "/usr/bin/primacy".into(),
            arguments: line.split(' ').map(OsString::from).collect(),
        };
        let asked = |line: &str| program(line).arguments_with("--adopt-check").join(OsStr::new(" "));
        assert_eq!(asked("primacy run -c f -- sleep -- 1"), "run -c f --adopt-check -- sleep -- 1");
        assert_eq!(asked("primacy -c f run"), "-c f run --adopt-check");
    }
}
