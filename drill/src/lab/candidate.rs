//! A candidate: a host with `primacy run` on it, and the service manager that starts it again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts::{Host as _, NamespaceHost, processes};
use testbed::clock;

/// `RestartSec` of the unit that is shipped.
const RESTART_AFTER: Duration = Duration::from_millis(100);
/// Of the same unit, after exit code 4.
const RESTART_OF_A_TWIN_AFTER: Duration = Duration::from_secs(30);
/// The name that a guardian gives itself.
const GUARDIAN: &str = "primacy-guard";

/// How a supervisor ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The exit code; a signal is a negative number.
    pub code: i32,
    /// In words.
    pub words: String,
}

/// See the module.
pub struct Candidate {
    /// Where it runs.
    pub host: NamespaceHost,
    config: PathBuf,
    log: PathBuf,
    primacy: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    wanted: bool,
    start_at: Option<u64>,
}

impl Candidate {
    /// Its configuration is `text`. Runs after [`Candidate::start`].
    pub fn new(host: NamespaceHost, primacy: PathBuf, config: PathBuf, text: &str, log: PathBuf) -> Result<Self> {
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let environment = vec![("RUST_BACKTRACE".to_owned(), "1".to_owned())];
        Ok(Self { host, config, log, primacy, environment, child: None, wanted: false, start_at: None })
    }

    /// As the lab calls it.
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// Its configuration file.
    pub fn config(&self) -> &PathBuf {
        &self.config
    }

    /// For its processes, from the next start on.
    pub fn set_environment(&mut self, name: &str, value: String) {
        self.environment.push((name.to_owned(), value));
    }

    /// Wants it to run: it is started, and again whenever it has ended.
    pub fn start(&mut self) -> Result<()> {
        self.wanted = true;
        self.start_at = None;
        if self.child.is_some() {
            return Ok(());
        }
        let [primacy, config] = [&self.primacy, &self.config].map(|path| path.display().to_string());
        self.child = Some(self.host.start_process(&[&primacy, "run", "-c", &config], &self.environment, &self.log)?);
        Ok(())
    }

    /// From here on its end is its end.
    pub fn unwanted(&mut self) {
        self.wanted = false;
        self.start_at = None;
    }

    /// The service manager's turn. Says if the supervisor has ended.
    pub fn tend(&mut self) -> Result<Option<End>> {
        let mut ended = None;
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait().context("cannot wait for a supervisor")?
        {
            self.child = None;
            let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(1));
            ended = Some(End { code, words: crate::hosts::sandbox::words(status) });
            // As the unit has it.
            let pause = if code == 4 { RESTART_OF_A_TWIN_AFTER } else { RESTART_AFTER };
            self.start_at = (!matches!(code, 2 | 78)).then(|| clock::now() + nanoseconds(pause));
        }
        if self.wanted && self.child.is_none() && self.start_at.is_some_and(|at| clock::now() >= at) {
            self.start()?;
        }
        Ok(ended)
    }

    /// Its supervisor's pid, while it runs.
    pub fn supervisor(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Its guardians' pids: one, or two while one is replaced.
    pub fn guardians(&self) -> Vec<i32> {
        let all = self.host.group().processes();
        all.into_iter().filter(|pid| processes::name(*pid).as_deref() == Some(GUARDIAN)).collect()
    }

    /// The coordinator's main process and what else the guardian is the parent of.
    pub fn coordinators(&self) -> Vec<i32> {
        let all = self.host.group().processes();
        self.guardians().into_iter().flat_map(|guardian| processes::children(guardian, &all)).collect()
    }

    /// Signals the supervisor alone. Whether there was one.
    pub fn signal(&self, signal: Signal) -> bool {
        self.supervisor().is_some_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
    }
}

/// As the clock counts.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
