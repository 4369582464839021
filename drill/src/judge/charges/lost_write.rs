//! An acknowledged write that is not there at the end.

use std::collections::HashSet;

use super::{Case, Charge, Offence, charge_at, is_write};
use crate::history::Outcome;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let applied: HashSet<&str> = metadata.applied.iter().map(String::as_str).collect();
    let acknowledged = case.ops.iter().filter(|op| op.result == Outcome::Ok && is_write(op.what));
    let lost = acknowledged.filter(|op| !applied.contains(op.id));
    lost.map(|op| {
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
    .collect()
}
