//! What a look at a cluster comes to, in one sentence: who leads, for how long, who could take over, and what is wrong.
//!
//! `primacy status` and the page begin with it, and `status --check` gives its [`Health`] to a monitoring system: so the two cannot disagree.
//! Nobody is said not to lead on the word of a member that cannot know ([`Sight::blind`]).

use std::time::{Duration, SystemTime};

use crate::moment::in_words;
use crate::status::{ActionView, ClusterView, MemberView, NodeState, Role, StatusWord};

/// What is said of so many nodes at most; the table has the others.
const NAMED: usize = 3;

/// In the order of what outweighs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Somebody leads, and somebody could take over.
    Ok,
    /// Somebody leads, but nobody could take over, or the cluster is paused, or a known node is missing.
    Warning,
    /// Nobody leads.
    Critical,
    /// Nobody who was asked can know.
    Unknown,
}

impl Health {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The exit code of a monitoring plugin.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// What a look at a cluster has shown.
#[derive(Clone, Debug)]
pub struct Sight {
    pub view: ClusterView,
    /// Why nobody who answered can know who is active: a member without contact knows of nobody. Nothing where somebody could,
    /// or is named.
    pub blind: Option<String>,
}

impl From<ClusterView> for Sight {
    fn from(view: ClusterView) -> Self {
        Self { view, blind: None }
    }
}

/// Which case it is, of those that operations.md has a part for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    AllIsWell,
    NobodyCouldTakeOver,
    NodeIsMissing,
    Paused,
    NobodyLeads,
    NotKnown,
    AlwaysOn,
}

impl Advice {
    pub const ALL: [Self; 7] = [
        Self::AllIsWell,
        Self::NobodyCouldTakeOver,
        Self::NodeIsMissing,
        Self::Paused,
        Self::NobodyLeads,
        Self::NotKnown,
        Self::AlwaysOn,
    ];

    /// The heading there.
    pub const fn title(self) -> &'static str {
        match self {
            Self::AllIsWell => "All is well",
            Self::NobodyCouldTakeOver => "Somebody leads, but nobody could take over",
            Self::NodeIsMissing => "A node is missing",
            Self::Paused => "The cluster is paused",
            Self::NobodyLeads => "Nobody leads",
            Self::NotKnown => "Who leads cannot be known",
            Self::AlwaysOn => "An always-on coordinator does not serve",
        }
    }
}

/// What a cluster's state comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub health: Health,
    /// One sentence, without its full stop.
    pub sentence: String,
    /// What operators have asked for, a sentence each.
    pub asked_for: Vec<String>,
    pub figures: Figures,
}

/// The same in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Somebody leads.
    pub active: bool,
    /// How long its coordinator has been ready; nothing where that is not known.
    pub leading: Option<Duration>,
    pub epoch: Option<u64>,
    /// Nodes that could take over.
    pub standbys: usize,
    /// Known nodes that are not here.
    pub missing: usize,
    pub paused: bool,
    /// Nobody is to lead: coordinators run on every host.
    pub always_on: bool,
}

impl Verdict {
    /// `now`: the time by this host's clock.
    pub fn of(Sight { view, blind }: &Sight, now: SystemTime) -> Self {
        let active = view.active.as_ref();
        let leader = active.and_then(|active| view.members.iter().find(|it| it.row.node == active.node));
        let is_leader = |member: &MemberView| active.is_some_and(|active| active.node == member.row.node);
        let beside: Vec<&MemberView> = view.members.iter().filter(|it| it.row.always_on).collect();
        if active.is_none() && blind.is_none() && !beside.is_empty() && beside.len() == view.members.len() {
            return Self::of_always_on(view, &beside, now);
        }
        let (missing, others): (Vec<&MemberView>, Vec<&MemberView>) =
            view.members.iter().filter(|it| !is_leader(it)).partition(|it| it.row.state == NodeState::Inactive);
        let (able, unable): (Vec<&MemberView>, Vec<&MemberView>) =
            others.into_iter().filter(|it| !it.row.always_on).partition(|it| could_take_over(it));
        let leading = leader.and_then(|leader| age(&leader.row.since, now));

        let mut health = Health::Ok;
        let mut sentence = match (active, blind) {
            (Some(active), _) => {
                let time = leading.map(|it| format!(" for {}", in_words(whole_seconds(it)))).unwrap_or_default();
                format!("{} leads cluster {}{time} (epoch {})", active.node, view.cluster, active.epoch)
            }
            (None, Some(why)) => {
                health = Health::Unknown;
                format!("who leads cluster {} cannot be known: {why}", view.cluster)
            }
            (None, None) => {
                health = Health::Critical;
                format!("nobody leads cluster {}", view.cluster)
            }
        };
        if active.is_some() && view.paused {
            sentence += ", and no other node takes over while that lasts";
        } else if active.is_some() {
            match able.len() {
                0 => {
                    health = health.max(Health::Warning);
                    sentence += ", but nobody could take over";
                    if view.members.len() <= 1 {
                        sentence += ": there is no other node";
                    }
                }
                1 => sentence += &format!(", {} could take over", able[0].row.node),
                many => sentence += &format!(", {many} standbys could take over"),
            }
        }
        let mut wrong = Vec::new();
        wrong.extend(leader.filter(|it| it.row.status != StatusWord::Ok || !it.row.ready).map(of_a_node));
        wrong.extend(unable.iter().filter(|it| !is_taken_out(it)).map(|it| of_a_node(it)));
        if active.is_none() && blind.is_none() {
            wrong.extend(able.iter().map(|it| of_a_node(it)));
        }
        wrong.extend(beside.iter().filter(|it| !serves(it) && !is_taken_out(it)).map(|it| of_a_node(it)));
        wrong.extend(missing.iter().map(|it| absent(it, now)));
        if !missing.is_empty() {
            health = health.max(Health::Warning);
        }
        let more = wrong.len().saturating_sub(NAMED);
        wrong.truncate(NAMED);
        for (index, part) in wrong.iter().enumerate() {
            sentence += if index == 0 && active.is_none() && blind.is_none() { ": " } else { "; " };
            sentence += part;
        }
        if more > 0 {
            sentence += &format!("; and {more} more");
        }
        if view.paused {
            health = health.max(Health::Warning);
        }
        let figures = Figures {
            active: active.is_some(),
            leading,
            epoch: active.map(|active| active.epoch).or(view.epoch),
            standbys: able.len(),
            missing: missing.len(),
            paused: view.paused,
            always_on: false,
        };
        Self { health, sentence, asked_for: asked_for(view, now), figures }
    }

    /// Nobody is to lead: a coordinator runs on every host.
    fn of_always_on(view: &ClusterView, members: &[&MemberView], now: SystemTime) -> Self {
        let (missing, here): (Vec<&MemberView>, Vec<&MemberView>) =
            members.iter().copied().partition(|it| it.row.state == NodeState::Inactive);
        let serving = here.iter().filter(|it| serves(it)).count();
        let ill: Vec<&MemberView> = here.into_iter().filter(|it| !serves(it) && !is_taken_out(it)).collect();
        let health = match (serving, ill.is_empty() && missing.is_empty()) {
            (0, _) => Health::Critical,
            (_, false) => Health::Warning,
            (_, true) => Health::Ok,
        };
        let mut sentence =
            format!("{serving} of {} always-on coordinators of cluster {} serve", members.len(), view.cluster);
        let wrong = ill.into_iter().map(of_a_node).chain(missing.iter().map(|it| absent(it, now)));
        let wrong: Vec<String> = wrong.collect();
        for part in wrong.iter().take(NAMED) {
            sentence += &format!("; {part}");
        }
        if wrong.len() > NAMED {
            sentence += &format!("; and {} more", wrong.len() - NAMED);
        }
        let figures = Figures { paused: view.paused, missing: missing.len(), always_on: true, ..Figures::default() };
        Self { health, sentence, asked_for: asked_for(view, now), figures }
    }

    /// The words that a person reads first. A pause is louder than what it causes.
    pub fn headline(&self) -> String {
        format!("{}: {}", self.word(), self.sentence)
    }

    /// Its first word.
    pub const fn word(&self) -> &'static str {
        match self.health {
            Health::Warning if self.figures.paused => "PAUSED",
            health => health.as_str(),
        }
    }

    /// What there is to read about it.
    pub const fn advice(&self) -> Advice {
        match (self.health, &self.figures) {
            (Health::Unknown, _) => Advice::NotKnown,
            (Health::Ok, _) => Advice::AllIsWell,
            (_, Figures { always_on: true, .. }) => Advice::AlwaysOn,
            (Health::Critical, _) => Advice::NobodyLeads,
            (Health::Warning, Figures { paused: true, .. }) => Advice::Paused,
            (Health::Warning, Figures { standbys: 0, .. }) => Advice::NobodyCouldTakeOver,
            (Health::Warning, _) => Advice::NodeIsMissing,
        }
    }
}

/// A good standby; with `election = "lock"` whoever waits for the lock.
fn could_take_over(MemberView { row, .. }: &MemberView) -> bool {
    let waits = row.role == Role::Promoting && row.status == StatusWord::WaitingForLock;
    row.state == NodeState::Active && (row.role == Role::Standby && row.eligible || waits)
}

/// Its coordinator is ready.
fn serves(MemberView { row, .. }: &MemberView) -> bool {
    row.role == Role::Active && row.ready && row.state == NodeState::Active
}

/// By an operator: that is no fault.
fn is_taken_out(MemberView { row, .. }: &MemberView) -> bool {
    row.state != NodeState::Active
}

fn of_a_node(MemberView { row, .. }: &MemberView) -> String {
    if row.reason.is_empty() {
        format!("{} is {}", row.node, row.status.as_str())
    } else {
        format!("{}: {}", row.node, row.reason.trim_end_matches('.'))
    }
}

fn absent(member: &MemberView, now: SystemTime) -> String {
    match last_seen(member, now) {
        Some(age) => format!("{} is missing, last seen {} ago", member.row.node, in_words(whole_seconds(age))),
        None => format!("{} is missing", member.row.node),
    }
}

/// How long ago a member that is gone was seen last.
fn last_seen(MemberView { row, last_contact_ms }: &MemberView, now: SystemTime) -> Option<Duration> {
    last_contact_ms.map(Duration::from_millis).or_else(|| age(&row.since, now))
}

/// A sentence per thing that an operator has asked for.
fn asked_for(view: &ClusterView, now: SystemTime) -> Vec<String> {
    let mut told = Vec::new();
    let of_kind = |kind: &str| view.action.as_ref().filter(|action| action.kind == kind);
    if view.paused {
        let why = of_kind("pause").map(|action| by_whom(action, now)).unwrap_or_default();
        told.push(format!("PAUSED: no elections and no fail-over until the pause ends{why}; `primacy resume` ends it"));
    }
    if let Some(switchover) = &view.switchover {
        let to = switchover.get("to").and_then(serde_json::Value::as_str);
        let to = to.map(|node| format!(" to {node}")).unwrap_or_default();
        let why = of_kind("switchover").map(|action| by_whom(action, now)).unwrap_or_default();
        told.push(format!("SWITCHOVER{to} is asked for{why}; `primacy switchover --cancel` calls it off"));
    }
    let taken_out = |member: &&MemberView| !matches!(member.row.state, NodeState::Active | NodeState::Inactive);
    for member in view.members.iter().filter(taken_out) {
        let action = view.action.as_ref().filter(|action| action.node.as_ref() == Some(&member.row.node));
        let why = action.map(|action| by_whom(action, now)).unwrap_or_default();
        told.push(format!("{}: {} by an operator{why}", member.row.state.as_str(), member.row.node));
    }
    if let Some(action) = &view.action
        && !["pause", "switchover", "isolate", "shutdown"].contains(&action.kind.as_str())
    {
        let of = action.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
        told.push(format!("{}{of} is under way{}", action.kind.to_uppercase(), by_whom(action, now)));
    }
    told
}

/// ` (asked for by alice 3 min ago, ends in 2 h: patching)`.
fn by_whom(action: &ActionView, now: SystemTime) -> String {
    let mut text = format!(" (asked for by {}", action.by);
    if let Some(age) = age(&action.at, now) {
        text += &format!(" {} ago", in_words(whole_seconds(age)));
    }
    if let Some(until) = action.until.as_deref().and_then(|until| humantime::parse_rfc3339(until).ok()) {
        let left = until.duration_since(now).unwrap_or_default();
        text += &format!(", ends in {}", in_words(whole_seconds(left)));
    }
    if let Some(reason) = action.reason.as_deref().filter(|it| !it.is_empty()) {
        text += &format!(": {}", reason.trim_end_matches('.'));
    }
    text + ")"
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// How long ago that was; nothing where it is no time. What lies ahead by another host's clock has just happened.
pub fn age(text: &str, now: SystemTime) -> Option<Duration> {
    humantime::parse_rfc3339(text).ok().map(|at| now.duration_since(at).unwrap_or_default())
}

#[cfg(test)]
mod tests;
