//! One run as it went by: strips of a few minutes below each other, each with its faults, its nodes, and what lacked.
//!
//! Rejected: one long picture with a zoom. A minute must be wide enough that an outage of a second is seen, on paper and
//! without a script too.

mod bars;
mod faults;
mod geometry;
mod lanes;
mod strip;

use self::geometry::{SECOND, Strip};
use super::Judged;
use super::words::{clock, escape, length};

/// Lengths of a strip that make good axes, in seconds; and the distance of their marks.
const LENGTHS: [(u64, u64); 10] = [
    (30, 2),
    (60, 5),
    (120, 10),
    (180, 15),
    (300, 30),
    (600, 60),
    (1_200, 120),
    (1_800, 120),
    (3_600, 300),
    (7_200, 600),
];
/// More strips than these are not looked at.
const STRIPS: u64 = 12;

pub(super) fn html(name: &str, run: &Judged<'_>, runs: usize) -> String {
    let case = &run.case;
    let (Some(ready), true) = (case.ready, case.end > case.start) else { return String::new() };
    let seconds_at = |at: u64| at.saturating_sub(case.start) / SECOND;
    let last = seconds_at(case.end) + 1;
    let fitting = LENGTHS.into_iter().find(|(length, _)| last.div_ceil(*length) <= STRIPS);
    let (length_s, mark_s) = fitting.unwrap_or((last.div_ceil(STRIPS), last.div_ceil(STRIPS * 10).max(1)));
    let mut html = format!("<h2>Timeline: {}</h2>\n", escape(name));
    if runs > 1 {
        html += &format!("<p class=\"note\">Of {runs} runs the one with the most to see.</p>\n");
    }
    html += LEGEND;
    let lanes = lanes::of(run);
    let mut from = seconds_at(ready) / length_s * length_s;
    while from < last {
        let strip = Strip::new(case.start, from, length_s, mark_s);
        let (begin, end) = (clock(from), clock((from + length_s).min(last)));
        html += &format!("<figure class=\"strip\"><figcaption>{begin} – {end}</figcaption>");
        html += &strip.svg(run, &lanes);
        html += "</figure>\n";
        from += length_s;
    }
    html + &format!(
        "<p class=\"note\">Times are m:ss since the run's first line; {} in all. Point at a bar for its times.</p>\n",
        length(last as f64)
    )
}

/// What the marks mean. The patterns are defined here for all strips.
const LEGEND: &str = "<svg width=\"0\" height=\"0\" class=\"defs\" aria-hidden=\"true\"><defs>\
<pattern id=\"gone\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path class=\"gone-line\" d=\"M0 0V5\"/></pattern></defs></svg>\n\
<ul class=\"legend\">\
<li><svg width=\"26\" height=\"12\"><rect class=\"life\" y=\"1\" width=\"26\" height=\"10\" rx=\"2\"/></svg>a coordinator lives (with its epoch)</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"active\" width=\"26\" height=\"12\"/></svg>node is active</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"rising\" width=\"26\" height=\"12\"/></svg>promoting</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"falling\" width=\"26\" height=\"12\"/></svg>demoting, fencing</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"gone\" width=\"26\" height=\"12\"/></svg>does not answer</li>\
<li><svg width=\"34\" height=\"12\"><rect class=\"fault\" y=\"1\" width=\"18\" height=\"10\" rx=\"2\"/><path class=\"recovery\" d=\"M18 6H32M32 2V10\"/></svg>fault, and until one was active again</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"lifeless\" width=\"26\" height=\"12\"/></svg>no coordinator lives</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"inactive\" y=\"3\" width=\"26\" height=\"6\"/></svg>nobody is active</li>\
<li><svg width=\"26\" height=\"12\"><rect class=\"failing\" y=\"3\" width=\"26\" height=\"6\"/></svg>clients fail</li>\
</ul>\n";
