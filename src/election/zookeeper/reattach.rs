//! A session whose connection is lost looks for another one, for it lives on in the ensemble.
//!
//! With a lease at stake every tenth of a second counts: what is left of it has to cover the search, and the first heartbeat
//! after it. Nothing is renewed and nothing is decided meanwhile; orders wait, and if the lease runs out, the guardian kills
//! and the supervisor resigns as ever. Who does not lead has time, and tries less often.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::backend::Backend;
use super::course::Going;
use crate::clock;
use crate::election::{ElectionOrder, Fact, Loss};
use crate::zookeeper::{self, Session, Stake, breadth};

/// A connection that broke sooner may break as soon again: the next one is not taken at once.
const SETTLED: Duration = Duration::from_secs(5);

/// Before another connection is tried after one that did not carry a large packet.
const AGAIN: Duration = Duration::from_millis(200);

impl Backend {
    /// Goes on with the session over another connection; `None` when it has expired, or nobody answered for so long that it
    /// must have. Then the loss is told, or the order to resign is left to be taken without a session.
    ///
    /// `lived`: how long the connection lasted that was lost.
    pub async fn reattach(&mut self, session: Session, going: &Going, lived: Duration) -> Option<Session> {
        let settings = Arc::clone(&self.settings);
        let began = clock::now();
        let (id, timeout) = (session.client.session_id(), self.grant.timeout);
        let leads = matches!(going, Going::Leading(_));
        let mut pause = Duration::ZERO;
        if lived < SETTLED {
            let longest = if leads { self.timing().length() / 8 } else { timeout };
            pause = self.pause.pause().min(longest);
        } else {
            self.pause.reset();
        }
        let stake = if leads { Stake::Lease { until: began + self.timing().length() } } else { Stake::Nothing };
        let narrow = Mutex::new(None);
        let mut reopening = pin!(async {
            let mut session = session;
            loop {
                let parted = session.part().await?;
                sleep(pause).await;
                session = zookeeper::reopen(&settings.access, &parted, stake).await?;
                // Heartbeats are small, and a lease does not wait for more than it needs.
                if leads {
                    return Some(session);
                }
                match breadth::prove(&session.client).await {
                    Ok(()) => return Some(session),
                    Err(problem) => *narrow.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem),
                }
                pause = pause.max(AGAIN);
            }
        });
        // As long as the ensemble may take to expire it, and no longer than a resignation may take.
        let mut until = began + timeout * 7 / 5;
        let (mut resigning, mut closing) = (false, false);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv_unseen(), if !closing => {
                    let order = order.unwrap_or(ElectionOrder::Close);
                    closing |= matches!(order, ElectionOrder::Close);
                    if (closing || matches!(order, ElectionOrder::Resign { .. })) && !resigning {
                        resigning = true;
                        // A leadership has something to say at its end; a place in the queue goes with the session.
                        until = if leads { until.min(clock::now() + timeout) } else { clock::now() };
                    }
                    self.orders.keep(order);
                }
                again = &mut reopening => match again {
                    Some(session) => {
                        let address = session.address();
                        info!(session = %id, %address, after = ?clock::now().since(began), "the session goes on");
                        self.tell_connected(&session);
                        return Some(session);
                    }
                    None => break,
                },
                () = sleep(until.since(clock::now())) => break,
            }
        }
        if resigning {
            self.stands = false;
            if leads {
                warn!("ZooKeeper could not be told of the resignation; the session will expire");
            }
        } else {
            warn!(session = %id, "the session has ended");
            let loss = match narrow.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(problem) => {
                    self.tell_disconnected(problem.clone());
                    Loss::Backend(problem)
                }
                None => Loss::SessionExpired,
            };
            if !matches!(going, Going::Idle) {
                self.stands = false;
                self.tell(Fact::Lost(loss));
            }
        }
        None
    }
}
