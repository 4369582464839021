//! How what a candidacy asks for is asked of ZooKeeper, and what an answer is worth.

use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;
use uuid::Uuid;
use zookeeper_client::{Client, CreateMode, Error, EventType, MultiWriteError, MultiWriteResult, SessionState, Stat};

use super::candidacy::{Answer, Content, Failure, Kind, Looked, Request, Write};
use super::settings::Settings;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{breadth, directories};

/// Carries a request out. No answer within a session's time-out is an answer, too, where the request has a time-out.
pub async fn carry_out(client: &Client, settings: &Settings, paths: &Paths, request: Request) -> Answer {
    let within = request.has_time_out().then(|| client.session_timeout());
    let digest = settings.access.digest.is_some();
    match request {
        Request::Enter => Answer::Entered(answer(within, enter(client, settings, paths)).await),
        Request::EnsureDirectories => {
            let ensured = async {
                let refused = |words| Failure { kind: Kind::Refused, words };
                directories::ensure(client, paths, digest).await.map_err(refused)
            };
            Answer::Done(answer(within, ensured).await)
        }
        Request::Look { node } => Answer::Looked(answer(within, async { Ok(look(client, paths, &node).await) }).await),
        Request::UntilDeleted { node, synced } => {
            while synced && client.sync(&paths.election).await.is_err() {
                before_retry(client).await;
            }
            until_deleted(client, &node).await;
            Answer::Deleted
        }
        Request::Delete { node } => Answer::Done(answer(within, async { Ok(client.delete(&node, None).await?) }).await),
        Request::Touch { large: true } => {
            let failure = || Failure { kind: Kind::Unknown, words: "no answer to a large packet".to_owned() };
            Answer::Done(breadth::exchange(client).await.then_some(()).ok_or_else(failure))
        }
        // Anything that a server answers: the root is always there.
        Request::Touch { large: false } => Answer::Done(client.check_stat("/").await.map(drop).map_err(Failure::from)),
        Request::Write(writes) | Request::Heartbeat(writes) => {
            let written = write(client, digest, &writes);
            let written = match within {
                Some(within) => timeout(within, written).await.unwrap_or_else(|_| Err((None, no_answer()))),
                None => written.await,
            };
            if let Err((index, failure)) = &written {
                debug!(?index, %failure, "ZooKeeper was not written");
            }
            Answer::Written(written)
        }
    }
}

async fn answer<T>(within: Option<Duration>, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let result = match within {
        Some(within) => timeout(within, request).await.unwrap_or_else(|_| Err(no_answer())),
        None => request.await,
    };
    if let Err(failure) = &result {
        debug!(%failure, "a request of the election failed");
    }
    result
}

fn no_answer() -> Failure {
    Failure { kind: Kind::NoAnswer, words: "ZooKeeper does not answer".to_owned() }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NoNode => Kind::NoNode,
            Error::NodeExists => Kind::NodeExists,
            Error::BadVersion => Kind::BadVersion,
            _ if is_definite(&error) => Kind::Refused,
            _ => Kind::Unknown,
        };
        Self { kind, words: error.to_string() }
    }
}

/// The own node's full path. Its name is unique, so nobody else's can be taken for it.
async fn enter(client: &Client, settings: &Settings, paths: &Paths) -> Result<String, Failure> {
    let prefix = paths.queue_node(&format!("_c_{}-latch-", Uuid::new_v4()));
    let options = directories::options(CreateMode::EphemeralSequential, settings.access.digest.is_some());
    let (_, sequence) = client.create(&prefix, settings.node.as_bytes(), &options).await?;
    Ok(format!("{prefix}{sequence}"))
}

/// Looks at the queue and at everything that a claim needs, in one round trip: a server answers the requests of one
/// session in their order, and all are sent before the first answer is awaited.
async fn look(client: &Client, paths: &Paths, node: &str) -> Box<Looked> {
    let (synced, queue, own, epoch, active, volume, control) = tokio::join!(
        client.sync(&paths.election),
        client.list_children(&paths.election),
        client.check_stat(node),
        client.get_data(&paths.epoch),
        client.get_data(&paths.active),
        client.get_data(&paths.volume),
        client.get_data(&paths.control),
    );
    Box::new(Looked {
        synced: synced.map_err(Failure::from),
        queue: queue.map_err(Failure::from),
        owner: own.map(|stat| stat.map(|stat| stat.ephemeral_owner)).map_err(Failure::from),
        epoch: content(epoch),
        active: content(active),
        volume: content(volume),
        control: content(control),
    })
}

fn content(result: Result<(Vec<u8>, Stat), Error>) -> Content {
    match result {
        Ok((data, stat)) => Ok(Some((data, stat.version))),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes all or nothing; the versions afterwards.
async fn write(client: &Client, digest: bool, writes: &[Write]) -> Result<Vec<i32>, (Option<usize>, Failure)> {
    let failed = |error: MultiWriteError| match error {
        MultiWriteError::OperationFailed { index, source } => (Some(index), source.into()),
        MultiWriteError::RequestFailed { source } => (None, source.into()),
    };
    let mut writer = client.new_multi_writer();
    let options = directories::options(CreateMode::Persistent, digest);
    for write in writes {
        let added = match write {
            Write::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
            Write::Create { path, data } => writer.add_create(path, data, &options),
            Write::Set { path, data, version } => writer.add_set_data(path, data, *version),
            Write::Delete { path } => writer.add_delete(path, None),
        };
        added.map_err(|error| (None, error.into()))?;
    }
    let results = writer.commit().await.map_err(failed)?;
    // ZooKeeper 3.8.0 answers a create inside a transaction with an invalid stat; its version is 0 by definition.
    let version = |result| match result {
        MultiWriteResult::SetData { stat } => stat.version,
        _ => 0,
    };
    Ok(results.into_iter().map(version).collect())
}

/// How long to wait before a request that failed is tried again on the same connection.
const RETRY: Duration = Duration::from_millis(100);

/// Whether the server answered, and so did nothing of what was asked. Anything else may have been carried out.
pub fn is_definite(error: &Error) -> bool {
    matches!(
        error,
        Error::NoNode
            | Error::NoAuth
            | Error::BadVersion
            | Error::NoChildrenForEphemerals
            | Error::NodeExists
            | Error::NotEmpty
            | Error::InvalidAcl
            | Error::QuotaExceeded
            | Error::Throttled
            | Error::MarshallingError
            | Error::Unimplemented
            | Error::BadArguments(_)
    )
}

/// Waits until the session is connected; for ever once it has ended.
pub async fn until_connected(client: &Client) {
    let mut watcher = client.state_watcher();
    loop {
        match watcher.peek_state() {
            SessionState::SyncConnected => return,
            state if state.is_terminated() => std::future::pending().await,
            _ => watcher.changed().await,
        };
    }
}

/// Waits before a request is tried again: a moment, and until there is a connection.
pub async fn before_retry(client: &Client) {
    tokio::time::sleep(RETRY).await;
    until_connected(client).await;
}

/// Waits until a node is gone. Never says so because of a lost connection or session.
pub async fn until_deleted(client: &Client, path: &str) {
    loop {
        match client.check_and_watch_stat(path).await {
            Ok((None, _)) => return,
            Ok((Some(_), watcher)) => match watcher.changed().await.event_type {
                EventType::NodeDeleted => return,
                EventType::Session => std::future::pending().await,
                _ => {}
            },
            Err(_) => before_retry(client).await,
        }
    }
}
