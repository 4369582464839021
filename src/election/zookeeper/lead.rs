//! A leadership: the claim, the heartbeats, and the end.
//!
//! Every write is a multi that checks the own election node (its name is unique, so it cannot be anybody else's) and
//! the version of the epoch node. Rejected: a check of a fixed-name node's version alone. A node that is created again
//! starts at version 0, and the old owner's write succeeds.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::json;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult};

use super::backend::{End, Going};
use super::candidate::{Candidate, Found};
use super::paths::Paths;
use super::service::Announcement;
use super::{Settings, directories, is_definite, protection, service};
use crate::clock;
use crate::election::{Fact, Loss, Order};
use crate::guardian::protocol::Testament;
use crate::moment::Moment;
use crate::status::{Breadcrumb, HistoryEntry};
use crate::timer::Timer;
use crate::{znodes, zookeeper};

/// How many leaderships are remembered.
const HISTORY: usize = 100;

/// When a new leadership tidies the history: a server writes one thing at a time, and the coordinator's start, a few
/// milliseconds after the claim, comes first.
const AFTER_THE_START: Duration = Duration::from_millis(100);

/// What a claim writes.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub breadcrumb: Breadcrumb,
    pub volume: String,
    pub entry: HistoryEntry,
    /// How the former leadership ended, if nobody has noted it.
    pub former_ended: Option<HistoryEntry>,
}

/// How a claim went.
pub enum Claim {
    Taken(Box<Tenure>),
    Refused(String),
    /// The own election node is not there.
    Gone,
    Unknown(String),
}

/// A leadership that was taken.
#[derive(Debug)]
pub struct Tenure {
    node: String,
    sent: Moment,
    breadcrumb: Breadcrumb,
    epoch_version: i32,
    breadcrumb_version: i32,
    announcement: Announcement,
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
    if epoch <= found.vacancy.epoch {
        return Claim::Refused(format!("epoch {epoch} does not follow {}", found.vacancy.epoch));
    }
    let (mut entry_exists, mut ensured) = (false, false);
    loop {
        let sent = clock::now();
        let request = write_claim(client, settings, paths, node, found, &wanted, entry_exists);
        let (index, error) = match timeout(client.session_timeout(), request).await {
            Ok(Ok((epoch_version, breadcrumb_version))) => {
                return Claim::Taken(Box::new(Tenure {
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
            (4, Error::NoNode) if wanted.former_ended.take().is_some() => {}
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
    let (entry, former_ended) = (short(wanted.entry.clone()), wanted.former_ended.clone().map(short));
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
    if let Some(former) = &former_ended {
        writer.add_set_data(&paths.history_of(former.epoch), &json(former), None)?;
    }
    if found.vacancy.volume.is_none() {
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

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types have only string keys")
}

/// One heartbeat: the only thing that renews the lease.
async fn heartbeat(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    tenure: &Tenure,
) -> Result<(), MultiWriteError> {
    let data = json!({"node": settings.node, "epoch": tenure.breadcrumb.epoch, "at": clock::timestamp()}).to_string();
    loop {
        let mut writer = client.new_multi_writer();
        writer.add_check_version(&tenure.node, -1)?;
        writer.add_check_version(&paths.epoch, tenure.epoch_version)?;
        writer.add_set_data(&paths.heartbeat, data.as_bytes(), None)?;
        match writer.commit().await {
            Ok(_) => return Ok(()),
            // Deleted by hand. It proves nothing, it only carries the write.
            Err(MultiWriteError::OperationFailed { index: 2, source: Error::NoNode }) => {
                let options = directories::options(CreateMode::Persistent, settings.access.digest.is_some());
                match client.create(&paths.heartbeat, b"", &options).await {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

impl Candidate<'_> {
    /// Begins the leadership, and leads until the end.
    pub async fn begin(&mut self, own: Pin<&mut impl Future<Output = ()>>, tenure: Box<Tenure>) -> End {
        info!(epoch = tenure.breadcrumb.epoch, node = tenure.node, "epoch taken");
        let counts_from = self.pulse.touches.counts_from(tenure.sent);
        self.pulse.touches.answered(tenure.sent, clock::now());
        self.backend.tell(Fact::Claimed {
            epoch: tenure.breadcrumb.epoch,
            counts_from,
            testament: Some(Box::new(testament(
                &self.backend.settings,
                &self.backend.paths,
                self.client.session_id().0,
                &tenure,
            ))),
        });
        self.lead(own, tenure, true).await
    }

    /// Goes on leading over another connection.
    pub async fn resume(&mut self, tenure: Box<Tenure>) -> End {
        let client = self.client;
        let node = tenure.node.clone();
        let mut renewed = self.renewed.subscribe();
        let own = async move {
            // This server may be behind the one that was lost, and not know of the node before it has acknowledged a write.
            let _ = renewed.wait_for(|renewed| *renewed).await;
            super::until_deleted(client, &node).await;
        };
        self.lead(std::pin::pin!(own), tenure, false).await
    }

    /// Leads until the end of the leadership or of the connection.
    async fn lead(&mut self, own: Pin<&mut impl Future<Output = ()>>, tenure: Box<Tenure>, answers: bool) -> End {
        match self.lead_while_connected(own, &tenure, answers).await {
            Some(end) => end,
            None => End::Parted(Going::Leading(tenure)),
        }
    }

    /// Answers the leadership's end; `None` if only the connection is to be given up.
    ///
    /// A server that does not answer for half a lease is left for another, if there is one (if answers took longer as a rule, the
    /// lease could not be kept anyway); once only: if the next one answers no more than it did, the
    /// ensemble is slow, and an answer may be on its way.
    async fn lead_while_connected(
        &mut self,
        mut own: Pin<&mut impl Future<Output = ()>>,
        tenure: &Tenure,
        mut answers: bool,
    ) -> Option<End> {
        let (client, settings, paths) =
            (self.client, Arc::clone(&self.backend.settings), Arc::clone(&self.backend.paths));
        let protected = Arc::clone(&self.backend.protected);
        let patience = (self.backend.timing().length() / 2).max(settings.heartbeat_interval);
        let several = zookeeper::has_alternatives(&settings.access);
        let mut service =
            std::pin::pin!(service::keep(client, &settings, &paths, tenure.epoch_version, &tenure.announcement));
        let mut chores: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        chores.push(Box::pin(async {
            tokio::time::sleep(AFTER_THE_START).await;
            forget_old_history(client, &paths).await;
            protection::protect(client, &settings, &paths, &protected).await;
        }));

        let mut beat: Option<(Moment, BoxFuture<'_, Result<(), MultiWriteError>>)> = None;
        let Ok(mut tick) = Timer::new() else {
            let loss = Loss::Backend("no timer can be had for the heartbeats: too many open files?".to_owned());
            return Some(self.fall(loss, Some(tenure)).await);
        };
        tick.set(tenure.sent + settings.heartbeat_interval);
        loop {
            tokio::select! {
                biased;
                state = self.state.changed() => return self.take_state(state).err(),
                () = own.as_mut() => return Some(self.fall(Loss::NodeDeleted, Some(tenure)).await),
                outcome = in_flight(&mut beat) => {
                    let sent = beat.take().map_or(tenure.sent, |(sent, _)| sent);
                    tick.set(sent + settings.heartbeat_interval);
                    // It may have come over a connection of the crate's own, to which nobody knows what was granted.
                    if let Some(state) = self.state.changed().now_or_never() {
                        return self.take_state(state).err();
                    }
                    answers |= outcome.is_ok();
                    match self.take_heartbeat(sent, outcome) {
                        Ok(()) => {}
                        Err(loss) => return Some(self.fall(loss, Some(tenure)).await),
                    }
                }
                () = tick.rings() => match &beat {
                    None => {
                        let now = clock::now();
                        beat = Some((now, Box::pin(heartbeat(client, &settings, &paths, tenure))));
                        tick.set(now + patience);
                    }
                    Some(_) if several && answers => {
                        self.backend.tell_disconnected("a heartbeat is not answered; asking another server".to_owned());
                        return None;
                    }
                    // If no answer comes, the lease runs out.
                    Some(_) => {}
                },
                order = self.backend.orders.recv() => match order {
                    Some(Order::Resign { clean, ended }) => {
                        self.backend.stands = false;
                        return Some(End::Resigned { left: resign(client, &paths, tenure, clean, ended).await });
                    }
                    Some(Order::Close) | None => {
                        resign(client, &paths, tenure, false, None).await;
                        return Some(End::Closed);
                    }
                    Some(Order::Publish(member)) => self.backend.publish(*member),
                    Some(Order::Announce(breadcrumb)) => tenure.announcement.want(breadcrumb.map(|breadcrumb| *breadcrumb)),
                    Some(Order::Amend(entry)) => chores.push(Box::pin(amend(client, &paths, *entry))),
                    Some(Order::Claim { .. }) => self.backend.refuse("this node leads already"),
                    Some(Order::Stand | Order::Yield | Order::AskAgain) => {}
                },
                () = service.as_mut() => unreachable!("the announcement is kept for as long as the leadership lasts"),
                Some(()) = chores.next() => {}
            }
        }
    }

    fn take_heartbeat(&mut self, sent: Moment, outcome: Result<(), MultiWriteError>) -> Result<(), Loss> {
        match outcome {
            Ok(()) => {
                let acknowledged = clock::now();
                let counts_from = self.pulse.touches.counts_from(sent);
                self.pulse.touches.answered(sent, acknowledged);
                self.backend.tell(Fact::Renewed { sent, counts_from, acknowledged });
                self.renewed.send_if_modified(|renewed| !std::mem::replace(renewed, true));
            }
            Err(MultiWriteError::OperationFailed { index: 0, source: Error::NoNode | Error::BadVersion }) => {
                return Err(Loss::NodeDeleted);
            }
            Err(MultiWriteError::OperationFailed { index: 1, source: Error::NoNode | Error::BadVersion }) => {
                return Err(Loss::Overtaken);
            }
            // Neither renewed nor lost: a lost connection tells so itself, and the lease runs out by itself.
            Err(error) => warn!(%error, "a heartbeat was not acknowledged"),
        }
        Ok(())
    }
}

async fn in_flight<T>(beat: &mut Option<(Moment, BoxFuture<'_, T>)>) -> T {
    match beat {
        Some((_, request)) => request.await,
        None => std::future::pending().await,
    }
}

/// What the guardian undoes when its supervisor dies in the queue: whoever stands behind need not wait for the session's end.
pub fn testament_of_a_standby(settings: &Settings, paths: &Paths, session: i64, node: &str) -> Testament {
    Testament {
        zookeeper: zookeeper::bequeathed(&settings.access),
        election_node: node.to_owned(),
        breadcrumb: None,
        session: Some(session),
        also_delete: vec![paths.member(&settings.node)],
    }
}

/// What the guardian undoes when it ends this leadership without its supervisor.
fn testament(settings: &Settings, paths: &Paths, session: i64, tenure: &Tenure) -> Testament {
    let clean = Breadcrumb { clean: true, cause: Some("supervisor_lost".to_owned()), ..tenure.breadcrumb.clone() };
    Testament {
        zookeeper: zookeeper::bequeathed(&settings.access),
        election_node: tenure.node.clone(),
        breadcrumb: Some((
            paths.active.clone(),
            tenure.breadcrumb_version,
            String::from_utf8(json(&clean)).expect("JSON is UTF-8"),
        )),
        session: Some(session),
        also_delete: vec![paths.service(&settings.node), paths.member(&settings.node)],
    }
}

/// As it is written: what a command said of its failure may be long.
fn short(entry: HistoryEntry) -> HistoryEntry {
    HistoryEntry { detail: entry.detail.map(|detail| super::shortened(&detail)), ..entry }
}

/// Completes a history entry, best effort.
async fn amend(client: &Client, paths: &Paths, entry: HistoryEntry) {
    let (path, entry) = (paths.history_of(entry.epoch), short(entry));
    let written = timeout(client.session_timeout(), client.set_data(&path, &json(&entry), None)).await;
    if !matches!(written, Ok(Ok(_))) {
        debug!(path, ?written, "history entry was not completed");
    }
}

async fn forget_old_history(client: &Client, paths: &Paths) {
    let Ok(mut names) = client.list_children(&paths.history).await else { return };
    names.sort_unstable_by(|a, b| znodes::by_age(a).cmp(&znodes::by_age(b)));
    let old = names.len().saturating_sub(HISTORY);
    for name in &names[..old] {
        let _ = client.delete(&format!("{}/{name}", paths.history), None).await;
    }
}

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
pub async fn resign(client: &Client, paths: &Paths, tenure: &Tenure, clean: bool, ended: Option<HistoryEntry>) -> bool {
    // Watches fire in the order of a multi's parts, and the next candidate waits for the election node's.
    let mut parts = vec![Part::CheckEpoch, Part::Leave];
    // The supervisor gave up before it heard that the epoch was taken: it knows of no leadership that could have ended.
    let ended = ended.or_else(|| clean.then(|| ended_at_once(&tenure.breadcrumb))).map(short);
    if clean {
        let (cause, to) = ended.as_ref().map_or((None, None), |ended| (ended.cause.clone(), ended.to.clone()));
        parts.push(Part::Breadcrumb(json(&Breadcrumb { clean, cause, to, ..tenure.breadcrumb.clone() })));
    }
    if let Some(ended) = ended {
        parts.push(Part::Entry(paths.history_of(ended.epoch), json(&ended)));
    }
    let attempts = async {
        while parts.len() > 1 {
            match write_resignation(client, paths, tenure, &parts).await {
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
                    super::before_retry(client).await;
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
        cause: Some("start_failed".to_owned()),
        gap_ms: None,
        detail: Some("given back as soon as it was taken".to_owned()),
    }
}

async fn write_resignation(
    client: &Client,
    paths: &Paths,
    tenure: &Tenure,
    parts: &[Part],
) -> Result<(), MultiWriteError> {
    let mut writer = client.new_multi_writer();
    for part in parts {
        match part {
            Part::CheckEpoch => writer.add_check_version(&paths.epoch, tenure.epoch_version)?,
            Part::Breadcrumb(data) => writer.add_set_data(&paths.active, data, Some(tenure.breadcrumb_version))?,
            Part::Entry(path, data) => writer.add_set_data(path, data, None)?,
            Part::Leave => writer.add_delete(&tenure.node, None)?,
        }
    }
    writer.commit().await.map(|_| ())
}
