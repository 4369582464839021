//! What was run, on what; and what `primacy history` said afterwards.

use super::words::{count, escape, length};
use super::{Judged, Runs};
use crate::history::Entry;

/// What a run is called on the page.
pub(super) fn name(index: usize, run: &Judged<'_>) -> String {
    match run.case.run {
        Some(told) => format!("Run {}, seed {}", index + 1, told.seed),
        None => format!("Run {}", index + 1),
    }
}

pub(super) fn html(runs: &Runs<'_>) -> String {
    let mut body = String::new();
    for (index, run) in runs.all.iter().enumerate() {
        let figures = &run.verdict.figures;
        let verdict = if run.verdict.convicted() { "✗ convicted" } else { "✓ nothing" };
        let Some(told) = run.case.run else {
            body += &format!("<tr><td>{}</td><td>{verdict}</td><td colspan=\"9\">not told</td></tr>\n", index + 1);
            continue;
        };
        body += &format!(
            "<tr><td>{}</td><td>{verdict}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{} / {} s</td><td>{}</td></tr>\n<tr class=\"more\"><td></td><td colspan=\"10\"><code>{}</code>\
             <br>{}, {}</td></tr>\n",
            index + 1,
            told.seed,
            escape(&told.started),
            length(figures.seconds),
            count(figures.faults as u64),
            count(figures.failovers as u64),
            escape(&told.workload),
            told.nodes.len(),
            seconds(told.session_ms),
            seconds(told.tick_ms),
            escape(&told.hosts),
            escape(&told.command),
            escape(&version(&told.primacy_version)),
            escape(&told.kernel),
        );
    }
    format!(
        "<h2>What was run</h2>\n<div class=\"wide\"><table class=\"runs\"><thead><tr><th scope=\"col\">run</th>\
         <th scope=\"col\">verdict</th><th scope=\"col\">seed</th><th scope=\"col\">started</th>\
         <th scope=\"col\">length</th><th scope=\"col\">faults</th><th scope=\"col\">fail-overs</th>\
         <th scope=\"col\">workload</th><th scope=\"col\">nodes</th><th scope=\"col\">session / tick</th>\
         <th scope=\"col\">hosts</th></tr></thead><tbody>\n{body}</tbody></table></div>\n"
    )
}

/// With the program's name, whether it was noted with it or not.
fn version(noted: &str) -> String {
    format!("primacy {}", noted.trim_start_matches("primacy "))
}

fn seconds(ms: u64) -> String {
    let seconds = ms as f64 / 1e3;
    format!("{seconds}")
}

/// `primacy history` of one run, folded away.
pub(super) fn leaderships(run: &Judged<'_>) -> String {
    let mut body = String::new();
    let values = run.case.lines.iter().filter_map(|line| match &line.entry {
        Entry::Leadership(value) => Some(value),
        _ => None,
    });
    for value in values {
        let cell = |key: &str| match value.get(key) {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => escape(text),
            Some(other) => escape(&other.to_string()),
        };
        let cells =
            ["epoch", "node", "from", "to", "cause", "gap_ms", "detail"].map(|key| format!("<td>{}</td>", cell(key)));
        body += &format!("<tr>{}</tr>\n", cells.concat());
    }
    if body.is_empty() {
        return body;
    }
    format!(
        "<details><summary>What <code>primacy history</code> said at the end of it</summary>\n<div class=\"wide\"><table \
         class=\"history\"><thead><tr><th scope=\"col\">epoch</th><th scope=\"col\">node</th><th scope=\"col\">from</th>\
         <th scope=\"col\">to</th><th scope=\"col\">cause of the end</th><th scope=\"col\">gap, ms</th>\
         <th scope=\"col\">detail</th></tr></thead><tbody>\n{body}</tbody></table></div></details>\n"
    )
}
