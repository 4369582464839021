//! Whether what somebody asks for may be had, and what is written if so. Pure: the same for the API and for commands.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Change, Control, Intended, Pause, Switchover, WantedState, Wish};
use crate::host::HostIdentity;
use crate::status::{Breadcrumb, ClusterView, EndCause, HistoryEntry, MemberRow, MemberView, NodeState, Role};

/// What a decision looks at.
#[derive(Clone, Debug)]
pub struct Picture {
    pub cluster: ClusterView<MemberView>,
    pub intended: Intended,
    pub now: SystemTime,
    /// The breadcrumb of who led last, if it can be read.
    pub last: Option<Breadcrumb>,
    /// The host of the member of that name, if one is registered and says it.
    pub last_host_today: Option<HostIdentity>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was asked for makes no sense as it is.
    Malformed(String),
    /// Something else is under way, or it is too late.
    Conflict(String),
    /// Nobody could, or not the one that was named: by candidate.
    Nobody { error: String, reasons: BTreeMap<String, String> },
    /// There is nothing of the kind.
    Absent(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) | Self::Conflict(error) | Self::Absent(error) | Self::Nobody { error, .. } => {
                f.write_str(error)
            }
        }
    }
}

/// A planned hand-over, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchoverAsked {
    /// `None`: to the best candidate there is.
    pub to: Option<String>,
    pub now: bool,
    pub at: Option<SystemTime>,
    pub expect_epoch: Option<u64>,
    pub wish: Wish,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is so already.
    Unchanged,
    Write(Box<Change>),
}

/// Every member and why the role cannot go to it, if it cannot. The active node has a reason, too: it leads already.
pub fn candidates(picture: &Picture) -> BTreeMap<String, Option<String>> {
    let reason = |row: &MemberRow| match () {
        () if row.always_on => Some("it is always on: it takes no part in elections".to_owned()),
        () if row.role == Role::Active => Some("it is the active node".to_owned()),
        () if row.state != NodeState::Active || picture.intended.state(&row.node).is_some() => {
            Some(format!("it is {}: {}", row.state.as_str(), row.reason))
        }
        () if !row.eligible => Some(row.reason.clone()),
        () => None,
    };
    picture.cluster.members.iter().map(|member| (member.row.node.clone(), reason(&member.row))).collect()
}

/// The candidate that a switchover without a target goes to: the one of highest priority, by name among equals.
fn best(picture: &Picture) -> Option<String> {
    let able = candidates(picture);
    let rows = picture.cluster.members.iter().map(|member| &member.row);
    let rows = rows.filter(|row| able.get(&row.node).is_some_and(Option::is_none));
    rows.max_by(|a, b| a.priority.cmp(&b.priority).then(b.node.cmp(&a.node))).map(|row| row.node.clone())
}

/// # Errors
/// Why it cannot be had.
pub fn switchover(picture: &Picture, asked: SwitchoverAsked) -> Result<Decision, Refusal> {
    let control = &picture.intended.control;
    if let Some(pause) = &control.paused {
        return Err(Refusal::Conflict(format!("elections are paused ({}): resume first", pause.wish.in_words())));
    }
    let reasons = || {
        let all = candidates(picture).into_iter();
        all.map(|(node, why)| (node, why.unwrap_or_else(|| "it could take over".to_owned()))).collect()
    };
    let nobody = |error: String| Refusal::Nobody { error, reasons: reasons() };
    let Some(active) = &picture.cluster.active else {
        return Err(nobody("nobody leads, so there is nothing to hand over".to_owned()));
    };
    if let Some(expected) = asked.expect_epoch.filter(|epoch| *epoch != active.epoch) {
        return Err(Refusal::Conflict(format!(
            "epoch {expected} was expected, but {} leads with epoch {}",
            active.node, active.epoch
        )));
    }
    if asked.to.as_ref() == Some(&active.node) {
        return Ok(Decision::Unchanged);
    }
    let to = match asked.to {
        None => best(picture).ok_or_else(|| nobody("no candidate could take over".to_owned()))?,
        Some(to) => match candidates(picture).get(&to) {
            None => return Err(nobody(format!("{to} is not a member of this cluster"))),
            Some(Some(why)) => return Err(nobody(format!("{to} could not take over: {why}"))),
            Some(None) => to,
        },
    };
    if let Some(other) = control.switchover.as_ref().filter(|other| other.expect_epoch == active.epoch) {
        let (by, at) = (&other.wish.by, &other.wish.at);
        return Err(Refusal::Conflict(format!("a switchover to {} is under way, by {by} since {at}", other.to)));
    }
    if asked.at.is_some_and(|at| at < picture.now) {
        return Err(Refusal::Malformed("that time has passed".to_owned()));
    }
    let switchover = Switchover {
        to,
        not_before: asked.at.map(written),
        expect_epoch: active.epoch,
        now: asked.now,
        wish: asked.wish,
        asked: 0,
    };
    Ok(Decision::Write(control_is(picture, Control { switchover: Some(switchover), ..control.clone() })))
}

/// # Errors
/// There is none, or it is too late.
pub fn cancel(picture: &Picture) -> Result<Decision, Refusal> {
    let control = &picture.intended.control;
    let bound = |other: &&Switchover| picture.cluster.active.as_ref().is_none_or(|it| it.epoch == other.expect_epoch);
    let Some(switchover) = control.switchover.as_ref().filter(bound) else {
        return Err(Refusal::Absent("no switchover is under way".to_owned()));
    };
    if picture.cluster.active.is_none() {
        let to = &switchover.to;
        return Err(Refusal::Conflict(format!(
            "too late: the coordinator is being stopped for the switchover to {to}"
        )));
    }
    Ok(Decision::Write(control_is(picture, Control { switchover: None, ..control.clone() })))
}

/// # Errors
/// Never; as the others.
pub fn pause(picture: &Picture, lasts: Option<Duration>, wish: Wish) -> Result<Decision, Refusal> {
    let until = lasts.map(|lasts| written(picture.now + lasts));
    let paused = Some(Pause { wish, until });
    Ok(Decision::Write(control_is(picture, Control { paused, ..picture.intended.control.clone() })))
}

/// # Errors
/// Never; as the others.
pub fn resume(picture: &Picture) -> Result<Decision, Refusal> {
    let control = &picture.intended.control;
    if control.paused.is_none() {
        return Ok(Decision::Unchanged);
    }
    Ok(Decision::Write(control_is(picture, Control { paused: None, ..control.clone() })))
}

/// A node state, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAsked {
    pub node: String,
    pub state: NodeState,
    pub lasts: Option<Duration>,
    pub now: bool,
    pub force: bool,
    pub wish: Wish,
}

/// # Errors
/// Why it cannot be had.
pub fn state(picture: &Picture, asked: StateAsked) -> Result<Decision, Refusal> {
    let StateAsked { node, state, lasts, now, force, wish } = asked;
    let here = picture.cluster.members.iter().map(|member| &member.row).filter(|row| row.state != NodeState::Inactive);
    let row = here.into_iter().find(|row| row.node == node);
    let kept = picture.intended.state(&node);
    // Between two sessions a node is no member for a moment; and one that does not run may be wanted out, too.
    let known = picture
        .cluster
        .absent
        .iter()
        .chain(picture.cluster.members.iter().map(|member| &member.row))
        .any(|row| row.node == node);
    if row.is_none() && kept.is_none() && !known {
        let reasons = candidates(picture).into_keys().map(|node| (node, "a member".to_owned())).collect();
        return Err(Refusal::Nobody { error: format!("{node} is not a member of this cluster"), reasons });
    }
    let present = match (row, kept) {
        (Some(row), _) if row.state == NodeState::ShuttingDown => NodeState::ShuttingDown,
        (_, Some(kept)) => kept.state,
        (_, None) => NodeState::Active,
    };
    let forbidden = || Refusal::Malformed(format!("Invalid state transition to {}", state.as_str()));
    if state == NodeState::Inactive || (present == NodeState::ShuttingDown && state != NodeState::ShuttingDown) {
        return Err(forbidden());
    }
    if state == NodeState::ShuttingDown && row.is_none() {
        return Err(Refusal::Conflict(format!("{node} does not run")));
    }
    if state == present && lasts.is_none() {
        return Ok(Decision::Unchanged);
    }
    if state != NodeState::Active && !force && is_the_last(picture, &node) {
        return Err(Refusal::Conflict(format!(
            "{node} is the last one that could lead: without it there is no coordinator. Force it if that is what you want"
        )));
    }
    let until = lasts.map(|lasts| written(picture.now + lasts));
    let wanted = (state != NodeState::Active).then_some(WantedState { state, now, wish, until });
    let version = picture.intended.states.get(&node).map(|(_, version)| *version);
    let mut change = Change { states: [(node, (version, wanted))].into(), ..Change::default() };
    // Every change of a state is guarded by one node, or two operators take out the last two at the same time.
    change.control = control_is(picture, picture.intended.control.clone()).control;
    Ok(Decision::Write(Box::new(change)))
}

/// Whether nobody else could lead.
fn is_the_last(picture: &Picture, node: &str) -> bool {
    let could = |row: &MemberRow| {
        let able = !row.always_on && (row.eligible || row.role == Role::Active);
        able && row.state == NodeState::Active && picture.intended.state(&row.node).is_none()
    };
    let rows = || picture.cluster.members.iter().map(|member| &member.row);
    rows().any(|row| row.node == node && could(row)) && !rows().any(|row| row.node != node && could(row))
}

/// Median and maximum of the last ten ordered hand-overs, in milliseconds. `history`: newest first.
pub fn expected_gap(history: &[HistoryEntry]) -> Option<(u64, u64)> {
    let ordered = |cause: &EndCause| matches!(cause.as_str(), "stopped" | "switchover" | "isolated");
    let pairs = history.windows(2).filter(|pair| pair[1].cause.as_ref().is_some_and(ordered));
    let mut gaps: Vec<u64> = pairs.filter_map(|pair| pair[0].gap_ms).take(10).collect();
    gaps.sort_unstable();
    Some((*gaps.get(gaps.len() / 2)?, *gaps.last()?))
}

pub(super) fn control_is(picture: &Picture, control: Control) -> Box<Change> {
    Box::new(Change { control: Some((picture.intended.version, control)), states: BTreeMap::new() })
}

fn written(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests;
