//! A leadership whose connection is lost looks for another one, for its session lives on in the ensemble.
//!
//! Every tenth of a second counts here: what is left of the lease has to cover the search, and the first heartbeat after
//! it. Nothing is renewed and nothing is decided meanwhile; orders wait, and if the lease runs out, the guardian kills and
//! the supervisor resigns as ever.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;
use tracing::{info, warn};

use super::backend::Backend;
use super::connect::{self, Session};
use crate::clock;
use crate::election::{Fact, Loss, Order};

impl Backend {
    /// Goes on with the session over another connection; `None` when it has expired, or nobody answered for so long that it
    /// must have. Then the loss is told, or the order to resign is left to be taken without a session.
    pub async fn reattach(&mut self, session: Session) -> Option<Session> {
        let settings = Arc::clone(&self.settings);
        let began = clock::now();
        let (id, timeout) = (session.client.session_id(), session.client.session_timeout());
        // Each of several connections in a row may break at once.
        let broke_at_once = self.reattached.is_some_and(|at| began.since(at) < connect::PAUSE);
        let mut reopening = pin!(async {
            if broke_at_once {
                sleep(connect::PAUSE).await;
            }
            let parted = session.part().await?;
            connect::reopen(&settings.access, &parted).await
        });
        // As long as the ensemble may take to expire it, and no longer than a resignation may take.
        let mut until = began + timeout * 7 / 5;
        let (mut resigning, mut closing) = (false, false);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv_unseen(), if !closing => {
                    let order = order.unwrap_or(Order::Close);
                    closing |= matches!(order, Order::Close);
                    if (closing || matches!(order, Order::Resign { .. })) && !resigning {
                        resigning = true;
                        until = until.min(clock::now() + timeout);
                    }
                    self.orders.keep(order);
                }
                again = &mut reopening => match again {
                    Some(session) => {
                        info!(session = %id, after = ?clock::now().since(began), "the session goes on");
                        self.tell_connected(&session.client);
                        self.reattached = Some(clock::now());
                        return Some(session);
                    }
                    None => break,
                },
                () = sleep(until.since(clock::now())) => break,
            }
        }
        self.stands = false;
        if resigning {
            warn!("ZooKeeper could not be told of the resignation; the session will expire");
        } else {
            warn!(session = %id, "the session has ended");
            self.tell(Fact::Lost(Loss::SessionExpired));
        }
        None
    }
}
