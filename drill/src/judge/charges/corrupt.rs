//! Damaged metadata, as the workload's own checker says: pg_amcheck for PostgreSQL.

use super::{Case, Charge, Offence, charge};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let checks = case.metadata.iter().filter_map(|(line, metadata)| Some((*line, metadata.amcheck.as_ref()?)));
    let damaged = checks.filter(|(_, check)| check.exit != 0);
    damaged
        .map(|(line, check)| {
            let said: String = check.output.chars().take(600).collect();
            charge(
                Offence::Corrupt,
                format!("the metadata's check exited with {}: {}", check.exit, said.trim()),
                vec![line],
            )
        })
        .collect()
}
