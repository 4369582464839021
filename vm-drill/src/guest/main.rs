//! `vm-guest`: what the drill runs inside its machines. One program, so that the image stays small.

mod agent;
mod coordinator;
mod dirty;
mod lock;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs shell commands for whoever connects.
    Agent { listen: SocketAddr },
    /// A coordinator whose life, and whose writes, the drill can follow.
    Coordinator {
        /// Where its datagrams go.
        #[arg(long)]
        to: SocketAddr,
        /// A directory on the shared volume.
        #[arg(long)]
        journal: PathBuf,
        /// Milliseconds between two signs of life.
        #[arg(long)]
        tick: u64,
        /// Milliseconds between two records.
        #[arg(long)]
        write: u64,
        /// Pages of each of three files that it dirties all the time, and never syncs.
        #[arg(long, default_value_t = 0)]
        dirty_pages: usize,
    },
    /// Tries once: exits with 0 if the lock was free, with 1 if somebody has it.
    TryLock { file: PathBuf },
    /// Takes the lock, lets a child inherit it and stays; prints both pids.
    HoldLock { file: PathBuf },
    /// Kills a process, and sends a datagram just before.
    KillHolder {
        pid: i32,
        #[arg(long)]
        to: SocketAddr,
    },
    /// Tries every 2 ms and sends a datagram once it has the lock.
    PollLock {
        file: PathBuf,
        #[arg(long)]
        to: SocketAddr,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Agent { listen } => agent::serve(listen)?,
        Command::Coordinator { to, journal, tick, write, dirty_pages } => {
            let (tick, write) = (Duration::from_millis(tick), Duration::from_millis(write));
            coordinator::run(to, &journal, tick, write, dirty_pages)?;
        }
        Command::TryLock { file } => return Ok(ExitCode::from(u8::from(!lock::try_once(&file)?))),
        Command::HoldLock { file } => lock::hold(&file)?,
        Command::KillHolder { pid, to } => lock::kill_holder(pid, to)?,
        Command::PollLock { file, to } => lock::poll(&file, to)?,
    }
    Ok(ExitCode::SUCCESS)
}
