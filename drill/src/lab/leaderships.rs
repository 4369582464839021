//! Past leaderships, gathered during the run: the cluster itself forgets all but the last hundred, and all of them when
//! its ZooKeeper is wiped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

const ASK_FOR: Duration = Duration::from_millis(500);

/// By epoch and node: if two ever had the same epoch, both are kept.
#[derive(Debug, Default)]
pub struct Leaderships(BTreeMap<(u64, String), Value>);

impl Leaderships {
    /// Asks the candidates whose APIs these are in turn until one answers.
    pub fn ask(&mut self, apis: impl Iterator<Item = SocketAddr>) {
        let config = ureq::Agent::config_builder().timeout_global(Some(ASK_FOR)).max_idle_connections(0).proxy(None);
        let agent: ureq::Agent = config.build().into();
        for api in apis {
            let answer = agent.get(format!("http://{api}/history")).call();
            if let Ok(body) = answer.map_err(drop).and_then(|mut answer| answer.body_mut().read_to_vec().map_err(drop))
                && self.learn(&body).is_ok()
            {
                return;
            }
        }
    }

    /// A JSON array, as the API and the command have it. A later word counts more, unless it knows less.
    pub fn learn(&mut self, json: &[u8]) -> Result<()> {
        let entries: Vec<Value> =
            serde_json::from_slice(json).context("what primacy says of its history is no list")?;
        for entry in entries {
            let (Some(epoch), Some(node)) = (entry["epoch"].as_u64(), entry["node"].as_str()) else { continue };
            let known = self.0.entry((epoch, node.to_owned())).or_insert(Value::Null);
            if known["to"].is_null() || !entry["to"].is_null() {
                *known = entry;
            }
        }
        Ok(())
    }

    /// In the order of their epochs.
    pub fn all(&self) -> Vec<Value> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_once_stays_and_an_end_is_not_forgotten() {
        let mut leaderships = Leaderships::default();
        leaderships.learn(br#"[{"epoch":1,"node":"n1","to":null},{"epoch":2,"node":"n2","to":"t"}]"#).unwrap();
        leaderships.learn(br#"[{"epoch":1,"node":"n1","to":"s"}]"#).unwrap();
        leaderships.learn(br#"[{"epoch":2,"node":"n2","to":null}]"#).unwrap();
        let ends: Vec<_> = leaderships.all().iter().map(|entry| entry["to"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ends, ["s", "t"]);
        assert!(leaderships.learn(b"{}").is_err());
    }
}
