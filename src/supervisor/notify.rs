//! systemd: readiness, a status line, and the watchdog. Without NOTIFY_SOCKET all of it does nothing.
//!
//! A service manager that hangs lets its socket's queue run full, and a datagram to it would wait for as long. So none is
//! waited for: what the socket does not take is kept, merged with what comes later, and sent again.
//!
//! Rejected: the crate sd-notify, which waits, and makes a socket for every message (there may be no descriptor for it).

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock;
use crate::moment::Moment;

/// When a socket whose queue is full is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What the service manager is to know.
#[derive(Debug, Default)]
pub struct Notifier {
    address: Option<SocketAddr>,
    socket: Option<UnixDatagram>,
    unsent: Unsent,
    again: Option<Moment>,
}

#[derive(Debug, Default)]
struct Unsent {
    ready: bool,
    stopping: bool,
    alive: bool,
    status: Option<String>,
}

impl Unsent {
    const fn is_nothing(&self) -> bool {
        !self.ready && !self.stopping && !self.alive && self.status.is_none()
    }

    fn message(&self) -> String {
        let flags = [(self.ready, "READY=1"), (self.stopping, "STOPPING=1"), (self.alive, "WATCHDOG=1")];
        let mut message: String = flags.iter().filter(|(set, _)| *set).map(|(_, line)| format!("{line}\n")).collect();
        if let Some(status) = &self.status {
            message.push_str(&format!("STATUS={}\n", status.replace('\n', " ")));
        }
        message
    }
}

impl Notifier {
    /// Of the service manager that started this process, if one did.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        match address(&name) {
            Ok(address) => Self { address: Some(address), ..Self::default() },
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    pub fn ready(&mut self) {
        self.unsent.ready = true;
        self.flush();
    }

    pub fn stopping(&mut self) {
        self.unsent.stopping = true;
        self.flush();
    }

    /// Shown by `systemctl status`.
    pub fn status(&mut self, text: String) {
        self.unsent.status = Some(text);
        self.flush();
    }

    pub fn alive(&mut self) {
        self.unsent.alive = true;
        self.flush();
    }

    /// When to [`Notifier::flush`].
    pub const fn due(&self) -> Option<Moment> {
        self.again
    }

    /// Sends what has not been sent, if the socket takes it at once.
    pub fn flush(&mut self) {
        if self.unsent.is_nothing() {
            return;
        }
        self.again = None;
        match self.send() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.again = Some(clock::now() + AGAIN);
                return;
            }
            Err(error) => tracing::debug!(%error, "systemd was not notified"),
            Ok(()) => {}
        }
        self.unsent = Unsent::default();
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(address) = &self.address else { return Ok(()) };
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = UnixDatagram::unbound().map_err(|_| ErrorKind::WouldBlock)?;
                socket.set_nonblocking(true)?;
                none.insert(socket)
            }
        };
        // By its address every time: a service manager that starts anew binds another socket there.
        socket.send_to_addr(self.unsent.message().as_bytes(), address).map(drop)
    }
}

/// A path, or a name in the abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

/// Half of what `WatchdogSec=` asks of this process for; `None` without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if std::env::var_os("WATCHDOG_PID").is_some() && number("WATCHDOG_PID") != Some(std::process::id().into()) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|limit| *limit > 0).map(|limit| Duration::from_micros(limit) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier(address: SocketAddr) -> Notifier {
        Notifier { address: Some(address), ..Notifier::default() }
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned()))
            .collect()
    }

    #[test]
    fn a_service_manager_that_does_not_read_is_not_waited_for_and_hears_the_last_word_later() {
        let name = format!("primacy-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        assert_eq!(
            super::address(OsStr::new(&format!("@{name}"))).unwrap().as_abstract_name(),
            address.as_abstract_name()
        );
        let mut notifier = notifier(address);
        // Its queue is long on some machines.
        let mut sent = 0;
        while notifier.due().is_none() {
            notifier.status(format!("number {sent}"));
            sent += 1;
            assert!(sent < 1_000_000);
        }
        notifier.ready();
        notifier.alive();
        notifier.status("the last\nword".to_owned());
        assert_eq!(received(&manager).len(), sent - 1);
        notifier.flush();
        assert_eq!(received(&manager), ["READY=1\nWATCHDOG=1\nSTATUS=the last word\n"]);
        assert_eq!(notifier.due(), None);
    }

    #[test]
    fn nobody_to_be_notified_is_nothing_to_be_tried_again() {
        let mut nobody = Notifier::default();
        nobody.ready();
        assert_eq!(nobody.due(), None);
        let mut gone = notifier(SocketAddr::from_pathname("/nonexistent/notify").unwrap());
        gone.ready();
        assert_eq!(gone.due(), None);
    }
}
