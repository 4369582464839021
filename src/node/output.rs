//! All that a node can want.

use std::sync::Arc;

use crate::config::{Config, HealthProbe};
use crate::election::port as election;
use crate::guardian::protocol::{GuardianOrder, Settings};
use crate::role::Exit;
use crate::warm::order::Order;

use super::say::Say;

/// Something to be done. Whoever does it does not wait for it: what comes of it is another input.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a few at a time, and they are taken out at once")]
pub enum Output {
    /// A line of the log.
    Say(Say),
    /// For the guardian, to be sent together with what else is ordered now.
    Guardian(#[serde(serialize_with = "crate::redacted::serialize_order")] GuardianOrder),
    /// Let go of the guardian there is, and start another.
    StartGuardian(#[serde(serialize_with = "crate::redacted::serialize_settings")] Box<Settings>),
    /// SIGKILL to the guardian.
    KillGuardian,
    Election(election::ElectionOrder),
    /// Start another election backend: there is none.
    StartElection,
    /// Kill what a dead guardian has left. `leadership`: whose end is to be told when nothing is left.
    KillOrphans {
        leadership: Option<u64>,
    },
    /// Ask the coordinator how it is.
    Ask {
        question: u64,
        probe: HealthProbe,
        timeout: std::time::Duration,
    },
    /// Have the volume's lock tried against the host of another node.
    TestPeer {
        node: String,
        host: String,
    },
    /// Keep this in the page cache, and nothing else; `None`: nothing.
    KeepWarm(Option<Order>),
    /// Read the configuration again.
    ReadConfiguration,
    /// This configuration is in force from now on.
    Reconfigured(Arc<Config>),
    /// What people can see has changed: [`super::Node::snapshot`] is for this host.
    Publish,
    /// What the service manager is told.
    Status(String),
    /// The service manager is told that this process is about to end.
    Stopping,
    /// Ask the program at its path whether it would take over.
    CheckProgram,
    /// End this process. Nothing comes after it.
    Exit(Exit),
    /// Execute the program at its path anew, in this process. Nothing comes after it.
    Execute,
}
