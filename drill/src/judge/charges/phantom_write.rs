//! A write that is there although it was refused, or that no client asked for.
//!
//! Operations within a folded outage are not in the history one by one, and any of them may have been applied: so many
//! unknown ids are innocent.

use std::collections::HashMap;

use super::{Case, Charge, Offence, charge, charge_at, is_write};
use crate::history::Outcome;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let asked: HashMap<&str, _> = case.ops.iter().filter(|op| is_write(op.what)).map(|op| (op.id, op)).collect();
    let mut charges = Vec::new();
    let mut unasked = Vec::new();
    for id in &metadata.applied {
        match asked.get(id.as_str()) {
            Some(op) if op.result == Outcome::Refused => {
                let evidence = format!("{} {id} was refused at {} and was applied", op.what, case.seconds(op.end));
                let lines = [op.line].into_iter().chain(case.metadata_line()).collect();
                charges.push(charge_at(case, op.end, Offence::PhantomWrite, evidence, lines));
            }
            Some(_) => {}
            None => unasked.push(id.as_str()),
        }
    }
    let folded: u64 = case.outages.iter().map(|outage| outage.failures).sum();
    unasked.sort_unstable();
    unasked.dedup();
    if unasked.len() as u64 > folded {
        let shown = unasked.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let evidence = format!(
            "{} writes were applied that no client asked for ({folded} failed ones are not told one by one): {shown}{}",
            unasked.len(),
            if unasked.len() > 5 { ", …" } else { "" },
        );
        charges.push(charge(Offence::PhantomWrite, evidence, case.metadata_line()));
    }
    charges
}
