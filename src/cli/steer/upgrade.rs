//! `primacy upgrade`: the program at its path, in the process that runs.

use clap::Args;

use super::{Changing, account, agreed, not_done, unasked};
use crate::cli::{Asked, Exit, Options, access, client};
use crate::client::upgrading::{Refused, Target, Upgrading};
use crate::output;

/// Have supervisors execute the program at their path anew, in the same process
///
/// For after the program was replaced. Each node is asked in turn, and has to be what it was (eligible, or ready) within 60 s before the
/// next one is; the first that is not ends it. A program that is missing, broken or cannot take over: nothing happens, and the reason is
/// told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which one
    #[arg(value_name = "NODE", required_unless_present = "all", conflicts_with = "all")]
    pub node: Option<String>,
    /// All of them: the standbys first, the active one last
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub asked: Asked,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { node, all: _, changing, asked } = arguments;
    let shown = access::of(options, &before, &asked)?;
    let upgrading = Upgrading::new(client(options, before, asked)?, shown);
    let targets = match upgrading.targets(node.as_deref()) {
        Ok(targets) => targets,
        Err(refused) => return Ok(told(&refused)),
    };
    let names: Vec<&str> = targets.iter().map(|target| target.node.as_str()).collect();
    if names.is_empty() {
        output::complain("primacy: there is no node here");
        return Ok(Exit::Failed);
    }
    if !agreed(&format!("Upgrade in place, in this order: {}?", names.join(", ")), changing.yes)? {
        return Ok(not_done());
    }
    for (done, target) in targets.iter().enumerate() {
        match upgrading.upgrade(target, &account(), changing.reason.clone()) {
            Ok(upgraded) => output::print(&line(target, &upgraded.from, &upgraded.to, upgraded.took.as_secs_f64()))?,
            Err(refused) => {
                let exit = told(&refused);
                if targets.len() > 1 {
                    output::complain(&format!("primacy: not asked to upgrade: {}", names[done + 1..].join(", ")));
                }
                return Ok(exit);
            }
        }
    }
    Ok(Exit::Done)
}

fn line(target: &Target, from: &str, to: &str, took: f64) -> String {
    let what = match target.epoch {
        Some(epoch) => format!("leads on, in epoch {epoch}"),
        None => "is what it was".to_owned(),
    };
    format!("{}: {from} -> {to} in {took:.1} s, and {what}\n", target.node)
}

fn told(refused: &Refused) -> Exit {
    match refused {
        Refused::Unasked(error) => unasked(error),
        Refused::Not(why) => {
            output::complain(&format!("primacy: {why}"));
            Exit::Failed
        }
    }
}
