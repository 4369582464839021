//! One strip: an axis, and the lanes below each other.

use super::bars::{self, CHARACTER};
use super::faults;
use super::geometry::{LEFT, MARGIN, NODE, SECOND, Strip, WIDTH};
use super::lanes::Lanes;
use crate::report::Judged;
use crate::report::words::{clock, escape};

impl Strip {
    pub fn svg(&self, run: &Judged<'_>, lanes: &Lanes) -> String {
        let case = &run.case;
        let mut y = 20.0;
        let (flags, rows) = self.convictions(run, y);
        y += rows as f64 * faults::ROW;
        let (faults, rows) = faults::svg(self, case, y);
        let mut body = faults;
        if rows > 0 {
            body += &name("faults", y + 11.0);
        }
        y += rows as f64 * faults::ROW + 5.0;
        for (node, roles, lives) in &lanes.nodes {
            body += &format!(
                "<rect class=\"lane\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\"/>",
                WIDTH - LEFT - MARGIN,
                NODE - 4.0
            );
            body += &bars::svg(self, roles, y, NODE - 4.0);
            body += &bars::svg(self, lives, y + 3.0, 12.0);
            body += &name(node, y + 13.0);
            y += NODE;
        }
        y += 2.0;
        body += &name("outage", y + 9.0);
        body += &bars::svg(self, &lanes.inactive, y + 3.0, 6.0);
        body += &bars::svg(self, &lanes.lifeless, y, 12.0);
        y += 16.0;
        body += &name("clients", y + 8.0);
        body += &bars::svg(self, &lanes.failing, y + 2.0, 6.0);
        y += 13.0;
        let axis = self.axis(14.0, y);
        let told =
            format!("{} to {}", clock((self.from - self.start) / SECOND), clock((self.to - self.start) / SECOND));
        format!(
            "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" aria-label=\"Timeline from {told}\">\
             {axis}{body}{flags}</svg></div>"
        )
    }

    fn axis(&self, top: f64, bottom: f64) -> String {
        let (mut lines, mut labels) = (String::new(), String::new());
        let mut at = self.from;
        while at <= self.to {
            let x = self.x(at);
            lines += &format!("M{x:.1} {top}V{bottom}");
            let anchor = if at == self.to { "end" } else { "middle" };
            let x = if at == self.to { WIDTH - 1.0 } else { x };
            labels += &format!(
                "<text class=\"mark\" x=\"{x:.1}\" y=\"10\" text-anchor=\"{anchor}\">{}</text>",
                clock((at - self.start) / SECOND)
            );
            at += self.mark_s * SECOND;
        }
        format!("<path class=\"grid\" d=\"{lines}\"/>{labels}")
    }

    /// Charges that have a moment: a flag with the charge's name, through all lanes. And how many rows the flags take.
    fn convictions(&self, run: &Judged<'_>, y: f64) -> (String, usize) {
        let (mut svg, mut free): (String, Vec<f64>) = (String::new(), Vec::new());
        let mut last = None;
        for charge in &run.verdict.charges {
            let Some(at) = charge.at_s else { continue };
            let x_s = at - (self.from - self.start) as f64 / 1e9;
            let length = (self.to - self.from) as f64 / 1e9;
            if !(0.0..length).contains(&x_s) {
                continue;
            }
            let x = LEFT + x_s / length * (WIDTH - LEFT - MARGIN);
            // A thousand lost writes within a pixel are one flag.
            if last.is_some_and(|(offence, before): (_, f64)| offence == charge.offence && (x - before).abs() < 3.0) {
                continue;
            }
            last = Some((charge.offence, x));
            let text = charge.offence.name();
            let wide = text.chars().count() as f64 * CHARACTER + 10.0;
            let left = if x + wide > self.right() { x - wide } else { x };
            let row = free.iter().position(|reached| *reached + 4.0 < left).unwrap_or_else(|| {
                free.push(0.0);
                free.len() - 1
            });
            free[row] = left + wide;
            let top = y + row as f64 * faults::ROW;
            svg += &format!(
                "<g class=\"conviction\"><title>{}</title><path d=\"M{x:.1} {top}V400\"/>\
                 <rect x=\"{left:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"15\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{text}</text></g>",
                escape(&charge.evidence),
                left + 5.0,
                top + 11.2,
            );
        }
        (svg, free.len())
    }
}

fn name(text: &str, y: f64) -> String {
    format!("<text class=\"lane-name\" x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, escape(text))
}
