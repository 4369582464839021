//! What is true of every request: when an answer is definite, and what is waited for before the next try.

use std::time::Duration;

use zookeeper_client::{Client, Error, EventType, SessionState};

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

/// How much of a sentence others get to read, in bytes: a server hangs up on who sends more than `jute.maxbuffer` (1 MiB).
const SENTENCE: usize = 2048;

/// A sentence for people as it is written in ZooKeeper.
pub fn shortened(text: &str) -> String {
    if text.len() <= SENTENCE {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(SENTENCE)])
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
