//! A leadership: the heartbeats, until the end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::json;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError};

use super::candidate::Candidate;
use super::claim::{self, Leadership, short};
use super::course::{End, Going};
use super::requests::until_deleted;
use super::resignation::resign;
use super::settings::Settings;
use super::{last_will, protection, service};
use crate::clock;
use crate::election::{ElectionOrder, Fact, Loss};
use crate::moment::Moment;
use crate::status::HistoryEntry;
use crate::timer::Timer;
use crate::zookeeper::directories;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{self, contents};

/// How many leaderships are remembered.
const HISTORY: usize = 100;

/// When a new leadership tidies the history: a server writes one thing at a time, and the coordinator's start, a few
/// milliseconds after the claim, comes first.
const AFTER_THE_START: Duration = Duration::from_millis(100);

/// One heartbeat: the only thing that renews the lease.
async fn heartbeat(
    client: &Client,
    settings: &Settings,
    paths: &Paths,
    leadership: &Leadership,
) -> Result<(), MultiWriteError> {
    let data =
        json!({"node": settings.node, "epoch": leadership.breadcrumb.epoch, "at": clock::timestamp()}).to_string();
    loop {
        let mut writer = client.new_multi_writer();
        writer.add_check_version(&leadership.node, -1)?;
        writer.add_check_version(&paths.epoch, leadership.epoch_version)?;
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
    pub async fn begin(&mut self, own: Pin<&mut impl Future<Output = ()>>, leadership: Box<Leadership>) -> End {
        info!(epoch = leadership.breadcrumb.epoch, node = leadership.node, "epoch taken");
        let counts_from = self.pulse.touches.counts_from(leadership.sent);
        self.pulse.touches.answered(leadership.sent, clock::now());
        self.backend.tell(Fact::Claimed {
            epoch: leadership.breadcrumb.epoch,
            counts_from,
            last_will: Some(Box::new(last_will::of_a_leader(
                &self.backend.settings,
                &self.backend.paths,
                self.client.session_id().0,
                &leadership,
            ))),
        });
        self.lead(own, leadership, true).await
    }

    /// Goes on leading over another connection.
    pub async fn resume(&mut self, leadership: Box<Leadership>) -> End {
        let client = self.client;
        let node = leadership.node.clone();
        let mut renewed = self.renewed.subscribe();
        let own = async move {
            // This server may be behind the one that was lost, and not know of the node before it has acknowledged a write.
            let _ = renewed.wait_for(|renewed| *renewed).await;
            until_deleted(client, &node).await;
        };
        self.lead(std::pin::pin!(own), leadership, false).await
    }

    /// Leads until the end of the leadership or of the connection.
    async fn lead(
        &mut self,
        own: Pin<&mut impl Future<Output = ()>>,
        leadership: Box<Leadership>,
        answers: bool,
    ) -> End {
        match self.lead_while_connected(own, &leadership, answers).await {
            Some(end) => end,
            None => End::Parted(Going::Leading(leadership)),
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
        leadership: &Leadership,
        mut answers: bool,
    ) -> Option<End> {
        let (client, settings, paths) =
            (self.client, Arc::clone(&self.backend.settings), Arc::clone(&self.backend.paths));
        let protected = Arc::clone(&self.backend.protected);
        let patience = (self.backend.timing().length() / 2).max(settings.heartbeat_interval);
        let several = zookeeper::has_alternatives(&settings.access);
        let mut service = std::pin::pin!(service::keep(
            client,
            &settings,
            &paths,
            leadership.epoch_version,
            &leadership.announcement
        ));
        let mut chores: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        chores.push(Box::pin(async {
            tokio::time::sleep(AFTER_THE_START).await;
            forget_old_history(client, &paths).await;
            protection::protect(client, &settings, &paths, &protected).await;
        }));

        let mut beat: Option<(Moment, BoxFuture<'_, Result<(), MultiWriteError>>)> = None;
        let Ok(mut tick) = Timer::new() else {
            let loss = Loss::Backend("no timer can be had for the heartbeats: too many open files?".to_owned());
            return Some(self.fall(loss, Some(leadership)).await);
        };
        tick.set(leadership.sent + settings.heartbeat_interval);
        loop {
            tokio::select! {
                biased;
                state = self.state.changed() => return self.take_state(state).err(),
                () = own.as_mut() => return Some(self.fall(Loss::NodeDeleted, Some(leadership)).await),
                outcome = in_flight(&mut beat) => {
                    let sent = beat.take().map_or(leadership.sent, |(sent, _)| sent);
                    tick.set(sent + settings.heartbeat_interval);
                    // It may have come over a connection of the crate's own, to which nobody knows what was granted.
                    if let Some(state) = self.state.changed().now_or_never() {
                        return self.take_state(state).err();
                    }
                    answers |= outcome.is_ok();
                    match self.take_heartbeat(sent, outcome) {
                        Ok(()) => {}
                        Err(loss) => return Some(self.fall(loss, Some(leadership)).await),
                    }
                }
                () = tick.rings() => match &beat {
                    None => {
                        let now = clock::now();
                        beat = Some((now, Box::pin(heartbeat(client, &settings, &paths, leadership))));
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
                    Some(ElectionOrder::Resign { clean, ended }) => {
                        self.backend.stands = false;
                        return Some(End::Resigned { left: resign(client, &paths, leadership, clean, ended).await });
                    }
                    Some(ElectionOrder::Close) | None => {
                        resign(client, &paths, leadership, false, None).await;
                        return Some(End::Closed);
                    }
                    Some(ElectionOrder::Publish(member)) => self.backend.publish(*member),
                    Some(ElectionOrder::Announce(breadcrumb)) => leadership.announcement.want(breadcrumb.map(|breadcrumb| *breadcrumb)),
                    Some(ElectionOrder::Amend(entry)) => chores.push(Box::pin(amend(client, &paths, *entry))),
                    Some(ElectionOrder::Claim { .. }) => self.backend.refuse("this node leads already"),
                    Some(ElectionOrder::Stand | ElectionOrder::Yield | ElectionOrder::AskAgain) => {}
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

/// Completes a history entry, best effort.
async fn amend(client: &Client, paths: &Paths, entry: HistoryEntry) {
    let (path, entry) = (paths.history_of(entry.epoch), short(entry));
    let written = timeout(client.session_timeout(), client.set_data(&path, &claim::json(&entry), None)).await;
    if !matches!(written, Ok(Ok(_))) {
        debug!(path, ?written, "history entry was not completed");
    }
}

async fn forget_old_history(client: &Client, paths: &Paths) {
    let Ok(mut names) = client.list_children(&paths.history).await else { return };
    names.sort_unstable_by(|a, b| contents::by_age(a).cmp(&contents::by_age(b)));
    let old = names.len().saturating_sub(HISTORY);
    for name in &names[..old] {
        let _ = client.delete(&format!("{}/{name}", paths.history), None).await;
    }
}
