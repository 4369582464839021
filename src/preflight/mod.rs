//! `primacy check`: what can be known before anything is started. One line a check, with what to do about it.
//!
//! Nothing here changes anything that a running cluster relies on: test files and test nodes have names of their own and
//! are removed again. Every check has a time-out: what hangs is reported as failed.

mod host;
mod peer;
mod volume;
mod zookeeper;

use crate::config::{Config, ElectionKind};
use crate::status::{CheckOutcome, CheckResult};

pub use peer::{Plan, check as check_with_peer, hold_lock, run as try_with_peer};
pub use volume::try_lock;

/// Runs all checks.
pub fn check(config: &Config) -> Vec<CheckResult> {
    let mut results = vec![ok("configuration", "valid")];
    for text in &config.without_effect {
        let (keys, why) = text.split_once(": ").unwrap_or(("", text));
        results.push(warn(
            "configuration",
            format!("{keys} has no effect: {why}"),
            "do not rely on it, or leave it out",
        ));
    }
    let mut volume = None;
    if config.election == ElectionKind::ZooKeeper {
        let (found, known) = zookeeper::check(config);
        results.extend(found);
        volume = known;
    }
    results.extend(volume::check(config, volume));
    results.extend(host::check(config));
    results
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
