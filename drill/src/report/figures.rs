//! `figures.json`: what other pages quote. Small; no single measurement, only least, middle and greatest.

use serde_json::{Value, json};

use super::Runs;
use crate::judge::{Offence, Verdict};

pub(super) fn json(runs: &Runs<'_>) -> Value {
    let rows = runs.table.iter().map(|row| {
        json!({
            "kind": row.kind, "runs": row.runs, "not_done": row.not_done, "failovers": row.failovers,
            "needless": row.needless, "overlaps": row.overlaps,
            "no_coordinator_ms": row.gaps(), "nobody_active_ms": row.inactive(),
        })
    });
    let singles = runs.all.iter().map(|run| {
        let told = run.case.run;
        json!({
            "seed": told.map(|run| run.seed),
            "started": told.map(|run| &run.started),
            "command": told.map(|run| &run.command),
            "workload": told.map(|run| &run.workload),
            "nodes": told.map(|run| run.nodes.len()),
            "hosts": told.map(|run| &run.hosts),
            "session_ms": told.map(|run| run.session_ms),
            "tick_ms": told.map(|run| run.tick_ms),
            "primacy_version": told.map(|run| &run.primacy_version),
            "kernel": told.map(|run| &run.kernel),
            "convicted_of": convictions(run.verdict),
            "remarks": run.verdict.remarks,
            "figures": run.verdict.figures,
        })
    });
    json!({
        "convicted": runs.convicted(),
        "verdict": super::summary::sentence(runs),
        "total": runs.total,
        "table": rows.collect::<Vec<_>>(),
        "runs": singles.collect::<Vec<_>>(),
    })
}

fn convictions(verdict: &Verdict) -> Value {
    let found = Offence::ALL.into_iter().map(|offence| (offence, verdict.count(offence)));
    found.filter(|(_, count)| *count > 0).map(|(offence, count)| (offence.name().to_owned(), json!(count))).collect()
}
