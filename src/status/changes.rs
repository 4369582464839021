//! What `/events` tells of a cluster, as plain data: three kinds of news, each of which carries the whole of what it is about.
//! So whoever keeps the latest of each kind, node and epoch knows the cluster, whatever was missed in between.

use serde::{Deserialize, Serialize};

use super::{ActionView, ActiveView, ClusterView, HistoryEntry, MemberView};

/// `/cluster` without its members: who leads, and what operators have asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlView {
    pub cluster: String,
    pub epoch: Option<u64>,
    pub active: Option<ActiveView>,
    pub paused: bool,
    pub switchover: Option<serde_json::Value>,
    pub action: Option<ActionView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_switchover: Option<serde_json::Value>,
}

impl ControlView {
    pub fn of(view: &ClusterView) -> Self {
        Self {
            cluster: view.cluster.clone(),
            epoch: view.epoch,
            active: view.active.clone(),
            paused: view.paused,
            switchover: view.switchover.clone(),
            action: view.action.clone(),
            last_switchover: view.last_switchover.clone(),
        }
    }
}

/// The event `control`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlNews {
    #[serde(flatten)]
    pub control: ControlView,
    /// The whole state follows, up to the first event with an id: what was known before is void.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full_state: bool,
    /// RFC 3339: when the member that tells it has seen it.
    pub seen_at: String,
}

/// The event `member`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberNews {
    #[serde(flatten)]
    pub member: MemberView,
    /// It is none of the known nodes any more; the row is its last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    pub seen_at: String,
}

/// The event `transition`: a leadership has begun or ended, or more is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionNews {
    #[serde(flatten)]
    pub entry: HistoryEntry,
    pub seen_at: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    Control(ControlNews),
    Member(MemberNews),
    Transition(TransitionNews),
}

impl News {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Control(_) => "control",
            Self::Member(_) => "member",
            Self::Transition(_) => "transition",
        }
    }

    /// Its data, on one line.
    pub fn json(&self) -> String {
        let json = match self {
            Self::Control(news) => serde_json::to_string(news),
            Self::Member(news) => serde_json::to_string(news),
            Self::Transition(news) => serde_json::to_string(news),
        };
        json.unwrap_or_else(|_| "{}".to_owned())
    }

    /// As it was sent. `None` for an event of another name, which a later version may have.
    ///
    /// # Errors
    /// Data that is not of that event.
    pub fn parse(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "control" => Self::Control(serde_json::from_str(data)?),
            "member" => Self::Member(serde_json::from_str(data)?),
            "transition" => Self::Transition(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}
