//! The test of the volume's lock between two hosts is another process (`primacy peer-test`): it may hang in the volume, and
//! needs a session of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::clock;
use crate::moment::in_words;
use crate::status::{PeerResult, PeerTest};

use super::apart;
use super::orphans::OwnChildren;

/// How long the other node is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// The whole test: its own limits, several times over, are what it should end by.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs the test to its end.
pub async fn run(config_file: PathBuf, node: &str, host: &str, children: OwnChildren) -> PeerTest {
    let unverified = |why: String| PeerTest {
        result: PeerResult::Unverified,
        with: Some(node.to_owned()),
        volume: None,
        at: clock::timestamp(),
        detail: format!("the lock was not tried against another host: {why}"),
    };
    let wait = humantime::format_duration(WAIT).to_string();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("primacy")
        .arg("-c")
        .arg(config_file)
        .args(["peer-test", node, "--host", host, "--wait", &wait])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let (child, _own) = match tokio::time::timeout(LIMIT, apart::spawn(command, children.clone())).await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return unverified(error.to_string()),
        Err(_) => return unverified("the test's program does not start".to_owned()),
    };
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    match output {
        Ok(Ok(output)) => serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| unverified(format!("the test ended with {}", output.status))),
        Ok(Err(error)) => unverified(error.to_string()),
        Err(_) => unverified(format!("no result within {}", in_words(LIMIT))),
    }
}
