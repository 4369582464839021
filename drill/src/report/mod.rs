//! One page and a few figures of what the runs showed. Pure but for writing the two files.
//!
//! The page stands alone: no script, no font, no image from anywhere else, so that it can be mailed, archived and opened
//! in twenty years. Several runs share one table; the timeline is that of the run with the most to see.
//!
//! ```text
//! summary     the verdict in one sentence, and the figures behind it
//! charges     each charge with its evidence; or all that was looked for
//! rows        fault kind × what came of it, with a dot for each outage
//! timeline/   one run, a strip for every few minutes: faults, nodes, outages
//! runs        seeds, versions, machine, command; what `primacy history` said
//! ```

mod charges;
mod figures;
mod page;
mod rows;
mod runs;
mod summary;
mod timeline;
mod words;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::history::{self, Line};
use crate::judge::{Case, Figures, Row, Verdict, judge, merge};

/// `drill report DIR... --out DOCS`: judges the runs in `dirs` and writes `drill.html` and `figures.json` into `out`.
pub fn cli(dirs: &[PathBuf], out: &Path) -> Result<()> {
    let histories = dirs.iter().map(|dir| history::read(dir)).collect::<Result<Vec<_>>>()?;
    let verdicts: Vec<Verdict> = histories.iter().map(|lines| judge(lines)).collect();
    let runs: Vec<(&[Line], &Verdict)> = histories.iter().map(Vec::as_slice).zip(&verdicts).collect();
    write(&runs, out)
}

/// Writes `drill.html` and `figures.json` into `out`, which is made if need be.
pub fn write(runs: &[(&[Line], &Verdict)], out: &Path) -> Result<()> {
    let runs = Runs::of(runs);
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let put = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("figures.json", &(serde_json::to_string_pretty(&figures::json(&runs))? + "\n"))?;
    put("drill.html", &page::html(&runs))
}

/// One run with its verdict.
struct Judged<'a> {
    case: Case<'a>,
    verdict: &'a Verdict,
}

/// All that a page is about.
struct Runs<'a> {
    all: Vec<Judged<'a>>,
    table: Vec<Row>,
    total: Figures,
}

impl<'a> Runs<'a> {
    fn of(runs: &[(&'a [Line], &'a Verdict)]) -> Self {
        let all: Vec<Judged<'_>> =
            runs.iter().map(|(lines, verdict)| Judged { case: Case::of(lines), verdict }).collect();
        let tables: Vec<&[Row]> = all.iter().map(|run| run.verdict.table.as_slice()).collect();
        let figures: Vec<&Figures> = all.iter().map(|run| &run.verdict.figures).collect();
        let faults = all.iter().flat_map(|run| &run.case.episodes).flat_map(|episode| &episode.faults);
        let kinds: HashSet<&str> = faults.filter(|fault| fault.ok).map(|fault| fault.kind.as_str()).collect();
        let (table, total) = (merge(&tables), Figures::total(&figures, kinds.len()));
        Self { all, table, total }
    }

    fn convicted(&self) -> bool {
        self.all.iter().any(|run| run.verdict.convicted())
    }

    /// The run with the most to see: a convicted one, else the one with the most kinds of fault, then fail-overs.
    fn most_interesting(&self) -> Option<usize> {
        let weight = |run: &Judged<'_>| {
            let figures = &run.verdict.figures;
            (run.verdict.convicted(), figures.kinds, figures.failovers)
        };
        // The first of equals.
        (0..self.all.len()).rev().max_by_key(|index| weight(&self.all[*index]))
    }
}
