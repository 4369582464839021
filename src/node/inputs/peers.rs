//! Has the volume's lock tried against every other host before it is trusted: a lock that does not exclude another host
//! keeps this node from standing for election.

use crate::config::ElectionKind;
use crate::guardian::protocol::NoteLevel;
use crate::host::ProcessIdentity;
use crate::moment::Moment;
use crate::node::Node;
use crate::node::facts::Contact;
use crate::node::output::Output;
use crate::node::say::Say;
use crate::role::{Event, Phase};
use crate::status::{MemberRow, PeerResult, PeerTest};

impl Node {
    /// Starts what is due; answers whether what the core knows of the volume may have changed.
    pub(in crate::node) fn tend_peers(&mut self, now: Moment) -> Option<Event> {
        let tests = self.facts.config.election == ElectionKind::ZooKeeper && !self.machine.is_always_on();
        if !tests || self.facts.contact != Contact::Connected {
            return None;
        }
        self.note_peers(now);
        let first = self.facts.cluster.epoch.unwrap_or(0) == 0;
        let volume = &self.facts.volume;
        let looks_usable = self.facts.volume_seen && (volume.problem.is_none() || (volume.missing && first));
        if looks_usable && let Some((node, host)) = self.peers.begin(now) {
            self.outputs.push_back(Output::TestPeer { node, host });
        }
        // Only the first promotion of a cluster, and only of a node that has not begun to stand.
        let idle = matches!(self.machine.phase(now), Phase::Idle | Phase::BackingOff);
        let verifying = self.peers.holds_up(now).filter(|_| first && idle).map(str::to_owned);
        if verifying == self.facts.verifying {
            return None;
        }
        self.facts.verifying = verifying;
        self.changed = true;
        Some(self.word_on_the_volume())
    }

    /// Who there is, on other hosts, with which volume.
    fn note_peers(&mut self, now: Moment) {
        let facts = &self.facts;
        let (every, own) = (facts.identity.every_node_is_a_host, &facts.identity.process);
        let elsewhere = |process: &ProcessIdentity| every || process.boot_id != own.boot_id;
        // One that is always on has no volume.
        let others = |row: &MemberRow| row.node != facts.config.node && !row.always_on;
        for member in facts.cluster.members.iter().filter(|member| others(&member.row)) {
            let Some(process) = member.process.as_ref().filter(|process| elsewhere(process)) else { continue };
            let host = process.host.as_ref().map_or_else(|| process.host_id.clone(), |host| host.key(&process.host_id));
            self.peers.note(&member.row.node, host, facts.volume.id.as_ref(), now);
        }
    }

    pub(in crate::node) fn hear_peer(&mut self, node: String, test: PeerTest, now: Moment) -> Event {
        self.changed = true;
        let (level, text) = match test.result {
            PeerResult::Verified => (NoteLevel::Info, test.detail.clone()),
            PeerResult::Unverified => (NoteLevel::Warn, test.detail.clone()),
            PeerResult::Failed => (NoteLevel::Error, format!("this node never becomes active: {}", test.detail)),
        };
        self.peers.end(&node, test, now);
        self.say(Say::PeerTested { level, peer: node, text });
        (self.facts.verified, self.facts.verified_detail) = self.peers.sum();
        self.facts.verifying = None;
        // The next one, if there is one; its word on the volume is the same.
        self.tend_peers(now);
        self.word_on_the_volume()
    }
}
