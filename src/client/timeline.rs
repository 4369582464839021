//! `primacy history EPOCH`: how one leadership began, joined of what its members have recorded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Access, Client, Error, api::Api};
use crate::status::HistoryEntry;
use crate::status::spans::{self, Span};
use crate::status::timeline::{Recorded, Step, in_order};

/// How a leadership began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beginning {
    pub entry: HistoryEntry,
    /// The leadership before; null where there was none, or the history has forgotten it.
    pub before: Option<HistoryEntry>,
    /// All nodes', in order as far as anything orders them.
    pub steps: Vec<Step>,
    /// Where the time went between the former one's end and the coordinator's readiness, as far as it was recorded.
    pub spans: Vec<Span>,
    /// Whose recording is missing, and why.
    pub missing: BTreeMap<String, String>,
}

/// Asks every member for what it has recorded. `access`: what is shown to them. `None`: there is no such epoch in the history.
///
/// # Errors
/// Nobody could be asked.
pub fn beginning(client: &Client, access: Access, epoch: u64) -> Result<Option<Beginning>, Error> {
    let history = client.history()?;
    let Some(entry) = history.iter().find(|entry| entry.epoch == epoch).cloned() else { return Ok(None) };
    let before = history.iter().filter(|entry| entry.epoch < epoch).max_by_key(|entry| entry.epoch).cloned();
    let members = client.cluster()?.members;
    let mut urls: Vec<String> = members.iter().map(|member| member.row.api.clone()).collect();
    if let Client::Api(api) = client {
        urls.extend(api.urls().iter().filter(|url| !members.iter().any(|member| member.row.api == **url)).cloned());
    }
    let api = Api::new(Vec::new(), access);
    let mut recorded: BTreeMap<String, Recorded> = BTreeMap::new();
    let mut problems: BTreeMap<String, String> = BTreeMap::new();
    for url in urls {
        match api.recorded(&url, epoch) {
            Ok(told) => drop(recorded.insert(told.node.clone(), told)),
            Err(problem) => drop(problems.insert(url, problem)),
        }
    }
    let unheard = members.iter().filter(|member| !recorded.contains_key(&member.row.node));
    let mut missing: BTreeMap<String, String> = unheard
        .map(|member| {
            let problem = problems.get(&member.row.api).cloned();
            (member.row.node.clone(), problem.unwrap_or_else(|| "it did not answer".to_owned()))
        })
        .collect();
    for led in [Some(&entry), before.as_ref()].into_iter().flatten().map(|entry| &entry.node) {
        if !recorded.contains_key(led) && !missing.contains_key(led) {
            missing.insert(led.clone(), "it is no member at the moment".to_owned());
        }
    }
    let steps = in_order(recorded.into_values().flat_map(|told| told.steps).collect());
    let steps = until_ready(steps, &entry);
    let former = before.as_ref().map(|before| before.node.as_str());
    let spans = spans::of(&steps, former, &entry.node);
    Ok(Some(Beginning { entry, before, steps, spans, missing }))
}

/// Up to the moment at which a coordinator was ready again; what came after it is no part of a beginning.
fn until_ready(mut steps: Vec<Step>, entry: &HistoryEntry) -> Vec<Step> {
    let begun = humantime::parse_rfc3339(&entry.from).ok();
    let ready = |step: &Step| step.node == entry.node && step.what.starts_with(READY);
    if let Some(last) = steps.iter().position(|step| ready(step) && begun.is_none_or(|begun| step.at >= begun)) {
        // What was wanted at the same moment belongs to it.
        let at = steps[last].at;
        steps.retain(|step| step.at <= at);
    }
    steps
}

/// As the timeline says it.
const READY: &str = "promoting -> active";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::timeline::{Process, from_nanos};

    fn step(second: u64, node: &str, what: &str) -> Step {
        Step {
            at: from_nanos((1_767_323_045 + second) * 1_000_000_000),
            boot_ns: second,
            boot: "boot".to_owned(),
            node: node.to_owned(),
            process: Process::Supervisor,
            what: what.to_owned(),
            mark: None,
            unordered: false,
        }
    }

    #[test]
    fn a_beginning_is_over_when_its_coordinator_is_ready() {
        let entry = HistoryEntry::begun(7, "b".to_owned(), "2026-01-02T03:04:10Z".to_owned());
        let ready = "promoting -> active: ready";
        let steps = vec![
            step(1, "b", ready),
            step(2, "a", ready),
            step(6, "b", ready),
            step(6, "b", "a coordinator runs again after 12 ms"),
            step(7, "b", "is asked to stop"),
        ];
        let kept = until_ready(steps.clone(), &entry);
        assert_eq!(kept, steps[..4]);
        assert_eq!(until_ready(steps[..2].to_vec(), &entry).len(), 2, "it never became ready");
    }
}
