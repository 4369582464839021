//! What is known of when this session was heard of, and the requests by which it is heard while nobody leads.
//!
//! A leader's heartbeats touch its session. Whoever waits is silent but for the crate's own pings, which come every fifth of the
//! session at best, and nobody can see them answered. So it touches the session itself, as often as a leader would: then the
//! lease of a claim is as long as any ([`Touches`]).

use std::convert::Infallible;
use std::time::Duration;

use futures::future::BoxFuture;
use zookeeper_client::Client;

use crate::clock;
use crate::moment::Moment;
use crate::role::lease::Touches;

pub struct Pulse<'a> {
    pub touches: Touches,
    client: &'a Client,
    interval: Duration,
    /// When the latest touch was sent.
    last: Moment,
    under_way: Option<(Moment, BoxFuture<'a, bool>)>,
}

impl<'a> Pulse<'a> {
    pub const fn new(client: &'a Client, touches: Touches, interval: Duration) -> Self {
        Self { touches, client, interval, last: Moment::from_nanos(0), under_way: None }
    }

    /// Touches the session whenever it is due, one request at a time. Cancel safe.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            let Some((sent, request)) = &mut self.under_way else {
                tokio::time::sleep(self.interval.saturating_sub(clock::now().since(self.last))).await;
                let client = self.client;
                self.last = clock::now();
                // Anything that a server answers: the root is always there.
                let request = Box::pin(async move { client.check_stat("/").await.is_ok() });
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
