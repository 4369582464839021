//! What may hang is done by a throw-away process, which this one need not wait for.
//!
//! A thread would do for a time-out, and not for an end: a process of which one thread waits for a frozen file system does
//! not end, whatever it is sent. The child says what it begins and what it has found, a line each; if nothing comes for too
//! long it is killed and left, and what it had begun has failed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::status::CheckResult;

/// For a child that has said everything to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begins(String),
    Found(CheckResult),
}

/// Where a part's results go.
pub struct Told {
    /// Nothing is told of what comes up to here: it was told before, or hangs.
    after: Option<String>,
}

impl Told {
    pub fn new(after: Option<String>) -> Self {
        Self { after }
    }

    /// One step: it has a name for the case that it hangs.
    pub fn step<I: IntoIterator<Item = CheckResult>>(&mut self, name: &str, look: impl FnOnce() -> I) {
        if let Some(after) = &self.after {
            if after == name {
                self.after = None;
            }
            return;
        }
        say(&Line::Begins(name.to_owned()));
        for found in look() {
            say(&Line::Found(found));
        }
    }

    /// A step that finds things on the way to a hang.
    pub fn found(&self, found: CheckResult) {
        if self.after.is_none() {
            say(&Line::Found(found));
        }
    }
}

fn say(line: &Line) {
    let text = serde_json::to_string(line).expect("plain data with string keys") + "\n";
    // A parent that is gone wants to know nothing more.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// How a part ended.
pub enum End {
    Done,
    /// Nothing came for too long after the step with this name had begun.
    Hangs(String),
    /// It ended by itself, and not well.
    Failed(String),
}

/// Runs `primacy check-part ARGUMENTS`; `limit` is from one line to the next.
pub fn run(arguments: &[String], limit: Duration, results: &mut Vec<CheckResult>) -> End {
    let child = Command::new("/proc/self/exe")
        .arg("check-part")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Inherited, one that cannot be killed would keep whoever reads this process's output from its end.
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return End::Failed(format!("no second process could be started: {error}")),
    };
    let (sender, lines) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    match collect(&lines, limit, results) {
        Some(step) => {
            // Not waited for: it may be one that cannot die.
            let _ = child.kill();
            End::Hangs(step)
        }
        None => ended(&mut child),
    }
}

/// How a child ended that says nothing more. A thread of it may still hang.
fn ended(child: &mut Child) -> End {
    let until = clock::now() + FAREWELL;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return End::Done,
            Ok(Some(status)) => return End::Failed(status.to_string()),
            Err(error) => return End::Failed(error.to_string()),
            Ok(None) if clock::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                return End::Done;
            }
        }
    }
}

/// The name of the step that hangs, if one does.
fn collect(lines: &Receiver<Line>, limit: Duration, results: &mut Vec<CheckResult>) -> Option<String> {
    let mut begun = String::new();
    loop {
        match lines.recv_timeout(limit) {
            Ok(Line::Begins(step)) => begun = step,
            Ok(Line::Found(found)) => results.push(found),
            Err(RecvTimeoutError::Timeout) => return Some(begun),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
