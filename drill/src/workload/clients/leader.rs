//! Where the active coordinator is: behind a proxy, or where a candidate's `/server_status` says.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use ureq::Agent;

/// A candidate that does not answer by then is not worth waiting for: there are others.
const ASK_FOR: Duration = Duration::from_millis(300);

pub enum Route {
    /// `host:port`.
    Through(String),
    Asked(Asked),
}

pub struct Asked {
    apis: Vec<String>,
    endpoint: String,
    agent: Agent,
    found: Option<String>,
}

/// An agent that keeps no connections: one that a fail-over has left half open would cost the next operation its answer.
pub fn agent(timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_idle_connections(0)
        .proxy(None);
    config.build().into()
}

impl Route {
    pub fn by_asking(apis: &[String], endpoint: &str) -> Self {
        let apis = apis.iter().map(|api| api.trim_end_matches('/').to_owned()).collect();
        Self::Asked(Asked { apis, endpoint: endpoint.to_owned(), agent: agent(ASK_FOR), found: None })
    }

    /// Its endpoint; none if nobody is known to be active.
    pub fn find(&mut self) -> Option<String> {
        match self {
            Self::Through(address) => Some(address.clone()),
            Self::Asked(asked) => {
                asked.found = asked.found.take().or_else(|| asked.ask());
                asked.found.clone()
            }
        }
    }

    /// An attempt has failed: look again.
    pub fn forget(&mut self) {
        if let Self::Asked(asked) = self {
            asked.found = None;
        }
    }
}

impl Asked {
    /// Of all answers the one with the highest epoch: a candidate that was cut off may not know of its end yet.
    fn ask(&self) -> Option<String> {
        let answers = self.apis.iter().filter_map(|api| self.look(api).ok().flatten());
        answers.max_by_key(|(epoch, _)| *epoch).map(|(_, endpoint)| endpoint)
    }

    fn look(&self, api: &str) -> Result<Option<(u64, String)>> {
        let status: Value = self.agent.get(format!("{api}/server_status")).call()?.body_mut().read_json()?;
        Ok(active(&status, &self.endpoint))
    }
}

fn active(status: &Value, endpoint: &str) -> Option<(u64, String)> {
    let active = status.get("active")?;
    let endpoint = active.get("endpoints")?.get(endpoint)?.as_str()?;
    Some((active.get("epoch")?.as_u64()?, endpoint.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_endpoint_is_read_from_the_status_of_any_member() {
        let status = json!({"active": {"node": "a", "epoch": 7, "endpoints": {"web": "http://10.0.0.1:1"}}});
        assert_eq!(active(&status, "web"), Some((7, "http://10.0.0.1:1".to_owned())));
        assert_eq!(active(&status, "sql"), None);
        assert_eq!(active(&json!({"active": null}), "web"), None);
    }
}
