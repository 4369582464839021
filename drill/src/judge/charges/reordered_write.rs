//! A write that stands before another one which was acknowledged before the former was even asked for: real time ran
//! backwards, as it does where somebody reads old state and writes it anew.
//!
//! Only the end of an acknowledged write means something: one with an unknown outcome may be applied at any later time.
//! Of a doubled write, which is charged as that, the first place counts.

use std::collections::{HashMap, HashSet};

use super::super::case::Op;
use super::{Case, Charge, Offence, charge_at, is_write};
use crate::history::Outcome;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let asked: HashMap<&str, _> = case.ops.iter().filter(|op| is_write(op.what)).map(|op| (op.id, op)).collect();
    let mut seen = HashSet::new();
    let in_order: Vec<_> = metadata.applied.iter().filter(|id| seen.insert(id.as_str())).collect();
    let mut charges = Vec::new();
    // From the last one to the first: the earliest acknowledgement of all that stand behind.
    let mut earliest: Option<&Op<'_>> = None;
    for op in in_order.iter().rev().filter_map(|id| asked.get(id.as_str()).copied()) {
        if let Some(behind) = earliest.filter(|behind| behind.end < op.begin) {
            let evidence = format!(
                "{} {} stands before {}, but was asked for at {}, after {} had been acknowledged at {}",
                op.what,
                op.id,
                behind.id,
                case.seconds(op.begin),
                behind.id,
                case.seconds(behind.end),
            );
            let lines = [op.line, behind.line].into_iter().chain(case.metadata_line()).collect();
            charges.push(charge_at(case, op.begin, Offence::ReorderedWrite, evidence, lines));
        }
        if op.result == Outcome::Ok && earliest.is_none_or(|behind| op.end < behind.end) {
            earliest = Some(op);
        }
    }
    charges
}
