//! A session whose connection is lost looks for another one, for it lives on in the ensemble.
//!
//! With a lease at stake every tenth of a second counts: what is left of it has to cover the search, and the first heartbeat
//! after it. Who does not lead has time, and tries less often. How long the search goes on is the candidacy's to say.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::info;

use super::backend::Backend;
use super::candidacy::{Input, Turn};
use crate::clock;
use crate::moment::in_words;
use crate::zookeeper::{self, Session, Stake, breadth};

/// A connection that broke sooner may break as soon again: the next one is not taken at once.
const SETTLED: Duration = Duration::from_secs(5);

/// Before another connection is tried after one that did not carry a large packet.
const AGAIN: Duration = Duration::from_millis(200);

impl Backend {
    /// Goes on with the session over another connection, or with what the candidacy wants instead.
    ///
    /// `stake`: the length of the lease that depends on it. `lived`: how long the connection lasted that was lost.
    pub async fn reattach(
        &mut self,
        session: Session,
        stake: Option<Duration>,
        lived: Duration,
    ) -> Result<Session, Turn> {
        let began = clock::now();
        let id = session.client.session_id();
        let mut pause = Duration::ZERO;
        if lived < SETTLED {
            let longest = stake.map_or(session.client.session_timeout(), |lease| lease / 8);
            pause = self.pause.pause().min(longest);
        } else {
            self.pause.reset();
        }
        let settings = self.settings.clone();
        let (narrow, mut problems) = mpsc::unbounded_channel();
        let reopening = async {
            let mut session = session;
            let at_stake = stake.map_or(Stake::Nothing, |lease| Stake::Lease { until: began + lease });
            loop {
                let parted = session.part().await?;
                sleep(pause).await;
                session = zookeeper::reopen(&settings.access, &parted, at_stake).await?;
                // Heartbeats are small, and a lease does not wait for more than it needs.
                if stake.is_some() {
                    return Some(session);
                }
                match breadth::prove(&session.client).await {
                    Ok(()) => return Some(session),
                    Err(problem) => {
                        let _ = narrow.send(problem);
                    }
                }
                pause = pause.max(AGAIN);
            }
        };
        let mut reopening = pin!(reopening.fuse());
        loop {
            if let Some(turn) = self.obey() {
                return Err(turn);
            }
            self.alarm.set(self.candidacy.deadline());
            let input = tokio::select! {
                biased;
                order = self.orders.next() => order,
                Some(problem) = problems.recv() => Input::Narrow(problem),
                again = &mut reopening => match again {
                    Some(session) => {
                        let address = session.address();
                        info!(session = %id, %address, after = in_words(clock::now().since(began)), "the session goes on");
                        self.hear_connected(&session);
                        return Ok(session);
                    }
                    None => Input::SessionLost,
                },
                time = self.alarm.rings() => time,
            };
            self.hear(input);
        }
    }
}
