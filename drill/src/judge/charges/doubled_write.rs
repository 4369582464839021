//! A write that is there more than once, whatever its client was told.

use std::collections::BTreeMap;

use super::{Case, Charge, Offence, charge};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, id) in metadata.applied.iter().enumerate() {
        places.entry(id).or_default().push(index + 1);
    }
    let doubled = places.into_iter().filter(|(_, places)| places.len() > 1);
    doubled
        .map(|(id, places)| {
            let asked = case.ops.iter().filter(|op| op.id == id).map(|op| op.line);
            let lines = asked.chain(case.metadata_line()).collect();
            let evidence = format!("{id} was applied {} times, at places {places:?} of the metadata", places.len());
            charge(Offence::DoubledWrite, evidence, lines)
        })
        .collect()
}
