//! The appender's client: `POST /increment?op=ID`.

use std::io::ErrorKind;
use std::time::Duration;

use ureq::Agent;

use super::leader::{Route, agent};
use super::{Attempt, Target};

pub struct Increments {
    route: Route,
    agent: Agent,
}

impl Increments {
    pub fn new(route: Route, timeout: Duration) -> Self {
        Self { route, agent: agent(timeout) }
    }

    fn post(&self, base: &str, op: &str) -> Attempt {
        let base = base.trim_end_matches('/');
        let scheme = if base.contains("://") { "" } else { "http://" };
        match self.agent.post(format!("{scheme}{base}/increment?op={op}")).send_empty() {
            Ok(answer) if answer.status() == 200 => Attempt::Ok,
            Ok(answer) => Attempt::Unknown(format!("HTTP {}", answer.status().as_u16())),
            // Nobody listened: nothing was sent.
            Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                Attempt::Refused(error.to_string())
            }
            Err(error) => Attempt::Unknown(error.to_string()),
        }
    }
}

impl Target for Increments {
    fn what(&self) -> &'static str {
        "increment"
    }

    fn attempt(&mut self, op: &str, _value: i64) -> Attempt {
        let Some(base) = self.route.find() else { return Attempt::Refused("nobody is known to be active".to_owned()) };
        let attempt = self.post(&base, op);
        if !matches!(attempt, Attempt::Ok) {
            self.route.forget();
        }
        attempt
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    fn attempt(address: &str, timeout: Duration) -> Attempt {
        Increments::new(Route::Through(address.to_owned()), timeout).attempt("c-1", 1)
    }

    #[test]
    fn only_a_refused_connection_is_certainly_without_effect() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let silent = attempt(&address, Duration::from_millis(50));
        assert!(matches!(silent, Attempt::Unknown(_)));
        let answers = std::thread::spawn(move || {
            // The silent one's connection is the first in the queue.
            drop(listener.accept().unwrap());
            for text in
                ["HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n", "", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
            {
                let (mut connection, _) = listener.accept().unwrap();
                connection.write_all(text.as_bytes()).unwrap();
            }
        });
        let patient = Duration::from_secs(30);
        for expected in ["unknown", "unknown", "ok"] {
            let word = match attempt(&address, patient) {
                Attempt::Ok => "ok",
                Attempt::Refused(_) => "refused",
                Attempt::Unknown(_) => "unknown",
            };
            assert_eq!(word, expected);
        }
        answers.join().unwrap();
        let refused = attempt(&address, patient);
        assert!(matches!(refused, Attempt::Refused(_)));
    }
}
