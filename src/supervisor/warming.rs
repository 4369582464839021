//! The process that keeps the page cache warm (`primacy warm`): started, listened to, ended. Nobody waits for it.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::moment::in_words;
use crate::node::Input;
use crate::status::Warm;
use crate::warm;
use crate::warm::order::Order;

use super::apart;
use super::orphans::OwnChildren;

/// Before one that has ended is started again.
const RESTART: Duration = Duration::from_secs(30);

/// At most one.
#[derive(Debug, Default)]
pub struct Warming {
    task: Option<AbortHandle>,
}

impl Warming {
    /// Ends the one there is, and starts another if something is to be kept.
    pub fn order(&mut self, order: Option<Order>, answer: &mpsc::UnboundedSender<Input>, children: &OwnChildren) {
        // Its process is killed with it, and not waited for.
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.task = order.map(|order| {
            let (answer, children) = (answer.clone(), children.clone());
            tokio::spawn(async move {
                loop {
                    let error = keep(&order, &answer, &children).await;
                    let _ = answer.send(Input::Warmed(warm::nothing(error.to_string())));
                    tokio::time::sleep(RESTART).await;
                }
            })
            .abort_handle()
        });
    }
}

/// Until it fails.
async fn keep(order: &Order, answer: &mpsc::UnboundedSender<Input>, children: &OwnChildren) -> io::Error {
    match listen(order, answer, children).await {
        Ok(()) => io::Error::other("its process ended"),
        Err(error) => error,
    }
}

async fn listen(order: &Order, answer: &mpsc::UnboundedSender<Input>, children: &OwnChildren) -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("primacy").arg("warm").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.kill_on_drop(true);
    let silent = || io::Error::other(format!("reading has not ended within {}", in_words(warm::PASS_LIMIT)));
    let started = tokio::time::timeout(warm::PASS_LIMIT, apart::spawn(command, children.clone())).await;
    let (mut child, _own) = started.map_err(|_| silent())??;
    let pipes = (child.stdin.take(), child.stdout.take());
    let (Some(mut input), Some(output)) = pipes else { return Err(io::Error::other("no pipe to its process")) };
    let line = serde_json::to_string(order)? + "\n";
    tokio::time::timeout(RESTART, input.write_all(line.as_bytes())).await.map_err(|_| silent())??;
    let mut lines = BufReader::new(output).lines();
    let mut former: Option<Warm> = None;
    loop {
        let line = tokio::time::timeout(warm::PASS_LIMIT, lines.next_line()).await.map_err(|_| silent())??;
        let Some(line) = line else { return Ok(()) };
        let kept: Warm = serde_json::from_str(&line)?;
        if former.as_ref() != Some(&kept) {
            former = Some(kept.clone());
            let _ = answer.send(Input::Warmed(kept));
        }
    }
}
