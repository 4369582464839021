//! A small coordinator: it does little, but what it says is durable, and it leaves traces in three places.
//!
//! ```text
//! ticks      every 3 ms a line in a local file: this process is alive
//! journal    about every 5 ms a mark in the journal on the shared volume: this process writes the metadata
//! HTTP       POST /increment?op=ID  applies ID once, ever; 200 only after the journal was synced
//!            GET /                  who is this? node, epoch, pid, counter
//! ```
//!
//! One thread owns the journal. What has come in while it syncs goes into the next write (group commit). Ids are
//! remembered only after their sync and read again from the journal at every start, so a client may repeat an id at any
//! coordinator of any epoch. Whatever the volume answers but success ends the process: nothing is acknowledged, and
//! nobody tries again, for after a failed sync nobody knows what is on the disk.
//!
//! It is naive on purpose: it looks at no lock and compares no epoch. Two of them at once must do damage.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{stop, ticks};
use testbed::clock;

mod http;
pub mod journal;

use http::{Answer, Request};
use journal::{Journal, Record};

const MARK_EVERY: Duration = Duration::from_millis(5);

/// How long marks may stay in memory. Increments do not wait for it.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// How long a request waits for the journal before it is told that nobody knows.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the end waits for a last sync: the volume may hang, and whoever stops us has little time.
const LAST_SYNC: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// On the shared volume; created if it is not there.
    #[arg(long)]
    journal: PathBuf,
    /// Where the ticks go: a local directory.
    #[arg(long)]
    ticks: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long, env = "PRIMACY_NODE")]
    node: String,
    #[arg(long, env = "PRIMACY_EPOCH")]
    epoch: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Done {
    Applied,
    Already,
}

struct Order {
    op: String,
    done: SyncSender<Done>,
}

enum End {
    Asked,
    Closed,
    Failed(anyhow::Error),
}

/// What all threads know.
struct Shared {
    node: String,
    epoch: u64,
    counter: AtomicU64,
    stopping: AtomicBool,
}

pub fn run(args: Args) -> Result<()> {
    let signals = stop::block()?;
    let (ends, end) = mpsc::channel();
    let pid = std::process::id();
    // Life begins before the volume is touched: the replay belongs to it.
    let file = ticks::begin(&args.ticks, &args.node, pid, args.epoch)?;
    thread("ticks", ends.clone(), move || Err(file.forever(ticks::INTERVAL)).context("cannot tick"))?;
    let asked = ends.clone();
    stop::at_signal(signals, move || drop(asked.send(End::Asked)))?;

    let shared = Shared { node: args.node, epoch: args.epoch, counter: 0.into(), stopping: false.into() };
    let shared = Arc::new(shared);
    let (orders, inbox) = mpsc::channel();
    let writer = (shared.clone(), args.journal, args.listen);
    // The replay may hang with the volume; SIGTERM is heard all the same.
    thread("journal", ends, move || {
        let (shared, path, listen) = writer;
        let (journal, applied) = Journal::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        shared.counter.store(applied.len() as u64, Ordering::Relaxed);
        let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let state = shared.clone();
        let serve = move || http::serve(&listener, move |request| answer(request, &state, &orders));
        std::thread::Builder::new().name("http".to_owned()).spawn(serve).context("cannot start a thread")?;
        Writer { journal, applied, shared, pid, sequence: 0, buffer: Vec::new() }
            .run(&inbox)
            .with_context(|| format!("cannot write {}", path.display()))
    })?;

    match end.recv() {
        Ok(End::Asked) => shared.stopping.store(true, Ordering::Relaxed),
        Ok(End::Failed(error)) => return Err(error),
        Ok(End::Closed) | Err(_) => bail!("the journal was closed without having been asked for"),
    }
    match end.recv_timeout(LAST_SYNC) {
        Ok(End::Failed(error)) => Err(error),
        _ => Ok(()),
    }
}

fn thread(name: &str, ends: Sender<End>, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let work = move || {
        // The main thread may have ended: then so does this one.
        let _ = ends.send(work().map_or_else(End::Failed, |()| End::Closed));
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).context("cannot start a thread")?;
    Ok(())
}

fn answer(request: &Request, shared: &Shared, orders: &Sender<Order>) -> Answer {
    let problem = |status, text: &str| Answer { status, body: json!({ "error": text }).to_string() };
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => {
            let (pid, counter) = (std::process::id(), shared.counter.load(Ordering::Relaxed));
            let body = json!({ "node": shared.node, "epoch": shared.epoch, "pid": pid, "counter": counter });
            Answer { status: 200, body: body.to_string() }
        }
        ("POST", "/increment") => {
            let Some(op) = request.parameter("op").filter(|op| journal::is_id(op)) else {
                return problem(400, "op must be 1 to 64 letters, digits, '-', '_' or '.'");
            };
            let (done, outcome) = mpsc::sync_channel(1);
            if orders.send(Order { op: op.to_owned(), done }).is_err() {
                return problem(503, "the journal is closed");
            }
            let result = match outcome.recv_timeout(PATIENCE) {
                Ok(Done::Applied) => "applied",
                Ok(Done::Already) => "already",
                Err(_) => return problem(503, "nobody knows whether it is durable"),
            };
            let body = json!({ "op": op, "result": result, "node": shared.node, "epoch": shared.epoch });
            Answer { status: 200, body: body.to_string() }
        }
        _ => problem(404, "POST /increment?op=ID or GET /"),
    }
}

/// The journal's only owner.
struct Writer {
    journal: Journal,
    /// What is durable.
    applied: HashSet<String>,
    shared: Arc<Shared>,
    pid: u32,
    sequence: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Order>) -> io::Result<()> {
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (mut marked, mut synced) = (0, clock::now());
        while !self.shared.stopping.load(Ordering::Relaxed) {
            let since = Duration::from_nanos(clock::now().saturating_sub(marked));
            let first = match inbox.recv_timeout(MARK_EVERY.saturating_sub(since)) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("nobody serves requests")),
            };
            let orders: Vec<Order> = first.into_iter().chain(inbox.try_iter()).collect();
            let at = clock::now();
            if at.saturating_sub(marked) >= nanoseconds(MARK_EVERY) {
                marked = at;
                self.note(None);
            }
            let results = self.note_all(&orders);
            self.journal.append(&self.buffer)?;
            self.buffer.clear();
            if !orders.is_empty() || at.saturating_sub(synced) >= nanoseconds(SYNC_EVERY) {
                self.journal.sync()?;
                synced = at;
            }
            for (order, result) in orders.into_iter().zip(results) {
                self.applied.insert(order.op);
                // Its client may have gone.
                let _ = order.done.try_send(result);
            }
            self.shared.counter.store(self.applied.len() as u64, Ordering::Relaxed);
        }
        self.journal.sync()
    }

    /// Puts into the buffer what is not in the journal yet, an id that came twice at once only once.
    fn note_all(&mut self, orders: &[Order]) -> Vec<Done> {
        let mut here = HashSet::new();
        let mut results = Vec::new();
        for order in orders {
            if self.applied.contains(&order.op) || !here.insert(order.op.as_str()) {
                results.push(Done::Already);
            } else {
                self.note(Some(&order.op));
                results.push(Done::Applied);
            }
        }
        results
    }

    fn note(&mut self, op: Option<&str>) {
        self.sequence += 1;
        let Shared { node, epoch, .. } = self.shared.as_ref();
        let record = Record { epoch: *epoch, node, pid: self.pid, sequence: self.sequence, at: clock::now(), op };
        record.write(&mut self.buffer);
    }
}
