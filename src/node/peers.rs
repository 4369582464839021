//! The tests of the volume's lock against every other host, once per host and volume: which is due, and what they say.
//!
//! A test that could not be made, because the other node does not answer, holds nobody up: it is tried again, ever more
//! rarely. What has failed stays so until another test has succeeded.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::moment::Moment;
use crate::status::{PeerResult, PeerTest};

/// The first promotion of a cluster is held up no longer than this by a test that is under way.
const HOLD_UP: Duration = Duration::from_secs(15);
/// Until the next try after one that came to nothing: doubled up to the longest.
const AGAIN: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// What is known of one other node.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Peer {
    host: String,
    volume: Option<String>,
    test: Option<PeerTest>,
    next: Option<Moment>,
    pause: Duration,
}

/// The tests against other hosts.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Peers {
    peers: BTreeMap<String, Peer>,
    running: Option<(String, Moment)>,
}

impl Peers {
    /// When to look again. What is overdue waits for something else: contact, or the volume.
    pub fn due(&self, now: Moment) -> Option<Moment> {
        match &self.running {
            Some((_, since)) => Some(*since + HOLD_UP).filter(|at| *at > now),
            None => self.peers.values().filter_map(|peer| peer.next).filter(|at| *at > now).min(),
        }
    }

    /// A node is on another host, with this volume.
    pub fn note(&mut self, node: &str, host: String, volume: Option<&String>, now: Moment) {
        let known = self.peers.get(node);
        if known.is_some_and(|peer| peer.host == host && (peer.volume.as_ref() == volume || volume.is_none())) {
            return;
        }
        let running = self.running.as_ref().is_some_and(|(tested, _)| tested == node);
        let test = known.and_then(|peer| peer.test.clone()).filter(|test| test.result == PeerResult::Failed);
        let next = Some(if running { now + AGAIN } else { now });
        self.peers.insert(node.to_owned(), Peer { host, volume: volume.cloned(), test, next, pause: AGAIN });
    }

    /// The node and the host to be tested now, if one is due: one at a time.
    pub fn begin(&mut self, now: Moment) -> Option<(String, String)> {
        if self.running.is_some() {
            return None;
        }
        let (node, peer) = self.peers.iter_mut().find(|(_, peer)| peer.next.is_some_and(|at| at <= now))?;
        peer.next = None;
        self.running = Some((node.clone(), now));
        Some((node.clone(), peer.host.clone()))
    }

    /// The node whose test may hold up a first promotion.
    pub fn holds_up(&self, now: Moment) -> Option<&str> {
        self.running.as_ref().filter(|(_, since)| now < *since + HOLD_UP).map(|(node, _)| node.as_str())
    }

    /// A test has ended.
    pub fn end(&mut self, node: &str, test: PeerTest, now: Moment) {
        self.running = None;
        let Some(peer) = self.peers.get_mut(node) else { return };
        if test.result != PeerResult::Verified {
            peer.next = Some(now + peer.pause);
            peer.pause = (peer.pause * 2).min(LONGEST);
        }
        let keeps = test.result == PeerResult::Unverified && peer.test.is_some();
        if !keeps {
            peer.test = Some(test);
        }
    }

    /// The worst of all results, and what they say.
    pub fn sum(&self) -> (PeerResult, Option<String>) {
        let tests: Vec<(&String, &PeerTest)> =
            self.peers.iter().filter_map(|(node, peer)| Some((node, peer.test.as_ref()?))).collect();
        let failed = tests.iter().any(|(_, test)| test.result == PeerResult::Failed);
        let result = if failed {
            PeerResult::Failed
        } else {
            tests.iter().map(|(_, test)| test.result).max().unwrap_or(PeerResult::Unverified)
        };
        let told = tests.iter().filter(|(_, test)| test.result == result);
        let detail: Vec<String> = told.map(|(node, test)| format!("with {node}: {}", test.detail)).collect();
        (result, (!detail.is_empty()).then(|| detail.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(1_000_000 + 1000 * seconds)
    }

    fn test(result: PeerResult) -> PeerTest {
        PeerTest { result, with: None, volume: None, at: String::new(), detail: format!("{result:?}") }
    }

    #[test]
    fn a_host_is_tested_once_and_again_only_when_host_or_volume_change_or_a_test_came_to_nothing() {
        let mut peers = Peers::default();
        let volume = "v".to_owned();
        peers.note("b", "host-b".to_owned(), Some(&volume), at(0));
        peers.note("c", "host-c".to_owned(), Some(&volume), at(0));
        assert_eq!(peers.begin(at(0)), Some(("b".to_owned(), "host-b".to_owned())));
        assert_eq!(peers.begin(at(0)), None, "one at a time");
        assert_eq!((peers.holds_up(at(14)), peers.holds_up(at(15))), (Some("b"), None));
        peers.end("b", test(PeerResult::Verified), at(1));
        peers.note("b", "host-b".to_owned(), Some(&volume), at(2));
        assert_eq!(peers.begin(at(2)).map(|(node, _)| node).as_deref(), Some("c"));
        peers.end("c", test(PeerResult::Unverified), at(3));
        assert_eq!((peers.begin(at(32)), peers.due(at(32))), (None, Some(at(33))));
        assert!(peers.begin(at(33)).is_some());
        peers.end("c", test(PeerResult::Unverified), at(34));
        assert_eq!(peers.due(at(34)), Some(at(94)), "more and more rarely");
        peers.note("b", "another".to_owned(), Some(&volume), at(35));
        assert_eq!(peers.begin(at(35)).map(|(_, host)| host).as_deref(), Some("another"));
    }

    #[test]
    fn what_has_failed_stays_so_until_another_test_has_succeeded() {
        let mut peers = Peers::default();
        peers.note("b", "host-b".to_owned(), None, at(0));
        peers.note("c", "host-c".to_owned(), None, at(0));
        peers.end("b", test(PeerResult::Failed), at(1));
        peers.end("c", test(PeerResult::Verified), at(1));
        assert_eq!(peers.sum(), (PeerResult::Failed, Some("with b: Failed".to_owned())));
        peers.end("b", test(PeerResult::Unverified), at(2));
        peers.note("b", "another".to_owned(), None, at(3));
        assert_eq!(peers.sum().0, PeerResult::Failed);
        peers.end("b", test(PeerResult::Verified), at(4));
        assert_eq!(peers.sum().0, PeerResult::Verified);
    }
}
