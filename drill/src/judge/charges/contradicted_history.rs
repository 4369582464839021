//! What `primacy history` says must be what happened: one leadership per epoch, one after the other, each longer than
//! the lives of its coordinators. It is what an operator has to go by after a bad night.
//!
//! Its times are wall-clock times, so they are compared with a tolerance, and not at all for leaderships during which a
//! fault moved a clock. A leadership whose end was to be written into a ZooKeeper that was wiped may seem to last.

use super::super::episodes::Episode;
use super::super::leaderships::{Leadership, TOLERANCE_NS, forgotten};
use super::super::lives::Life;
use super::{Case, Charge, Offence, charge, charge_at};

pub(super) fn charges(case: &Case<'_>, remarks: &mut Vec<String>) -> Vec<Charge> {
    let mut charges: Vec<Charge> = case
        .unreadable_leaderships
        .iter()
        .map(|line| charge(Offence::ContradictedHistory, "an entry without epoch or node".to_owned(), vec![*line]))
        .collect();
    charges.extend(two_for_one_epoch(case));
    charges.extend(lasting_but_followed(case));
    if case.own_clocks() {
        remarks.push("the times of `primacy history`: each host has a clock of its own".to_owned());
    } else if case.episodes.iter().any(Episode::moves_clocks) {
        remarks.push("the times of leaderships during which a fault moved a clock".to_owned());
    }
    if !case.leaderships.is_empty() && case.leaderships.iter().all(|leadership| leadership.from.is_none()) {
        remarks.push("the times of `primacy history`, which could not be read".to_owned());
    }
    charges.extend(before_the_predecessor_ended(case));
    charges.extend(life_outside(case));
    charges
}

/// Whether a wall clock was wrong during a leadership: one without a life may have been at any time.
fn clock_moved(case: &Case<'_>, epoch: u64) -> bool {
    if case.own_clocks() {
        return true;
    }
    let covers = || case.episodes.iter().filter(|episode| episode.moves_clocks()).map(Episode::cover);
    let lives = || case.lives.iter().filter(|life| life.epoch == epoch);
    let beside =
        |life: &Life, (from, to): (u64, u64)| life.first <= to + TOLERANCE_NS && from <= life.last + TOLERANCE_NS;
    covers().any(|cover| lives().next().is_none() || lives().any(|life| beside(life, cover)))
}

/// Whether ZooKeeper was wiped while this leadership lasted or ended: before the next one was known.
fn wiped(case: &Case<'_>, own: &Leadership, next: &Leadership) -> bool {
    let mut wipes = case.episodes.iter().filter(|episode| episode.forgets()).map(Episode::cover);
    let tolerance = i128::from(TOLERANCE_NS);
    wipes.any(|(begin, end)| {
        own.from.is_none_or(|from| from <= i128::from(end) + tolerance)
            && next.from.is_none_or(|from| i128::from(begin) <= from + tolerance)
    })
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
    let followed = case.leaderships.windows(2).filter(|pair| pair[0].epoch < pair[1].epoch);
    let lasting = followed.filter(|pair| !pair[0].ended && !wiped(case, &pair[0], &pair[1]));
    // A runner that asked before the end, and again after a hundred others, cannot have heard of it.
    let lasting = lasting.filter(|pair| !forgotten(&case.leaderships, pair[0].epoch));
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

fn before_the_predecessor_ended(case: &Case<'_>) -> Vec<Charge> {
    let mut charges = Vec::new();
    for pair in case.leaderships.windows(2) {
        let (former, next) = (&pair[0], &pair[1]);
        let (Some(to), Some(from)) = (former.to.or(former.from), next.from) else { continue };
        if clock_moved(case, former.epoch) || clock_moved(case, next.epoch) {
            continue;
        }
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
        let Some(own) = own.filter(|own| !clock_moved(case, own.epoch)) else { continue };
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
        let lines = life.notes.lines.iter().copied().chain([own.line]).collect();
        charges.push(charge_at(case, at, Offence::ContradictedHistory, evidence, lines));
    }
    charges
}
