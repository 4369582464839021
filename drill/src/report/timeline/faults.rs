//! Faults with their names, in as many rows as they need not to cover each other.

use super::bars::CHARACTER;
use super::geometry::Strip;
use crate::judge::{Case, Episode, Fault};
use crate::report::words::{duration, escape};

pub(super) const ROW: f64 = 17.0;

/// The faults within `strip` as SVG below `y`, and how many rows they take.
pub(super) fn svg(strip: &Strip, case: &Case<'_>, y: f64) -> (String, usize) {
    let mut free: Vec<f64> = Vec::new();
    let mut svg = String::new();
    for episode in &case.episodes {
        let last = episode.faults.iter().map(|fault| fault.end).max().flatten();
        for fault in &episode.faults {
            let recovered = episode.recovered.as_ref().filter(|_| fault.end == last).map(|recovered| recovered.at);
            svg += &place(strip, case, episode, fault, recovered, y, &mut free).unwrap_or_default();
        }
    }
    (svg, free.len())
}

fn place(
    strip: &Strip,
    case: &Case<'_>,
    episode: &Episode,
    fault: &Fault,
    recovered: Option<u64>,
    y: f64,
    free: &mut Vec<f64>,
) -> Option<String> {
    let end = fault.end.unwrap_or(episode.next);
    let until = recovered.unwrap_or(end).max(end);
    if !strip.shows(fault.begin, until) {
        return None;
    }
    let text = format!("{} {}", fault.kind, fault.targets.join(" "));
    let text = text.trim();
    let wide = text.chars().count() as f64 * CHARACTER;
    let (left, right, whisker) = (strip.x(fault.begin), strip.x(end), strip.x(until));
    let right = right.max(left + 3.0);
    let inside = right - left > wide + 8.0;
    let taken = if inside { whisker } else { whisker.max(right) + 5.0 + wide };
    // A name that would leave the picture stands before its bar.
    let before = !inside && taken > strip.right();
    let (from, to) = if before { (left - 5.0 - wide, whisker.max(right)) } else { (left, taken) };
    let row = free.iter().position(|reached| *reached + 6.0 < from).unwrap_or_else(|| {
        free.push(0.0);
        free.len() - 1
    });
    free[row] = to;
    let top = y + row as f64 * ROW;
    let (middle, base) = (top + 7.0, top + 10.8);
    let class = if fault.ok { "fault" } else { "fault undone" };
    let mut svg = String::new();
    if recovered.is_some() && whisker > right {
        svg += &format!(
            "<path class=\"recovery\" d=\"M{right:.1} {middle}H{whisker:.1}M{whisker:.1} {}v8\"/>",
            middle - 4.0
        );
    }
    let lasted = (end - fault.begin) as f64 / 1e6;
    let title = format!(
        "fault {}: {} at {} for {}; {}",
        fault.id,
        text,
        case.seconds(fault.begin),
        duration(lasted),
        fault.detail
    );
    svg += &format!(
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"14\" rx=\"2\"><title>{}</title></rect>",
        right - left,
        escape(&title)
    );
    let (x, anchor, class) = if inside {
        (left + 4.0, "start", "on-fault")
    } else if before {
        (left - 5.0, "end", "name")
    } else {
        (whisker.max(right) + 5.0, "start", "name")
    };
    svg += &format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{base:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escape(text)
    );
    Some(svg)
}
