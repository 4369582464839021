//! What candidates say of themselves, asked four times a second over the management network.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drill::history::{Entry, Writer};
use serde_json::Value;

use crate::clock::{self, At};

const PAUSE: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(1);

/// `/server_status`, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub role: String,
    pub status: String,
    pub epoch: u64,
    pub reason: String,
    /// A standby that could take over at once.
    pub eligible: bool,
}

/// When it was said; `None` while the node does not answer.
type Saying = (At, Option<Said>);

/// One node's sayings: each that differs from the one before.
#[derive(Clone)]
pub struct Observer(Arc<Mutex<Vec<Saying>>>);

impl Observer {
    /// What it sees goes into the history, too.
    pub fn watch(node: &str, api: SocketAddr, history: &Writer) -> Self {
        let observer = Self(Arc::default());
        let sayings = observer.clone();
        let url = format!("http://{api}");
        let (node, history) = (node.to_owned(), history.clone());
        std::thread::spawn(move || {
            let asker: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build().into();
            loop {
                let said = ask(&asker, &url);
                let mut sayings = sayings.0.lock().unwrap_or_else(PoisonError::into_inner);
                if sayings.last().is_none_or(|(_, last)| *last != said) {
                    let seen = sight(&node, said.as_ref());
                    if sayings.last().is_none_or(|(_, last)| sight(&node, last.as_ref()) != seen) {
                        let _ = history.note(seen);
                    }
                    sayings.push((clock::now(), said));
                }
                drop(sayings);
                std::thread::sleep(PAUSE);
            }
        });
        observer
    }

    pub fn latest(&self) -> Option<Said> {
        self.with(|sayings| sayings.last().and_then(|(_, said)| said.clone()))
    }

    /// Whether it has said something of this kind since.
    pub fn since(&self, at: At, test: impl Fn(&Said) -> bool) -> Option<(At, Said)> {
        self.with(|sayings| {
            sayings
                .iter()
                .filter(|(when, _)| *when >= at)
                .find_map(|(when, said)| said.clone().filter(|said| test(said)).map(|said| (*when, said)))
        })
    }

    fn with<T>(&self, look: impl FnOnce(&[Saying]) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn sight(node: &str, said: Option<&Said>) -> Entry {
    let (role, status) = said.map(|said| (said.role.clone(), said.status.clone())).unwrap_or_default();
    let epoch = said.map(|said| said.epoch).filter(|epoch| *epoch > 0);
    Entry::Role { node: node.to_owned(), role, status, epoch, reachable: said.is_some() }
}

fn ask(asker: &ureq::Agent, url: &str) -> Option<Said> {
    let mut response = asker.get(format!("{url}/server_status")).call().ok()?;
    let body: Value = serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()?;
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let role = text("role");
    let eligible = role == "standby" && asker.get(format!("{url}/standby")).call().ok()?.status().as_u16() == 200;
    Some(Said {
        role,
        status: text("status"),
        epoch: body["epoch"].as_u64().unwrap_or(0),
        reason: text("reason"),
        eligible,
    })
}
