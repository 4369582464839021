//! Whoever acts with an epoch must have had the leadership of that epoch: each life, each record, each active node that
//! was seen. And whoever wrote a record must have lived.
//!
//! Two things are no charge, but remarks: epochs older than the hundred that primacy keeps, and those of which only a
//! ZooKeeper knew that was wiped.

use std::collections::BTreeMap;

use super::super::episodes::Episode;
use super::super::leaderships::{KEPT, forgotten};
use super::{Case, Charge, Offence, charge_at};

/// Who acted with an epoch, when, and on which lines that stands.
struct Act {
    who: String,
    at: u64,
    lines: Vec<usize>,
}

pub(super) fn charges(case: &Case<'_>, remarks: &mut Vec<String>) -> Vec<Charge> {
    // Without any the history is vacuous, and that is all that can be said.
    if case.leaderships.is_empty() {
        return Vec::new();
    }
    let wiped = |at: u64| {
        let mut covers = case.episodes.iter().filter(|episode| episode.forgets()).map(Episode::cover);
        covers.any(|(from, to)| from <= at && at <= to)
    };
    let mut charges = unwitnessed(case);
    let (mut skipped, mut unknown) = (0_usize, Vec::new());
    for ((epoch, node), act) in acts(case) {
        let of_epoch: Vec<_> = case.leaderships.iter().filter(|leadership| leadership.epoch == epoch).collect();
        if of_epoch.is_empty() && forgotten(&case.leaderships, epoch) {
            skipped += 1;
            continue;
        }
        if of_epoch.iter().any(|leadership| leadership.node == node) {
            continue;
        }
        if of_epoch.is_empty() && wiped(act.at) {
            unknown.push(epoch.to_string());
            continue;
        }
        let owner = match of_epoch.first() {
            Some(leadership) => format!("it was {}'s", leadership.node),
            None => "there was no such leadership".to_owned(),
        };
        let lines = act.lines.into_iter().chain(of_epoch.iter().map(|leadership| leadership.line)).collect();
        let evidence = format!("{} at {} with epoch {epoch}: {owner}", act.who, case.seconds(act.at));
        charges.push(charge_at(case, act.at, Offence::EpochOfNobody, evidence, lines));
    }
    if skipped > 0 {
        remarks.push(format!("whose {skipped} old epochs were: primacy keeps the last {KEPT} leaderships"));
    }
    if !unknown.is_empty() {
        remarks.push(format!(
            "whose the epochs {} were: they were wiped from ZooKeeper before anybody had read them",
            unknown.join(", ")
        ));
    }
    charges
}

/// The first act of each node with each epoch.
fn acts(case: &Case<'_>) -> BTreeMap<(u64, String), Act> {
    let mut acts = BTreeMap::new();
    for life in &case.lives {
        let who = format!("a coordinator of {} (pid {}) started", life.node, life.pid);
        let act = Act { who, at: life.first, lines: life.notes.lines.clone() };
        acts.entry((life.epoch, life.node.clone())).or_insert(act);
    }
    for record in case.metadata().iter().flat_map(|metadata| &metadata.journal) {
        let act = Act { who: format!("{} wrote", record.node), at: record.begin, lines: case.metadata_line() };
        acts.entry((record.epoch, record.node.clone())).or_insert(act);
    }
    for recovered in case.episodes.iter().filter_map(|episode| episode.recovered.as_ref()) {
        let who = format!("{} was active", recovered.node);
        let act = Act { who, at: recovered.at, lines: vec![recovered.line] };
        acts.entry((recovered.epoch, recovered.node.clone())).or_insert(act);
    }
    for (sight, epoch) in case.sights.iter().filter(|sight| sight.active()).filter_map(|s| Some((s, s.epoch?))) {
        let act = Act { who: format!("{} was active", sight.node), at: sight.at, lines: vec![sight.line] };
        acts.entry((epoch, sight.node.to_owned())).or_insert(act);
    }
    acts
}

/// Writers of whom nothing is known but what they wrote: without their lives nothing can be said about overlaps.
fn unwitnessed(case: &Case<'_>) -> Vec<Charge> {
    let writers = case.lives.iter().filter(|life| life.notes.ticks == 0);
    writers
        .map(|life| {
            let evidence = format!(
                "{} wrote records from {} to {} but has no life of its own",
                life.name(),
                case.seconds(life.first),
                case.seconds(life.last),
            );
            charge_at(case, life.first, Offence::EpochOfNobody, evidence, life.notes.lines.clone())
        })
        .collect()
}
