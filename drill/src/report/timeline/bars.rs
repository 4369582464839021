//! Intervals as rectangles: clipped to a strip, merged where they touch, wide enough to be seen.

use super::geometry::Strip;
use crate::report::words::escape;

/// An interval of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub from: u64,
    pub to: u64,
    pub class: &'static str,
    /// What pointing at it tells.
    pub title: String,
    /// What stands in it, if there is room: the long form, else the short one.
    pub label: Option<(String, String)>,
}

impl Bar {
    pub fn new(from: u64, to: u64, class: &'static str, title: String) -> Self {
        Self { from, to, class, title, label: None }
    }
}

/// Nothing is narrower, in px.
const NARROWEST: f64 = 1.6;
/// What is closer than this to its like is one with it, in px.
const NEAR: f64 = 0.6;
/// About what a character needs, in px.
pub(super) const CHARACTER: f64 = 6.1;

/// The bars of one lane within `strip`, as SVG.
pub(super) fn svg(strip: &Strip, bars: &[Bar], y: f64, height: f64) -> String {
    let mut drawn: Vec<(f64, f64, Bar)> = Vec::new();
    for bar in bars.iter().filter(|bar| strip.shows(bar.from, bar.to)) {
        let (left, right) = (strip.x(bar.from), strip.x(bar.to));
        match drawn
            .last_mut()
            .filter(|(_, end, last)| last.class == bar.class && left - *end < NEAR && bar.label.is_none())
        {
            Some((_, end, _)) => *end = end.max(right),
            None => drawn.push((left, right, bar.clone())),
        }
    }
    let mut svg = String::new();
    for (left, right, bar) in drawn {
        let width = (right - left).max(NARROWEST);
        let rounded = if height < 12.0 && bar.label.is_some() { " rx=\"2\"" } else { "" };
        svg += &format!(
            "<rect class=\"{}\" x=\"{left:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"{rounded}>",
            bar.class
        );
        if !bar.title.is_empty() {
            svg += &format!("<title>{}</title>", escape(&bar.title));
        }
        svg += "</rect>";
        if let Some((long, short)) = &bar.label {
            let fits = |text: &String| text.chars().count() as f64 * CHARACTER + 8.0 < width;
            if let Some(text) = [long, short].into_iter().find(|text| fits(text)) {
                svg += &format!(
                    "<text class=\"in\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    left + 4.0,
                    y + height / 2.0 + 3.6,
                    escape(text)
                );
            }
        }
    }
    svg
}
