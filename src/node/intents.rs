//! What people want, as far as it bears on this node: an axis of its own beside the role, and never a stage of it.
//!
//! An intent holds the machine back or has it give the role away; what is then done, and in which order, is the machine's alone. So
//! no intent can shorten a way down.

/// The intents in force, and what they hold back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Intents {
    /// This node is first in the queue, and elections are paused: the machine is not told before they go on.
    pub held: bool,
    /// This node is not to lead: it does not stand, whatever its configuration says.
    #[serde(default)]
    pub isolated: bool,
}

/// What somebody wants of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// It is not to lead: it gives the role away in order, leaves the queue and stays out of it.
    Isolate,
    /// It may lead again, and stands.
    Activate,
    /// It gives away the leadership of that epoch, and of no later one, to whoever waits; then it stands again, behind them.
    StepDown { epoch: u64 },
}
