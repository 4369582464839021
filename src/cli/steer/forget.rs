//! `primacy forget`: a node that will not come back.

use clap::Args;

use super::{Changing, agreed, not_done, send};
use crate::cli::{Asked, Exit, Options, client};
use crate::output;
use crate::steering::orders::{Forget, Order};

/// Remove a node that will not come back from the known ones
///
/// Every node that has ever registered is known. One that is not here counts as missing: `status` shows it as INACTIVE, with when it
/// was last seen, and `status --check` warns. A node that registers again is known again.
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
    if !agreed(&format!("Forget {node}?"), changing.yes)? {
        return Ok(not_done());
    }
    let order = Order::Forget(Forget { node: node.clone(), reason: changing.reason });
    if let Err(exit) = send(&client, &order) {
        return Ok(exit);
    }
    output::print(&format!("{node} is forgotten\n"))?;
    Ok(Exit::Done)
}
