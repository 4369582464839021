//! `primacy check`: what can be known before anything is started. One line a check, with what to do about it.
//!
//! Nothing here changes anything that a running cluster relies on: test files and test nodes have names of their own and
//! are removed again. Every check has a time-out: what hangs is reported as failed, and what may hang is done by another
//! process ([`apart`]).

mod apart;
mod host;
mod nfs_lease;
mod peer;
mod tick;
mod volume;
mod zookeeper;

use std::path::Path;
use std::time::Duration;

use crate::config::{Config, ElectionKind, Mode};
use crate::moment::in_words;
use crate::peer_test::{self, Plan};
use crate::status::{CheckOutcome, CheckResult};

pub use volume::try_lock;

/// From one finding on this host to the next: reading what a configuration names, looking a program up.
const STEP: Duration = Duration::from_secs(10);

/// What is done in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Configuration,
    Volume,
    Host,
    Peer,
}

impl Part {
    const fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Volume => "volume",
            Self::Host => "host",
            Self::Peer => "peer",
        }
    }
}

/// What to check, and how another process is told of it.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    pub file: &'a Path,
    /// What followed `--`.
    pub command: Option<Vec<String>>,
}

impl Task<'_> {
    fn arguments(&self, part: Part, more: &[String]) -> Vec<String> {
        let mut arguments = vec!["-c".to_owned(), self.file.display().to_string(), part.word().to_owned()];
        arguments.extend_from_slice(more);
        if let Some(command) = &self.command {
            arguments.push("--".to_owned());
            arguments.extend_from_slice(command);
        }
        arguments
    }

    /// Why the configuration cannot even be read; what is wrong in it is found by who reads it next.
    pub fn unreadable(&self) -> Option<CheckResult> {
        match apart::run(&self.arguments(Part::Configuration, &[]), STEP, &mut Vec::new()) {
            apart::End::Hangs(_) => Some(fail(
                "configuration",
                format!("reading {} has not ended within {}", self.file.display(), in_words(STEP)),
                "does it, or a file that it names, lie on a mount that is away? does `getent passwd` answer for coordinator.user?",
            )),
            apart::End::Done | apart::End::Failed(_) => None,
        }
    }

    /// Runs all checks.
    pub fn check(&self, config: &Config) -> Vec<CheckResult> {
        let mut results = vec![ok("configuration", "valid")];
        for text in &config.without_effect {
            let (keys, why) = text.split_once(": ").unwrap_or(("", text));
            let detail = format!("{keys} has no effect: {why}");
            results.push(warn("configuration", detail, "do not rely on it, or leave it out"));
        }
        let mut known = None;
        if config.election == ElectionKind::ZooKeeper {
            let (found, volume) = zookeeper::check(config);
            results.extend(found);
            known = volume;
        }
        if config.mode == Mode::AlwaysOn {
            let detail = "not looked at: mode = \"always-on\" takes no lock, and its coordinator runs on every host";
            results.push(ok(volume::NAME, detail));
        } else {
            self.check_volume(config, known, &mut results);
        }
        self.check_host(&mut results);
        results
    }

    fn check_volume(&self, config: &Config, known: Option<String>, results: &mut Vec<CheckResult>) {
        let more: Vec<String> = known.map(|id| vec!["--volume".to_owned(), id]).unwrap_or_default();
        let limit = config.lock.probe_timeout;
        match apart::run(&self.arguments(Part::Volume, &more), limit, results) {
            apart::End::Done => {}
            apart::End::Hangs(step) => results.push(fail(
                if step.is_empty() { volume::NAME } else { &step },
                format!("{} does not answer within {}", config.lock.directory.display(), in_words(limit)),
                "is the file server reachable? see dmesg and the mount's options",
            )),
            apart::End::Failed(how) => {
                results.push(fail(volume::NAME, format!("it was not looked at: {how}"), "try again"));
            }
        }
    }

    fn check_host(&self, results: &mut Vec<CheckResult>) {
        let mut after: Option<String> = None;
        loop {
            let more = after.iter().flat_map(|step| ["--after".to_owned(), step.clone()]).collect::<Vec<_>>();
            match apart::run(&self.arguments(Part::Host, &more), STEP, results) {
                apart::End::Done => return,
                apart::End::Hangs(step) if step.is_empty() || after.as_ref() == Some(&step) => return,
                // The rest is looked at all the same.
                apart::End::Hangs(step) => {
                    let detail = format!("looking at it has not ended within {}", in_words(STEP));
                    results.push(fail(&step, detail, "does it lie on a mount that is away? see dmesg"));
                    after = Some(step);
                }
                apart::End::Failed(how) => {
                    return results.push(fail("host", format!("it was not looked at: {how}"), "try again"));
                }
            }
        }
    }

    /// Tries the lock against another host.
    pub fn check_with_peer(&self, plan: &Plan) -> Vec<CheckResult> {
        let mut more = vec!["--wait".to_owned(), format!("{}ms", plan.wait.as_millis())];
        more.extend(plan.with.iter().flat_map(|node| ["--with-peer".to_owned(), node.clone()]));
        let mut results = Vec::new();
        match apart::run(&self.arguments(Part::Peer, &more), plan.wait + peer_test::LIMIT, &mut results) {
            apart::End::Done => {}
            apart::End::Hangs(_) => results.push(fail(peer::NAME, "the test has not ended", "is the volume there?")),
            apart::End::Failed(how) => results.push(fail(peer::NAME, format!("it was not made: {how}"), "try again")),
        }
        results
    }
}

/// One part, in a process of its own; see [`Task`].
pub fn run_part(part: Part, config: &Config, volume: Option<&str>, after: Option<String>, plan: &Plan) {
    let mut told = apart::Told::new(after);
    match part {
        Part::Configuration => {}
        Part::Volume => volume::look(config, volume, &mut told),
        Part::Host => host::look(config, &mut told),
        Part::Peer => told.step(peer::NAME, || [peer::check(config, plan)]),
    }
}

/// Whether any of them failed.
pub fn failed(results: &[CheckResult]) -> bool {
    results.iter().any(|result| result.result == CheckOutcome::Fail)
}

/// For a terminal: `ok`, `warn` or `FAIL`, the name, what was found, and the remedy below it.
pub fn render(results: &[CheckResult]) -> String {
    let width = results.iter().map(|result| result.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for CheckResult { name, result, detail, remedy } in results {
        let word = match result {
            CheckOutcome::Ok => "ok  ",
            CheckOutcome::Warn => "warn",
            CheckOutcome::Fail => "FAIL",
        };
        text.push_str(&format!("{word}  {name:width$}  {detail}\n"));
        if !remedy.is_empty() {
            text.push_str(&format!("      {:width$}  -> {remedy}\n", ""));
        }
    }
    text
}

fn ok(name: &str, detail: impl Into<String>) -> CheckResult {
    result(CheckOutcome::Ok, name, detail, "")
}

fn warn(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> CheckResult {
    result(CheckOutcome::Warn, name, detail, remedy)
}

fn fail(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> CheckResult {
    result(CheckOutcome::Fail, name, detail, remedy)
}

fn result(result: CheckOutcome, name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> CheckResult {
    CheckResult { name: name.to_owned(), result, detail: detail.into(), remedy: remedy.into() }
}
