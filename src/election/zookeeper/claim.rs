//! The claim: one multi takes the epoch and leaves the breadcrumb, guarded by what the look at the queue saw.
//!
//! Every write is a multi that checks the own election node (its name is unique, so it cannot be anybody else's) and
//! the version of the epoch node. Rejected: a check of a fixed-name node's version alone. A node that is created again
//! starts at version 0, and the old owner's write succeeds.

use tokio::time::timeout;
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult};

use super::requests::{is_definite, shortened};
use super::service::Announcement;
use super::settings::Settings;
use crate::clock;
use crate::election::ElectionOutcome;
use crate::moment::Moment;
use crate::status::{Breadcrumb, HistoryEntry};
use crate::zookeeper::directories;
use crate::zookeeper::paths::Paths;

/// What the first in the queue found, with the versions that guard its claim.
#[derive(Debug)]
pub struct Found {
    pub outcome: ElectionOutcome,
    pub epoch_version: Option<i32>,
    pub breadcrumb_version: Option<i32>,
    /// Whether anybody else is in the queue.
    pub contested: bool,
}

impl Found {
    /// Whether the same leadership as before was the last one, and its breadcrumb has become clean since.
    pub fn differs_only_by_the_goodbye(&self, again: &Self) -> bool {
        let (Some(before), Some(after)) = (&self.outcome.predecessor, &again.outcome.predecessor) else { return false };
        (before.node == after.node && before.epoch == after.epoch)
            && (!before.clean && after.clean)
            && (self.outcome.epoch == again.outcome.epoch && self.epoch_version == again.epoch_version)
            && (self.outcome.volume == again.outcome.volume && !again.outcome.paused)
    }
}

/// What a claim writes.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub breadcrumb: Breadcrumb,
    pub volume: String,
    pub entry: HistoryEntry,
    /// How the former leadership ended, if nobody has noted it.
    pub predecessor_ended: Option<HistoryEntry>,
}

/// How a claim went.
pub enum Claim {
    Taken(Box<Leadership>),
    Refused(String),
    /// The own election node is not there.
    Gone,
    Unknown(String),
}

/// A leadership that was taken.
#[derive(Debug)]
pub struct Leadership {
    pub node: String,
    pub sent: Moment,
    pub breadcrumb: Breadcrumb,
    pub epoch_version: i32,
    pub breadcrumb_version: i32,
    pub announcement: Announcement,
}

/// Takes the epoch, leaves the breadcrumb, begins the history entry, completes the former one and notes the volume: all or
/// nothing. (Completed later, the former entry would last for ever if this leadership ended before that.)
pub async fn claim(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    node: &str,
    found: &Found,
    mut wanted: Wanted,
) -> Claim {
    let epoch = wanted.breadcrumb.epoch;
    if epoch <= found.outcome.epoch {
        return Claim::Refused(format!("epoch {epoch} does not follow {}", found.outcome.epoch));
    }
    let (mut entry_exists, mut ensured) = (false, false);
    loop {
        let sent = clock::now();
        let request = write_claim(client, settings, paths, node, found, &wanted, entry_exists);
        let (index, error) = match timeout(client.session_timeout(), request).await {
            Ok(Ok((epoch_version, breadcrumb_version))) => {
                return Claim::Taken(Box::new(Leadership {
                    node: node.to_owned(),
                    sent,
                    breadcrumb: wanted.breadcrumb,
                    epoch_version,
                    breadcrumb_version,
                    announcement: Announcement::default(),
                }));
            }
            Ok(Err(MultiWriteError::OperationFailed { index, source })) => (index, source),
            Ok(Err(MultiWriteError::RequestFailed { source })) if is_definite(&source) => {
                return Claim::Refused(source.to_string());
            }
            Ok(Err(error)) => return Claim::Unknown(format!("unknown whether the epoch was taken: {error}")),
            Err(_) => return Claim::Unknown("unknown whether the epoch was taken: no answer".to_owned()),
        };
        match (index, error) {
            (0, _) => return Claim::Gone,
            (1, error) => return Claim::Refused(format!("the epoch was taken by another ({error})")),
            (2, error) => return Claim::Refused(format!("the breadcrumb is another's ({error})")),
            // Left by a cluster that was partly deleted: the history must not keep anybody from leading.
            (3, Error::NodeExists) => entry_exists = true,
            (3, Error::NoNode) if !ensured => {
                ensured = true;
                let _ = directories::ensure(client, paths, settings.access.digest.is_some()).await;
            }
            (4, Error::NoNode) if wanted.predecessor_ended.take().is_some() => {}
            (_, Error::NodeExists) => return Claim::Refused("the cluster has got a volume meanwhile".to_owned()),
            (_, error) => return Claim::Refused(error.to_string()),
        }
    }
}

async fn write_claim(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    node: &str,
    found: &Found,
    wanted: &Wanted,
    entry_exists: bool,
) -> Result<(i32, i32), MultiWriteError> {
    let options = directories::options(CreateMode::Persistent, settings.access.digest.is_some());
    let epoch = wanted.breadcrumb.epoch.to_string();
    let history = paths.history_of(wanted.breadcrumb.epoch);
    let (entry, predecessor_ended) = (short(wanted.entry.clone()), wanted.predecessor_ended.clone().map(short));
    let mut writer = client.new_multi_writer();
    writer.add_check_version(node, -1)?;
    let writes = [
        (&paths.epoch, epoch.into_bytes(), found.epoch_version),
        (&paths.active, json(&wanted.breadcrumb), found.breadcrumb_version),
    ];
    for (path, data, version) in &writes {
        match version {
            Some(version) => writer.add_set_data(path, data, Some(*version))?,
            None => writer.add_create(path, data, &options)?,
        }
    }
    if entry_exists {
        writer.add_set_data(&history, &json(&entry), None)?;
    } else {
        writer.add_create(&history, &json(&entry), &options)?;
    }
    if let Some(predecessor) = &predecessor_ended {
        writer.add_set_data(&paths.history_of(predecessor.epoch), &json(predecessor), None)?;
    }
    if found.outcome.volume.is_none() {
        writer.add_create(&paths.volume, wanted.volume.as_bytes(), &options)?;
    }
    let results = writer.commit().await?;
    Ok((version_after(results.get(1)), version_after(results.get(2))))
}

/// A node's version after it was written. ZooKeeper 3.8.0 answers a create inside a multi with an invalid stat; its
/// version is 0 by definition.
fn version_after(result: Option<&MultiWriteResult>) -> i32 {
    match result {
        Some(MultiWriteResult::SetData { stat }) => stat.version,
        _ => 0,
    }
}

pub fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have only string keys")
}

/// As it is written: what a command said of its failure may be long.
pub fn short(entry: HistoryEntry) -> HistoryEntry {
    HistoryEntry { detail: entry.detail.map(|detail| shortened(&detail)), ..entry }
}
