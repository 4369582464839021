//! `drill judge DIR...`: judges recorded histories and says so.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::{Offence, Row, Verdict, judge, merge};
use crate::history;

/// How many charges of one kind are printed.
const SHOWN: usize = 10;

/// Judges the histories in `dirs` and prints the verdicts. Answers whether any of them was convicted.
pub fn cli(dirs: &[PathBuf]) -> Result<bool> {
    let mut verdicts = Vec::new();
    let mut out = std::io::stdout().lock();
    for dir in dirs {
        let verdict = judge(&history::read(dir)?);
        write!(out, "{}", told(&dir.display().to_string(), &verdict))?;
        verdicts.push(verdict);
    }
    let tables: Vec<&[Row]> = verdicts.iter().map(|verdict| verdict.table.as_slice()).collect();
    write!(out, "\n{}", table(&merge(&tables)))?;
    Ok(verdicts.iter().any(Verdict::convicted))
}

/// A verdict as text: one line, and the charges with their evidence.
#[must_use]
pub fn told(name: &str, verdict: &Verdict) -> String {
    let figures = &verdict.figures;
    let sum = format!(
        "{:.0} s, {} faults of {} kinds, {} fail-overs, {} overlaps, longest without a coordinator {:.0} ms; \
         {} writes acknowledged, {} refused, {} unknown ({} of them applied)",
        figures.seconds,
        figures.faults,
        figures.kinds,
        figures.failovers,
        figures.overlaps,
        figures.longest_gap_ms,
        figures.acknowledged,
        figures.refused,
        figures.unknown,
        figures.unknown_applied,
    );
    if !verdict.convicted() {
        return format!("{name}: convicted of nothing. {sum}\n") + &remarks(verdict);
    }
    let mut text = format!("{name}: CONVICTED. {sum}\n");
    for offence in Offence::ALL.into_iter().filter(|offence| verdict.count(*offence) > 0) {
        text += &format!("  {} ({}): {}\n", offence.name(), verdict.count(offence), offence.meaning());
        for charge in verdict.charges.iter().filter(|charge| charge.offence == offence).take(SHOWN) {
            let lines: Vec<String> = charge.lines.iter().map(usize::to_string).collect();
            let lines = if lines.is_empty() { String::new() } else { format!("  [line {}]", lines.join(", ")) };
            text += &format!("    {}{lines}\n", charge.evidence);
        }
        if verdict.count(offence) > SHOWN {
            text += &format!("    … and {} more\n", verdict.count(offence) - SHOWN);
        }
    }
    text + &remarks(verdict)
}

fn remarks(verdict: &Verdict) -> String {
    verdict.remarks.iter().map(|remark| format!("  not judged: {remark}\n")).collect()
}

/// The table as text.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.kind.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!(
        "{:width$}  {:>5} {:>9} {:>8} {:>27} {:>27}\n",
        "fault", "runs", "failovers", "overlaps", "no coordinator, ms", "nobody active, ms"
    );
    let spread = |spread: Option<super::Spread>| match spread {
        Some(spread) => format!("{:.0} / {:.0} / {:.0}", spread.min, spread.median, spread.max),
        None => "–".to_owned(),
    };
    for row in rows {
        let runs = if row.not_done == 0 { row.runs.to_string() } else { format!("{}+{}!", row.runs, row.not_done) };
        text += &format!(
            "{:width$}  {runs:>5} {:>9} {:>8} {:>27} {:>27}\n",
            row.kind,
            row.failovers,
            row.overlaps,
            spread(row.gaps()),
            spread(row.inactive()),
        );
    }
    text + "least / median / greatest; N! = could not be done or undone\n"
}
