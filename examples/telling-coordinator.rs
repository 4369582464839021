//! A coordinator that tells one host, by datagrams, when it runs and what it has written: for drills on several hosts,
//! where clocks differ and the shared volume is what fails.
//!
//! `telling-coordinator --to HOST:PORT --journal DIRECTORY [--tick MS] [--write MS]`. A datagram is the text
//! `KIND NODE PID EPOCH NUMBER ERROR`: `start`, a `tick` every few milliseconds, `end` when it was told to stop,
//! `wrote` for a record that is on the volume and synced, `failed` with the errno for one that is not. Whoever receives
//! them judges by the moment of arrival, on one clock. Two files per epoch take the records: `synced-EPOCH`, and
//! `loose-EPOCH`, which is never synced, so that the page cache has something to hold back. Neither is locked: these are
//! the writes that no lock keeps from the volume.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;

/// Bytes of one record.
const RECORD: usize = 64;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the datagrams go.
    #[arg(long)]
    to: SocketAddr,
    /// A directory on the shared volume.
    #[arg(long)]
    journal: PathBuf,
    /// Milliseconds between two signs of life.
    #[arg(long, default_value_t = 5)]
    tick: u64,
    /// Milliseconds between two records.
    #[arg(long, default_value_t = 50)]
    write: u64,
}

#[derive(Clone)]
struct Sender {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    node: String,
    epoch: String,
}

impl Sender {
    fn send(&self, kind: &str, number: u64, error: i32) {
        let Self { node, epoch, .. } = self;
        let text = format!("{kind} {node} {} {epoch} {number} {error}", std::process::id());
        // A datagram that gets lost is one tick.
        let _ = self.socket.send_to(text.as_bytes(), self.to);
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, terminated.clone())?;
    let variable = |name| std::env::var(name).unwrap_or_else(|_| "0".to_owned());
    let socket = Arc::new(UdpSocket::bind("0.0.0.0:0")?);
    let send = Sender { socket, to: arguments.to, node: variable("PRIMACY_NODE"), epoch: variable("PRIMACY_EPOCH") };
    send.send("start", 0, 0);
    let (writer, directory, every) = (send.clone(), arguments.journal, Duration::from_millis(arguments.write));
    std::thread::spawn(move || write(&writer, &directory, every));
    for number in 1.. {
        std::thread::sleep(Duration::from_millis(arguments.tick));
        send.send("tick", number, 0);
        if terminated.load(Ordering::Relaxed) {
            send.send("end", number, 0);
            break;
        }
    }
    Ok(())
}

fn write(send: &Sender, directory: &std::path::Path, every: Duration) {
    let open = |name: &str| -> std::io::Result<File> {
        std::fs::create_dir_all(directory)?;
        OpenOptions::new().create(true).append(true).open(directory.join(format!("{name}-{}", send.epoch)))
    };
    let files = open("synced").and_then(|synced| Ok((synced, open("loose")?)));
    let (mut synced, mut loose) = match files {
        Ok(files) => files,
        Err(error) => return send.send("failed", 0, error.raw_os_error().unwrap_or(-1)),
    };
    for number in 1.. {
        std::thread::sleep(every);
        let record = format!("{:>width$}\n", format!("{} {number}", send.epoch), width = RECORD - 1);
        let outcome = loose
            .write_all(record.as_bytes())
            .and_then(|()| synced.write_all(record.as_bytes()))
            .and_then(|()| synced.sync_data());
        match outcome {
            Ok(()) => send.send("wrote", number, 0),
            Err(error) => send.send("failed", number, error.raw_os_error().unwrap_or(-1)),
        }
    }
}
