//! The commands that change what people want of the cluster: what they share.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use nix::unistd::{Uid, User};

use super::Exit;
use super::exit::Usage;
use crate::client::sending::words;
use crate::client::{Client, Error};
use crate::output;
use crate::steering::orders::{Answer, Order};

pub mod confirm_fenced;
pub mod forget;
pub mod pause;
pub mod rehearse;
pub mod states;
pub mod switchover;
pub mod upgrade;

#[derive(Debug, Args)]
pub struct Changing {
    /// Why: kept as long as it lasts, shown wherever it shows, and noted in the history
    #[arg(short = 'm', long = "message", value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Asks on a terminal; elsewhere only what was agreed to on the command line is done.
pub fn agreed(question: &str, already: bool) -> anyhow::Result<bool> {
    if already {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage("nobody can be asked here (standard input is no terminal): say --yes".to_owned()).into());
    }
    output::complain(&format!("{question} [y/N]"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// As [`agreed`], but a name has to be typed: what follows cannot be taken back.
fn agreed_by_name(question: &str, name: &str, already: bool) -> anyhow::Result<bool> {
    if already {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage("nobody can be asked here (standard input is no terminal): say --yes".to_owned()).into());
    }
    output::complain(&format!("{question}; type {name} to go on:"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == name)
}

/// The account on this host.
fn account() -> String {
    let user = User::from_uid(Uid::current()).ok().flatten();
    let name = user.map_or_else(|| Uid::current().to_string(), |user| user.name);
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    format!("{name}@{host}")
}

/// Sends an order. The answer, or how the command ends.
fn send(client: &Client, order: &Order) -> Result<Answer, Exit> {
    match client.send(order, &account()) {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(answer),
        Ok(answer) => {
            output::complain(&format!("primacy: {}", words(&answer)));
            tell_reasons(&answer);
            Err(match answer.status {
                400 => Exit::Usage,
                503 | 504 => Exit::CouldNotAsk,
                _ => Exit::Failed,
            })
        }
        Err(error) => Err(unasked(&error)),
    }
}

fn unasked(error: &Error) -> Exit {
    output::complain(&format!("primacy: {error}"));
    if error.could_not_ask() { Exit::CouldNotAsk } else { Exit::Failed }
}

fn tell_reasons(answer: &Answer) {
    let reasons = answer.body.get("reasons").and_then(|reasons| reasons.as_object());
    for (node, why) in reasons.into_iter().flatten() {
        output::complain(&format!("  {node}: {}", why.as_str().unwrap_or_default()));
    }
}

fn not_done() -> Exit {
    output::complain("primacy: nothing was changed");
    Exit::Failed
}
