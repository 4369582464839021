//! A run that shows nothing may not pass: no faults, no clients, no coordinators, or an end that never came.

use std::collections::HashMap;

use super::{Case, Charge, Offence, charge, is_write};
use crate::history::{Entry, Line, Outcome};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let mut found: Vec<(String, Vec<usize>)> = Vec::new();
    let mut say = |what: &str| found.push((what.to_owned(), Vec::new()));
    let faults = || case.episodes.iter().flat_map(|episode| &episode.faults);
    match case.runs {
        0 => say("no line says what was run"),
        1 => {}
        _ => say("more than one run in one history"),
    }
    if case.ready.is_none() {
        say("the cluster was never ready");
    }
    if !faults().any(|fault| fault.ok) {
        say("no fault was done");
    }
    if case.lives.is_empty() {
        say("no coordinator ever lived");
    }
    if case.leaderships.is_empty() {
        say("not a single leadership");
    }
    let told = case.ops.iter().any(|op| op.result == Outcome::Ok && is_write(op.what));
    if !told && case.acknowledged.is_empty() {
        say("no write was acknowledged");
    }
    match case.metadata() {
        None => say("nobody looked at the metadata at the end: the run was cut short"),
        Some(metadata) => {
            let appender = case.run.is_some_and(|run| run.workload == "appender");
            if appender && metadata.journal.is_empty() {
                say("the metadata has no journal: stale writes could not be seen");
            }
            if case.run.is_some_and(|run| run.workload == "postgresql") && metadata.amcheck.is_none() {
                say("nobody checked the database for damage");
            }
        }
    }
    let replayed = |line: &Line| match &line.entry {
        Entry::Recordings { inputs, .. } => *inputs,
        _ => 0,
    };
    if case.lines.iter().all(|line| replayed(line) == 0) {
        say("nothing that the supervisors recorded was replayed");
    }
    for fault in faults().filter(|fault| fault.end.is_none()) {
        found.push((format!("fault {} ({}) never ended", fault.id, fault.kind), vec![fault.line]));
    }
    for episode in case.episodes.iter().filter(|episode| episode.healed.is_none()) {
        let lines = episode.faults.iter().map(|fault| fault.line).collect();
        found.push((format!("{} was never healed", episode.kind), lines));
    }
    found.extend(case.strays.iter().map(|(what, line)| (what.clone(), vec![*line])));
    let mut asked: HashMap<&str, Vec<usize>> = HashMap::new();
    for op in &case.ops {
        asked.entry(op.id).or_default().push(op.line);
    }
    // Ids that stand for two operations would hide a lost one behind a kept one.
    if let Some((id, lines)) = asked.into_iter().filter(|(_, lines)| lines.len() > 1).min() {
        found.push((format!("clients gave one id, {id}, to several operations"), lines));
    }
    found.into_iter().map(|(evidence, lines)| charge(Offence::Vacuous, evidence, lines)).collect()
}
