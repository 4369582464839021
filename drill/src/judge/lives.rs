//! Coordinators' lives: from their own ticks, stretched by the records that they wrote, for who writes is alive.
//!
//! A writer without a life is given one from its records alone, so that a lost tick file hides no overlap.

use testbed::lives::Lives;
use testbed::span::Span;

use super::numbered::numbered;
use crate::history::{Entry, Line};

/// What else is known of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// 0: known by its records alone.
    pub ticks: u64,
    /// Lines of the history that made it as long as it is.
    pub lines: Vec<usize>,
}

pub type Life = testbed::lives::Life<Evidence>;

/// All lives, by their beginning.
pub(super) fn of(lines: &[Line]) -> Vec<Life> {
    let mut lives = Lives::<Evidence>::none();
    let mut sign = |node: &str, pid, epoch, span, ticks, number| {
        let (life, longer) = lives.sign(node, pid, epoch, span);
        life.notes.ticks += ticks;
        if longer {
            life.notes.lines.push(number);
        }
    };
    for (number, line) in numbered(lines) {
        if let Entry::Coordinator { node, pid, epoch, first, last, ticks } = &line.entry {
            sign(node, *pid, *epoch, Span::between(*first, *last), *ticks, number);
        }
    }
    for (number, line) in numbered(lines) {
        if let Entry::Metadata(metadata) = &line.entry {
            for record in metadata.journal.iter().filter(|record| record.begin > 0) {
                sign(&record.node, record.pid, record.epoch, Span::between(record.begin, record.end), 0, number);
            }
        }
    }
    lives.by_beginning()
}
