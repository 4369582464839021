//! Who has a place: connections at most, in all and of one peer.
//!
//! Whoever comes gets in: the oldest connection of the same peer makes room where that peer has its share, else the oldest
//! of the peer that has most. So a client that is busy on a thousand connections competes with itself, and a health
//! check, from there or from elsewhere, waits for no more than an answer to be finished. Rejected: refusing whoever comes
//! last. A crowd that stays would keep everybody else out for as long as it stays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The part of all places that one peer may have.
const SHARE: usize = 4;

pub struct Places {
    total: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// By age, the oldest first.
    by_age: BTreeMap<u64, Entry>,
}

struct Entry {
    peer: IpAddr,
    /// Told to leave, if it has not gone yet.
    leave: Arc<Notify>,
    leaving: bool,
}

/// A place, for as long as it lives.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Places {
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Fewer than a quarter of all are free.
    pub fn are_scarce(&self) -> bool {
        self.free() < self.total / 4
    }

    fn free(&self) -> usize {
        self.total.saturating_sub(self.lock().by_age.len())
    }

    /// A place for a connection of this peer; waits until whoever has to make room has gone.
    pub async fn take(self: &Arc<Self>, peer: IpAddr) -> Place {
        let peer = network(peer);
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take(peer) {
                return place;
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        if taken.staying(peer) >= (self.total / SHARE).max(1) {
            taken.ask_to_leave(peer);
        }
        if taken.by_age.len() >= self.total {
            // Whoever was asked before is still on its way out: one at a time is enough for one who waits.
            if taken.by_age.values().all(|entry| !entry.leaving)
                && let Some(crowd) = taken.most()
            {
                taken.ask_to_leave(crowd);
            }
            return None;
        }
        let (number, leave) = (taken.next, Arc::new(Notify::new()));
        taken.next += 1;
        taken.by_age.insert(number, Entry { peer, leave: leave.clone(), leaving: false });
        Some(Place { places: self.clone(), number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn staying(&self, peer: IpAddr) -> usize {
        self.by_age.values().filter(|entry| entry.peer == peer && !entry.leaving).count()
    }

    /// The peer that has most of the places.
    fn most(&self) -> Option<IpAddr> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for entry in self.by_age.values() {
            *counts.entry(entry.peer).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(peer, _)| peer)
    }

    fn ask_to_leave(&mut self, peer: IpAddr) {
        if let Some(entry) = self.by_age.values_mut().find(|entry| entry.peer == peer && !entry.leaving) {
            entry.leaving = true;
            entry.leave.notify_one();
        }
    }
}

impl Place {
    /// Once somebody else needs it.
    pub async fn is_needed(&self) {
        self.leave.notified().await;
    }

    /// Given up before the connection ends: it counts elsewhere from here on.
    pub fn vacate(&self) {
        if self.places.lock().by_age.remove(&self.number).is_some() {
            self.places.freed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.vacate();
    }
}

/// Whom an address stands for: one IPv6 host has a whole network of them, and an IPv4 address may be written as one of IPv6.
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        canonical => canonical,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn taken(places: &Arc<Places>, peer: &str) -> Place {
        pin!(places.take(ip(peer))).now_or_never().expect("a place")
    }

    fn is_needed(place: &Place) -> bool {
        pin!(place.is_needed()).now_or_never().is_some()
    }

    #[test]
    fn a_peer_that_has_its_share_competes_with_itself() {
        let places = Places::new(8);
        let (first, second) = (taken(&places, "192.0.2.1"), taken(&places, "::ffff:192.0.2.1"));
        assert!(!is_needed(&first));
        let third = taken(&places, "192.0.2.1");
        assert!(is_needed(&first) && !is_needed(&second) && !is_needed(&third));
        let other = taken(&places, "192.0.2.2");
        assert!(!is_needed(&second) && !is_needed(&other));
        drop((first, second, third, other));
        assert_eq!(places.free(), 8);
    }

    #[test]
    fn where_all_places_are_taken_the_largest_crowd_makes_room() {
        let places = Places::new(8);
        let crowd = [taken(&places, "2001:db8::1"), taken(&places, "2001:db8::2")];
        let others: Vec<Place> = (1..=6).map(|last| taken(&places, &format!("192.0.2.{last}"))).collect();
        let mut comes = Box::pin(places.take(ip("198.51.100.1")));
        assert!(comes.as_mut().now_or_never().is_none());
        let [oldest, younger] = crowd;
        assert!(is_needed(&oldest) && !is_needed(&younger));
        assert!(!others.iter().any(is_needed));
        drop(oldest);
        assert!(comes.now_or_never().is_some());
    }
}
