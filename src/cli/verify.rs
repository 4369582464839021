//! `primacy verify`: recordings, held against the code and the rules.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

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
    /// How the verdict is written
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: Format,
}

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// `{"contradictions","remarks","counts","steps"}`; no steps with -q
    Json,
}

pub fn run(options: &Options, arguments: &Arguments) -> anyhow::Result<Exit> {
    let verdict = verify::verify(&arguments.traces)?;
    let steps = if options.quiet == 0 { verdict.steps.as_slice() } else { &[] };
    match arguments.output {
        Format::Text => print(&(timeline::render(steps) + &summary(&verdict)))?,
        Format::Json => {
            let Verdict { contradictions, remarks, counts, .. } = &verdict;
            let whole =
                json!({ "contradictions": contradictions, "remarks": remarks, "counts": counts, "steps": steps });
            print(&format!("{whole:#}\n"))?;
        }
    }
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
