//! `primacy-demo coordinator`: a small coordinator to run under supervision.
//!
//! Like the real ones it keeps state on the shared folder (a counter), serves a page, stops at SIGTERM, and would
//! ruin its state if two ran at once. Unlike them it writes the time to a log every 5 ms, so that the demo can prove that
//! no two did.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use testbed::ticks::{TICK, Ticks};

use crate::problem::Problem;
use crate::running::PERIOD;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "coordinator";

/// The counter goes up every so many ticks: ten times a second, to be seen moving.
const TICKS_PER_COUNT: u64 = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    #[arg(long)]
    pub node: String,
    /// Where log and counter are.
    #[arg(long)]
    pub folder: PathBuf,
    #[arg(long)]
    pub listen: SocketAddr,
}

pub fn log_file(folder: &Path) -> PathBuf {
    folder.join("ticks.log")
}

pub fn counter_file(folder: &Path) -> PathBuf {
    folder.join("counter")
}

/// Runs until it is told to stop.
pub fn run(settings: &Settings) -> Result<(), Problem> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Problem::io("signal handler"))?;
    }
    let (pid, epoch) = (std::process::id(), epoch().parse().unwrap_or_default());
    let mut log = Ticks::open(&log_file(&settings.folder), &settings.node, pid, epoch)
        .map_err(Problem::io("the log on the shared folder"))?;
    let mut write = |event| log.write(event).map_err(Problem::io("writing the log on the shared folder"));
    write("start")?;

    let counter = Arc::new(AtomicU64::new(read_counter(&settings.folder)));
    serve(settings, &counter)?;

    for tick in 1_u64.. {
        thread::sleep(PERIOD);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        write(TICK)?;
        if tick % TICKS_PER_COUNT == 0 {
            write_counter(&settings.folder, counter.fetch_add(1, Ordering::Relaxed) + 1)?;
        }
    }
    write("stop")
}

fn epoch() -> String {
    std::env::var("PRIMACY_EPOCH").unwrap_or_else(|_| "?".to_owned())
}

/// What the former coordinator left; 0 where there was none.
pub fn read_counter(folder: &Path) -> u64 {
    std::fs::read_to_string(counter_file(folder)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Replaced as a whole: a coordinator killed halfway leaves the old or the new count.
fn write_counter(folder: &Path, count: u64) -> Result<(), Problem> {
    let draft = folder.join("counter.draft");
    std::fs::write(&draft, format!("{count}\n"))
        .and_then(|()| std::fs::rename(&draft, counter_file(folder)))
        .map_err(Problem::io("writing the counter on the shared folder"))
}

fn serve(settings: &Settings, counter: &Arc<AtomicU64>) -> Result<(), Problem> {
    let listener = TcpListener::bind(settings.listen).map_err(Problem::io(settings.listen.to_string()))?;
    let node = settings.node.clone();
    let counter = Arc::clone(counter);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (node, count) = (node.clone(), counter.load(Ordering::Relaxed));
            // A client that goes away in the middle is its own loss.
            thread::spawn(move || drop(answer(client, &node, count)));
        }
    });
    Ok(())
}

fn answer(mut client: TcpStream, node: &str, count: u64) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    client.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut request = String::new();
    let mut reader = BufReader::new(client.try_clone()?);
    reader.read_line(&mut request)?;
    // The rest of the head is read, or closing with unread bytes would reset the connection before the answer is read.
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (kind, body) = match request.split(' ').nth(1) {
        Some("/ready") => ("text/plain", "OK\n".to_owned()),
        Some("/counter") => ("text/plain", format!("{count}\n")),
        _ => ("text/html; charset=utf-8", page(node, count)),
    };
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page(node: &str, count: u64) -> String {
    let (epoch, pid) = (epoch(), std::process::id());
    format!(
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=1><title>{node}</title>\
         <style>body{{font:1.2em system-ui;margin:4em auto;max-width:32em}}b{{font-size:3em}}</style>\
         <p>The coordinator runs on<br><b>{node}</b><p>epoch {epoch}, process {pid}\
         <p>The counter on the shared folder stands at<br><b>{count}</b>\
         <p>Kill it, and reload the other node's page."
    )
}
