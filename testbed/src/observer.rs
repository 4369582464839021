//! What a node says of itself at `/server_status`, asked several times a second by a thread of its own, so that one that
//! does not answer holds up nobody. For knowing what state a cluster is in; never for gaps or overlaps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;

use crate::clock;

/// The answer, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Said {
    pub role: String,
    pub status: String,
    /// Of the node itself.
    pub epoch: Option<u64>,
    #[serde(default)]
    pub reason: String,
}

impl Said {
    /// Active, and its coordinator is ready.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.role == "active" && self.status == "OK"
    }
}

/// What was seen, when, and for how long the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// None: no answer.
    pub said: Option<Said>,
    /// When the last look began, ns.
    pub at: u64,
    /// When the first of the looks that showed the same began, ns.
    pub since: u64,
}

type Hears = dyn FnMut(Option<&Said>) + Send;

/// How it looks.
pub struct Watch {
    /// `http://host:port`
    pub api: String,
    pub every: Duration,
    pub limit: Duration,
    /// The thread's own first act; it looks at nothing where that fails.
    pub enter: Box<dyn FnOnce() -> bool + Send>,
    /// Hears of each answer that differs from the one before, and of the first.
    pub changed: Box<Hears>,
}

impl Watch {
    #[must_use]
    pub fn of(api: String, every: Duration, limit: Duration) -> Self {
        Self { api, every, limit, enter: Box::new(|| true), changed: Box::new(|_| {}) }
    }

    /// Looks until the observer is dropped.
    pub fn start(self) -> std::io::Result<Observer> {
        let (look, stop) = (Arc::default(), Arc::default());
        let mut observer = Observer { look: Arc::clone(&look), stop: Arc::clone(&stop), thread: None };
        let thread = thread::Builder::new().name("observer".to_owned()).spawn(move || self.run(&look, &stop))?;
        observer.thread = Some(thread);
        Ok(observer)
    }

    fn run(mut self, look: &Mutex<Look>, stop: &AtomicBool) {
        if !(self.enter)() {
            return;
        }
        // A standby answers 503, with the same body. No kept connections: one that a cut has left half open would hide a
        // node that is back.
        let config = ureq::Agent::config_builder().timeout_global(Some(self.limit)).http_status_as_error(false);
        let agent: ureq::Agent = config.max_idle_connections(0).proxy(None).build().into();
        let url = format!("{}/server_status", self.api);
        let mut first = true;
        while !stop.load(Ordering::Relaxed) {
            let at = clock::now();
            let said = agent.get(&url).call().and_then(|mut answer| answer.body_mut().read_json::<Said>()).ok();
            let differs = first || locked(look).said != said;
            if differs {
                (self.changed)(said.as_ref());
            }
            let mut look = locked(look);
            look.at = at;
            if differs {
                (look.said, look.since) = (said, at);
            }
            drop(look);
            first = false;
            thread::sleep(self.every);
        }
    }
}

/// Knows what was seen of one node.
pub struct Observer {
    look: Arc<Mutex<Look>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    #[must_use]
    pub fn look(&self) -> Look {
        locked(&self.look).clone()
    }

    /// The answer to a question that was asked after `since`.
    #[must_use]
    pub fn after(&self, since: u64) -> Option<Said> {
        let look = locked(&self.look);
        look.said.clone().filter(|_| look.at >= since)
    }

    /// Has it stop at its next look.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked(look: &Mutex<Look>) -> MutexGuard<'_, Look> {
    look.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    const BODY: &str = r#"{"role":"standby","status":"STANDBY","epoch":null,"reason":"waits","more":1}"#;

    #[test]
    fn what_a_standby_says_is_seen_and_so_is_that_it_falls_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let (sender, heard) = mpsc::channel();
        let mut watch = Watch::of(api, Duration::from_millis(1), Duration::from_secs(30));
        watch.changed = Box::new(move |said| sender.send(said.cloned()).unwrap_or_default());
        let began = clock::now();
        let observer = watch.start().unwrap();
        for _ in 0..2 {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 1024]).unwrap();
            write!(client, "HTTP/1.1 503 Away\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len()).unwrap();
        }
        drop(listener);
        let said = heard.recv().unwrap().unwrap();
        assert_eq!((said.role.as_str(), said.epoch, said.reason.as_str()), ("standby", None, "waits"));
        assert_eq!(heard.recv().unwrap(), None, "the same again is no change");
        while observer.look().said.is_some() {
            thread::yield_now();
        }
        let look = observer.look();
        assert!(began < look.since && look.since <= look.at);
        assert_eq!(observer.after(0), None);
    }
}
