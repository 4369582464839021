//! What happens to processes: killed, stopped for a while, asked to stop.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Draw, Fault, Hit, target};
use crate::lab::{Candidate, Lab, nanoseconds};
use testbed::clock;

/// A part of what runs on a candidate's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `primacy run`.
    Supervisor,
    /// Its other half.
    Guardian,
    /// What they are there for.
    Coordinator,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Guardian => "guardian",
            Self::Coordinator => "coordinator",
        }
    }

    fn of(self, candidate: &Candidate) -> Vec<i32> {
        match self {
            Self::Supervisor => candidate.supervisor().into_iter().collect(),
            Self::Guardian => candidate.guardians(),
            Self::Coordinator => candidate.coordinators(),
        }
    }
}

/// The drawn candidate if it has this part, else one that has it.
fn find(lab: &Lab, draw: &Draw, part: Part) -> Option<(usize, Vec<i32>)> {
    let first = target(lab, draw);
    let count = lab.candidates.len();
    (0..count).map(|offset| (first + offset) % count).find_map(|index| {
        let pids = part.of(&lab.candidates[index]);
        (!pids.is_empty()).then_some((index, pids))
    })
}

fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

/// kill -9.
pub struct Kill {
    parts: &'static [Part],
}

impl Kill {
    /// Of these parts, at once.
    pub fn of(parts: &'static [Part]) -> Self {
        Self { parts }
    }
}

impl Fault for Kill {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let Some((index, _)) = find(lab, draw, self.parts[0]) else {
            return Ok(Hit { detail: "there was none to kill".to_owned(), ..Hit::default() });
        };
        let candidate = &lab.candidates[index];
        let parts: Vec<(Part, Vec<i32>)> = self.parts.iter().map(|part| (*part, part.of(candidate))).collect();
        // Looked up first, killed together.
        parts.iter().for_each(|(_, pids)| signal_all(pids, Signal::SIGKILL));
        let words: Vec<String> = parts.iter().map(|(part, pids)| format!("{} {pids:?}", part.word())).collect();
        Ok(Hit::of(candidate.name(), format!("SIGKILL to {}", words.join(" and "))))
    }
}

/// SIGSTOP, and SIGCONT at the end. Other than a frozen group, a stopped process can be killed.
pub struct Freeze {
    part: Part,
    pids: Vec<i32>,
}

impl Freeze {
    /// Of this part.
    pub fn of(part: Part) -> Self {
        Self { part, pids: Vec::new() }
    }
}

impl Fault for Freeze {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let Some((index, pids)) = find(lab, draw, self.part) else {
            return Ok(Hit { detail: "there was none to stop".to_owned(), ..Hit::default() });
        };
        signal_all(&pids, Signal::SIGSTOP);
        self.pids = pids;
        let detail = format!("SIGSTOP to {} {:?}", self.part.word(), self.pids);
        Ok(Hit::of(lab.candidates[index].name(), detail))
    }

    fn end(&mut self, _lab: &mut Lab) -> Result<String> {
        signal_all(&self.pids, Signal::SIGCONT);
        Ok("SIGCONT".to_owned())
    }
}

/// SIGTERM to all supervisors, and again: a second one means "at once".
pub struct Storm;

impl Fault for Storm {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        const TIMES: u32 = 3;
        let pause = Duration::from_millis(draw.dice % 60);
        for _ in 0..TIMES {
            for candidate in &lab.candidates {
                candidate.signal(Signal::SIGTERM);
            }
            lab.wait(pause)?;
        }
        let targets = lab.candidates.iter().map(|candidate| candidate.name().to_owned()).collect();
        Ok(Hit { targets, detail: format!("SIGTERM to all supervisors, {TIMES} times, {pause:?} apart") })
    }
}

/// As an operator does it: one after the other, each back before the next.
pub struct RollingRestart;

impl Fault for RollingRestart {
    fn begin(&mut self, lab: &mut Lab, draw: &Draw) -> Result<Hit> {
        let first = target(lab, draw);
        let count = lab.candidates.len();
        let mut targets = Vec::new();
        for index in (0..count).map(|offset| (first + offset) % count) {
            let candidate = &lab.candidates[index];
            let (name, former) = (candidate.name().to_owned(), candidate.supervisor());
            if !candidate.signal(Signal::SIGTERM) {
                continue;
            }
            let began = clock::now();
            let back = lab.until(Duration::from_secs(15), "a supervisor is back", |lab| {
                let candidate = &lab.candidates[index];
                let look = lab.observer.look(candidate.name());
                let restarted = candidate.supervisor().is_some_and(|pid| Some(pid) != former);
                // Long enough after the old one's last answer.
                let answers = look.said.is_some() && look.at > began + nanoseconds(Duration::from_millis(200));
                (restarted && answers).then_some(())
            });
            // Another fault may keep it away; then the next one's turn comes all the same.
            if back.is_ok() {
                targets.push(name);
            }
        }
        Ok(Hit { detail: format!("{} restarted in turn", targets.join(", ")), targets })
    }
}
