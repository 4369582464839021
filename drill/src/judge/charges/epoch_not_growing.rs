//! Epochs grow from each coordinator to the next, for ever. The drill configures no local restarts, so that each
//! coordinator has an epoch to itself.

use super::{Case, Charge, Offence, charge_at};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let not_growing = case.lives.windows(2).filter(|pair| pair[1].epoch <= pair[0].epoch);
    not_growing
        .map(|pair| {
            let (former, next) = (&pair[0], &pair[1]);
            let evidence = format!(
                "{} started at {}, after {} had started at {}",
                next.name(),
                case.seconds(next.first),
                former.name(),
                case.seconds(former.first),
            );
            let lines = former.lines.iter().chain(&next.lines).copied().collect();
            charge_at(case, next.first, Offence::EpochNotGrowing, evidence, lines)
        })
        .collect()
}
