//! A record of an older epoch behind one of a younger: a coordinator wrote after its successor had begun to.
//!
//! The file's order is the evidence, not the clock: what is behind was written later. Lives need not even overlap for
//! this (a write that a thawed kernel flushes), which is why it is a charge of its own.

use super::{Case, Charge, Offence, charge_at};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let Some(metadata) = case.metadata() else { return Vec::new() };
    let mut charges = Vec::new();
    for pair in metadata.journal.windows(2) {
        let (before, behind) = (&pair[0], &pair[1]);
        if behind.epoch < before.epoch {
            let evidence = format!(
                "records {}–{} of {} (pid {}, epoch {}) stand behind records {}–{} of {} (pid {}, epoch {})",
                behind.first_sequence,
                behind.last_sequence,
                behind.node,
                behind.pid,
                behind.epoch,
                before.first_sequence,
                before.last_sequence,
                before.node,
                before.pid,
                before.epoch,
            );
            charges.push(charge_at(case, behind.begin, Offence::StaleWrite, evidence, case.metadata_line()));
        }
    }
    charges
}
