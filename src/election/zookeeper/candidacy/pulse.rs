//! What is known of when this session was heard of, and the requests by which it is heard while nobody leads.
//!
//! A leader's heartbeats touch its session. Whoever waits is silent but for the crate's own pings, which come every fifth of the
//! session at best, and nobody can see them answered. So it touches the session itself, as often as a leader would: then the
//! lease of a claim is as long as any ([`Touches`]).
//!
//! Now and then a touch is a large packet ([`breadth`]). Where those are lost, the connection stalls behind it and breaks, and
//! the next one is not taken before it has carried one.

use super::messages::RequestId;
use crate::moment::Moment;
use crate::role::lease::{LeaseTiming, Touches};
use crate::zookeeper::breadth;

#[derive(Debug)]
pub struct Pulse {
    touches: Touches,
    timing: LeaseTiming,
    /// When the latest touch was sent.
    last: Moment,
    /// When the latest large one was sent, or this connection was proven.
    large: Moment,
    under_way: Option<(RequestId, Moment)>,
}

impl Pulse {
    /// Over a connection that was asked for at `asked` and is there at `now`.
    pub fn new(timing: LeaseTiming, asked: Moment, now: Moment) -> Self {
        let touches = Touches::new(&timing, asked);
        Self { touches, timing, last: Moment::from_nanos(0), large: now, under_way: None }
    }

    /// When the session is to be touched again; one request at a time.
    pub fn due(&self) -> Option<Moment> {
        self.under_way.is_none().then(|| self.last + self.timing.heartbeat_interval)
    }

    /// A touch is sent at `now`: whether it is to be a large one.
    pub fn touch(&mut self, now: Moment) -> bool {
        self.last = now;
        let large = now.since(self.large) > self.timing.session_timeout * breadth::SESSIONS;
        if large {
            self.large = now;
        }
        large
    }

    pub fn sent(&mut self, id: RequestId) {
        self.under_way = Some((id, self.last));
    }

    /// Whether the answer was to a touch.
    pub fn answered(&mut self, id: RequestId, succeeded: bool, now: Moment) -> bool {
        let Some((_, sent)) = self.under_way.take_if(|(touch, _)| *touch == id) else { return false };
        if succeeded {
            self.touches.answered(sent, now);
        }
        true
    }

    /// A heartbeat that was sent at `sent` is acknowledged at `now`: from when it counts.
    pub fn acknowledged(&mut self, sent: Moment, now: Moment) -> Moment {
        let counts_from = self.touches.counts_from(sent);
        self.touches.answered(sent, now);
        counts_from
    }
}
