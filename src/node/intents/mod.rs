//! What people want, as far as it bears on this node: an axis of its own beside the role, and never a stage of it.
//!
//! An intent holds the machine back or has it give the role away; what is then done, and in which order, is the machine's alone. So
//! no intent can shorten a way down.
//!
//! | intent | what a node does about it |
//! |---|---|
//! | a pause | the machine is not told that it is elected before it ends ([`Intents::held`]) |
//! | a node state | this node's own: it drains, gives the role away, and stays out ([`own_state`]) |
//! | a switchover | the active node asks the target and gives the role away; candidates make room ([`handover`]) |
//! | the end of any | one node of the cluster removes it, by the servers' clock ([`ends`]) |

mod drain;
mod ends;
mod handover;
mod own_state;

use crate::intents::{Change, Control, Intended, WantedState, Wish};
use crate::moment::Moment;
use crate::role::End;
use crate::status::NodeState;

pub use self::handover::Handover;
pub use self::own_state::WayOut;

/// The intents in force, and what they hold back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Intents {
    /// This node is first in the queue, and elections are paused: the machine is not told before they go on.
    pub held: bool,
    /// What is wanted has been told. A node that does not know yet does not stand: it may be one that was isolated.
    #[serde(default)]
    pub known: bool,
    /// As it was told last.
    #[serde(default)]
    pub seen: Intended,
    /// What is wanted of this node alone, where nothing keeps it; and its end, which nothing keeps.
    #[serde(default)]
    pub unkept: Option<WantedState>,
    #[serde(default)]
    pub way_out: WayOut,
    #[serde(default)]
    pub handover: Handover,
    /// The election node with which this node went to the back of the queue for the sake of a switchover, and when.
    #[serde(default)]
    pub made_room: Option<(String, Moment)>,
    /// A change that was ordered, and when it is ordered again if nothing comes of it.
    #[serde(default)]
    pub ordered: Option<(Change, Moment)>,
    /// When an intent ends by itself.
    #[serde(default)]
    pub ends: Option<Moment>,
}

/// How long to wait before a change that has not been seen is ordered again.
const ORDER_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

impl Intents {
    /// What is wanted of this node; `None`: that it may lead.
    pub fn wanted(&self, node: &str) -> Option<&WantedState> {
        self.unkept.as_ref().or_else(|| self.seen.state(node))
    }

    /// Whether this node is not to lead: it does not stand, whatever its configuration says.
    pub fn isolated(&self) -> bool {
        self.way_out != WayOut::No
    }

    /// Who asked for the end of this leadership, where a person did.
    pub fn wish(&self, node: &str, epoch: u64, end: End) -> Option<Wish> {
        match end {
            End::Switchover => {
                let switchover = self.seen.control.switchover.as_ref();
                switchover.filter(|wanted| wanted.expect_epoch == epoch).map(|wanted| wanted.wish.clone())
            }
            End::Isolated => self.wanted(node).map(|wanted| wanted.wish.clone()),
            End::Stopped
            | End::CoordinatorExited
            | End::CoordinatorUnhealthy
            | End::StartFailed
            | End::SupervisorLost
            | End::LeaseExpired
            | End::SessionExpired
            | End::VolumeLost
            | End::ElectionNodeDeleted => None,
        }
    }

    pub fn deadline(&self) -> Option<Moment> {
        let room = self.made_room.as_ref().map(|(_, at)| *at + ORDER_AGAIN);
        let again = self.ordered.as_ref().map(|(_, again)| *again);
        [self.way_out.deadline(), self.handover.deadline(), room, again, self.ends].into_iter().flatten().min()
    }

    /// What was ordered and has not been seen for so long is ordered again, if it is still wanted.
    pub fn forget_what_took_too_long(&mut self, now: Moment) {
        self.ordered = self.ordered.take().filter(|(_, again)| now < *again);
        self.made_room = self.made_room.take().filter(|(_, at)| now < *at + ORDER_AGAIN);
    }

    /// A change that is to be ordered now: not one that is on its way already.
    fn order(&mut self, change: Change, now: Moment) -> Option<Change> {
        if self.ordered.as_ref().is_some_and(|(ordered, again)| *ordered == change && now < *again) {
            return None;
        }
        self.ordered = Some((change.clone(), now + ORDER_AGAIN));
        Some(change)
    }

    /// A change of `control`, guarded by what was told last.
    fn change_control(&self, change: impl FnOnce(&mut Control)) -> Change {
        let mut control = self.seen.control.clone();
        change(&mut control);
        Change { control: Some((self.seen.version, control)), ..Change::default() }
    }

    /// A change of a node's state, likewise.
    fn change_state(&self, node: &str, wanted: Option<WantedState>) -> Change {
        let version = self.seen.states.get(node).map(|(_, version)| *version);
        Change { states: [(node.to_owned(), (version, wanted))].into(), ..Change::default() }
    }
}

/// What somebody wants of this process alone.
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

/// As people are told of a node.
pub const fn shown(way_out: &WayOut, wanted: Option<NodeState>) -> NodeState {
    match (wanted, way_out) {
        (None | Some(NodeState::Active | NodeState::Inactive), _) => NodeState::Active,
        (Some(NodeState::ShuttingDown), _) => NodeState::ShuttingDown,
        (Some(NodeState::Isolated), WayOut::Out) => NodeState::Isolated,
        (Some(NodeState::Isolated | NodeState::Isolating), _) => NodeState::Isolating,
    }
}
