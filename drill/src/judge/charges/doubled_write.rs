//! A write that is there more than once, whatever its client was told; or a record of an appender that is.

use std::collections::{BTreeMap, HashMap};

use super::{Case, Charge, Offence, charge, charge_at};
use crate::history::Metadata;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, id) in metadata.applied.iter().enumerate() {
        places.entry(id).or_default().push(index + 1);
    }
    let doubled = places.into_iter().filter(|(_, places)| places.len() > 1);
    let mut charges: Vec<Charge> = doubled
        .map(|(id, places)| {
            let asked = case.ops.iter().filter(|op| op.id == id).map(|op| op.line);
            let lines = asked.chain(case.metadata_line()).collect();
            let evidence = format!("{id} was applied {} times, at places {places:?} of the metadata", places.len());
            charge(Offence::DoubledWrite, evidence, lines)
        })
        .collect();
    charges.extend(returns(case, metadata));
    charges
}

/// Numbers that come back within what one process wrote.
fn returns(case: &Case<'_>, metadata: &Metadata) -> Vec<Charge> {
    let mut reached: HashMap<(&str, u32, u64), u64> = HashMap::new();
    let mut charges = Vec::new();
    for record in &metadata.journal {
        let before = reached.entry((&record.node, record.pid, record.epoch)).or_default();
        if record.first_sequence <= *before && *before > 0 {
            let evidence = format!(
                "{} (pid {}, epoch {}) had reached record {before}, and wrote {}–{} after that",
                record.node, record.pid, record.epoch, record.first_sequence, record.last_sequence,
            );
            charges.push(charge_at(case, record.begin, Offence::DoubledWrite, evidence, case.metadata_line()));
        }
        *before = (*before).max(record.last_sequence);
    }
    charges
}
