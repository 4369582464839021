//! What was still there after everything had been stopped and removed.

use super::super::numbered::numbered;
use super::{Case, Charge, Offence, charge};
use crate::history::Entry;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let left = numbered(case.lines).filter_map(|(number, line)| match &line.entry {
        Entry::Leftover { kind, what } => Some(charge(Offence::Leftover, format!("{kind}: {what}"), vec![number])),
        _ => None,
    });
    left.collect()
}
