//! Damaged metadata, as PostgreSQL's own checker says.

use super::{Case, Charge, Offence, charge};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let checks = case.metadata.iter().filter_map(|(line, metadata)| Some((*line, metadata.amcheck.as_ref()?)));
    let damaged = checks.filter(|(_, check)| check.exit != 0);
    damaged
        .map(|(line, check)| {
            let said: String = check.output.chars().take(600).collect();
            charge(Offence::Corrupt, format!("pg_amcheck exited with {}: {}", check.exit, said.trim()), vec![line])
        })
        .collect()
}
