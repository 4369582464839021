//! The cluster as its members' APIs show it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;

use crate::client::Error;
use crate::config::Secret;
use crate::status::{ClusterView, HistoryEntry};

/// For one URL, everything included.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Api {
    urls: Vec<String>,
    token: Option<Secret>,
    agent: Agent,
}

impl Api {
    pub fn new(urls: Vec<String>, token: Option<Secret>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            // Members are neighbours, and a kept connection may be one that the member has cut.
            .proxy(None)
            .max_idle_connections(0)
            .build()
            .new_agent();
        Self { urls, token, agent }
    }

    /// The first view that names an active node, else the first view: a member out of contact knows of none.
    pub fn cluster(&self) -> Result<ClusterView, Error> {
        self.first("/cluster", |view: &ClusterView| view.active.is_some())
    }

    /// The first history.
    pub fn history(&self) -> Result<Vec<HistoryEntry>, Error> {
        self.first("/history", |_| true)
    }

    fn first<T: DeserializeOwned>(&self, path: &str, satisfies: impl Fn(&T) -> bool) -> Result<T, Error> {
        if self.urls.is_empty() {
            return Err(Error::NoApi);
        }
        let mut second_choice = None;
        let mut problems = Vec::new();
        for url in &self.urls {
            match self.get(url, path) {
                Ok(answer) if satisfies(&answer) => return Ok(answer),
                Ok(answer) => second_choice = second_choice.or(Some(answer)),
                Err(error) => problems.push(format!("{url}: {error}")),
            }
        }
        second_choice.ok_or(Error::NoAnswer(problems))
    }

    fn get<T: DeserializeOwned>(&self, url: &str, path: &str) -> Result<T, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", url.trim_end_matches('/')));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        request.call()?.body_mut().read_json()
    }
}
