//! What candidates say of themselves, asked four times a second over the management network: each answer that differs from
//! the one before, in memory for drills and in the history for the judge.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use drill::history::Writer;
use drill::lab::noting;
use testbed::observer::Watch;

use crate::clock::{self, At};

pub use testbed::observer::Said;

const PAUSE: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(1);

/// When it was said; `None` while the node does not answer.
type Saying = (At, Option<Said>);

/// One node's sayings: each that differs from the one before.
#[derive(Clone)]
pub struct Observer {
    sayings: Arc<Mutex<Vec<Saying>>>,
    api: SocketAddr,
    _looks: Arc<testbed::observer::Observer>,
}

impl Observer {
    pub fn watch(node: &str, api: SocketAddr, history: &Writer) -> Result<Self> {
        let sayings = Arc::<Mutex<Vec<Saying>>>::default();
        let mut watch = Watch::of(format!("http://{api}"), PAUSE, LIMIT);
        let (own, mut note) = (Arc::clone(&sayings), noting(node.to_owned(), history.clone()));
        watch.changed = Box::new(move |said| {
            note(said);
            own.lock().unwrap_or_else(PoisonError::into_inner).push((clock::now(), said.cloned()));
        });
        let looks = watch.start().context("cannot start a thread")?;
        Ok(Self { sayings, api, _looks: Arc::new(looks) })
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

    /// Whether it is a standby that could take over at once: asked for the purpose.
    pub fn eligible(&self) -> bool {
        let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).proxy(None);
        let agent: ureq::Agent = config.build().into();
        self.latest().is_some_and(|said| said.role == "standby")
            && agent.get(format!("http://{}/standby", self.api)).call().is_ok()
    }

    fn with<T>(&self, look: impl FnOnce(&[Saying]) -> T) -> T {
        look(&self.sayings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
