//! A leadership is given up as a clean one only after its end was proven.

use crate::election::port::{ElectionOrder, Fact};
use crate::guardian::protocol::Report;
use crate::node::{GuardianInput, Input, Output};
use crate::recording::supervisor::ReadLine;
use crate::verify::recordings::{Line, Supervisor};
use crate::verify::{Contradiction, Verdict};

const CLEAN: &str = "a resignation is clean only once the tree is dead and the lock closed";

/// How far the end of a leadership is proven.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proven {
    /// There is no leadership, or it began before this segment: nothing can be said.
    Unknown,
    Nothing,
    Closed,
}

pub fn check(supervisor: &Supervisor, verdict: &mut Verdict) {
    let mut proven = Proven::Unknown;
    for (number, line) in &supervisor.segment.lines {
        match line {
            Line::Known(ReadLine::Heard { heard, .. }) => match heard {
                Input::Election(Fact::Claimed { .. }) => proven = Proven::Nothing,
                Input::OrphansDead { .. } if proven == Proven::Nothing => proven = Proven::Closed,
                Input::Guardian(GuardianInput::Report(report)) if proven == Proven::Nothing => {
                    if let Report::LockClosed { clean: true } | Report::Fenced { clean: true, .. } = **report {
                        proven = Proven::Closed;
                    }
                }
                _ => {}
            },
            Line::Known(ReadLine::Wanted { wanted: Output::Election(ElectionOrder::Resign { clean: true, .. }) }) => {
                if proven == Proven::Nothing {
                    verdict.contradictions.push(Contradiction {
                        rule: CLEAN,
                        found: "it resigned as a clean one before its guardian had closed the lock".to_owned(),
                        path: supervisor.segment.path.clone(),
                        line: *number,
                    });
                }
                proven = Proven::Unknown;
            }
            Line::Known(ReadLine::Wanted { .. }) | Line::Unknown(_) => {}
        }
    }
}
