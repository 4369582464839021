//! `primacy isolate`, `activate`, `shutdown`: the node states.

use std::time::Duration;

use clap::Args;

use super::{Changing, agreed, not_done, send, unasked};
use crate::cli::{Asked, Exit, Options, client};
use crate::client::Client;
use crate::clock;
use crate::output;
use crate::status::{ClusterView, MemberRow, NodeState, Role};
use crate::steering::orders::{Order, State};

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(250);

/// A node that was no member for so long does not run.
const GONE: Duration = Duration::from_secs(2);

/// Take a node out: it drains, gives the role away, and stays out until it is activated, over restarts, too
#[derive(Debug, Args)]
pub struct IsolateArguments {
    #[command(flatten)]
    pub out: Out,
    /// It may lead again by itself after so long, by the ensemble's clock
    #[arg(long = "for", value_name = "TIME")]
    pub lasts: Option<String>,
}

/// End a node's supervisor: it drains, gives the role away, and exits with 0
#[derive(Debug, Args)]
pub struct ShutdownArguments {
    #[command(flatten)]
    pub out: Out,
}

/// Let an isolated node lead again; it takes the role from nobody
#[derive(Debug, Args)]
pub struct ActivateArguments {
    #[command(flatten)]
    pub of: Of,
}

#[derive(Debug, Args)]
pub struct Of {
    #[arg(value_name = "NODE")]
    pub node: String,
    #[command(flatten)]
    pub changing: Changing,
    /// Do not wait for the end of it
    #[arg(long, conflicts_with = "wait")]
    pub detach: bool,
    /// Wait until it is done, and say what it waits for (this is the default)
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Debug, Args)]
pub struct Out {
    #[command(flatten)]
    pub of: Of,
    /// Without draining
    #[arg(long)]
    pub now: bool,
    /// Also the last one that could lead; asks nothing
    #[arg(long)]
    pub force: bool,
}

pub fn isolate(options: &Options, before: Asked, arguments: IsolateArguments) -> anyhow::Result<Exit> {
    let IsolateArguments { out: Out { of, now, force }, lasts } = arguments;
    let state = State { state: NodeState::Isolating, lasts, now, force, reason: None };
    go(options, before, of, state, |node| format!("Take {node} out?"))
}

pub fn shutdown(options: &Options, before: Asked, arguments: ShutdownArguments) -> anyhow::Result<Exit> {
    let ShutdownArguments { out: Out { of, now, force } } = arguments;
    let state = State { state: NodeState::ShuttingDown, lasts: None, now, force, reason: None };
    go(options, before, of, state, |node| format!("End the supervisor of {node}?"))
}

pub fn activate(options: &Options, before: Asked, arguments: ActivateArguments) -> anyhow::Result<Exit> {
    let state = State { state: NodeState::Active, lasts: None, now: false, force: false, reason: None };
    go(options, before, arguments.of, state, |node| format!("Let {node} lead again?"))
}

fn go(
    options: &Options,
    before: Asked,
    of: Of,
    state: State,
    question: impl Fn(&str) -> String,
) -> anyhow::Result<Exit> {
    let Of { node, changing, detach, wait: _, asked } = of;
    let client = client(options, before, asked)?;
    if !agreed(&question(&node), changing.yes || state.force)? {
        return Ok(not_done());
    }
    let wanted = state.state;
    let order = Order::State { node: node.clone(), state: State { reason: changing.reason, ..state } };
    Ok(match send(&client, &order) {
        Err(exit) => exit,
        Ok(_) if detach => Exit::Done,
        Ok(_) => follow(&client, &node, wanted)?,
    })
}

/// Until it is so. What it waits for is told when it changes.
fn follow(client: &Client, node: &str, wanted: NodeState) -> anyhow::Result<Exit> {
    let mut told = String::new();
    let mut missing_since = None;
    loop {
        let view = match client.cluster() {
            Ok(view) => view,
            Err(error) => return Ok(unasked(&error)),
        };
        let row = row(&view, node);
        if row.is_some() {
            missing_since = None;
        } else {
            // Between two sessions a node is no member for a moment, although it runs.
            let since = *missing_since.get_or_insert_with(clock::now);
            if clock::now().since(since) < GONE {
                std::thread::sleep(AGAIN);
                continue;
            }
        }
        if is_so(row, wanted) {
            let text = match (row, wanted) {
                (None, NodeState::Active) => format!("{node} does not run; it may lead again once it does\n"),
                (None, _) => format!("{node} does not run any more\n"),
                (Some(row), _) => format!("{node} is {}: {}\n", row.state.as_str(), row.reason),
            };
            output::print(&text)?;
            return Ok(Exit::Done);
        }
        if let Some(row) = row.filter(|row| row.reason != told) {
            output::complain(&format!("{node}: {}", row.reason));
            told.clone_from(&row.reason);
        }
        std::thread::sleep(AGAIN);
    }
}

fn row<'a>(view: &'a ClusterView, node: &str) -> Option<&'a MemberRow> {
    let here = view.members.iter().map(|member| &member.row).filter(|row| row.state != NodeState::Inactive);
    here.into_iter().find(|row| row.node == node)
}

fn is_so(row: Option<&MemberRow>, wanted: NodeState) -> bool {
    match (row, wanted) {
        (None, _) => true,
        (Some(row), NodeState::Active) => row.state == NodeState::Active,
        (Some(row), NodeState::Isolated | NodeState::Isolating) => {
            row.state == NodeState::Isolated && row.role == Role::Standby
        }
        (Some(_), NodeState::ShuttingDown | NodeState::Inactive) => false,
    }
}
