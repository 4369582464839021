//! Epochs grow from each coordinator to the next, for ever. The drill configures no local restarts, so that each
//! coordinator has an epoch to itself.

use testbed::judge::epochs_not_growing;

use super::{Case, Charge, Offence, charge_at};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    epochs_not_growing(&case.lives)
        .into_iter()
        .map(|(former, next)| {
            let (former, next) = (&case.lives[former], &case.lives[next]);
            let evidence = format!(
                "{} started at {}, after {} had started at {}",
                next.name(),
                case.seconds(next.first),
                former.name(),
                case.seconds(former.first),
            );
            let lines = former.notes.lines.iter().chain(&next.notes.lines).copied().collect();
            charge_at(case, next.first, Offence::EpochNotGrowing, evidence, lines)
        })
        .collect()
}
