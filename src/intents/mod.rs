//! What people want of the cluster and of its nodes: who wants it, since when, why, and until when. It is kept in ZooKeeper
//! (`control`, `states/NODE`), outlives every process, and ends by itself where an end was given.
//!
//! Plain data. What may be asked for is in [`decide`]; what a node does about it is the node's.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::host::HostIdentity;
use crate::status::{ActionView, NodeState};

pub mod adoption;
pub mod decide;
pub mod vouching;

/// Who asked, when, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wish {
    /// The token's name, or the account.
    #[serde(default)]
    pub by: String,
    /// RFC 3339.
    #[serde(default)]
    pub at: String,
    #[serde(default)]
    pub reason: Option<String>,
}

impl Wish {
    /// As in `; asked for by alice: new kernel`.
    pub fn in_words(&self) -> String {
        let by = if self.by.is_empty() { "somebody" } else { &self.by };
        match &self.reason {
            Some(reason) => format!("asked for by {by}: {reason}"),
            None => format!("asked for by {by}"),
        }
    }
}

/// `paused` of `control`: no promotions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    #[serde(flatten)]
    pub wish: Wish,
    /// RFC 3339; `None` where only a person ends it.
    #[serde(default)]
    pub until: Option<String>,
}

/// `switchover` of `control`: the role is to go to this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Switchover {
    pub to: String,
    /// RFC 3339; `None`: at once.
    #[serde(default)]
    pub not_before: Option<String>,
    /// The epoch that is to end. It binds: another one makes the wish void.
    pub expect_epoch: u64,
    /// Without draining.
    #[serde(default)]
    pub now: bool,
    #[serde(flatten)]
    pub wish: Wish,
    /// How often the active node has asked the target whether it is ready.
    #[serde(default)]
    pub asked: u64,
}

/// `ended` of `control`: what became of the last switchover.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    pub to: String,
    pub expect_epoch: u64,
    #[serde(flatten)]
    pub wish: Wish,
    /// RFC 3339.
    pub ended: String,
    /// Why nobody was stopped for it; `None`: another epoch has begun.
    #[serde(default)]
    pub failed: Option<String>,
}

/// `vouched` of `control`: a person's word that a former active is off, where no fencing command can succeed. It counts for one
/// leadership: its node, epoch and host, as the breadcrumb named them when the word was given. What leads later under the same name
/// has not been vouched for. Versions that do not know it drop it, and fence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vouched {
    pub node: String,
    pub epoch: u64,
    /// `None` where the breadcrumb did not say it.
    #[serde(default)]
    pub host: Option<HostIdentity>,
    #[serde(flatten)]
    pub wish: Wish,
}

impl Vouched {
    /// Whether it is this very leadership that was vouched for.
    pub fn covers(&self, node: &str, epoch: u64, host: Option<&HostIdentity>) -> bool {
        self.node == node && self.epoch == epoch && self.host.as_ref() == host
    }

    /// As in `alice vouches that it is off (the plug is pulled)`.
    pub fn in_words(&self) -> String {
        let by = if self.wish.by.is_empty() { "somebody" } else { &self.wish.by };
        let why = self.wish.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        format!("{by} vouches that it is off{why}")
    }
}

/// `control`. A field without a value is left out: versions that knew `paused` as true or false would take a null for a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    #[serde(deserialize_with = "pause", skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    #[serde(deserialize_with = "understood", skip_serializing_if = "Option::is_none")]
    pub switchover: Option<Switchover>,
    #[serde(deserialize_with = "understood", skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    #[serde(deserialize_with = "understood", skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

/// What another version writes in another way is not carried out; that it holds no pause is understood all the same.
fn understood<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// A plain `true` of before still means paused.
fn pause<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pause>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Plain(bool),
        Told(Pause),
    }
    Ok(match Option::deserialize(deserializer)? {
        None | Some(Either::Plain(false)) => None,
        Some(Either::Plain(true)) => Some(Pause::default()),
        Some(Either::Told(pause)) => Some(pause),
    })
}

impl Control {
    /// An absent node means: nothing is wanted. An unreadable one is taken for a pause, for somebody wanted something.
    pub fn parse(data: Option<&[u8]>) -> Self {
        match data {
            None | Some(b"") => Self::default(),
            // The whole first: what belongs to no field is not looked at otherwise, not even for being JSON.
            Some(data) => serde_json::from_slice::<serde_json::Value>(data)
                .and_then(|_| serde_json::from_slice(data))
                .unwrap_or_else(|_| Self { paused: Some(Pause::default()), ..Self::default() }),
        }
    }
}

/// `states/NODE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WantedState {
    pub state: NodeState,
    /// Without draining.
    #[serde(default)]
    pub now: bool,
    #[serde(flatten)]
    pub wish: Wish,
    /// RFC 3339; `None` where only a person ends it.
    #[serde(default)]
    pub until: Option<String>,
}

impl WantedState {
    /// By nobody in particular.
    pub fn plain(state: NodeState) -> Self {
        Self { state, now: false, wish: Wish::default(), until: None }
    }

    /// One that cannot be read is somebody's who wanted the node out.
    pub fn parse(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or_else(|_| Self::plain(NodeState::Isolated))
    }
}

/// What is asked of this very process, and kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A node state where there is no store for it.
    State(WantedState),
    /// The configuration is to be read again; of requests that are answered together the greatest number counts.
    Reload { number: u64 },
    /// A fault, to see what comes of it.
    Rehearse { fault: Fault, by: String },
    /// The program at its path is to be executed anew, in this very process; 0 where nobody waits for an answer.
    Upgrade { number: u64, by: String, reason: Option<String> },
}

/// A fault that is made on purpose, on the active node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its coordinator's main process is killed.
    Coordinator,
    /// Its supervisor is killed.
    Supervisor,
    /// Its supervisor is frozen until its session is over.
    Freeze,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Coordinator, Self::Supervisor, Self::Freeze];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Supervisor => "supervisor",
            Self::Freeze => "freeze",
        }
    }
}

/// All of it, as it was read, with what guards a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intended {
    pub control: Control,
    /// `None` while there is no such node.
    pub version: Option<i32>,
    /// The transaction that wrote `control` last: no two of them have the same.
    pub written: i64,
    /// By node, with the version.
    pub states: BTreeMap<String, (WantedState, i32)>,
}

impl Intended {
    /// What is wanted of a node; `None`: that it may lead.
    pub fn state(&self, node: &str) -> Option<&WantedState> {
        self.states.get(node).map(|(wanted, _)| wanted).filter(|wanted| wanted.state != NodeState::Active)
    }
}

impl Intended {
    /// What is under way or lasts, the most urgent to know first.
    pub fn action(&self) -> Option<ActionView> {
        let view = |kind: &str, node: Option<&String>, wish: &Wish, until: Option<&String>| ActionView {
            kind: kind.to_owned(),
            node: node.cloned(),
            by: wish.by.clone(),
            at: wish.at.clone(),
            reason: wish.reason.clone(),
            until: until.cloned(),
        };
        if let Some(switchover) = &self.control.switchover {
            return Some(view("switchover", Some(&switchover.to), &switchover.wish, None));
        }
        if let Some(pause) = &self.control.paused {
            return Some(view("pause", None, &pause.wish, pause.until.as_ref()));
        }
        let (node, (wanted, _)) = self.states.iter().find(|(_, (wanted, _))| wanted.state != NodeState::Active)?;
        let kind = if wanted.state == NodeState::ShuttingDown { "shutdown" } else { "isolate" };
        Some(view(kind, Some(node), &wanted.wish, wanted.until.as_ref()))
    }
}

/// A change, guarded by what it was decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// The version that was read, and what is to be there.
    pub control: Option<(Option<i32>, Control)>,
    /// By node: the version that was read, and what is to be there; `None`: nothing.
    pub states: BTreeMap<String, (Option<i32>, Option<WantedState>)>,
}

/// RFC 3339, as moments of the wall clock are written everywhere.
pub fn moment(text: &str) -> Option<std::time::SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// What the queue of the election is sorted on, as Curator's LeaderLatch does: whatever follows the last `latch-`.
pub fn queue_key(name: &str) -> &str {
    name.rfind("latch-").map_or(name, |at| &name[at + "latch-".len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_versions_wrote_is_read_and_what_is_written_they_can_read() {
        let plain = Control::parse(Some(br#"{"paused":true,"switchover":null}"#));
        assert_eq!(plain.paused, Some(Pause::default()));
        let other = Control::parse(Some(br#"{"paused":false,"switchover":{"to":7}}"#));
        assert_eq!(other, Control::default(), "what is not understood is not carried out, and is no pause");
        // They took everything but true and false for a pause, a null as well.
        assert_eq!(serde_json::to_string(&Control::default()).unwrap(), "{}");
        let pause = Pause { wish: Wish { by: "alice".into(), ..Wish::default() }, until: None };
        let control = Control { paused: Some(pause), ..Control::default() };
        let written = serde_json::to_vec(&control).unwrap();
        assert_eq!(Control::parse(Some(&written)), control);
    }

    #[test]
    fn a_state_that_cannot_be_read_keeps_the_node_out() {
        assert_eq!(WantedState::parse(b"?").state, NodeState::Isolated);
        let written = serde_json::to_vec(&WantedState::plain(NodeState::Isolating)).unwrap();
        assert_eq!(WantedState::parse(&written), WantedState::plain(NodeState::Isolating));
    }
}
