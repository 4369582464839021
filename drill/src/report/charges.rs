//! What the runs are convicted of, with the evidence; and all that was looked for.

use super::words::{count, escape};
use super::{Judged, Runs};
use crate::judge::{Charge, Offence};

/// How many charges of one kind a page tells of; `drill judge` tells of more.
const SHOWN: usize = 20;

pub(super) fn html(runs: &Runs<'_>) -> String {
    let mut html = String::new();
    if runs.convicted() {
        html += "<h2>Convicted of</h2>\n";
        for (index, run) in runs.all.iter().enumerate().filter(|(_, run)| run.verdict.convicted()) {
            if runs.all.len() > 1 {
                html += &format!("<h3>{}</h3>\n", escape(&super::runs::name(index, run)));
            }
            html += &of_run(run);
        }
    }
    html + &looked_for(runs)
}

fn of_run(run: &Judged<'_>) -> String {
    let mut html = String::new();
    for offence in Offence::ALL {
        let charges: Vec<&Charge> = run.verdict.charges.iter().filter(|charge| charge.offence == offence).collect();
        if charges.is_empty() {
            continue;
        }
        html += &format!(
            "<details class=\"charge\" open><summary><b>{}</b> · {} <span class=\"times\">× {}</span></summary><ul>\n",
            offence.name(),
            escape(offence.meaning()),
            count(charges.len() as u64)
        );
        for charge in charges.iter().take(SHOWN) {
            let at = charge.at_s.map_or_else(String::new, |at| format!("<span class=\"at\">{at:.3} s</span> "));
            let lines: Vec<String> = charge.lines.iter().map(usize::to_string).collect();
            let lines = match lines.len() {
                0 => String::new(),
                1 => format!(" <span class=\"lines\">line {}</span>", lines[0]),
                _ => format!(" <span class=\"lines\">lines {}</span>", lines.join(", ")),
            };
            html += &format!("<li>{at}{}{lines}</li>\n", escape(&charge.evidence));
        }
        if charges.len() > SHOWN {
            html += &format!("<li>… and {} more</li>\n", count((charges.len() - SHOWN) as u64));
        }
        html += "</ul></details>\n";
    }
    html
}

fn looked_for(runs: &Runs<'_>) -> String {
    let mut items = String::new();
    for offence in Offence::ALL {
        let times: usize = runs.all.iter().map(|run| run.verdict.count(offence)).sum();
        let (class, mark) = if times == 0 { ("clear", "✓ never") } else { ("found", "✗ found") };
        items += &format!(
            "<li class=\"{class}\"><span class=\"found\">{mark}{}</span><span><b>{}</b> {}</span></li>\n",
            if times == 0 { String::new() } else { format!(" {}×", count(times as u64)) },
            offence.name(),
            escape(offence.meaning()),
        );
    }
    let open = if runs.convicted() { "" } else { " open" };
    let remarks: String = runs
        .all
        .iter()
        .flat_map(|run| &run.verdict.remarks)
        .map(|remark| format!("<p class=\"note\">Not judged: {}.</p>\n", escape(remark)))
        .collect();
    format!(
        "<details class=\"checks\"{open}><summary><h2>What was looked for</h2></summary>\n<ul>\n{items}</ul>\n{}{remarks}\
         </details>\n",
        resolution(runs)
    )
}

/// What the evidence cannot show.
fn resolution(runs: &Runs<'_>) -> String {
    let lives = runs.all.iter().flat_map(|run| &run.case.lives).filter(|life| life.notes.ticks > 50);
    let interval =
        lives.map(|life| (life.last - life.first) as f64 / 1e6 / (life.notes.ticks - 1) as f64).reduce(f64::min);
    interval.map_or_else(String::new, |ms| {
        format!(
            "<p class=\"note\">Coordinators ticked every {ms:.1} ms at best: two that met for less than that could go \
             unseen.</p>\n"
        )
    })
}
