//! What is done over one connection, side by side: the candidacy's requests, this node's member, the view of the cluster, and
//! what a leader keeps.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};
use zookeeper_client::{Client, SessionId, SessionState};

use super::backend::Backend;
use super::candidacy::{Answer, Input, Output, RequestId, Seen, Turn, short};
use super::requests::carry_out;
use super::{member, protection, service, view};
use crate::intents::Change;
use crate::status::HistoryEntry;
use crate::zookeeper::paths::Paths;
use crate::zookeeper::{Session, contents, intents};

/// How long a session that has nothing left to say is kept: closing it (and opening the next) are writes, and a server
/// writes one thing at a time while the next active claims its epoch. Longer than a fail-over takes.
const QUIET: Duration = Duration::from_millis(100);

/// How many leaderships are remembered.
const HISTORY: usize = 100;

/// When a new leadership tidies the history: a server writes one thing at a time, and the coordinator's start, a few
/// milliseconds after the claim, comes first.
const AFTER_THE_START: Duration = Duration::from_millis(100);

impl Backend {
    /// Everything that happens over one connection, up to the turn that ends it. All handles that were made of `client` are
    /// dropped when this returns.
    pub async fn serve(&mut self, session: &Session) -> Turn {
        let client = &session.client;
        let (settings, paths) = (Arc::clone(&self.settings), Arc::clone(&self.paths));
        let (facts, hung_up) = (self.facts.clone(), Arc::clone(&self.hung_up));
        let (seen_sender, mut seen) = watch::channel(Seen::default());
        let (registered_sender, mut registered) = watch::channel(false);
        let published = self.member.subscribe();
        let shared = watch::channel(false).0;
        let mut member = pin!(async {
            until(&shared).await;
            member::keep(client.clone(), &settings, &paths, published, &registered_sender, &facts, &hung_up).await;
        });
        let mut view = pin!(async {
            until(&shared).await;
            view::follow(client.clone(), &settings, &paths, &seen_sender, &facts).await;
        });
        let mut states = session.states();
        let mut under_way = UnderWay(Vec::new());
        let mut beside: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            while let Some(output) = self.candidacy.poll_output() {
                match output {
                    Output::Ask(id, request) => {
                        under_way.0.push((id, Box::pin(carry_out(client, &settings, &paths, request))));
                    }
                    Output::Forget(id) => under_way.0.retain(|(other, _)| *other != id),
                    Output::Share => {
                        shared.send_replace(true);
                    }
                    Output::Attend { epoch_version } => {
                        let (settings, paths, protected) = (&settings, &paths, Arc::clone(&self.protected));
                        let announcement = Arc::clone(&self.announcement);
                        beside.push(Box::pin(async move {
                            service::keep(client, settings, paths, Some(epoch_version), &announcement).await;
                        }));
                        beside.push(Box::pin(async move {
                            sleep(AFTER_THE_START).await;
                            forget_old_history(client, paths).await;
                            protection::protect(client, settings, paths, &protected).await;
                        }));
                    }
                    Output::AttendAlwaysOn { fresh } => {
                        let (settings, paths) = (&settings, &paths);
                        let announcement = Arc::clone(&self.announcement);
                        if fresh {
                            announcement.forget();
                        }
                        beside.push(Box::pin(async move {
                            service::keep(client, settings, paths, None, &announcement).await;
                        }));
                    }
                    Output::Intend(change) => {
                        let digest = settings.access.digest.is_some();
                        beside.push(Box::pin(intend(client, &paths, digest, *change)));
                    }
                    Output::Amend(entry) => beside.push(Box::pin(amend(client, &paths, *entry))),
                    Output::Desist => beside.clear(),
                    Output::Turn(turn) => {
                        if turn == (Turn::Close { quiet: true }) {
                            // Before the watches are dropped, too: each would be taken back by a request of its own.
                            sleep(QUIET).await;
                        }
                        return turn;
                    }
                    output => self.carry_out(output),
                }
            }
            self.alarm.set(self.candidacy.deadline());
            let input = tokio::select! {
                biased;
                state = states.changed() => changed(client.session_id(), state),
                (id, answer) = under_way.next() => match states.changed().now_or_never() {
                    // It may have come over a connection of the crate's own, to which nobody knows what was granted.
                    Some(state) => changed(client.session_id(), state),
                    None => Input::Answered(id, answer),
                },
                input = self.alarm.rings() => input,
                input = self.orders.next() => input,
                Ok(()) = registered.changed() => Input::Registered(*registered.borrow_and_update()),
                Ok(()) = seen.changed() => Input::Viewed(seen.borrow_and_update().clone()),
                () = member.as_mut() => unreachable!("the member is kept for as long as the session lives"),
                () = view.as_mut() => unreachable!("the view is followed for as long as the session lives"),
                Some(()) = beside.next() => continue,
            };
            self.hear(input);
        }
    }
}

/// What a change of the session's state means: the connection is lost. The crate may have made another one already, but nobody
/// can see what was granted to that.
fn changed(session: SessionId, state: SessionState) -> Input {
    match state {
        SessionState::SyncConnected | SessionState::Disconnected | SessionState::ConnectedReadOnly => {
            Input::Disconnected
        }
        SessionState::Expired | SessionState::Closed | SessionState::AuthFailed => {
            warn!(%session, %state, "the session has ended");
            Input::SessionLost
        }
    }
}

/// Requests that are not answered yet, the oldest first.
struct UnderWay<'a>(Vec<(RequestId, BoxFuture<'a, Answer>)>);

impl UnderWay<'_> {
    /// The next answer. Cancel safe.
    async fn next(&mut self) -> (RequestId, Answer) {
        std::future::poll_fn(|context| {
            for (index, (id, request)) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(answer) = request.poll_unpin(context) {
                    let id = *id;
                    drop(self.0.remove(index));
                    return Poll::Ready((id, answer));
                }
            }
            Poll::Pending
        })
        .await
    }
}

async fn until(condition: &watch::Sender<bool>) {
    let _ = condition.subscribe().wait_for(|holds| *holds).await;
}

/// Completes a history entry, best effort.
async fn amend(client: &Client, paths: &Paths, entry: HistoryEntry) {
    let (path, entry) = (paths.history_of(entry.epoch), short(entry));
    let data = serde_json::to_vec(&entry).expect("an entry has only string keys");
    let written = timeout(client.session_timeout(), client.set_data(&path, &data, None)).await;
    if !matches!(written, Ok(Ok(_))) {
        debug!(path, ?written, "history entry was not completed");
    }
}

/// Changes what people want, best effort: whoever wanted it sees what became of it, and decides anew.
async fn intend(client: &Client, paths: &Paths, digest: bool, change: Change) {
    let written = timeout(client.session_timeout(), intents::write(client, paths, digest, &change)).await;
    if !matches!(written, Ok(Ok(()))) {
        debug!(?written, "what people want was not changed");
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
