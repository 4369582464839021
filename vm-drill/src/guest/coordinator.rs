//! A coordinator that leaves proof of when it ran and of what it could write.
//!
//! One thread sends a datagram every few milliseconds over the management network: its life. Another writes to the shared volume: a
//! record to a file that it syncs each time, and one to a file that it never syncs, so that the page cache has something
//! to hold back. Neither file is locked: these are the writes that no lock can keep from the volume. Each epoch has
//! files of its own, so what arrives late from an old one can be counted on the server.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::dirty;
use primacy_vm_drill::wire::{Datagram, Kind, RECORD};

pub fn run(to: SocketAddr, journal: &Path, tick: Duration, write: Duration, dirty_pages: usize) -> anyhow::Result<()> {
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, terminated.clone())?;
    let variable = |name| std::env::var(name).unwrap_or_default();
    let node = variable("PRIMACY_NODE");
    let epoch: u64 = variable("PRIMACY_EPOCH").parse().unwrap_or(0);
    let send = Sender { socket: Arc::new(UdpSocket::bind("0.0.0.0:0")?), to, node, epoch };
    send.send(Kind::Start, 0, 0);
    let writer = Writer { directory: journal.to_owned(), every: write, send: send.clone() };
    std::thread::spawn(move || writer.run());
    if dirty_pages > 0 {
        let (directory, send) = (journal.to_owned(), send.clone());
        std::thread::spawn(move || {
            // For the drill to see: there is nothing late of what was never written.
            if dirty::run(&directory, epoch, dirty_pages).is_err() {
                send.send(Kind::Failed, 0, -1);
            }
        });
    }
    for number in 1.. {
        std::thread::sleep(tick);
        send.send(Kind::Tick, number, 0);
        if terminated.load(Ordering::Relaxed) {
            send.send(Kind::End, number, 0);
            break;
        }
    }
    Ok(())
}

#[derive(Clone)]
struct Sender {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    node: String,
    epoch: u64,
}

impl Sender {
    fn send(&self, kind: Kind, number: u64, error: i32) {
        let datagram = Datagram { number, error, ..Datagram::of(kind, &self.node, std::process::id(), self.epoch) };
        // The network to the drill is never cut; a datagram that it drops is one tick.
        let _ = self.socket.send_to(datagram.to_string().as_bytes(), self.to);
    }
}

struct Writer {
    directory: PathBuf,
    every: Duration,
    send: Sender,
}

impl Writer {
    fn run(&self) {
        let open = |name: &str| -> std::io::Result<File> {
            std::fs::create_dir_all(&self.directory)?;
            let path = self.directory.join(format!("{name}-{}", self.send.epoch));
            OpenOptions::new().create(true).append(true).open(path)
        };
        let files = open("synced").and_then(|synced| Ok((synced, open("loose")?)));
        let (mut synced, mut loose) = match files {
            Ok(files) => files,
            Err(error) => return self.send.send(Kind::Failed, 0, error.raw_os_error().unwrap_or(-1)),
        };
        for number in 1.. {
            std::thread::sleep(self.every);
            let record = format!("{:>width$}\n", format!("{} {number}", self.send.epoch), width = RECORD - 1);
            let outcome = loose
                .write_all(record.as_bytes())
                .and_then(|()| synced.write_all(record.as_bytes()))
                .and_then(|()| synced.sync_data());
            match outcome {
                Ok(()) => self.send.send(Kind::Wrote, number, 0),
                Err(error) => self.send.send(Kind::Failed, number, error.raw_os_error().unwrap_or(-1)),
            }
        }
    }
}
