//! `primacy rehearse`: a game day.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::agreed;
use crate::cli::{Asked, Exit, Options, access, client};
use crate::client::rehearsal::{Played, Refused, Scene, Stage};
use crate::intents::Fault;
use crate::output;

/// Fail over on purpose, and judge what came of it
///
/// Faults, one after the other, each only once everybody is back: a switchover, the coordinator killed, the supervisor killed, the
/// supervisor frozen for longer than its session. The gap is measured from outside, by what every member's health check says; the limit is
/// session + tick + 3 s. Every node has to allow it (rehearsal.allowed).
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which; default: all of them
    #[arg(value_enum, value_name = "FAULT")]
    pub faults: Vec<Part>,
    /// The longest gap that passes, instead of session + tick + 3 s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub limit: Option<Duration>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// How the results are written
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Written,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// For people
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Switchover,
    Coordinator,
    Supervisor,
    Freeze,
}

impl From<Part> for Scene {
    fn from(part: Part) -> Self {
        match part {
            Part::Switchover => Self::Switchover,
            Part::Coordinator => Self::Fault(Fault::Coordinator),
            Part::Supervisor => Self::Fault(Fault::Supervisor),
            Part::Freeze => Self::Fault(Fault::Freeze),
        }
    }
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { faults, limit, yes, output, asked } = arguments;
    let scenes: Vec<Scene> =
        if faults.is_empty() { Scene::ALL.to_vec() } else { faults.into_iter().map(Scene::from).collect() };
    let shown = access::of(options, &before, &asked)?;
    let client = client(options, before, asked)?;
    let stage = match Stage::set(client, shown, limit) {
        Ok(stage) => stage,
        Err(Refused::Unasked(error)) => return Ok(super::unasked(&error)),
        Err(refused @ Refused::Not(_)) => {
            output::complain(&format!("primacy: {refused}"));
            return Ok(Exit::Failed);
        }
    };
    let names: Vec<&str> = scenes.iter().map(|scene| scene.as_str()).collect();
    if !agreed(&format!("The coordinator will go down {} times ({}). Begin?", scenes.len(), names.join(", ")), yes)? {
        return Ok(super::not_done());
    }
    let mut all = Vec::new();
    for scene in scenes {
        let played = match stage.play(scene) {
            Ok(played) => played,
            Err(error) => return Ok(super::unasked(&error)),
        };
        if output == Written::Table {
            output::print(&line(&played))?;
        }
        let passed = played.passed;
        all.push(played);
        if !passed {
            // The next fault would meet another cluster than this one did.
            break;
        }
    }
    if output == Written::Json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    }
    Ok(if all.iter().all(|played| played.passed) { Exit::Done } else { Exit::Failed })
}

fn line(played: &Played) -> String {
    let verdict = if played.passed { "ok  " } else { "FAIL" };
    let gap = played.gap_ms.map_or_else(|| "gap unknown".to_owned(), |gap| format!("gap {gap} ms"));
    let to = played.to.as_deref().unwrap_or("nobody");
    let problem = played.problem.as_ref().map_or_else(String::new, |problem| format!("; {problem}"));
    format!("{verdict} {:12} {} -> {to}, {gap} (limit {} ms){problem}\n", played.fault, played.from, played.limit_ms)
}
