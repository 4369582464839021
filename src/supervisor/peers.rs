//! Has the volume's lock tried against every other host, once per host and volume, before it is trusted.
//!
//! The test itself is another process (`primacy peer-test`): it may hang in the volume, and needs a session of its own. A
//! lock that does not exclude another host keeps this node from standing for election. A test that could not be made,
//! because the other node does not answer, holds nobody up: it is tried again, ever more rarely.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;

use crate::clock;
use crate::config::ElectionKind;
use crate::host::ProcessIdentity;
use crate::moment::Moment;
use crate::role::{Event, Phase};
use crate::status::{PeerResult, PeerTest};

use super::apart;
use super::knowledge::Contact;
use super::orphans::OwnChildren;
use super::shell::Shell;

/// How long the other node is waited for.
const WAIT: Duration = Duration::from_secs(10);
/// The whole test: its own limits, several times over, are what it should end by.
const LIMIT: Duration = Duration::from_secs(90);
/// The first promotion of a cluster is held up no longer than this by a test that is under way.
const HOLD_UP: Duration = Duration::from_secs(15);
/// Until the next try after one that came to nothing: doubled up to the longest.
const AGAIN: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// For tests: every node counts as a host of its own.
const EVERY_NODE_IS_A_HOST: &str = "PRIMACY_TEST_EVERY_NODE_IS_A_HOST";

/// What is known of one other node.
struct Peer {
    host: String,
    volume: Option<String>,
    test: Option<PeerTest>,
    next: Option<Moment>,
    pause: Duration,
}

/// The tests against other hosts.
pub struct Peers {
    config_file: PathBuf,
    peers: BTreeMap<String, Peer>,
    running: Option<(String, Moment)>,
    sender: mpsc::UnboundedSender<(String, PeerTest)>,
    pub results: mpsc::UnboundedReceiver<(String, PeerTest)>,
}

impl Peers {
    pub fn new(config_file: PathBuf) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        Self { config_file, peers: BTreeMap::new(), running: None, sender, results }
    }

    /// When to look again. What is overdue waits for something else: contact, or the volume.
    pub fn due(&self, now: Moment) -> Option<Moment> {
        match &self.running {
            Some((_, since)) => Some(*since + HOLD_UP).filter(|at| *at > now),
            None => self.peers.values().filter_map(|peer| peer.next).filter(|at| *at > now).min(),
        }
    }

    /// The worst of all results, and what they say.
    fn sum(&self) -> (PeerResult, Option<String>) {
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

impl Shell {
    /// Starts what is due, one test at a time; answers whether what the core knows of the volume may have changed.
    pub(super) fn tend_peers(&mut self, now: Moment) -> Option<Event> {
        if self.knowledge.config.election != ElectionKind::ZooKeeper || self.knowledge.contact != Contact::Connected {
            return None;
        }
        self.note_peers(now);
        let first = self.knowledge.cluster.epoch.unwrap_or(0) == 0;
        let volume = &self.knowledge.volume;
        let looks_usable = self.knowledge.volume_seen && (volume.problem.is_none() || (volume.missing && first));
        let tests = &mut self.peers;
        if tests.running.is_none()
            && looks_usable
            && let Some((node, peer)) = tests.peers.iter_mut().find(|(_, peer)| peer.next.is_some_and(|at| at <= now))
        {
            tests.running = Some((node.clone(), now));
            peer.next = None;
            let (node, host) = (node.clone(), peer.host.clone());
            let (file, sender, children) = (tests.config_file.clone(), tests.sender.clone(), self.children.clone());
            tokio::spawn(async move {
                let test = run(file, &node, &host, children).await;
                let _ = sender.send((node, test));
            });
        }
        // Only the first promotion of a cluster, and only of a node that has not begun to stand.
        let idle = matches!(self.machine.phase(now), Phase::Idle | Phase::BackingOff);
        let under_way = self.peers.running.as_ref().filter(|(_, since)| now < *since + HOLD_UP);
        let verifying = under_way.filter(|_| first && idle).map(|(node, _)| node.clone());
        if verifying == self.knowledge.verifying {
            return None;
        }
        self.knowledge.verifying = verifying;
        self.changed = true;
        Some(self.word_on_the_volume())
    }

    /// Who there is, on other hosts, with which volume.
    fn note_peers(&mut self, now: Moment) {
        let knowledge = &self.knowledge;
        let volume = knowledge.volume.id.clone();
        let every = std::env::var_os(EVERY_NODE_IS_A_HOST).is_some();
        let own = &knowledge.process;
        let elsewhere = |process: &ProcessIdentity| every || process.boot_id != own.boot_id;
        for member in knowledge.cluster.members.iter().filter(|member| member.node != knowledge.config.node) {
            let Some(process) = member.process.as_ref().filter(|process| elsewhere(process)) else { continue };
            let host = process.host.as_ref().map_or_else(|| process.host_id.clone(), |host| host.key(&process.host_id));
            let known = self.peers.peers.get(&member.node);
            if known.is_none_or(|peer| peer.host != host || (peer.volume != volume && volume.is_some())) {
                let running = self.peers.running.as_ref().is_some_and(|(node, _)| *node == member.node);
                let test = known.and_then(|peer| peer.test.clone()).filter(|test| test.result == PeerResult::Failed);
                let next = if running { now + AGAIN } else { now };
                let peer = Peer { host, volume: volume.clone(), test, next: Some(next), pause: AGAIN };
                self.peers.peers.insert(member.node.clone(), peer);
            }
        }
    }

    pub(super) fn hear_peer(&mut self, (node, test): (String, PeerTest)) -> Option<Event> {
        let now = clock::now();
        self.changed = true;
        self.peers.running = None;
        match test.result {
            PeerResult::Verified => tracing::info!(peer = node, "{}", test.detail),
            PeerResult::Unverified => tracing::warn!(peer = node, "{}", test.detail),
            PeerResult::Failed => tracing::error!(peer = node, "this node never becomes active: {}", test.detail),
        }
        if let Some(peer) = self.peers.peers.get_mut(&node) {
            if test.result != PeerResult::Verified {
                peer.next = Some(now + peer.pause);
                peer.pause = (peer.pause * 2).min(LONGEST);
            }
            // What has failed stays so until another test has succeeded.
            let keeps = test.result == PeerResult::Unverified && peer.test.is_some();
            if !keeps {
                peer.test = Some(test);
            }
        }
        let (result, detail) = self.peers.sum();
        self.knowledge.verified = result;
        self.knowledge.verified_detail = detail;
        self.knowledge.verifying = None;
        // The next one, if there is one; its word on the volume is the same.
        self.tend_peers(now);
        Some(self.word_on_the_volume())
    }
}

async fn run(config_file: PathBuf, node: &str, host: &str, children: OwnChildren) -> PeerTest {
    let unverified = |why: String| PeerTest {
        result: PeerResult::Unverified,
        with: Some(node.to_owned()),
        volume: None,
        at: clock::timestamp(),
        detail: format!("the lock was not tried against another host: {why}"),
    };
    let wait = humantime::format_duration(WAIT).to_string();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("primacy")
        .arg("-c")
        .arg(config_file)
        .args(["peer-test", node, "--host", host, "--wait", &wait])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let (child, _own) = match tokio::time::timeout(LIMIT, apart::spawn(command, children.clone())).await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return unverified(error.to_string()),
        Err(_) => return unverified("the test's program does not start".to_owned()),
    };
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    match output {
        Ok(Ok(output)) => serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| unverified(format!("the test ended with {}", output.status))),
        Ok(Err(error)) => unverified(error.to_string()),
        Err(_) => unverified(format!("no result within {LIMIT:?}")),
    }
}
