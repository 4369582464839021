//! What supervisors and guardians recorded, as `primacy verify` judges it.

use super::super::numbered::numbered;
use super::{Case, Charge, Offence, charge};
use crate::history::Entry;

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let mut charges = Vec::new();
    for (number, line) in numbered(case.lines) {
        if let Entry::Recordings { contradictions, .. } = &line.entry {
            let of = |text: &String| charge(Offence::ContradictedRecording, text.clone(), vec![number]);
            charges.extend(contradictions.iter().map(of));
        }
    }
    charges
}
