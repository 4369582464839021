//! What is known of when this session was heard of, and the requests by which it is heard while nobody leads.
//!
//! A leader's heartbeats touch its session. Whoever waits is silent but for the crate's own pings, which come every fifth of the
//! session at best, and nobody can see them answered. So it touches the session itself, as often as a leader would: then the
//! lease of a claim is as long as any ([`Touches`]).
//!
//! Now and then a touch is a large packet ([`breadth`]). Where those are lost, the connection stalls behind it and breaks, and
//! the next one is not taken before it has carried one.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::BoxFuture;
use zookeeper_client::Client;

use crate::clock;
use crate::moment::Moment;
use crate::role::lease::Touches;
use crate::zookeeper::breadth;

pub struct Pulse<'a> {
    pub touches: Touches,
    client: &'a Client,
    interval: Duration,
    /// When the latest touch was sent.
    last: Moment,
    /// When the latest large one was sent, or this connection was proven.
    large: Moment,
    under_way: Option<(Moment, BoxFuture<'a, bool>)>,
}

impl<'a> Pulse<'a> {
    pub fn new(client: &'a Client, touches: Touches, interval: Duration) -> Self {
        Self { touches, client, interval, last: Moment::from_nanos(0), large: clock::now(), under_way: None }
    }

    /// Touches the session whenever it is due, one request at a time. Cancel safe.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            let Some((sent, request)) = &mut self.under_way else {
                tokio::time::sleep(self.interval.saturating_sub(clock::now().since(self.last))).await;
                let client = self.client;
                self.last = clock::now();
                let request: BoxFuture<'a, bool> =
                    if self.last.since(self.large) > client.session_timeout() * breadth::SESSIONS {
                        self.large = self.last;
                        Box::pin(breadth::exchange(client))
                    } else {
                        // Anything that a server answers: the root is always there.
                        Box::pin(async move { client.check_stat("/").await.is_ok() })
                    };
                self.under_way = Some((self.last, request));
                continue;
            };
            let (sent, answered) = (*sent, request.as_mut().await);
            self.under_way = None;
            if answered {
                self.touches.answered(sent, clock::now());
            }
        }
    }
}
