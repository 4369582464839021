//! What `primacy history` says must be what happened: one leadership per epoch, one after the other, each longer than
//! the lives of its coordinators. It is what an operator has to go by after a bad night.
//!
//! Its times are wall-clock times, so they are compared with a tolerance, and not at all while a fault moves clocks.

use super::super::leaderships::TOLERANCE_NS;
use super::{Case, Charge, Offence, charge, charge_at};

pub(super) fn charges(case: &Case<'_>, remarks: &mut Vec<String>) -> Vec<Charge> {
    let mut charges: Vec<Charge> = case
        .unreadable_leaderships
        .iter()
        .map(|line| charge(Offence::ContradictedHistory, "an entry without epoch or node".to_owned(), vec![*line]))
        .collect();
    charges.extend(two_for_one_epoch(case));
    charges.extend(lasting_but_followed(case));
    if case.episodes.iter().flat_map(|episode| &episode.faults).any(|fault| fault.kind.contains("clock")) {
        remarks.push("the times of `primacy history` were not judged: a fault moved clocks".to_owned());
        return charges;
    }
    if !case.leaderships.is_empty() && case.leaderships.iter().all(|leadership| leadership.from.is_none()) {
        remarks.push("the times of `primacy history` could not be read, and were not judged".to_owned());
    }
    charges.extend(before_the_former_ended(case));
    charges.extend(life_outside(case));
    charges
}

fn two_for_one_epoch(case: &Case<'_>) -> Vec<Charge> {
    let doubled = case.leaderships.windows(2).filter(|pair| pair[0].epoch == pair[1].epoch);
    doubled
        .map(|pair| {
            let evidence = format!("epoch {} is in it twice: {} and {}", pair[0].epoch, pair[0].node, pair[1].node);
            charge(Offence::ContradictedHistory, evidence, vec![pair[0].line, pair[1].line])
        })
        .collect()
}

fn lasting_but_followed(case: &Case<'_>) -> Vec<Charge> {
    let lasting = case.leaderships.windows(2).filter(|pair| pair[0].epoch < pair[1].epoch && !pair[0].ended);
    lasting
        .map(|pair| {
            let evidence = format!(
                "epoch {} of {} still lasts, though {} has epoch {}",
                pair[0].epoch, pair[0].node, pair[1].node, pair[1].epoch
            );
            charge(Offence::ContradictedHistory, evidence, vec![pair[0].line, pair[1].line])
        })
        .collect()
}

fn before_the_former_ended(case: &Case<'_>) -> Vec<Charge> {
    let mut charges = Vec::new();
    for pair in case.leaderships.windows(2) {
        let (former, next) = (&pair[0], &pair[1]);
        let (Some(to), Some(from)) = (former.to.or(former.from), next.from) else { continue };
        if former.epoch < next.epoch && from + i128::from(TOLERANCE_NS) < to {
            let evidence = format!(
                "epoch {} of {} began {:.1} s before epoch {} of {} ended",
                next.epoch,
                next.node,
                (to - from) as f64 / 1e9,
                former.epoch,
                former.node,
            );
            charges.push(charge(Offence::ContradictedHistory, evidence, vec![former.line, next.line]));
        }
    }
    charges
}

fn life_outside(case: &Case<'_>) -> Vec<Charge> {
    let mut charges = Vec::new();
    for life in &case.lives {
        let own = case.leaderships.iter().find(|own| own.epoch == life.epoch && own.node == life.node);
        let Some(own) = own else { continue };
        let tolerance = i128::from(TOLERANCE_NS);
        let early = own.from.map_or(0, |from| from - i128::from(life.first));
        let late = own.to.map_or(0, |to| i128::from(life.last) - to);
        let (by, how, at) = if early > tolerance {
            (early, "before its leadership began", life.first)
        } else if late > tolerance {
            (late, "after its leadership ended", life.last)
        } else {
            continue;
        };
        let evidence = format!("{} lived {:.1} s {how}", life.name(), by as f64 / 1e9);
        let lines = life.lines.iter().copied().chain([own.line]).collect();
        charges.push(charge_at(case, at, Offence::ContradictedHistory, evidence, lines));
    }
    charges
}
