//! Coordinators' lives: from their own ticks, stretched by the records that they wrote, for who writes is alive.
//!
//! A writer without a life is given one from its records alone, so that a lost tick file hides no overlap.
//!
//! A life goes on while its process alone stands still: nobody may take over for that. A host that stands still as a whole is
//! another matter: its lock's lease runs out where locks have one, so its lives consist of stretches.

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
    /// When it ran: its life without its host's standstills.
    pub stretches: Vec<Span>,
}

/// A host that stood still as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standstill<'a> {
    pub node: &'a str,
    pub span: Span,
    /// For how long after its end what had run on it may run beside a successor; ns.
    pub grace: u64,
}

/// By their beginning.
pub(super) fn standstills(lines: &[Line]) -> Vec<Standstill<'_>> {
    let stood = lines.iter().filter_map(|line| match &line.entry {
        Entry::Standstill { node, begin, end, grace } => {
            Some(Standstill { node, span: Span::between(*begin, *end), grace: *grace })
        }
        _ => None,
    });
    let mut found: Vec<_> = stood.collect();
    found.sort_by_key(|stood| stood.span);
    found
}

pub type Life = testbed::lives::Life<Evidence>;

/// All lives, by their beginning.
pub(super) fn of(lines: &[Line], standstills: &[Standstill<'_>]) -> Vec<Life> {
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
    let mut lives = lives.by_beginning();
    for life in &mut lives {
        let pauses: Vec<Span> =
            standstills.iter().filter(|stood| stood.node == life.node).map(|stood| stood.span).collect();
        life.notes.stretches = life.span().without(&pauses);
    }
    lives
}

/// When anybody ran.
#[must_use]
pub fn stretches(lives: &[Life]) -> Vec<Span> {
    lives.iter().flat_map(|life| life.notes.stretches.iter().copied()).collect()
}
