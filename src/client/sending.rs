//! To have something changed: through a member's API, or in ZooKeeper itself. The answers are the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::Api;
use super::{Client, Error};
use crate::steering::orders::{Answer, Order};

/// For one member to answer: it opens a session of its own.
const PATIENCE: Duration = Duration::from_secs(15);

impl Client {
    /// Has an order carried out; it is not waited for. `by`: who this is, where no token says so.
    ///
    /// # Errors
    /// Nobody could be asked, or nobody knows whether it was done.
    pub fn send(&self, order: &Order, by: &str) -> Result<Answer, Error> {
        match self {
            Self::ZooKeeper(ensemble) => Ok(ensemble.carry_out(order, by, false)),
            Self::Api(api) => api.send(order, by),
        }
    }
}

impl Api {
    /// The next member is asked only where the one before cannot have taken the order: nothing is asked for twice.
    fn send(&self, order: &Order, by: &str) -> Result<Answer, Error> {
        if self.urls().is_empty() {
            return Err(Error::NoApi);
        }
        let mut problems = Vec::new();
        for url in self.urls() {
            match self.send_to(url, order, by) {
                // It could not reach ZooKeeper: another one may.
                Ok(answer) if answer.status == 503 => problems.push(format!("{url}: {}", words(&answer))),
                Ok(answer) => return Ok(answer),
                Err(error @ (ureq::Error::ConnectionFailed | ureq::Error::HostNotFound)) => {
                    problems.push(format!("{url}: {}", super::api::explain(&error)));
                }
                Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    problems.push(format!("{url}: {error}"));
                }
                Err(error) => {
                    let why = format!(
                        "{url}: {}; whether it was done is not known: see `primacy status`",
                        super::api::explain(&error)
                    );
                    return Err(Error::NoAnswer(vec![why]));
                }
            }
        }
        Err(Error::NoAnswer(problems))
    }

    /// At this member and no other.
    pub(super) fn order_at(&self, url: &str, order: &Order, by: &str) -> Result<Answer, ureq::Error> {
        self.send_to(url, order, by)
    }

    fn send_to(&self, url: &str, order: &Order, by: &str) -> Result<Answer, ureq::Error> {
        let (method, path, body) = order.request();
        let query = if matches!(order, Order::Switchover(_)) { "?wait=false" } else { "" };
        let uri = format!("{}{path}{query}", url.trim_end_matches('/'));
        let mut response = self.changing(method, &uri, by, PATIENCE, &body)?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_json().unwrap_or_else(|_| json!({}));
        Ok(Answer { status, body })
    }
}

/// What an answer says to a person who was refused.
pub fn words(answer: &Answer) -> String {
    match answer.body.get("error").and_then(Value::as_str) {
        Some(error) => error.to_owned(),
        None => format!("the answer was {}", answer.status),
    }
}
