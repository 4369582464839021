//! The table: fault kind × what came of it, with a dot for each time without a coordinator.

use super::Runs;
use super::words::{count, duration, escape};
use crate::judge::{Row, Spread};

/// The dots' field, in px, and the decades on it: 1 ms to 100 s.
const WIDTH: f64 = 190.0;
const HEIGHT: f64 = 22.0;
const FROM: f64 = 0.0;
const TO: f64 = 5.0;
/// More dots than these are not told apart; the median and the extremes are in the figures anyway.
const DOTS: usize = 150;

pub(super) fn html(runs: &Runs<'_>) -> String {
    let mut body = String::new();
    let mut paired = false;
    for row in &runs.table {
        if row.pair() && !paired {
            paired = true;
            body += "<tr class=\"group\"><th colspan=\"11\" scope=\"rowgroup\">Two at a time</th></tr>\n";
        }
        body += &line(row);
    }
    let total = &runs.total;
    let all = Row {
        kind: "all".to_owned(),
        runs: runs.table.iter().map(|row| row.runs).sum(),
        not_done: runs.table.iter().map(|row| row.not_done).sum(),
        failovers: total.failovers,
        needless: total.needless_failovers,
        overlaps: total.overlaps,
        gaps_ms: runs.table.iter().flat_map(|row| row.gaps_ms.clone()).collect(),
        inactive_ms: runs.table.iter().flat_map(|row| row.inactive_ms.clone()).collect(),
    };
    format!(
        "<h2>Faults, and what came of them</h2>\n\
         <p class=\"note\">Without a coordinator: from a coordinator's last sign of life to the next one's first. Nobody \
         active: until the API said so, start-up included; a node that is frozen is not active although its coordinator \
         lives.</p>\n<div class=\"wide\"><table class=\"faults\"><thead>\n\
         <tr><th rowspan=\"2\" scope=\"col\">fault</th><th rowspan=\"2\" scope=\"col\">runs</th>\
         <th rowspan=\"2\" scope=\"col\">fail-<br>overs</th><th rowspan=\"2\" scope=\"col\">over-<br>laps</th>\
         <th colspan=\"4\" scope=\"colgroup\" class=\"set\">without a coordinator</th>\
         <th colspan=\"3\" scope=\"colgroup\" class=\"set\">nobody active</th></tr>\n\
         <tr><th scope=\"col\" class=\"set\">least</th><th scope=\"col\">median</th><th scope=\"col\">most</th>\
         <th scope=\"col\" class=\"dots\">{}</th>\
         <th scope=\"col\" class=\"set\">least</th><th scope=\"col\">median</th><th scope=\"col\">most</th></tr>\n\
         </thead><tbody>\n{body}</tbody><tfoot>\n{}</tfoot></table></div>\n",
        axis(),
        line(&all)
    )
}

fn line(row: &Row) -> String {
    let not_done = match row.not_done {
        0 => String::new(),
        some => format!(" <small title=\"could not be done or undone\">+{some} failed</small>"),
    };
    let needless = match row.needless {
        0 => String::new(),
        some => format!(" <small title=\"though the active node was no target\">{some} needless</small>"),
    };
    let overlaps = if row.overlaps == 0 { "" } else { " class=\"bad\"" };
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}{not_done}</td><td>{}{needless}</td><td{overlaps}>{}</td>{}<td \
         class=\"dots\">{}</td>{}</tr>\n",
        escape(&row.kind),
        count(row.runs as u64),
        count(row.failovers as u64),
        count(row.overlaps as u64),
        cells(row.gaps()),
        dots(row),
        cells(row.inactive()),
    )
}

fn cells(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { min, median, max, .. }) => format!(
            "<td class=\"set\">{}</td><td class=\"median\">{}</td><td>{}</td>",
            duration(min),
            duration(median),
            duration(max)
        ),
        None => "<td class=\"set none\">–</td><td class=\"none\">–</td><td class=\"none\">–</td>".to_owned(),
    }
}

fn x(ms: f64) -> f64 {
    let decades = ms.max(1.0).log10().clamp(FROM, TO);
    6.0 + (decades - FROM) / (TO - FROM) * (WIDTH - 12.0)
}

fn axis() -> String {
    let labels = [(1.0, "1 ms"), (100.0, "100 ms"), (1e3, "1 s"), (1e5, "100 s")];
    let mut svg = format!("<svg width=\"{WIDTH}\" height=\"14\" viewBox=\"0 0 {WIDTH} 14\" aria-hidden=\"true\">");
    for (ms, label) in labels {
        let anchor = if ms < 2.0 {
            "start"
        } else if ms > 9e4 {
            "end"
        } else {
            "middle"
        };
        let x = if anchor == "start" {
            0.0
        } else if anchor == "end" {
            WIDTH
        } else {
            x(ms)
        };
        svg += &format!("<text x=\"{x:.0}\" y=\"11\" text-anchor=\"{anchor}\">{label}</text>");
    }
    svg + "</svg>"
}

fn dots(row: &Row) -> String {
    let Some(spread) = row.gaps() else { return String::new() };
    let middle = HEIGHT / 2.0;
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} \
         outages\">",
        spread.count
    );
    let mut grid = String::new();
    for decade in [1.0, 10.0, 100.0, 1e3, 1e4, 1e5] {
        grid += &format!("M{:.1} 0V{HEIGHT}", x(decade));
    }
    svg += &format!("<path class=\"grid\" d=\"{grid}\"/>");
    let mut sorted = row.gaps_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let step = sorted.len().div_ceil(DOTS).max(1);
    for ms in sorted.iter().step_by(step).chain(sorted.last()) {
        svg += &format!("<circle class=\"dot\" cx=\"{:.1}\" cy=\"{middle}\" r=\"3.2\"/>", x(*ms));
    }
    svg + &format!("<path class=\"mid\" d=\"M{:.1} 3V{}\"/></svg>", x(spread.median), HEIGHT - 3.0)
}
