//! `primacy demo`: two candidates and a web page on this machine.

use clap::Args;

use super::Exit;

/// Two candidates and a web page on this machine, to play with
#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave its folder in place afterwards
    #[arg(long)]
    pub keep: bool,
    /// Let the shared lock alone decide: needs no Java
    #[arg(long)]
    pub no_zookeeper: bool,
}

pub fn run(_arguments: &Arguments) -> anyhow::Result<Exit> {
    anyhow::bail!("demo")
}
