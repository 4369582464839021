//! An acknowledged write that is not there at the end, or records that are missing in the middle of what one appender
//! wrote: it numbers them one by one, and whatever fails to be written is its last. Or a record of which its coordinator
//! itself said that it was synced.

use std::collections::{HashMap, HashSet};

use super::{Case, Charge, Offence, charge, charge_at, is_write};
use crate::history::{Metadata, Outcome};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let applied: HashSet<&str> = metadata.applied.iter().map(String::as_str).collect();
    let acknowledged = case.ops.iter().filter(|op| op.result == Outcome::Ok && is_write(op.what));
    let lost = acknowledged.filter(|op| !applied.contains(op.id));
    let mut charges: Vec<Charge> = lost
        .map(|op| {
            let evidence = format!(
                "{} {} was acknowledged (asked {}, answered {}) and is not among the {} applied",
                op.what,
                op.id,
                case.seconds(op.begin),
                case.seconds(op.end),
                metadata.applied.len(),
            );
            let lines = [op.line].into_iter().chain(case.metadata_line()).collect();
            charge_at(case, op.end, Offence::LostWrite, evidence, lines)
        })
        .collect();
    charges.extend(holes(case, metadata));
    charges.extend(gone(case, metadata));
    charges
}

fn holes(case: &Case<'_>, metadata: &Metadata) -> Vec<Charge> {
    // A database's sequence may jump.
    if case.run.is_none_or(|run| run.workload != "appender") {
        return Vec::new();
    }
    let mut reached: HashMap<(&str, u32, u64), u64> = HashMap::new();
    let mut charges = Vec::new();
    for record in &metadata.journal {
        let before = reached.insert((&record.node, record.pid, record.epoch), record.last_sequence);
        if let Some(before) = before.filter(|before| before + 1 < record.first_sequence) {
            let evidence = format!(
                "records {}–{} of {} (pid {}, epoch {}) are missing, and later ones are there",
                before + 1,
                record.first_sequence - 1,
                record.node,
                record.pid,
                record.epoch,
            );
            charges.push(charge_at(case, record.begin, Offence::LostWrite, evidence, case.metadata_line()));
        }
    }
    charges
}

fn gone(case: &Case<'_>, metadata: &Metadata) -> Vec<Charge> {
    let mut charges = Vec::new();
    for said in &case.acknowledged {
        let own = || metadata.journal.iter().filter(|record| (record.pid, record.epoch) == (said.pid, said.epoch));
        let there = |number: &u64| {
            let mut own = own().filter(|record| record.node == said.node);
            own.any(|record| (record.first_sequence..=record.last_sequence).contains(number))
        };
        let missing: Vec<u64> = (said.first_sequence..=said.last_sequence).filter(|number| !there(number)).collect();
        let Some(first) = missing.first() else { continue };
        let evidence = format!(
            "{} (pid {}, epoch {}) said that its records {}–{} were synced, and {} of them are not there, the first {first}",
            said.node,
            said.pid,
            said.epoch,
            said.first_sequence,
            said.last_sequence,
            missing.len(),
        );
        let lines = [said.line].into_iter().chain(case.metadata_line()).collect();
        charges.push(charge(Offence::LostWrite, evidence, lines));
    }
    charges
}
