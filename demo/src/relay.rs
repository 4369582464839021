//! A TCP relay on loopback that can be frozen: how a candidate is cut off from ZooKeeper.
//!
//! Frozen, it forwards nothing and closes nothing; what was sent is delivered after the thaw. That is what a partition
//! looks like to both ends (TCP sends again), and it is harder to handle than a connection that is reset. A firewall rule
//! would do the same, but needs root and outlives a demo that is killed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::problem::Problem;

/// Forwards connections from its own port to another one. Its threads end with the process.
pub struct Relay {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    frozen: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, frozen: bool) {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = frozen;
        self.changed.notify_all();
    }

    /// Returns when it is open.
    fn pass(&self) {
        let frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(frozen, |frozen| *frozen).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Relay {
    pub fn start(upstream: SocketAddr) -> Result<Self, Problem> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Problem::io("a port for the relay"))?;
        let address = listener.local_addr().map_err(Problem::io("the relay's port"))?;
        let gate = Arc::new(Gate::default());
        let relay = Self { address, gate: Arc::clone(&gate) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let gate = Arc::clone(&gate);
                thread::spawn(move || connect(client, upstream, &gate));
            }
        });
        Ok(relay)
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn freeze(&self) {
        self.gate.set(true);
    }

    pub fn thaw(&self) {
        self.gate.set(false);
    }
}

/// Serves one connection to its end.
fn connect(client: TcpStream, upstream: SocketAddr, gate: &Arc<Gate>) {
    gate.pass();
    // An upstream that is away closes the client's connection, as it would without a relay.
    let Ok(server) = TcpStream::connect(upstream) else { return };
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let upward = Arc::clone(gate);
    thread::spawn(move || pump(from_client, server, &upward));
    pump(from_server, client, gate);
}

/// Copies one direction until either side closes, then closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = [0; 16 * 1024];
    let mut copy = || -> io::Result<bool> {
        let length = from.read(&mut buffer)?;
        gate.pass();
        to.write_all(&buffer[..length])?;
        Ok(length > 0)
    };
    while copy().unwrap_or(false) {}
    // Failing means that it is closed already.
    drop(to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_sent_through_a_frozen_relay_arrives_after_the_thaw() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(relay.address()).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        let mut answer = [0; 4];

        client.write_all(b"ping").unwrap();
        accepted.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");

        relay.freeze();
        client.write_all(b"late").unwrap();
        accepted.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(accepted.read(&mut answer).is_err(), "nothing may pass a frozen relay");

        relay.thaw();
        accepted.set_read_timeout(None).unwrap();
        accepted.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"late");

        drop(accepted);
        assert_eq!(client.read(&mut answer).unwrap(), 0, "an end is passed on");
    }
}
