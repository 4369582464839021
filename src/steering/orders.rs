//! What can be asked for, as the API and the commands ask for it, and what comes of it. Both get the same answers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::following::Ended;
use super::{Changed, Ensemble, Error};
use crate::intents::decide::{self, Decision, Picture, Refusal, StateAsked, SwitchoverAsked};
use crate::intents::{Fault, Wish, vouching};
use crate::status::NodeState;

/// An order with its body, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Switchover(Switchover),
    CancelSwitchover(Cancel),
    Pause(Pause),
    Resume(Resume),
    State {
        node: String,
        state: State,
    },
    Forget(Forget),
    ConfirmFenced(ConfirmFenced),
    /// The configuration of the node that is asked is read again.
    Reload(Resume),
    /// A fault on purpose, at the node that is asked.
    Rehearse(Rehearse),
    /// The node that is asked executes the program at its path anew.
    Upgrade(Resume),
}

/// `POST /switchover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switchover {
    /// `None`: to the best candidate.
    pub to: Option<String>,
    pub now: bool,
    pub dry_run: bool,
    pub expect_epoch: Option<u64>,
    /// RFC 3339, or `+30m`.
    pub at: Option<String>,
    pub reason: Option<String>,
}

/// `DELETE /switchover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cancel {
    pub reason: Option<String>,
}

/// `POST /pause`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pause {
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    pub reason: Option<String>,
}

/// `POST /resume`, and whatever takes nothing but a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resume {
    pub reason: Option<String>,
}

/// `POST /members/NODE/state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub state: NodeState,
    #[serde(default, rename = "for")]
    pub lasts: Option<String>,
    #[serde(default)]
    pub now: bool,
    #[serde(default)]
    pub force: bool,
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /forget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    pub node: String,
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /confirm-fenced`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmFenced {
    pub node: String,
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /rehearse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearse {
    pub fault: Fault,
    #[serde(default)]
    pub reason: Option<String>,
}

/// An HTTP status and a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Order {
    /// Method, path and body of the request that asks for it.
    pub fn request(&self) -> (&'static str, String, Value) {
        fn body(order: &impl Serialize) -> Value {
            serde_json::to_value(order).expect("string keys")
        }
        match self {
            Self::Switchover(order) => ("POST", "/switchover".to_owned(), body(order)),
            Self::CancelSwitchover(order) => ("DELETE", "/switchover".to_owned(), body(order)),
            Self::Pause(order) => ("POST", "/pause".to_owned(), body(order)),
            Self::Resume(order) => ("POST", "/resume".to_owned(), body(order)),
            Self::Forget(order) => ("POST", "/forget".to_owned(), body(order)),
            Self::ConfirmFenced(order) => ("POST", "/confirm-fenced".to_owned(), body(order)),
            Self::State { node, state } => ("POST", format!("/members/{node}/state"), body(state)),
            Self::Reload(order) => ("POST", "/reload".to_owned(), body(order)),
            Self::Rehearse(order) => ("POST", "/rehearse".to_owned(), body(order)),
            Self::Upgrade(order) => ("POST", "/upgrade".to_owned(), body(order)),
        }
    }

    /// As the log has it: what is asked for, without why.
    pub fn in_words(&self) -> String {
        let (method, path, mut body) = self.request();
        if let Some(body) = body.as_object_mut() {
            body.remove("reason");
        }
        format!("{method} {path} {body}")
    }

    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Switchover(Switchover { reason, .. })
            | Self::CancelSwitchover(Cancel { reason })
            | Self::Pause(Pause { reason, .. })
            | Self::Resume(Resume { reason })
            | Self::Reload(Resume { reason })
            | Self::Upgrade(Resume { reason })
            | Self::Forget(Forget { reason, .. })
            | Self::ConfirmFenced(ConfirmFenced { reason, .. })
            | Self::Rehearse(Rehearse { reason, .. })
            | Self::State { state: State { reason, .. }, .. } => reason.clone(),
        }
    }
}

impl Ensemble {
    /// Carries an order out. `by`: who gives it; `wait`: until a switchover has come to its end.
    pub fn carry_out(&self, order: &Order, by: &str, wait: bool) -> Answer {
        self.try_to_carry_out(order, by, wait).unwrap_or_else(|error| refused(&error))
    }

    fn try_to_carry_out(&self, order: &Order, by: &str, wait: bool) -> Result<Answer, Error> {
        let wish = |picture: &Picture| Wish {
            by: by.to_owned(),
            at: humantime::format_rfc3339_millis(picture.now).to_string(),
            reason: order.reason(),
        };
        let malformed = |text: String| Error::Refused(Refusal::Malformed(text));
        match order {
            Order::Switchover(asked) => {
                let decide = |picture: &Picture| {
                    let at = asked.at.as_deref().map(|text| moment(text, picture.now)).transpose();
                    let at = at.map_err(Refusal::Malformed)?;
                    let (to, now, expect_epoch) = (asked.to.clone(), asked.now, asked.expect_epoch);
                    decide::switchover(picture, SwitchoverAsked { to, now, at, expect_epoch, wish: wish(picture) })
                };
                if asked.dry_run {
                    let picture = self.picture()?;
                    let decision = decide(&picture);
                    let expected = decide::expected_gap(&self.history()?);
                    return Ok(would_happen(&picture, decision, expected));
                }
                let changed = self.change(decide)?;
                if !changed.written {
                    return Ok(answer(200, json!({"changed": false, "active": active(&changed)})));
                }
                let epoch = changed.picture.cluster.active.as_ref().map_or(0, |active| active.epoch);
                let from = active(&changed);
                if !wait || asked.at.is_some() {
                    let body = json!({"changed": true, "accepted": true, "from": from, "expect_epoch": epoch});
                    return Ok(answer(202, body));
                }
                Ok(match self.until_handed_over(epoch)? {
                    Ended::Done { node, epoch, gap_ms } => {
                        let body = json!({"changed": true, "from": from, "to": node, "epoch": epoch, "gap_ms": gap_ms});
                        answer(200, body)
                    }
                    Ended::Failed { to, why } => {
                        let reasons: BTreeMap<_, _> = [(to, &why)].into();
                        answer(412, json!({"error": why, "reasons": reasons}))
                    }
                    Ended::Cancelled => answer(409, json!({"error": "it was cancelled", "reasons": {}})),
                    Ended::Unknown => answer(
                        503,
                        json!({"error": "it goes on, and its end was not seen in time: see /cluster", "reasons": {}}),
                    ),
                })
            }
            Order::CancelSwitchover(_) => changed(&self.change(decide::cancel)?),
            Order::Pause(asked) => {
                let lasts = asked.lasts.as_deref().map(duration).transpose().map_err(malformed)?;
                changed(&self.change(|picture| decide::pause(picture, lasts, wish(picture)))?)
            }
            Order::Forget(Forget { node, .. }) => self.forget_node(node),
            Order::ConfirmFenced(ConfirmFenced { node, .. }) => {
                let changed = self.change(|picture| vouching::confirm_fenced(picture, node, wish(picture)))?;
                let epoch = changed.picture.last.as_ref().map(|last| last.epoch);
                Ok(answer(200, json!({"changed": changed.written, "epoch": epoch})))
            }
            Order::Rehearse(_) | Order::Reload(_) | Order::Upgrade(_) => {
                Err(malformed("this is asked of a node, and not of ZooKeeper".to_owned()))
            }
            Order::Resume(_) => changed(&self.change(decide::resume)?),
            Order::State { node, state } => {
                let lasts = state.lasts.as_deref().map(duration).transpose().map_err(malformed)?;
                changed(&self.change(|picture| {
                    let (node, now, force) = (node.clone(), state.now, state.force);
                    decide::state(
                        picture,
                        StateAsked { node, state: state.state, lasts, now, force, wish: wish(picture) },
                    )
                })?)
            }
        }
    }
}

fn would_happen(picture: &Picture, decision: Result<Decision, Refusal>, expected: Option<(u64, u64)>) -> Answer {
    let to = match &decision {
        Ok(Decision::Write(change)) => change.control.as_ref().and_then(|(_, it)| Some(&it.switchover.as_ref()?.to)),
        Ok(Decision::Unchanged) | Err(_) => None,
    };
    let active = picture.cluster.active.as_ref();
    let plan = json!({
        "dry_run": true,
        "changed": to.is_some(),
        "from": active.map(|active| &active.node),
        "expect_epoch": active.map(|active| active.epoch),
        "to": to,
        "candidates": decide::candidates(picture),
        "expected_gap_ms": expected.map(|(median, maximum)| json!({"median": median, "maximum": maximum})),
    });
    match decision {
        Ok(_) => answer(200, plan),
        Err(refusal) => {
            let mut refused = refused(&Error::Refused(refusal));
            if let (Some(all), Value::Object(plan)) = (refused.body.as_object_mut(), plan) {
                all.extend(plan);
            }
            refused
        }
    }
}

fn active(changed: &Changed) -> Option<&String> {
    changed.picture.cluster.active.as_ref().map(|active| &active.node)
}

fn changed(changed: &Changed) -> Result<Answer, Error> {
    Ok(answer(200, json!({"changed": changed.written})))
}

const fn answer(status: u16, body: Value) -> Answer {
    Answer { status, body }
}

fn refused(error: &Error) -> Answer {
    let reasons = match error {
        Error::Refused(Refusal::Nobody { reasons, .. }) => reasons.clone(),
        _ => BTreeMap::new(),
    };
    let status = match error {
        Error::Refused(Refusal::Malformed(_)) => 400,
        Error::Refused(Refusal::Absent(_)) | Error::UnknownCluster { .. } => 404,
        Error::Refused(Refusal::Conflict(_)) => 409,
        Error::Refused(Refusal::Nobody { .. }) => 412,
        Error::NoSession(_) => 503,
        // A connection that was lost in the middle: what was asked for may have been done.
        Error::ZooKeeper { .. } => 504,
    };
    answer(status, json!({"error": error.to_string(), "reasons": reasons}))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration such as \"90m\" or \"2h\": {error}"))
}

/// RFC 3339 with any offset, or from now on: `+30m`.
fn moment(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Some(later) = text.strip_prefix('+') {
        return duration(later).map(|later| now + later);
    }
    let failed =
        || format!("{text:?} is neither a time such as \"2026-01-02T03:04:05Z\" nor one from now on such as \"+30m\"");
    let (local, offset) = match text.char_indices().rev().nth(5) {
        Some((at, sign @ ('+' | '-'))) if text.as_bytes().get(at + 3) == Some(&b':') => {
            let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
            let (hours, minutes) =
                (number(at + 1..at + 3).ok_or_else(failed)?, number(at + 4..at + 6).ok_or_else(failed)?);
            (format!("{}Z", &text[..at]), Some((sign, Duration::from_secs(3600 * hours + 60 * minutes))))
        }
        _ => (text.to_owned(), None),
    };
    let at = humantime::parse_rfc3339(&local).map_err(|_| failed())?;
    match offset {
        None => Ok(at),
        Some(('+', offset)) => at.checked_sub(offset).ok_or_else(failed),
        Some((_, offset)) => Ok(at + offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_an_offset_or_counts_from_now_on() {
        let now = humantime::parse_rfc3339("2026-01-02T03:00:00Z").unwrap();
        for (text, expected) in [
            ("2026-01-02T03:30:00Z", "2026-01-02T03:30:00Z"),
            ("+30m", "2026-01-02T03:30:00Z"),
            ("2026-01-02T05:30:00+02:00", "2026-01-02T03:30:00Z"),
            ("2026-01-01T22:30:00-05:00", "2026-01-02T03:30:00Z"),
        ] {
            assert_eq!(moment(text, now), Ok(humantime::parse_rfc3339(expected).unwrap()), "{text}");
        }
        for text in ["", "tomorrow", "+", "+1 lightyear", "2026-01-02", "2026-01-02T03:30:00+é2:00", "é+02:00"] {
            moment(text, now).unwrap_err();
        }
    }
}
