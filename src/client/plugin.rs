//! `primacy status --check`: a line as the guidelines for monitoring plugins want it, which Icinga, Nagios, Naemon and Zabbix's
//! scripts read: `SERVICE STATUS: text | 'label'=value[unit];[warn];[crit];[min];[max] …`, and the state as the exit code.

use std::fmt::Write as _;

use crate::client::verdict::{Figures, Health, Verdict};

/// What is written of a text: Nagios reads 4 KiB of a line.
const LONGEST: usize = 1_000;

/// The line, with its line feed.
pub fn line(verdict: &Verdict) -> String {
    let mut text = verdict.sentence.clone();
    for asked_for in &verdict.asked_for {
        let _ = write!(text, "; {asked_for}");
    }
    format!("{} | {}\n", state(verdict.health, &text), performance(&verdict.figures))
}

/// The line where there is nothing to measure, with its line feed.
pub fn without_figures(health: Health, text: &str) -> String {
    state(health, text) + "\n"
}

/// A `|` would begin the figures, a line feed the long text, and a control character is nobody's.
fn state(health: Health, text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() || it == '|' { ' ' } else { it }).collect();
    let text = match text.floor_char_boundary(LONGEST) {
        end if end < text.len() => format!("{}…", &text[..end]),
        _ => text,
    };
    format!("PRIMACY {}: {text}", health.as_str())
}

/// A range of the guidelines alerts outside itself: `1:` below one, `0` on anything but zero.
fn performance(Figures { active, leading, epoch, standbys, missing, paused, .. }: &Figures) -> String {
    let mut figures = format!(
        "active={};;1:;0;1 standbys={standbys};1:;;0 missing={missing};0;;0 paused={};0;;0;1",
        u8::from(*active),
        u8::from(*paused)
    );
    if let Some(epoch) = epoch {
        let _ = write!(figures, " epoch={epoch}c;;;0");
    }
    if let Some(leading) = leading {
        let _ = write!(figures, " leading={}s;;;0", leading.as_secs());
    }
    figures
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_line_is_the_guidelines() {
        let figures = Figures {
            active: true,
            leading: Some(Duration::from_millis(11_520_900)),
            epoch: Some(7),
            standbys: 2,
            missing: 0,
            paused: false,
            always_on: false,
        };
        let verdict = Verdict { health: Health::Ok, sentence: "node-a leads".into(), asked_for: Vec::new(), figures };
        assert_eq!(
            line(&verdict),
            "PRIMACY OK: node-a leads | active=1;;1:;0;1 standbys=2;1:;;0 missing=0;0;;0 paused=0;0;;0;1 epoch=7c;;;0 \
             leading=11520s;;;0\n"
        );
        let verdict = Verdict {
            health: Health::Critical,
            sentence: "nobody leads".into(),
            asked_for: vec!["PAUSED".into()],
            figures: Figures { paused: true, ..Figures::default() },
        };
        assert_eq!(
            line(&verdict),
            "PRIMACY CRITICAL: nobody leads; PAUSED | active=0;;1:;0;1 standbys=0;1:;;0 missing=0;0;;0 paused=1;0;;0;1\n"
        );
    }

    #[test]
    fn what_others_have_written_neither_begins_figures_nor_another_line_nor_fills_it() {
        let told = without_figures(Health::Unknown, &format!("a | b\n\x1b[31m{}", "é".repeat(5_000)));
        assert!(told.starts_with("PRIMACY UNKNOWN: a   b  [31m"), "{told}");
        assert!(told.len() < 1_100 && told.ends_with("…\n"));
        assert_eq!(told.matches('\n').count(), 1);
    }
}
