//! Who may read events at the same time: a budget of its own, so that a room full of pages takes nothing from health checks.
//!
//! Whoever comes last is refused: those who are refused come back, and so would those who were sent away for them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::places::network;

/// Streams at most.
pub const STREAMS: usize = 64;

/// Of one peer: an address; of IPv6 its /64.
pub const OF_ONE_PEER: usize = 32;

#[derive(Default)]
pub struct Streams(Mutex<BTreeMap<Option<IpAddr>, usize>>);

/// The right to a stream, for as long as it lives.
pub struct Stream {
    streams: Arc<Streams>,
    peer: Option<IpAddr>,
}

impl Streams {
    pub fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Stream> {
        let peer = peer.map(network);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&peer).copied().unwrap_or(0);
        if own >= OF_ONE_PEER || taken.values().sum::<usize>() >= STREAMS {
            return None;
        }
        taken.insert(peer, own + 1);
        Some(Stream { streams: Arc::clone(self), peer })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut taken = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_all_of_them_no_more_than_there_are() {
        let streams = Arc::new(Streams::default());
        let take = |peer: &str| streams.take(Some(peer.parse().unwrap()));
        let mut first: Vec<_> = (0..OF_ONE_PEER).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("::ffff:192.0.2.1").is_none());
        let second: Vec<_> = (0..STREAMS - OF_ONE_PEER).map(|_| take("192.0.2.2").unwrap()).collect();
        assert!(take("192.0.2.3").is_none());
        first.pop();
        assert!(take("192.0.2.3").is_some());
        drop((first, second));
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
