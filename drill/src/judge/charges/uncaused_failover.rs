//! Each leadership that ended says why. `unknown` needs at least a sentence that says what is unknown.

use super::{Case, Charge, Offence, charge};

pub(super) fn charges(case: &Case<'_>) -> Vec<Charge> {
    let uncaused = case.leaderships.iter().filter(|leadership| {
        let known = leadership.cause.as_deref().is_some_and(|cause| cause != "unknown");
        let told = leadership.cause.is_some() && leadership.detail.is_some();
        leadership.ended && !known && !told
    });
    uncaused
        .map(|leadership| {
            let cause = leadership.cause.as_deref().unwrap_or("none");
            let evidence =
                format!("epoch {} of {} ended (cause: {cause}), without a reason", leadership.epoch, leadership.node);
            charge(Offence::UncausedFailover, evidence, vec![leadership.line])
        })
        .collect()
}
