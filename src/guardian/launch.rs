//! From the settings to a [`Launch`]: environment, user, search in PATH, and words for what went wrong.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::account::Account;
use super::environment;
use super::protocol::{GUARDIAN_FD, Settings};
use super::remains;
use crate::syscalls::{Identity, Launch, LaunchError, Step};

/// Where a program without a slash is looked for if there is no PATH: what execvp uses.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What differs between the coordinator and its before_kill hook.
pub struct Purpose {
    /// `None`: there are no epochs.
    pub epoch: Option<u64>,
    pub lock: Option<RawFd>,
    /// The main process, for the hook.
    pub main: Option<i32>,
}

/// The environment of the coordinator, or of its before_kill hook.
pub fn variables(settings: &Settings, account: &Account, purpose: &Purpose) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = environment::inherited();
    variables.extend(account.variables.iter().map(|(name, value)| (OsString::from(name), value.clone())));
    variables.extend(settings.environment.iter().map(|(name, value)| (name.into(), value.into())));
    for (name, value) in [
        ("PRIMACY_CLUSTER", Some(settings.cluster.clone())),
        ("PRIMACY_NODE", Some(settings.node.clone())),
        ("PRIMACY_EPOCH", purpose.epoch.map(|epoch| epoch.to_string())),
        ("PRIMACY_LOCK_FD", purpose.lock.map(|fd| fd.to_string())),
        ("PRIMACY_PID", purpose.main.map(|pid| pid.to_string())),
    ] {
        match value {
            Some(value) => variables.insert(name.into(), value.into()),
            None => variables.remove(&OsString::from(name)),
        };
    }
    variables.insert(remains::VARIABLE.into(), OsString::from_vec(remains::tag(&settings.lock_directory)));
    variables
}

/// Everything for a start. `oom_score_adj` is what the guardian had before it lowered its own.
pub fn prepare(
    settings: &Settings,
    account: &Account,
    oom_score_adj: Option<&str>,
    purpose: &Purpose,
) -> Result<Launch, String> {
    let variables: Vec<(OsString, OsString)> = variables(settings, account, purpose).into_iter().collect();
    let mut launch = launch_of(&Target {
        command: &settings.command,
        variables: &variables,
        working_directory: settings.working_directory.as_deref(),
        identity: account.identity.clone(),
    })?;
    launch.inherit = purpose.lock;
    launch.oom_score_adj = oom_score_adj.and_then(|score| CString::new(score).ok());
    Ok(launch)
}

/// What is to be executed, where, and as whom.
pub struct Target<'a> {
    pub command: &'a [String],
    /// All of the environment.
    pub variables: &'a [(OsString, OsString)],
    pub working_directory: Option<&'a Path>,
    pub identity: Option<Identity>,
}

/// The launch of a program, found by PATH as the kernel's callers do: by trying.
pub fn launch_of(target: &Target<'_>) -> Result<Launch, String> {
    let program = target.command.first().ok_or("the command is empty")?;
    let text = |bytes: Vec<u8>, what: &str| CString::new(bytes).map_err(|_| format!("{what} contains a NUL byte"));
    let mut programs = Vec::new();
    if program.contains('/') {
        programs.push(text(program.clone().into_bytes(), "the command")?);
    } else {
        let path = target.variables.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
        for directory in std::env::split_paths(&path) {
            programs.push(text(directory.join(program).into_os_string().into_vec(), "PATH")?);
        }
    }
    let mut arguments = Vec::new();
    for argument in target.command {
        arguments.push(text(argument.clone().into_bytes(), "the command")?);
    }
    let mut environment = Vec::new();
    for (name, value) in target.variables {
        environment.push(text([name.as_bytes(), b"=", value.as_bytes()].concat(), "the environment")?);
    }
    let directory = target.working_directory.map(Path::as_os_str);
    Ok(Launch {
        programs,
        arguments,
        environment,
        working_directory: directory
            .map(|directory| text(directory.as_bytes().to_vec(), "coordinator.working_directory"))
            .transpose()?,
        identity: target.identity.clone(),
        inherit: None,
        watchdog: None,
        input: None,
        output: None,
        close: GUARDIAN_FD,
        oom_score_adj: None,
        not_after: None,
    })
}

/// One sentence on a failed start, with the remedy.
pub fn explain(command: &[String], working_directory: Option<&Path>, user: Option<&str>, error: LaunchError) -> String {
    let errno = nix::errno::Errno::from_raw(error.errno);
    let program = command.first().map_or("", String::as_str);
    match error.step {
        Step::Exec => {
            let remedy = match errno {
                nix::errno::Errno::ENOENT => "check the path, and the interpreter named in its first line",
                nix::errno::Errno::EACCES => {
                    "make it executable for the coordinator's user, and its directories searchable"
                }
                nix::errno::Errno::ENOEXEC => "it is no binary and has no #! line; name its interpreter in the command",
                _ => "run it by hand as the coordinator's user",
            };
            format!("cannot execute {program}: {}; {remedy}", errno.desc())
        }
        Step::WorkingDirectory => {
            let directory = working_directory.unwrap_or(Path::new(""));
            format!(
                "cannot enter coordinator.working_directory {}: {}; create it, or let the coordinator's user in",
                directory.display(),
                errno.desc()
            )
        }
        Step::User => {
            let user = user.unwrap_or("");
            format!("cannot become coordinator.user \"{user}\": {}; primacy must run as root for that", errno.desc())
        }
        Step::ParentGone => "the guardian ended while the coordinator was being started".to_owned(),
        Step::Late => format!("the lease had ended before {program} could be started"),
        Step::Prepare => format!("cannot prepare the process for {program}: {}", errno.desc()),
    }
}
