//! What people want, as far as it bears on this node: an axis of its own beside the role, and never a stage of it.

/// The intents in force, and what they hold back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Intents {
    /// This node is first in the queue, and elections are paused: the machine is not told before they go on.
    pub held: bool,
}
