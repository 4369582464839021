//! A candidacy: from `Stand` through the queue to `Elected`. What comes after `Claim` is in [`super::lead`].
//!
//! Sequential code with two ways to wait: [`Candidate::step`] for a request, [`Candidate::next`] for whatever happens
//! next. Both take orders meanwhile. An order to resign simply ends the session, whatever the step was about to leave.

use std::convert::Infallible;
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};
use uuid::Uuid;
use zookeeper_client::{Client, CreateMode, Error, SessionState, StateWatcher};

use super::backend::Backend;
use super::claim::{self, Claim, Found, Leadership};
use super::course::{End, Going};
use super::last_will;
use super::pulse::Pulse;
use super::requests::{before_retry, is_definite, until_deleted};
use super::resignation::resign;
use super::view::Seen;
use crate::election::{ElectionOrder, ElectionOutcome, Fact, Loss, OtherCandidate};
use crate::role::lease::Touches;
use crate::zookeeper::Session;
use crate::zookeeper::contents::{self, Control};
use crate::zookeeper::directories;
use crate::zookeeper::paths::{Paths, Place, place};

pub struct Candidate<'a> {
    pub backend: &'a mut Backend,
    pub client: &'a Client,
    pub state: StateWatcher,
    seen: watch::Receiver<Seen>,
    registered: watch::Receiver<bool>,
    /// Whether this connection has carried a heartbeat's acknowledgement, if it was made for the sake of one.
    pub renewed: &'a watch::Sender<bool>,
    pub pulse: Pulse<'a>,
    /// Whether `Standing` was said, so that an end has to be reported as a loss.
    stands: bool,
}

/// What ended a wait.
#[expect(clippy::large_enum_variant, reason = "a few orders a day")]
pub enum Woken {
    Event,
    Disconnected,
    /// `Stand`, `Yield` or `Claim`: what depends on where the candidacy is.
    ElectionOrder(ElectionOrder),
}

/// What a look at the queue found.
enum Look {
    First(Box<Found>),
    /// The full path of the one before this node.
    Behind(String),
    /// The own node is not there, or it is another session's.
    Gone,
}

impl<'a> Candidate<'a> {
    pub fn new(
        backend: &'a mut Backend,
        session: &'a Session,
        seen: watch::Receiver<Seen>,
        registered: watch::Receiver<bool>,
        renewed: &'a watch::Sender<bool>,
    ) -> Self {
        let (client, timing) = (&session.client, backend.timing());
        let pulse = Pulse::new(client, Touches::new(&timing, backend.grant.asked), timing.heartbeat_interval);
        Self { state: session.states(), backend, client, seen, registered, renewed, pulse, stands: false }
    }

    /// `going`: what goes on over this connection.
    pub async fn run(mut self, going: Going) -> End {
        match self.candidacies(going).await {
            Err(end) => end,
        }
    }

    async fn candidacies(&mut self, going: Going) -> Result<Infallible, End> {
        self.stands = !matches!(going, Going::Idle);
        match going {
            Going::Idle => {}
            Going::Queued(node) => self.stand(&node, None).await?,
            Going::Elected(node, found) => self.stand(&node, Some(*found)).await?,
            Going::Leading(leadership) => return Err(self.resume(leadership).await),
        }
        loop {
            self.until_wanted().await?;
            let node = self.enter_queue().await?;
            let session = self.client.session_id().0;
            let will = last_will::of_a_standby(&self.backend.settings, &self.backend.paths, session, &node);
            self.backend.tell(Fact::Queued(Box::new(will)));
            self.backend.tell(Fact::Standing);
            self.stands = true;
            self.stand(&node, None).await?;
        }
    }

    /// Waits until a candidacy is wanted and the node's name is known to be its own.
    async fn until_wanted(&mut self) -> Result<(), End> {
        loop {
            let named = *self.registered.borrow_and_update() || self.backend.member.borrow().is_none();
            if self.backend.stands && named {
                return Ok(());
            }
            tokio::select! {
                biased;
                state = self.state.changed() => {
                    self.take_state(state)?;
                    return Err(End::Parted(Going::Idle));
                }
                never = self.pulse.keep() => match never {},
                order = self.backend.orders.recv() => self.backend.without_candidacy(order)?,
                changed = self.registered.changed() => if changed.is_err() { pending::<()>().await },
            }
        }
    }

    /// Creates the own node at the back of the queue; answers its full path.
    async fn enter_queue(&mut self) -> Result<String, End> {
        let (settings, paths) = (Arc::clone(&self.backend.settings), Arc::clone(&self.backend.paths));
        let (client, digest) = (self.client, settings.access.digest.is_some());
        let options = directories::options(CreateMode::EphemeralSequential, digest);
        let prefix = paths.queue_node(&format!("_c_{}-latch-", Uuid::new_v4()));
        loop {
            // It may have been created: only the session's end makes sure that it does not stay.
            let lost = |_: &mut Self| End::Abandoned;
            match self.step(client.create(&prefix, settings.node.as_bytes(), &options), lost).await? {
                Ok((_, sequence)) => return Ok(format!("{prefix}{sequence}")),
                Err(Error::NoNode) => {
                    let idle = |_: &mut Self| End::Parted(Going::Idle);
                    if let Err(problem) = self.step(directories::ensure(client, &paths, digest), idle).await? {
                        self.backend.tell_disconnected(problem);
                    }
                }
                Err(error) if is_definite(&error) => {
                    self.backend.tell_disconnected(format!("cannot enter the queue: {error}"));
                }
                Err(error) => {
                    debug!(%error, "unknown whether the election node was created; starting over");
                    return Err(End::Abandoned);
                }
            }
            self.step(before_retry(client), |_| End::Parted(Going::Idle)).await?;
        }
    }

    /// In the queue; `found`: first in it, as was told. Comes back only to enter it again.
    async fn stand(&mut self, node: &str, found: Option<Found>) -> Result<(), End> {
        let (client, paths) = (self.client, Arc::clone(&self.backend.paths));
        let mut own = pin!(async {
            // A server that has taken the session over may be behind the one that was lost, and not know of the node yet.
            while client.sync(&paths.election).await.is_err() {
                before_retry(client).await;
            }
            until_deleted(client, node).await;
        });
        if let Some(found) = found
            && self.elected(own.as_mut(), node, found).await?
        {
            return self.leave_queue(node).await;
        }
        let queued = |_: &mut Self| End::Parted(Going::Queued(node.to_owned()));
        loop {
            match self.step(look(client, &paths, node), queued).await? {
                Ok(Look::Behind(predecessor)) => {
                    let mut gone = pin!(until_deleted(client, &predecessor));
                    loop {
                        match self.next(own.as_mut(), gone.as_mut()).await? {
                            Woken::Event => break,
                            Woken::Disconnected => return Err(queued(self)),
                            Woken::ElectionOrder(ElectionOrder::Yield) => return self.leave_queue(node).await,
                            Woken::ElectionOrder(order) => self.refuse_claim(&order),
                        }
                    }
                }
                Ok(Look::First(found)) if found.outcome.paused && !self.seen.borrow().paused => {
                    // Told now, its end might never be: the view tells of what changes, and has not told of the pause.
                    self.look_later(own.as_mut(), node).await?;
                }
                Ok(Look::First(mut found)) => {
                    if found.contested {
                        found.outcome.others = self.others();
                    }
                    self.backend.tell(Fact::Elected(Box::new(found.outcome.clone())));
                    if self.elected(own.as_mut(), node, *found).await? {
                        return self.leave_queue(node).await;
                    }
                }
                Ok(Look::Gone) => return Err(self.fall(Loss::NodeDeleted, None).await),
                Err(error) => {
                    debug!(%error, "cannot look at the queue");
                    if is_definite(&error) {
                        self.backend.tell_disconnected(format!("cannot look at the queue: {error}"));
                    }
                    self.look_later(own.as_mut(), node).await?;
                }
            }
        }
    }

    /// In the queue, until it is time to look again.
    async fn look_later(&mut self, mut own: Pin<&mut impl Future<Output = ()>>, node: &str) -> Result<(), End> {
        let mut retry = pin!(before_retry(self.client));
        loop {
            match self.next(own.as_mut(), retry.as_mut()).await? {
                Woken::Event => return Ok(()),
                Woken::Disconnected => return Err(End::Parted(Going::Queued(node.to_owned()))),
                Woken::ElectionOrder(order) => self.refuse_claim(&order),
            }
        }
    }

    /// First in the queue, and that was told. Comes back to look again (false), or to go to the back of the queue (true).
    async fn elected(
        &mut self,
        mut own: Pin<&mut impl Future<Output = ()>>,
        node: &str,
        mut found: Found,
    ) -> Result<bool, End> {
        loop {
            let order = match self.next(own.as_mut(), pin!(pending())).await? {
                Woken::ElectionOrder(order) => order,
                Woken::Event => continue,
                Woken::Disconnected => return Err(End::Parted(Going::Elected(node.to_owned(), Box::new(found)))),
            };
            match order {
                ElectionOrder::Yield => return Ok(true),
                ElectionOrder::Claim { breadcrumb, volume, entry, predecessor_ended } => {
                    let wanted = claim::Wanted { breadcrumb, volume, entry, predecessor_ended };
                    match self.claim(node, &mut found, wanted).await? {
                        Claim::Taken(leadership) => return Err(self.begin(own, leadership).await),
                        Claim::Refused(reason) => self.backend.refuse(&reason),
                        Claim::Gone => return Err(self.fall(Loss::NodeDeleted, None).await),
                        Claim::Unknown(reason) => return Err(self.abandon(reason)),
                    }
                }
                _ => return Ok(false),
            }
        }
    }

    /// Claims what was found; once more if the former active has said goodbye since it was looked at. Its election node
    /// may be gone before that (somebody deleted it, its session ended), and the claim waits only for its lock.
    async fn claim(&mut self, node: &str, found: &mut Found, wanted: claim::Wanted) -> Result<Claim, End> {
        let (client, settings, paths) =
            (self.client, Arc::clone(&self.backend.settings), Arc::clone(&self.backend.paths));
        let claim = claim::claim(client, &settings, &paths, node, found, wanted.clone()).await;
        if !matches!(claim, Claim::Refused(_)) {
            return Ok(claim);
        }
        match timeout(client.session_timeout(), look(client, &paths, node)).await {
            Ok(Ok(Look::First(again))) if found.differs_only_by_the_goodbye(&again) => {
                *found = *again;
                // Who says goodbye by itself completes its own history entry; its guardian cannot.
                let gone = found.outcome.predecessor.as_ref().is_some_and(|predecessor| predecessor.to.is_some());
                let predecessor_ended = wanted.predecessor_ended.filter(|_| !gone);
                let wanted = claim::Wanted { predecessor_ended, ..wanted };
                Ok(claim::claim(client, &settings, &paths, node, found, wanted).await)
            }
            _ => Ok(claim),
        }
    }

    /// Who else could take over, by what the members say of themselves: a preference, nothing more.
    fn others(&self) -> Vec<OtherCandidate> {
        let seen = self.seen.borrow();
        let others = seen.members.values().filter(|member| member.row.node != self.backend.settings.node);
        others
            .map(|member| OtherCandidate {
                node: member.row.node.clone(),
                priority: member.row.priority,
                eligible: member.row.eligible,
            })
            .collect()
    }

    async fn leave_queue(&mut self, node: &str) -> Result<(), End> {
        let lost =
            |candidate: &mut Self| candidate.abandon("the connection was lost while the queue was left".to_owned());
        match self.step(self.client.delete(node, None), lost).await? {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(self.abandon(format!("unknown whether the election node was deleted: {error}"))),
        }
    }

    /// Waits for the next thing that happens: the event, a reconnect, or an order.
    pub async fn next(
        &mut self,
        mut own: Pin<&mut impl Future<Output = ()>>,
        mut event: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Woken, End> {
        loop {
            tokio::select! {
                biased;
                state = self.state.changed() => return self.take_state(state).map(|()| Woken::Disconnected),
                () = event.as_mut() => return Ok(Woken::Event),
                () = own.as_mut() => return Err(self.fall(Loss::NodeDeleted, None).await),
                never = self.pulse.keep() => match never {},
                order = self.backend.orders.recv() => {
                    if let Some(order) = self.take_order(order)? {
                        return Ok(Woken::ElectionOrder(order));
                    }
                }
            }
        }
    }

    /// Carries out one request (or a few); an order to resign or to close cuts it short, and so does the connection's end,
    /// which means what `lost` says.
    async fn step<T>(&mut self, request: impl Future<Output = T>, lost: impl Fn(&mut Self) -> End) -> Result<T, End> {
        let mut request = pin!(timeout(self.client.session_timeout(), request));
        loop {
            tokio::select! {
                biased;
                state = self.state.changed() => {
                    self.take_state(state)?;
                    return Err(lost(self));
                }
                never = self.pulse.keep() => match never {},
                result = request.as_mut() => {
                    return result.map_err(|_| self.abandon("ZooKeeper does not answer".to_owned()));
                }
                order = self.backend.orders.recv() => {
                    if let Some(order) = self.take_order(order)? {
                        self.refuse_claim(&order);
                    }
                }
            }
        }
    }

    /// Takes an order that means the same at every point of a candidacy before the claim; hands back any other.
    fn take_order(&mut self, order: Option<ElectionOrder>) -> Result<Option<ElectionOrder>, End> {
        match order {
            Some(order @ (ElectionOrder::Stand | ElectionOrder::Yield | ElectionOrder::Claim { .. })) => {
                return Ok(Some(order));
            }
            Some(ElectionOrder::Resign { .. }) => {
                self.backend.stands = false;
                return Err(End::Resigned { left: false });
            }
            Some(ElectionOrder::Close) | None => return Err(End::Closed),
            Some(ElectionOrder::Publish(member)) => self.backend.publish(*member),
            Some(ElectionOrder::Announce(_) | ElectionOrder::Amend(_) | ElectionOrder::AskAgain) => {}
        }
        Ok(None)
    }

    fn refuse_claim(&self, order: &ElectionOrder) {
        if matches!(order, ElectionOrder::Claim { .. }) {
            self.backend.refuse("this node does not stand first in the queue");
        }
    }

    /// Takes a change of the session's state: the connection is lost. The crate may have made another one already, but nobody
    /// can see what was granted to that.
    pub fn take_state(&mut self, state: SessionState) -> Result<(), End> {
        match state {
            SessionState::SyncConnected | SessionState::Disconnected | SessionState::ConnectedReadOnly => {
                self.backend.tell_disconnected("the connection to ZooKeeper is lost".to_owned());
                Ok(())
            }
            SessionState::Expired | SessionState::Closed | SessionState::AuthFailed => {
                warn!(session = %self.client.session_id(), %state, "the session has ended");
                self.report_loss(Loss::SessionExpired);
                Err(End::Abandoned)
            }
        }
    }

    /// Gives up a session of which it is unknown what it left.
    pub fn abandon(&mut self, reason: String) -> End {
        self.report_loss(Loss::Backend(reason));
        End::Abandoned
    }

    fn report_loss(&mut self, loss: Loss) {
        if std::mem::take(&mut self.stands) {
            self.backend.stands = false;
            self.backend.tell(Fact::Lost(loss));
        }
    }

    /// Reports a loss and keeps the session until the supervisor has let go: closing it would remove what is left of
    /// the own node, and so let the next one in, while the coordinator is still being killed.
    ///
    /// A leadership's end is still noted, unless another has followed: that spares the next one the fencing.
    pub async fn fall(&mut self, loss: Loss, leadership: Option<&Leadership>) -> End {
        self.report_loss(loss);
        loop {
            let result = tokio::select! {
                biased;
                state = self.state.changed() => self.take_state(state).map(|()| None),
                order = self.backend.orders.recv() => {
                    if let (Some(leadership), Some(ElectionOrder::Resign { clean, ended })) = (leadership, &order) {
                        resign(self.client, &self.backend.paths, leadership, *clean, ended.clone()).await;
                    }
                    self.take_order(order)
                }
            };
            match result {
                Err(end) => return end,
                Ok(Some(ElectionOrder::Stand)) => {
                    self.backend.stands = true;
                    return End::Abandoned;
                }
                Ok(Some(order)) => self.refuse_claim(&order),
                Ok(None) => {}
            }
        }
    }
}

/// Looks at the queue and at everything that a claim needs, in one round trip: a server answers the requests of one
/// session in their order, and all are sent before the first answer is awaited.
async fn look(client: &Client, paths: &Paths, node: &str) -> Result<Look, Error> {
    let (synced, queue, own, epoch, active, volume, control) = tokio::join!(
        client.sync(&paths.election),
        client.list_children(&paths.election),
        client.check_stat(node),
        client.get_data(&paths.epoch),
        client.get_data(&paths.active),
        client.get_data(&paths.volume),
        client.get_data(&paths.control),
    );
    synced?;
    if own?.is_none_or(|stat| stat.ephemeral_owner != client.session_id().0) {
        return Ok(Look::Gone);
    }
    let queue = queue?;
    let contested = queue.len() > 1;
    match place(queue, &node[paths.election.len() + 1..]) {
        Place::Absent => return Ok(Look::Gone),
        Place::First => {}
        Place::Behind(before) => return Ok(Look::Behind(paths.queue_node(&before))),
    }
    let (epoch, active, volume, control) = (present(epoch)?, present(active)?, present(volume)?, present(control)?);
    let predecessor = active.as_ref().map(|(data, _)| contents::predecessor(data));
    let noted = epoch.as_ref().and_then(|(data, _)| contents::epoch(data));
    if epoch.is_some() && noted.is_none() {
        warn!(path = paths.epoch, "the epoch is not readable; the breadcrumb's and the lock file's count");
    }
    let outcome = ElectionOutcome {
        epoch: noted.unwrap_or(0).max(predecessor.as_ref().map_or(0, |predecessor| predecessor.epoch)),
        predecessor,
        volume: volume.map(|(data, _)| contents::volume(&data)),
        paused: Control::parse(control.as_ref().map(|(data, _)| data.as_slice())).paused,
        others: Vec::new(),
    };
    Ok(Look::First(Box::new(Found {
        outcome,
        epoch_version: epoch.map(|(_, version)| version),
        breadcrumb_version: active.map(|(_, version)| version),
        contested,
    })))
}

fn present(result: Result<(Vec<u8>, zookeeper_client::Stat), Error>) -> Result<Option<(Vec<u8>, i32)>, Error> {
    match result {
        Ok((data, stat)) => Ok(Some((data, stat.version))),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
