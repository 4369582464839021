//! A coordinator that leaves proof of when it ran: for the end-to-end tests, and to try primacy out by hand.
//!
//! `ticking-coordinator LOG [FLAGS]` appends a line `CLOCK_MONOTONIC-nanoseconds NODE PID EPOCH EVENT` to LOG every 5 ms.
//! Everything that belongs to one coordinator writes under the pid of its first process, so that a survivor of its tree
//! shows in the log as that coordinator running on.
//!
//! - `--ignore-sigterm`: writes it down and goes on;
//! - `--daemonise`: besides, a grandchild in a session of its own ticks for ever;
//! - `--parent-exits`: the first process ends once the grandchild runs (a "forking" coordinator);
//! - `--close-fds`: closes every descriptor above 2 at its start, as careful daemons do;
//! - `--die-after MS`: exits with 5;
//! - `--serve ADDRESS`: says `NODE EPOCH` to whoever connects there, to GET requests and to lines (then as their echo's beginning);
//! - `--fork-storm`: four lines of processes, each of which starts its successor and ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use testbed::ticks::{TICK, Ticks};

const PERIOD: Duration = Duration::from_millis(5);

/// How long a process of the storm lives.
const STORM_LIFE: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Arguments {
    log: PathBuf,
    #[arg(long)]
    ignore_sigterm: bool,
    #[arg(long)]
    daemonise: bool,
    #[arg(long)]
    parent_exits: bool,
    #[arg(long)]
    close_fds: bool,
    #[arg(long, value_name = "MS")]
    die_after: Option<u64>,
    #[arg(long)]
    fork_storm: bool,
    #[arg(long, value_name = "ADDRESS")]
    serve: Vec<String>,
    /// The pid of the coordinator's first process, in its descendants.
    #[arg(long, hide = true)]
    of: Option<u32>,
    /// What this descendant is: `child` (starts the daemon and ends), `daemon` or `storm`.
    #[arg(long, hide = true)]
    part: Option<String>,
}

fn open(arguments: &Arguments) -> std::io::Result<Ticks> {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| "-".to_owned());
    let pid = arguments.of.unwrap_or_else(std::process::id);
    let epoch = variable("PRIMACY_EPOCH").parse().unwrap_or_default();
    Ticks::open(&arguments.log, &variable("PRIMACY_NODE"), pid, epoch)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.close_fds {
        close_inherited()?;
    }
    let first = arguments.of.unwrap_or_else(std::process::id);
    match arguments.part.as_deref() {
        Some("child") => {
            descend(&arguments, first, "daemon")?;
            return Ok(ExitCode::SUCCESS);
        }
        Some("daemon") => {
            nix::unistd::setsid()?;
        }
        _ => {}
    }
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, terminated.clone())?;
    let mut log = open(&arguments)?;
    log.write(arguments.part.as_deref().unwrap_or("start"))?;
    for address in &arguments.serve {
        serve(TcpListener::bind(address)?);
    }
    if arguments.part.is_none() && arguments.daemonise {
        descend(&arguments, first, "child")?;
    }
    if arguments.part.is_none() && arguments.fork_storm {
        for _ in 0..4 {
            descend(&arguments, first, "storm")?;
        }
    }
    if arguments.part.is_none() && arguments.parent_exits {
        std::thread::sleep(Duration::from_millis(200));
        return Ok(ExitCode::SUCCESS);
    }
    let mut lived = Duration::ZERO;
    loop {
        std::thread::sleep(PERIOD);
        lived += PERIOD;
        log.write(TICK)?;
        if terminated.swap(false, Ordering::Relaxed) {
            log.write("sigterm")?;
            if !arguments.ignore_sigterm && arguments.part.as_deref() != Some("daemon") {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if arguments.part.is_none() && arguments.die_after.is_some_and(|after| lived >= Duration::from_millis(after)) {
            log.write("dies")?;
            return Ok(ExitCode::from(5));
        }
        if arguments.part.as_deref() == Some("storm") && lived >= STORM_LIFE {
            descend(&arguments, first, "storm")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// On threads of its own, for as long as the process lives.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || drop(talk(&connection)));
        }
    });
}

fn talk(mut connection: &TcpStream) -> std::io::Result<()> {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| "-".to_owned());
    let who = format!("{} {}", variable("PRIMACY_NODE"), variable("PRIMACY_EPOCH"));
    let mut lines = BufReader::new(connection).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.starts_with("GET ") {
            while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{who}", who.len())?;
        } else {
            writeln!(connection, "{who} {line}")?;
        }
    }
    Ok(())
}

/// Starts a descendant of the first process. Nothing waits for it here: the guardian reaps.
fn descend(arguments: &Arguments, first: u32, part: &str) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(&arguments.log).args(["--of", &first.to_string(), "--part", part]);
    command.stdin(Stdio::null());
    let mut child = command.spawn()?;
    if part == "child" {
        child.wait()?;
    }
    Ok(())
}

fn close_inherited() -> anyhow::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The one that listed the directory is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}
