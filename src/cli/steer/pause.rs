//! `primacy pause` and `primacy resume`: maintenance of the cluster.

use clap::Args;

use super::{Changing, agreed, not_done, send};
use crate::cli::{Asked, Exit, Options, client};
use crate::output;
use crate::steering::orders::{Order, Pause, Resume};

/// Suspend promotions: nobody becomes active until `primacy resume`, or until the time is over
#[derive(Debug, Args)]
pub struct PauseArguments {
    /// It ends by itself after so long, by the ensemble's clock
    #[arg(long = "for", value_name = "TIME")]
    pub lasts: Option<String>,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub asked: Asked,
}

/// End a pause
#[derive(Debug, Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub asked: Asked,
}

pub fn pause(options: &Options, before: Asked, arguments: PauseArguments) -> anyhow::Result<Exit> {
    let client = client(options, before, arguments.asked)?;
    if !agreed("While elections are paused nobody takes over from a node that fails. Pause?", arguments.changing.yes)? {
        return Ok(not_done());
    }
    let order = Order::Pause(Pause { lasts: arguments.lasts.clone(), reason: arguments.changing.reason });
    Ok(match send(&client, &order) {
        Err(exit) => exit,
        Ok(_) => {
            let until =
                arguments.lasts.map_or_else(|| "until `primacy resume`".to_owned(), |lasts| format!("for {lasts}"));
            output::print(&format!("elections are paused {until}\n"))?;
            Exit::Done
        }
    })
}

pub fn resume(options: &Options, before: Asked, arguments: ResumeArguments) -> anyhow::Result<Exit> {
    let client = client(options, before, arguments.asked)?;
    if !agreed("Let elections go on?", arguments.changing.yes)? {
        return Ok(not_done());
    }
    Ok(match send(&client, &Order::Resume(Resume { reason: arguments.changing.reason })) {
        Err(exit) => exit,
        Ok(answer) => {
            let changed = answer.body["changed"] == true;
            output::print(if changed { "elections go on\n" } else { "elections were not paused\n" })?;
            Exit::Done
        }
    })
}
