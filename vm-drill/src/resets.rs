//! Whether a machine was reset, and by what, as its QEMU tells it: over a monitor of its own, which is only listened to.
//!
//! A reset is no power loss: QEMU goes on and boots the machine again. Rejected: QEMU's `-no-reboot`, whose exit cannot be
//! told from a crash of QEMU, and after which nothing shows that the host really comes back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::clock::{self, At};

/// For QEMU to open its monitor.
const OPEN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    pub at: At,
    /// `watchdog` for a watchdog of QEMU's; else QEMU's word: `guest-reset`.
    pub by: String,
}

/// All resets of one machine.
#[derive(Clone, Debug, Default)]
pub struct Resets(Arc<Mutex<Vec<Reset>>>);

impl Resets {
    /// Listens to a QEMU that was just started, until its end.
    pub fn follow(&self, monitor: PathBuf) {
        let resets = self.clone();
        std::thread::spawn(move || {
            let until = clock::now() + OPEN;
            let mut connection = loop {
                match UnixStream::connect(&monitor) {
                    Ok(connection) => break connection,
                    Err(_) if clock::now() < until => std::thread::sleep(Duration::from_millis(20)),
                    Err(error) => return eprintln!("vm-drill: {}: {error}", monitor.display()),
                }
            };
            // Whoever has not said this is told of nothing.
            if let Err(error) = connection.write_all(b"{\"execute\":\"qmp_capabilities\"}\n") {
                return eprintln!("vm-drill: {}: {error}", monitor.display());
            }
            let mut watchdog = false;
            for line in BufReader::new(connection).lines().map_while(Result::ok) {
                resets.hear(&line, &mut watchdog);
            }
        });
    }

    /// `watchdog`: a watchdog has expired since the last reset.
    fn hear(&self, line: &str, watchdog: &mut bool) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        match event["event"].as_str() {
            Some("WATCHDOG") => *watchdog = true,
            Some("RESET") => {
                let reason = event["data"]["reason"].as_str().unwrap_or("unknown");
                let by = if std::mem::take(watchdog) { "watchdog" } else { reason }.to_owned();
                let number = |part: &str| event["timestamp"][part].as_u64().unwrap_or_default();
                let stamp = Duration::from_secs(number("seconds")) + Duration::from_micros(number("microseconds"));
                let reset = Reset { at: clock::of_stamp(stamp), by };
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(reset);
            }
            _ => {}
        }
    }

    /// The first one since then.
    pub fn since(&self, at: At) -> Option<Reset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|reset| reset.at >= at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_known_with_its_moment_and_by_what() {
        let (resets, mut watchdog) = (Resets::default(), false);
        let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let before = clock::now().saturating_sub(Duration::from_secs(2));
        for (name, data) in [
            ("RESET", r#"{"guest":true,"reason":"guest-reset"}"#),
            ("WATCHDOG", r#"{"action":"reset"}"#),
            ("RESET", r#"{"guest":true,"reason":"guest-reset"}"#),
        ] {
            let line =
                format!(r#"{{"timestamp":{{"seconds":{seconds},"microseconds":0}},"event":"{name}","data":{data}}}"#);
            resets.hear(&line, &mut watchdog);
        }
        let by: Vec<String> = resets.0.lock().unwrap().iter().map(|reset| reset.by.clone()).collect();
        assert_eq!(by, ["guest-reset", "watchdog"]);
        assert_eq!(resets.since(before).unwrap().by, "guest-reset");
        assert_eq!(resets.since(clock::now() + Duration::from_secs(2)), None);
    }
}
