//! What a node says of itself at `/server_status`, asked several times a second by a thread of its own, so that a frozen
//! supervisor does not hold up the demo. Shown to people and used to know when the next fault may come; never for gaps.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::ticks;

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(500);

/// The fields of `/server_status` that the demo shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct View {
    pub status: String,
    pub role: String,
    pub epoch: Option<u64>,
    pub reason: String,
}

/// The last answer and when the question was asked; `None` where there was no answer.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<(Duration, Option<View>)>>);

impl Watch {
    /// Asks `api` (http://host:port) until the process ends.
    pub fn start(api: &str) -> Self {
        let watch = Self::default();
        let (shared, url) = (watch.clone(), format!("{api}/server_status"));
        thread::spawn(move || {
            // A standby answers 503, with the same body.
            let agent = ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                .http_status_as_error(false)
                .proxy(None)
                .build()
                .new_agent();
            loop {
                let asked = ticks::now();
                let view = agent.get(&url).call().and_then(|mut answer| answer.body_mut().read_json::<View>()).ok();
                *shared.0.lock().unwrap_or_else(PoisonError::into_inner) = (asked, view);
                thread::sleep(INTERVAL);
            }
        });
        watch
    }

    pub fn latest(&self) -> Option<View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The latest answer to a question that was asked after `since`.
    pub fn after(&self, since: Duration) -> Option<View> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.1.clone().filter(|_| guard.0 >= since)
    }
}
