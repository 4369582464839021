//! `primacy verify`: recordings, held against the code and the rules.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Options, print};
use crate::status::timeline;
use crate::verify::{self, Verdict};

/// Hold flight recordings against the code that decides and the rules that it relies on
///
/// Replays what every supervisor heard, demands that it wanted just what it wanted then, and holds guardians, ZooKeeper and
/// volume against the rules. Prints one timeline (not with -q) and a verdict; exits with 1 at a contradiction.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files, or folders with all below them: `[recorder] directory` of one or more nodes
    #[arg(required = true, value_name = "TRACE")]
    pub traces: Vec<PathBuf>,
}

pub fn run(options: &Options, arguments: &Arguments) -> anyhow::Result<Exit> {
    let verdict = verify::verify(&arguments.traces)?;
    if options.quiet == 0 {
        print(&timeline::render(&verdict.steps))?;
    }
    print(&summary(&verdict))?;
    Ok(if verdict.contradictions.is_empty() { Exit::Done } else { Exit::Failed })
}

fn summary(verdict: &Verdict) -> String {
    let Verdict { contradictions, counts, remarks, .. } = verdict;
    let mut text = String::new();
    for remark in remarks {
        text += &format!("note: {remark}\n");
    }
    for contradiction in contradictions {
        let verify::Contradiction { rule, found, path, line } = contradiction;
        text += &format!("CONTRADICTION: {rule}; but {found}\n  in {}, line {line}\n", path.display());
    }
    let verdict = match contradictions.len() {
        0 => "no contradiction".to_owned(),
        1 => "1 contradiction".to_owned(),
        several => format!("{several} contradictions"),
    };
    text + &format!(
        "{verdict}: {} segments, {} inputs replayed, {} outputs compared, {} guardians' lines, {} starts, {} leaderships\n",
        counts.segments, counts.inputs, counts.outputs, counts.guardian_lines, counts.starts, counts.leaderships
    )
}
