//! Exit codes: the one place that knows their numbers, and which error means which.
//!
//! Service managers and scripts rely on them (`RestartPreventExitStatus=2 78`), so they are part of the interface.

use std::io;
use std::process::ExitCode;

use crate::client::verdict::Health;
use crate::config::Problems;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or a clean stop.
    Done,
    /// Failed or refused.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Of `run`: lost mastership and fenced itself; the number that Dremio uses.
    LostMastership,
    /// Of a client command: nobody could be asked.
    CouldNotAsk,
    /// Of `status --check`: what a monitoring system makes of a plugin's exit code.
    Plugin(Health),
    /// Another live member has this node's name.
    DuplicateName,
    /// Configuration missing or invalid; `EX_CONFIG` of sysexits.h.
    Config,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::LostMastership | Self::CouldNotAsk => 3,
            Self::Plugin(health) => health.code(),
            Self::DuplicateName => 4,
            Self::Config => 78,
        }
    }

    /// What an error that ended a command means.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<Problems>() {
            Self::Config
        } else if error.is::<Usage>() {
            Self::Usage
        } else if is_broken_pipe(error) {
            Self::Done
        } else {
            Self::Failed
        }
    }
}

/// What the user gets to read of an error; nothing where a reader such as `head` had merely seen enough.
pub fn message(error: &anyhow::Error) -> Option<String> {
    if is_broken_pipe(error) {
        None
    } else if error.is::<Problems>() {
        Some(format!("{error}"))
    } else {
        Some(format!("primacy: {error:#}"))
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The command line contradicts itself in a way that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_keeps_its_exit_code_under_whatever_context() {
        let config = anyhow::Error::from(crate::config::parse("x", None).unwrap_err());
        assert_eq!(Exit::of(&config), Exit::Config);
        let usage = anyhow::Error::from(Usage("no".to_owned()));
        assert_eq!(Exit::of(&Err::<(), _>(usage).context("while").unwrap_err()), Exit::Usage);
        let pipe = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((Exit::of(&pipe), message(&pipe)), (Exit::Done, None));
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(Exit::of(&other), Exit::Failed);
        assert!(message(&other).unwrap().starts_with("primacy: "));
    }

    #[test]
    fn the_exit_codes_are_the_published_ones() {
        let of_run = [Exit::Done, Exit::Failed, Exit::Usage, Exit::LostMastership, Exit::DuplicateName, Exit::Config];
        assert_eq!(of_run.map(Exit::code), [0, 1, 2, 3, 4, 78]);
        assert_eq!(Exit::CouldNotAsk.code(), 3);
    }
}
