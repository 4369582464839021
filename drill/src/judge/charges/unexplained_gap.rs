//! Outages, or parts of them, during which nothing was broken.

use super::super::gaps::{Gap, Lack};
use super::{Case, Charge, Offence, charge_at};

pub(super) fn charges(case: &Case<'_>, gaps: &[Gap]) -> Vec<Charge> {
    let mut charges = Vec::new();
    for gap in gaps {
        for (begin, end) in &gap.unexplained {
            let lack = match gap.lack {
                Lack::Coordinator => "no coordinator lived",
                Lack::Active => "nobody was seen active",
            };
            let whole = if (*begin, *end) == (gap.begin, gap.end) {
                String::new()
            } else {
                format!(", part of an outage from {} to {}", case.seconds(gap.begin), case.seconds(gap.end))
            };
            let evidence = format!(
                "{lack} from {} to {} ({:.0} ms) while nothing was broken{whole}",
                case.seconds(*begin),
                case.seconds(*end),
                (end - begin) as f64 / 1e6,
            );
            let before = case.lives.iter().rfind(|life| life.last <= gap.begin);
            let after = case.lives.iter().find(|life| life.first >= gap.end);
            let lines = before.into_iter().chain(after).flat_map(|life| life.notes.lines.clone()).collect();
            charges.push(charge_at(case, *begin, Offence::UnexplainedGap, evidence, lines));
        }
    }
    charges
}
