//! Looks at every candidate's `/server_status` from the clients' side of the network, about 20 times a second, and notes
//! what differs from what it saw before.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::observer::{Look, Said, Watch};

use crate::history::{Entry, Writer};
use crate::hosts::network;

/// Where every candidate's API listens.
pub const API_PORT: u16 = 9090;
const EVERY: Duration = Duration::from_millis(50);
/// Long against an answer (about 1 ms), short against everything that is measured.
const ASK_FOR: Duration = Duration::from_millis(250);

/// See the module.
pub struct Observer(BTreeMap<String, testbed::observer::Observer>);

impl Observer {
    /// Begins to look, from the network bound to `network`.
    pub fn start(network: &Path, nodes: &[(String, Ipv4Addr)], history: &Writer) -> Result<Self> {
        let mut observers = BTreeMap::new();
        for (name, address) in nodes {
            let mut watch = Watch::of(format!("http://{address}:{API_PORT}"), EVERY, ASK_FOR);
            let network = network.to_owned();
            watch.enter = Box::new(move || network::enter(&network).is_ok());
            watch.changed = Box::new(noting(name.clone(), history.clone()));
            observers.insert(name.clone(), watch.start().context("cannot start a thread")?);
        }
        Ok(Self(observers))
    }

    /// What it knows of a node.
    pub fn look(&self, node: &str) -> Look {
        self.0.get(node).map(testbed::observer::Observer::look).unwrap_or_default()
    }

    /// The active node as far as is known; of two, which a fault may leave us to believe in, the younger.
    pub fn active(&self) -> Option<String> {
        self.youngest(|_| true).map(|(node, _)| node)
    }

    /// An active node that was seen to be so in two looks in a row, both of which began after `since`.
    pub fn active_since(&self, since: u64) -> Option<(String, u64)> {
        self.youngest(|look| look.at.saturating_sub(look.since.max(since)) > 1_000_000)
    }

    fn youngest(&self, counts: impl Fn(&Look) -> bool) -> Option<(String, u64)> {
        let looks = self.0.iter().map(|(node, observer)| (node, observer.look()));
        let active = looks.filter(|(_, look)| look.said.as_ref().is_some_and(Said::is_active) && counts(look));
        active
            .map(|(node, look)| (node.clone(), look.said.and_then(|said| said.epoch).unwrap_or_default()))
            .max_by_key(|(_, epoch)| *epoch)
    }

    /// Ends all looking.
    pub fn stop(&mut self) {
        self.0.values().for_each(testbed::observer::Observer::stop);
        self.0.clear();
    }
}

/// Notes in the history what an observer hears of a node; a reason that changes is no news for the judge.
pub fn noting(node: String, history: Writer) -> impl FnMut(Option<&Said>) + Send {
    let mut noted = None;
    move |said| {
        let (role, status) = said.map(|said| (said.role.clone(), said.status.clone())).unwrap_or_default();
        let epoch = said.and_then(|said| said.epoch);
        let seen = Entry::Role { node: node.clone(), role, status, epoch, reachable: said.is_some() };
        if noted.as_ref() != Some(&seen) {
            let _ = history.note(seen.clone());
            noted = Some(seen);
        }
    }
}
