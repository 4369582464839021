//! `primacy confirm-fenced`: a person's word that a former active is off.

use clap::Args;

use super::{Changing, agreed_by_name, not_done, send};
use crate::cli::{Asked, Exit, Options, client};
use crate::output;
use crate::steering::orders::{ConfirmFenced, Order};

/// Vouch that a former active is off, where the fencing command cannot succeed
///
/// With `fencing.required` nobody starts after an active that did not end in order before the fencing command has succeeded. Where it
/// cannot (the power switch is broken, too, say), somebody who has made sure by other means says so here. The next candidate then starts
/// without it. The word counts for that leadership on that host, and for nothing later; it is noted in the history. If it is wrong, two
/// coordinators may write at once.
#[derive(Debug, Args)]
pub struct Arguments {
    #[arg(value_name = "NODE")]
    pub node: String,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub asked: Asked,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { node, changing, asked } = arguments;
    let client = client(options, before, asked)?;
    let question =
        format!("{node} is off, or its access to the volume is cut, and stays so until a person brings it back");
    if !agreed_by_name(&question, &node, changing.yes)? {
        return Ok(not_done());
    }
    let order = Order::ConfirmFenced(ConfirmFenced { node: node.clone(), reason: changing.reason });
    let answer = match send(&client, &order) {
        Ok(answer) => answer,
        Err(exit) => return Ok(exit),
    };
    let again = if answer.body["changed"] == false { " already" } else { "" };
    output::print(&format!(
        "{node} (epoch {}) is vouched for{again}: the next candidate starts without fencing it, at the latest after coordinator.backoff.max\n",
        answer.body["epoch"]
    ))?;
    Ok(Exit::Done)
}
