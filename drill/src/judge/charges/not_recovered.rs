//! After all is healed somebody must be active again within session + tick + 3 s, and with a coordinator that lives.

use super::super::episodes::SLACK;
use super::{Case, Charge, Offence, charge_at};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    // A history that does not say how long it may take is vacuous.
    if case.run.is_none() {
        return Vec::new();
    }
    let bound = case.recovery_bound();
    let mut charges = Vec::new();
    for episode in &case.episodes {
        // A fault that was never healed makes the history vacuous.
        let Some((healed, line)) = episode.healed else { continue };
        let of = format!("{} was healed at {}", episode.kind, case.seconds(healed));
        let allowed = bound as f64 / 1e9;
        let Some(recovered) = &episode.recovered else {
            let evidence = format!("{of}, and nobody became active (allowed: {allowed:.1} s)");
            charges.push(charge_at(case, healed, Offence::NotRecovered, evidence, vec![line]));
            continue;
        };
        let lines = vec![line, recovered.line];
        let took = recovered.at - healed;
        if took > bound {
            let took = took as f64 / 1e9;
            let evidence =
                format!("{of}, and {} was active only {took:.1} s later (allowed: {allowed:.1} s)", recovered.node);
            charges.push(charge_at(case, healed, Offence::NotRecovered, evidence, lines));
            continue;
        }
        let lived = case.lives.iter().any(|life| {
            let theirs = life.node == recovered.node && life.epoch == recovered.epoch;
            theirs
                && life.first <= recovered.at.saturating_add(SLACK)
                && life.last >= recovered.at.saturating_sub(SLACK)
        });
        if !lived {
            let evidence = format!(
                "{of}, and {} called itself active at {} with epoch {}, but no coordinator of it lived then",
                recovered.node,
                case.seconds(recovered.at),
                recovered.epoch,
            );
            charges.push(charge_at(case, recovered.at, Offence::NotRecovered, evidence, lines));
        }
    }
    charges
}
