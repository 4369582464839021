//! `primacy switchover`: a planned hand-over.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Changing, agreed, not_done, send, unasked};
use crate::cli::{Asked, Exit, Options, client};
use crate::client::Client;
use crate::clock;
use crate::output;
use crate::steering::following::{Ended, Following};
use crate::steering::orders::{Answer, Cancel, Order, Switchover};

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(200);

/// Hand the role over to another node; nobody is stopped before that one has said that it is ready
#[derive(Debug, Args)]
pub struct Arguments {
    /// To this node; default: the best candidate
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// Without draining
    #[arg(long)]
    pub now: bool,
    /// Not before: RFC 3339, or from now on, as in +30m
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Only while this epoch lasts
    #[arg(long, value_name = "EPOCH")]
    pub expect_epoch: Option<u64>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Call off the one that is under way
    #[arg(long, conflicts_with_all = ["to", "now", "at", "expect_epoch", "dry_run"])]
    pub cancel: bool,
    /// Do not wait for the end of it
    #[arg(long, conflicts_with = "wait")]
    pub detach: bool,
    /// Wait until another node leads (this is the default)
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub asked: Asked,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { to, now, at, expect_epoch, dry_run, cancel, detach, wait: _, changing, asked } = arguments;
    let client = client(options, before, asked)?;
    if cancel {
        if !agreed("Call the switchover off?", changing.yes)? {
            return Ok(not_done());
        }
        return Ok(match send(&client, &Order::CancelSwitchover(Cancel { reason: changing.reason })) {
            Err(exit) => exit,
            Ok(_) => {
                output::print("the switchover is called off\n")?;
                Exit::Done
            }
        });
    }
    let scheduled = at.is_some();
    let mut order = Switchover { to, now, dry_run: true, expect_epoch, at, reason: changing.reason };
    let plan = match send(&client, &Order::Switchover(order.clone())) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    output::print(&told(&plan))?;
    let (Some(to), Some(epoch)) = (plan.body["to"].as_str(), plan.body["expect_epoch"].as_u64()) else {
        return Ok(Exit::Done);
    };
    if dry_run {
        return Ok(Exit::Done);
    }
    if !agreed(&format!("Hand over to {to}?"), changing.yes)? {
        return Ok(not_done());
    }
    // What was agreed to, and nothing that has become true since.
    (order.dry_run, order.to, order.expect_epoch) = (false, Some(to.to_owned()), Some(epoch));
    Ok(match send(&client, &Order::Switchover(order)) {
        Err(exit) => exit,
        Ok(_) if detach || scheduled => {
            output::print(&format!("the switchover to {to} is noted; `primacy switchover --cancel` calls it off\n"))?;
            Exit::Done
        }
        Ok(_) => follow(&client, to, epoch)?,
    })
}

/// What would happen, for a person.
fn told(plan: &Answer) -> String {
    let body = &plan.body;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let from = text(&body["from"]);
    let mut told = String::new();
    match body["to"].as_str() {
        Some(to) => drop(writeln!(told, "{from} leads (epoch {}); the role would go to {to}", body["expect_epoch"])),
        None => drop(writeln!(told, "{from} is the active node already")),
    }
    for (node, why) in body["candidates"].as_object().into_iter().flatten() {
        let _ = writeln!(told, "  {node:20} {}", why.as_str().unwrap_or("could take over"));
    }
    if body["to"].is_string() {
        match (body["expected_gap_ms"]["median"].as_u64(), body["expected_gap_ms"]["maximum"].as_u64()) {
            (Some(median), Some(maximum)) => {
                let _ = writeln!(told, "expected gap: {median} ms, {maximum} ms at most (the last ordered hand-overs)");
            }
            _ => told.push_str("expected gap: unknown, there was no ordered hand-over yet\n"),
        }
    }
    told
}

/// Until another node leads, or nobody is to be stopped any more.
fn follow(client: &Client, to: &str, epoch: u64) -> anyhow::Result<Exit> {
    let mut following = Following::new(epoch, clock::now());
    let ended = loop {
        let view = match client.cluster() {
            Ok(view) => view,
            Err(error) => return Ok(unasked(&error)),
        };
        if let Some(ended) = following.look(&view, || client.history().unwrap_or_default(), clock::now()) {
            break ended;
        }
        std::thread::sleep(AGAIN);
    };
    let problem = match ended {
        Ended::Done { node, epoch, gap_ms } => {
            let gap = gap_ms.map_or_else(|| "gap unknown".to_owned(), |gap| format!("gap {gap} ms"));
            output::print(&format!("{node} leads, epoch {epoch}, {gap}\n"))?;
            if node == to {
                return Ok(Exit::Done);
            }
            format!("{to} was to lead; {node} was first")
        }
        Ended::Failed { to: _, why } => format!("nobody was stopped: {why}"),
        Ended::Cancelled => "the switchover was called off".to_owned(),
        Ended::Unknown => "its end was not seen".to_owned(),
    };
    output::complain(&format!("primacy: {problem}"));
    Ok(Exit::Failed)
}
