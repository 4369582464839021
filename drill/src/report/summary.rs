//! The verdict in one sentence, and the figures behind it.

use super::Runs;
use super::words::{count, counted, duration, escape, length};
use crate::judge::{Offence, Row, Spread};

/// One sentence for an operator.
pub(super) fn sentence(runs: &Runs<'_>) -> String {
    let total = &runs.total;
    if runs.all.is_empty() {
        return "Nothing was run, so nothing is proven.".to_owned();
    }
    let found = |offence: Offence| runs.all.iter().map(|run| run.verdict.count(offence)).sum::<usize>();
    let offences: Vec<Offence> = Offence::ALL.into_iter().filter(|offence| found(*offence) > 0).collect();
    match offences[..] {
        [] => format!(
            "In {} and {} there was never more than one coordinator, no acknowledged write was lost, and one ran again \
             every time.",
            length(total.seconds),
            counted(total.faults, "fault", "faults"),
        ),
        [Offence::Vacuous] => format!("This proves nothing: {}.", first_evidence(runs, Offence::Vacuous)),
        _ => {
            // Each with a verb of its own: a sentence in the banner, which says "Convicted" above it.
            let told = |offence: &Offence| match found(*offence) {
                1 => offence.meaning().to_owned(),
                times => format!("{} ({} times)", offence.meaning(), count(times as u64)),
            };
            capital(&format!("{}.", offences.iter().map(told).collect::<Vec<_>>().join("; ")))
        }
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn first_evidence(runs: &Runs<'_>, offence: Offence) -> String {
    let mut charges = runs.all.iter().flat_map(|run| &run.verdict.charges);
    charges.find(|charge| charge.offence == offence).map_or_else(String::new, |charge| charge.evidence.clone())
}

/// The banner.
pub(super) fn banner(runs: &Runs<'_>) -> String {
    let guilty = runs.convicted() || runs.all.is_empty();
    let (class, mark, word) =
        if guilty { ("guilty", "✗", "Convicted") } else { ("innocent", "✓", "Convicted of nothing") };
    format!(
        "<section class=\"verdict {class}\"><span class=\"mark\" aria-hidden=\"true\">{mark}</span>\
         <div><p class=\"word\">{word}</p><p class=\"sentence\">{}</p></div></section>\n",
        escape(&sentence(runs))
    )
}

/// The figures that answer the first questions.
pub(super) fn tiles(runs: &Runs<'_>) -> String {
    let total = &runs.total;
    let gaps: Vec<f64> = runs.table.iter().flat_map(|row: &Row| row.gaps_ms.iter().copied()).collect();
    let (median, longest) = match Spread::of(&gaps) {
        Some(spread) => (duration(spread.median), format!("longest {}", duration(spread.max))),
        None => ("–".to_owned(), "there was always one".to_owned()),
    };
    let overlaps = if total.overlaps == 0 {
        "never two coordinators".to_owned()
    } else {
        format!("longest {}", duration(total.longest_overlap_ms))
    };
    let needless = match total.needless_failovers {
        0 => "none of them needless".to_owned(),
        some => format!("{some} of them needless"),
    };
    let lost = format!("{} lost, {} doubled", total.lost, total.doubled);
    let writes = match total.unknown {
        0 => lost,
        unknown => format!("{lost}; {} unanswered, {} of them applied", count(unknown as u64), total.unknown_applied),
    };
    let faults =
        format!("{}, {}", counted(total.kinds, "kind", "kinds"), counted(total.pairs, "pair at once", "pairs at once"));
    let tiles = [
        (count(total.faults as u64), "faults", faults),
        (count(total.failovers as u64), "fail-overs", needless),
        (count(total.overlaps as u64), "overlaps", overlaps),
        (median, "without a coordinator, median", longest),
        (count(total.acknowledged as u64), "writes acknowledged", writes),
    ];
    let tile = |(number, what, more): (String, &str, String)| {
        format!("<div class=\"tile\"><b>{number}</b><span>{what}</span><small>{more}</small></div>\n")
    };
    format!("<section class=\"tiles\">\n{}</section>\n", tiles.map(tile).concat())
}
