//! What the guardian does in ZooKeeper after it has ended a leadership by itself: mark the breadcrumb clean and delete
//! the one election node, in the epoch that it was ended in, so that the next one is elected at once instead of after a session.
//!
//! Only after the tree is dead and the lock closed; nothing here may be needed for safety. The runtime is built at that
//! moment: a standby guardian should cost neither memory nor threads for it. Every await has a time-out, and after one
//! session time-out there is nothing left to gain, for the node is gone by itself.

use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client::{Client, Error, MultiWriteError};

use super::{self as zookeeper, Backoff};
use crate::clock;
use crate::guardian::protocol::LastWill;

/// For one request.
const REQUEST: Duration = Duration::from_secs(2);
/// What nobody waits for is written this much later: the next active is claiming its epoch, and a server writes one
/// thing at a time. Longer than a fail-over takes, shorter than anybody looks.
const QUIET: Duration = Duration::from_millis(100);

/// Between two attempts, from the first to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer in time")]
    TimedOut,
    #[error("no server gave a session")]
    NoSession,
    #[error("no thread can be had: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    ZooKeeper(#[from] Error),
}

/// Carries it out. The exit code is for people: nobody waits for it.
pub fn execute(last_will: &LastWill) -> i32 {
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(until_done(last_will));
            // A resolver that hangs is not waited for.
            runtime.shutdown_background();
            outcome.map_err(|failure| failure.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            let node = &last_will.election_node;
            crate::output::complain(&format!(
                "primacy guardian: cannot delete {node}: {failure}; it goes when its session ends"
            ));
            1
        }
    }
}

async fn until_done(last_will: &LastWill) -> Result<(), Failure> {
    let began = clock::now();
    let mut pause = Backoff::new(PAUSE, LONGEST_PAUSE);
    loop {
        // A round over servers that say nothing may itself take that long.
        let left = last_will.zookeeper.session_timeout.saturating_sub(clock::now().since(began));
        let attempt = timeout(left.max(REQUEST), once(last_will)).await.unwrap_or(Err(Failure::TimedOut));
        let pause = pause.pause();
        match attempt {
            Ok(()) => return Ok(()),
            Err(failure) if clock::now().since(began) + pause > last_will.zookeeper.session_timeout => {
                return Err(failure);
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
}

async fn once(last_will: &LastWill) -> Result<(), Failure> {
    // The client has a thread of its own, and panics without.
    std::thread::Builder::new().spawn(|| ()).map_err(Failure::Thread)?;
    let session = zookeeper::open_or_not(&last_will.zookeeper).await.ok_or(Failure::NoSession)?;
    let done = undo(&session.client, last_will).await;
    // A session that is not closed in time expires.
    zookeeper::close(session).await;
    done
}

async fn undo(client: &Client, last_will: &LastWill) -> Result<(), Failure> {
    let breadcrumb = last_will.breadcrumb.as_ref();
    if breadcrumb.is_none() || !give_up(client, last_will, breadcrumb).await? {
        // The breadcrumb is somebody else's by now; or this very multi succeeded before its answer was lost, and nothing is left.
        give_up(client, last_will, None).await?;
    }
    if !last_will.also_delete.is_empty() {
        tokio::time::sleep(QUIET).await;
    }
    for path in &last_will.also_delete {
        // Best effort: these go with the session.
        let _ = delete_if_owned(client, path, last_will.session).await;
    }
    Ok(())
}

/// Deletes the election node, and marks the breadcrumb clean. False where one of them is not as it was.
///
/// Of a leadership only together with a check of its epoch: a node of the same name may belong to a later session of whoever leads
/// (one that was upgraded in place), and once another leadership has begun none of this is any more what the will was made for. Of a
/// place in the queue only as the session's that took it; where that is not known, by its name, which is unique.
async fn give_up(
    client: &Client,
    last_will: &LastWill,
    breadcrumb: Option<&(String, i32, String)>,
) -> Result<bool, Failure> {
    let node = &last_will.election_node;
    if last_will.epoch.is_none() && breadcrumb.is_none() && last_will.session.is_some() {
        return delete_if_owned(client, node, last_will.session).await.map(|()| true);
    }
    let mut writer = client.new_multi_writer();
    if let Some((path, version)) = &last_will.epoch {
        writer.add_check_version(path, *version)?;
    }
    // In this order: watches fire in the order of a multi's parts, and the next candidate waits for this one.
    writer.add_delete(node, None)?;
    if let Some((path, version, clean)) = breadcrumb {
        writer.add_set_data(path, clean.as_bytes(), Some(*version))?;
    }
    match within(async { writer.commit().await.map_err(error_of) }).await {
        Ok(_) => Ok(true),
        Err(Failure::ZooKeeper(Error::BadVersion | Error::NoNode)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Deletes what has a name that others use, too: the supervisor that was started again has made its own by now.
async fn delete_if_owned(client: &Client, path: &str, session: Option<i64>) -> Result<(), Failure> {
    let Some(stat) = within(client.check_stat(path)).await? else { return Ok(()) };
    if session.is_none_or(|session| stat.ephemeral_owner != session) {
        return Ok(());
    }
    match within(client.delete(path, Some(stat.version))).await {
        Ok(()) | Err(Failure::ZooKeeper(Error::NoNode | Error::BadVersion)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn error_of(error: MultiWriteError) -> Error {
    match error {
        MultiWriteError::RequestFailed { source } | MultiWriteError::OperationFailed { source, .. } => source,
    }
}

async fn within<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    Ok(timeout(REQUEST, request).await.map_err(|_| Failure::TimedOut)??)
}
