//! The results: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use drill::judge::told;
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Verdict, milliseconds};

/// All runs of one drill.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub what: String,
    pub outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    /// What runs the hosts.
    pub hosts: String,
    pub guest_kernel: String,
    pub host_kernel: String,
    pub processors: usize,
    pub primacy: String,
    pub candidates: usize,
    pub zookeepers: usize,
    pub session_ms: u128,
    pub nfs_lease_ms: u128,
    /// Until the first coordinator ran, and until everything was at rest.
    pub up_seconds: (f64, f64),
    /// Between two ticks, in calm: half, 99 of 100, all are no longer than this.
    pub precision_ms: Option<[f64; 3]>,
    pub seconds: f64,
    /// Resident memory of all machines at its highest, and of ZooKeeper's Java machine, in MiB.
    pub memory_mib: u64,
    pub rows: Vec<Row>,
    /// What the drill's judge made of the run's history; none where nothing was run.
    pub judged: Option<drill::judge::Verdict>,
}

impl Report {
    /// Puts the outcomes of an earlier run, as [`Report::json`] wrote it, before this one's.
    pub fn merge(&mut self, earlier: &str) -> Result<()> {
        #[derive(Deserialize)]
        struct Earlier {
            seconds: f64,
            memory_mib: u64,
            rows: Vec<Row>,
        }
        let earlier: Earlier = serde_json::from_str(earlier)?;
        self.seconds += earlier.seconds;
        self.memory_mib = self.memory_mib.max(earlier.memory_mib);
        for mut row in earlier.rows {
            match self.rows.iter_mut().find(|own| own.name == row.name) {
                Some(own) => {
                    row.outcomes.append(&mut own.outcomes);
                    own.outcomes = row.outcomes;
                }
                None => self.rows.push(row),
            }
        }
        let place = |row: &Row| crate::drills::ALL.iter().position(|drill| drill.name == row.name);
        self.rows.sort_by_key(place);
        Ok(())
    }

    /// The worst of all.
    pub fn verdict(&self) -> Verdict {
        let outcomes = || self.rows.iter().flat_map(|row| &row.outcomes);
        let starved = outcomes().any(Outcome::starved);
        let judged = self.judged.iter().map(|judged| Verdict::of(judged, starved));
        let found: Vec<Verdict> = outcomes().map(Outcome::verdict).chain(judged).collect();
        let order = [Verdict::Failed, Verdict::Starved, Verdict::Passed, Verdict::NotHere];
        // Nothing run is nothing passed.
        order.into_iter().find(|verdict| found.contains(verdict)).unwrap_or(Verdict::Failed)
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |words: String| {
            text.push_str(&words);
            text.push('\n');
        };
        line("# Drills on virtual machines".to_owned());
        line(String::new());
        line(
            "Written by the drill itself (`--markdown FILE`). Every drill begins with a cluster at rest, breaks one thing, and judges \
             by one clock: coordinators send a datagram every few milliseconds over a network that is never cut, and the \
             host's kernel stamps its arrival. A *gap* is the longest time in which none ran, an *overlap* the time in which \
             two ran; a frozen machine runs nothing, what runs on it after the thaw counts. *Late records* are 64-byte \
             records of an old coordinator that reached the server's disk after its successor had started."
                .to_owned(),
        );
        line(String::new());
        line(format!(
            "{} candidates, an NFS server and {}; {} on {} processors, host kernel {}, guest kernel {}, {}. \
             Session {} ms, NFS lease {} ms.",
            self.candidates,
            if self.zookeepers == 1 {
                "ZooKeeper".to_owned()
            } else {
                format!("{} ZooKeeper servers", self.zookeepers)
            },
            self.hosts,
            self.processors,
            self.host_kernel,
            self.guest_kernel,
            self.primacy,
            self.session_ms,
            self.nfs_lease_ms
        ));
        line(format!(
            "From nothing to the first coordinator {:.1} s, to a cluster at rest {:.1} s. All drills together took {:.0} s and at \
             most {} MiB of memory.",
            self.up_seconds.0, self.up_seconds.1, self.seconds, self.memory_mib
        ));
        if let Some([half, most, all]) = self.precision_ms {
            line(format!(
                "Precision: between two ticks of an undisturbed coordinator passed {half:.1} ms (median), {most:.1} ms \
                 (99 of 100), {all:.1} ms (longest): so uncertain is each end of a gap or overlap."
            ));
        }
        if let Some(judged) = &self.judged {
            line(format!(
                "The judge of `docs/drill.md`, of the whole run: {}",
                told("this history", judged).trim_end()
            ));
        }
        line(String::new());
        line("| drill | n | passed | gap, ms | overlap, ms | waited, % | measured beside |".to_owned());
        line("|---|---|---|---|---|---|---|".to_owned());
        for row in &self.rows {
            if let Some(reason) = row.outcomes.last().and_then(|outcome| outcome.not_here.as_ref()) {
                line(format!("| {} | 0 | not on these hosts: {reason} | – | – | – | |", row.name));
                continue;
            }
            let count = |wanted| row.outcomes.iter().filter(|outcome| outcome.verdict() == wanted).count();
            let (passed, starved) = (count(Verdict::Passed), count(Verdict::Starved));
            line(format!(
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.name,
                row.outcomes.len(),
                match (passed == row.outcomes.len(), starved) {
                    (true, _) => "all".to_owned(),
                    (false, 0) => format!("**{passed}**"),
                    (false, _) => format!("**{passed}**, {starved} starved"),
                },
                spread(row.outcomes.iter().filter_map(|outcome| outcome.gap_ms)),
                spread(row.outcomes.iter().filter_map(|outcome| outcome.overlap_ms)),
                spread(row.outcomes.iter().map(|outcome| outcome.waited_percent)),
                row.figures()
            ));
        }
        line(String::new());
        line(
            "Figures are median (least–most). *Waited*: the share of the time in which the machines wanted one of the host's \
             processors that they waited for one, as the host's scheduler counts it. A drill that is only late, on machines \
             that waited for a third of their time or more, counts as *starved*: it shows nothing."
                .to_owned(),
        );
        for row in self.rows.iter().filter(|row| row.outcomes.iter().any(|outcome| outcome.not_here.is_none())) {
            line(String::new());
            line(format!("**{}**: {}. Expected, and found the last time:", row.name, row.what));
            line(String::new());
            let Some(last) = row.outcomes.last() else { continue };
            for one in &last.expectations {
                line(format!("- {}{}: {}", if one.met { "" } else { "**NOT MET** " }, one.text, one.found));
            }
            for outcome in &row.outcomes {
                for one in outcome.expectations.iter().filter(|one| !one.met) {
                    line(format!("- NOT MET in one run: {}: {}", one.text, one.found));
                }
                if let Some(error) = &outcome.error {
                    line(format!("- could not be carried out: {error}"));
                }
            }
        }
        text
    }
}

impl Row {
    fn figures(&self) -> String {
        let mut names: Vec<&String> = self.outcomes.iter().flat_map(|outcome| outcome.figures.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let mut text = String::new();
        for name in names {
            let values = self.outcomes.iter().filter_map(|outcome| outcome.figures.get(name).copied());
            let _ = write!(text, "{}{name}: {}", if text.is_empty() { "" } else { "; " }, spread(values));
        }
        text
    }
}

/// Median (least–most), or the one value.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let show = |value: f64| if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    match values.as_slice() {
        [] => "–".to_owned(),
        [first, .., last] if show(*first) != show(*last) => {
            format!("{} ({}–{})", show(values[values.len() / 2]), show(*first), show(*last))
        }
        [first, ..] => show(*first),
    }
}

/// Of [`crate::ticks::Book::precision`].
pub fn in_milliseconds(durations: [Duration; 3]) -> [f64; 3] {
    durations.map(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stands_alone_and_several_with_their_spread() {
        assert_eq!(spread([].into_iter()), "–");
        assert_eq!(spread([3.0].into_iter()), "3.0");
        assert_eq!(spread([300.0, 100.0, 200.0].into_iter()), "200 (100–300)");
    }
}
