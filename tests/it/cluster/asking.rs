//! What a test asks the nodes: their logs, their API, and to be in a state.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::Cluster;

impl Cluster {
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    #[track_caller]
    pub fn until_logged(&mut self, name: &str, text: &str) {
        self.until(&format!("{name} logs {text:?}"), |cluster| cluster.log(name).contains(text).then_some(()));
    }

    /// The port of its API, once it has said it.
    pub fn port(&mut self, name: &str) -> Option<u16> {
        let from = usize::try_from(self.node(name).log_from).unwrap();
        let log = self.log(name);
        let line = log.get(from..)?.lines().rfind(|line| line.contains("primacy starts as a standby"))?;
        let api = line.split(" api=").nth(1)?.split_ascii_whitespace().next()?;
        api.trim_matches('"').rsplit(':').next()?.parse().ok()
    }

    /// An answer of its API; `None` while it does not answer.
    pub fn get(&mut self, name: &str, path: &str) -> Option<Value> {
        self.nodes.get(name).filter(|node| node.elsewhere || node.child.is_some())?;
        let url = format!("http://127.0.0.1:{}{path}", self.port(name)?);
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2)));
        let agent = config.http_status_as_error(false).build().new_agent();
        agent.get(url).call().ok()?.body_mut().read_json().ok()
    }

    /// The same of what is no JSON.
    pub fn get_text(&mut self, name: &str, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port(name)?);
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().new_agent();
        agent.get(url).call().ok()?.body_mut().read_to_string().ok()
    }

    pub fn status(&mut self, name: &str) -> Option<Value> {
        self.get(name, "/server_status")
    }

    pub fn history(&mut self, name: &str) -> Vec<Value> {
        self.get(name, "/history").and_then(|history| history.as_array().cloned()).unwrap_or_default()
    }

    /// Why the leadership with this epoch ended, in the words of `/history`.
    #[track_caller]
    pub fn until_cause(&mut self, asked: &str, epoch: u64) -> String {
        self.until(&format!("{asked} knows why epoch {epoch} ended"), |cluster| {
            let history = cluster.history(asked);
            let entry = history.into_iter().find(|entry| entry["epoch"] == epoch)?;
            entry["cause"].as_str().map(str::to_owned)
        })
    }

    pub fn is_active(&mut self, name: &str) -> bool {
        self.status(name).is_some_and(|status| status["role"] == "active" && status["status"] == "OK")
    }

    #[track_caller]
    pub fn until_active_is(&mut self, name: &str) {
        self.until(&format!("{name} is active"), |cluster| cluster.is_active(name).then_some(()));
        // Of this leadership: its former one may be the ledger's latest.
        self.until(&format!("{name}'s coordinator runs"), |cluster| {
            let epoch = cluster.get(name, "/server_status")?["epoch"].as_u64()?;
            cluster.ledger.latest().is_some_and(|run| run.node == name && run.epoch == epoch).then_some(())
        });
    }

    /// Any of these.
    #[track_caller]
    pub fn until_any_active(&mut self, names: &[&str]) -> String {
        self.until(&format!("one of {names:?} is active"), |cluster| {
            names.iter().find(|name| cluster.is_active(name)).map(|name| (*name).to_owned())
        })
    }

    #[track_caller]
    pub fn until_eligible(&mut self, name: &str) {
        self.until(&format!("{name} could take over"), |cluster| {
            let view = cluster.get(name, "/cluster")?;
            let members = view["members"].as_array()?;
            members.iter().any(|member| member["node"] == name && member["eligible"] == true).then_some(())
        });
    }

    #[track_caller]
    pub fn until_status(&mut self, name: &str, word: &str) -> Value {
        self.until(&format!("{name} is {word}"), |cluster| {
            cluster.status(name).filter(|status| status["status"] == word)
        })
    }

    /// Elected, and says whose lock it waits for.
    #[track_caller]
    pub fn until_waiting_for_lock_of(&mut self, name: &str, holder: &str) -> Value {
        self.until(&format!("{name} waits for the lock that {holder} holds"), |cluster| {
            let status = cluster.status(name)?;
            (status["status"] == "WAITING_FOR_LOCK" && status["lock"]["holder"] == holder).then_some(status)
        })
    }
}
