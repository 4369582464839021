//! `drill`: breaks a cluster in a box and judges what happened.

use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Workload(drill::workload::Command),
}

fn main() -> anyhow::Result<()> {
    let Command::Workload(command) = Arguments::parse().command;
    command.run()
}
