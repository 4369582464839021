//! The end of a leadership, as its own node tells it.

use tokio::time::timeout;
use tracing::{debug, warn};
use zookeeper_client::{Client, MultiWriteError};

use super::claim::{Leadership, json, short};
use super::requests::before_retry;
use crate::clock;
use crate::status::{Breadcrumb, End, HistoryEntry};
use crate::zookeeper::paths::Paths;

/// A part of a resignation.
enum Part {
    CheckEpoch,
    Breadcrumb(Vec<u8>),
    Entry(String, Vec<u8>),
    Leave,
}

/// Gives the leadership up in one multi, so the next one is let in by the very write that says how this one ended. What
/// cannot be written (somebody deleted it, or an earlier try was carried out after all) is left out; at worst the
/// session's end removes the election node and the breadcrumb stays unclean.
///
/// Answers whether the election node is known to be gone.
pub async fn resign(
    client: &Client,
    paths: &Paths,
    leadership: &Leadership,
    clean: bool,
    ended: Option<HistoryEntry>,
) -> bool {
    // Watches fire in the order of a multi's parts, and the next candidate waits for the election node's.
    let mut parts = vec![Part::CheckEpoch, Part::Leave];
    // The supervisor gave up before it heard that the epoch was taken: it knows of no leadership that could have ended.
    let ended = ended.or_else(|| clean.then(|| ended_at_once(&leadership.breadcrumb))).map(short);
    if clean {
        let (cause, to) = ended.as_ref().map_or((None, None), |ended| (ended.cause.clone(), ended.to.clone()));
        parts.push(Part::Breadcrumb(json(&Breadcrumb { clean, cause, to, ..leadership.breadcrumb.clone() })));
    }
    if let Some(ended) = ended {
        parts.push(Part::Entry(paths.history_of(ended.epoch), json(&ended)));
    }
    let attempts = async {
        while parts.len() > 1 {
            match write_resignation(client, paths, leadership, &parts).await {
                Ok(()) => return true,
                Err(MultiWriteError::OperationFailed { index: 0, .. }) => return false,
                Err(MultiWriteError::OperationFailed { index, source }) if index < parts.len() => {
                    debug!(index, %source, "a part of the resignation cannot be written");
                    parts.remove(index);
                }
                Err(error) => {
                    debug!(%error, "the resignation was not acknowledged");
                    if client.state().is_terminated() {
                        return false;
                    }
                    before_retry(client).await;
                }
            }
        }
        false
    };
    timeout(client.session_timeout(), attempts).await.unwrap_or_else(|_| {
        warn!("ZooKeeper could not be told of the resignation; the session will expire");
        false
    })
}

fn ended_at_once(breadcrumb: &Breadcrumb) -> HistoryEntry {
    HistoryEntry {
        epoch: breadcrumb.epoch,
        node: breadcrumb.node.clone(),
        from: breadcrumb.since.clone(),
        to: Some(clock::timestamp()),
        cause: Some(End::StartFailed.into()),
        gap_ms: None,
        evidence: None,
        detail: Some("given back as soon as it was taken".to_owned()),
    }
}

async fn write_resignation(
    client: &Client,
    paths: &Paths,
    leadership: &Leadership,
    parts: &[Part],
) -> Result<(), MultiWriteError> {
    let mut writer = client.new_multi_writer();
    for part in parts {
        match part {
            Part::CheckEpoch => writer.add_check_version(&paths.epoch, leadership.epoch_version)?,
            Part::Breadcrumb(data) => writer.add_set_data(&paths.active, data, Some(leadership.breadcrumb_version))?,
            Part::Entry(path, data) => writer.add_set_data(path, data, None)?,
            Part::Leave => writer.add_delete(&leadership.node, None)?,
        }
    }
    writer.commit().await.map(|_| ())
}
