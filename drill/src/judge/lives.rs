//! Coordinators' lives: from their own ticks, stretched by the records that they wrote, for who writes is alive.
//!
//! A writer without a life is given one from its records alone, so that a lost tick file hides no overlap.

use super::numbered::numbered;
use crate::history::{Entry, Line, Metadata};

/// One coordinator process, from the first sign of life to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub node: String,
    pub pid: u32,
    pub epoch: u64,
    /// ns on CLOCK_MONOTONIC.
    pub first: u64,
    pub last: u64,
    /// 0: known by its records alone.
    pub ticks: u64,
    pub lines: Vec<usize>,
}

impl Life {
    #[must_use]
    pub fn covers(&self, at: u64) -> bool {
        self.first <= at && at <= self.last
    }

    /// Whether this is the process of which something else is told. A process has one epoch for life; 0 is a process
    /// whose id was not noted.
    fn same_process(&self, node: &str, pid: u32, epoch: u64) -> bool {
        self.node == node && self.epoch == epoch && (self.pid == pid || pid == 0)
    }

    fn stretch(&mut self, first: u64, last: u64, line: usize) {
        if first < self.first || self.last < last {
            self.lines.push(line);
        }
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (pid {}, epoch {})", self.node, self.pid, self.epoch)
    }
}

/// All lives, by their beginning.
pub(super) fn of(lines: &[Line]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (number, line) in numbered(lines) {
        if let Entry::Coordinator { node, pid, epoch, first, last, ticks } = &line.entry {
            let (first, last) = ((*first).min(*last), (*first).max(*last));
            match lives.iter_mut().find(|life| life.same_process(node, *pid, *epoch)) {
                Some(life) => {
                    life.stretch(first, last, number);
                    life.ticks += ticks;
                }
                None => lives.push(Life {
                    node: node.clone(),
                    pid: *pid,
                    epoch: *epoch,
                    first,
                    last,
                    ticks: *ticks,
                    lines: vec![number],
                }),
            }
        }
    }
    for (number, line) in numbered(lines) {
        if let Entry::Metadata(metadata) = &line.entry {
            add_writers(&mut lives, metadata, number);
        }
    }
    lives.sort_by_key(|life| (life.first, life.last));
    lives
}

fn add_writers(lives: &mut Vec<Life>, metadata: &Metadata, number: usize) {
    for record in metadata.journal.iter().filter(|record| record.begin > 0) {
        let (first, last) = (record.begin.min(record.end), record.begin.max(record.end));
        match lives.iter_mut().find(|life| life.same_process(&record.node, record.pid, record.epoch)) {
            Some(life) => life.stretch(first, last, number),
            None => lives.push(Life {
                node: record.node.clone(),
                pid: record.pid,
                epoch: record.epoch,
                first,
                last,
                ticks: 0,
                lines: vec![number],
            }),
        }
    }
}
