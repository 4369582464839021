//! Looks at every candidate's `/server_status` from the clients' side of the network, about 20 times a second, and notes
//! what differs from what it saw before.
//!
//! One thread per candidate: one that does not answer must not blind us to the others.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::history::{Entry, Writer};
use crate::hosts::network;
use testbed::clock;

/// Where every candidate's API listens.
pub const API_PORT: u16 = 9090;
const EVERY: Duration = Duration::from_millis(50);
/// Long against an answer (about 1 ms), short against everything that is measured.
const ASK_FOR: Duration = Duration::from_millis(250);

/// What was seen of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// As the API says it; empty while it does not answer.
    pub role: String,
    /// As the API says it; empty while it does not answer.
    pub status: String,
    /// Of the node itself.
    pub epoch: Option<u64>,
    /// Whether it answered.
    pub reachable: bool,
}

impl Seen {
    /// Active, and its coordinator is ready.
    pub fn is_active(&self) -> bool {
        self.reachable && self.role == "active" && self.status == "OK"
    }
}

/// A look: what was seen, when it began, and how many looks in a row have shown the same.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What was seen.
    pub seen: Seen,
    /// When the last look began, ns.
    pub at: u64,
    /// When the first of the looks that showed the same began, ns.
    pub since: u64,
}

type Looks = Arc<Mutex<BTreeMap<String, Look>>>;

/// See the module.
pub struct Observer {
    looks: Looks,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Begins to look, from the network bound to `network`.
    pub fn start(network: &Path, nodes: &[(String, Ipv4Addr)], history: &Writer) -> Result<Self> {
        let mut observer = Self { looks: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for (name, address) in nodes {
            let watch = Watch {
                name: name.clone(),
                address: SocketAddr::from((*address, API_PORT)),
                network: network.to_owned(),
                looks: observer.looks.clone(),
                stop: observer.stop.clone(),
                history: history.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("observe-{name}")).spawn(move || watch.run());
            observer.threads.push(thread.context("cannot start a thread")?);
        }
        Ok(observer)
    }

    fn looks(&self) -> MutexGuard<'_, BTreeMap<String, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it knows of a node.
    pub fn look(&self, node: &str) -> Look {
        self.looks().get(node).cloned().unwrap_or_default()
    }

    /// The active node as far as is known; of two, which a fault may leave us to believe in, the younger.
    pub fn active(&self) -> Option<String> {
        let looks = self.looks();
        let active = looks.iter().filter(|(_, look)| look.seen.is_active());
        active.max_by_key(|(_, look)| look.seen.epoch).map(|(name, _)| name.clone())
    }

    /// An active node that was seen to be so in two looks in a row, both of which began after `since`.
    pub fn active_since(&self, since: u64) -> Option<(String, u64)> {
        let looks = self.looks();
        let active = looks.iter().filter(|(_, look)| {
            look.seen.is_active() && look.since.max(since) < look.at && look.at - look.since.max(since) > 1_000_000
        });
        let (name, look) = active.max_by_key(|(_, look)| look.seen.epoch)?;
        Some((name.clone(), look.seen.epoch.unwrap_or_default()))
    }

    /// Ends all looking.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Watch {
    name: String,
    address: SocketAddr,
    network: PathBuf,
    looks: Looks,
    stop: Arc<AtomicBool>,
    history: Writer,
}

impl Watch {
    fn run(self) {
        if network::enter(&self.network).is_err() {
            return;
        }
        // No kept connections: one that a cut has left half open would hide a node that is back.
        let config = ureq::Agent::config_builder().timeout_global(Some(ASK_FOR)).http_status_as_error(false);
        let agent: ureq::Agent = config.max_idle_connections(0).proxy(None).build().into();
        let url = format!("http://{}/server_status", self.address);
        let mut last: Option<Seen> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let began = clock::now();
            let seen = ask(&agent, &url);
            let differs = last.as_ref() != Some(&seen);
            if differs {
                let Seen { role, status, epoch, reachable } = seen.clone();
                let _ = self.history.note(Entry::Role { node: self.name.clone(), role, status, epoch, reachable });
            }
            {
                let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
                let look = looks.entry(self.name.clone()).or_default();
                look.at = began;
                if differs {
                    look.since = began;
                    look.seen = seen.clone();
                }
            }
            last = Some(seen);
            sleep(EVERY);
        }
    }
}

fn ask(agent: &ureq::Agent, url: &str) -> Seen {
    let answer = || -> Option<Seen> {
        let body: Value = agent.get(url).call().ok()?.body_mut().read_json().ok()?;
        Some(Seen {
            role: body["role"].as_str()?.to_owned(),
            status: body["status"].as_str()?.to_owned(),
            epoch: body["epoch"].as_u64(),
            reachable: true,
        })
    };
    answer().unwrap_or_default()
}
