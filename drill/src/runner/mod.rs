//! `drill run`: a lab, faults after faults with clients all the while, the evidence, the verdict.
//!
//! ```text
//! lab up ► one active: `ready` ► clients
//!   ► [ fault or pair ► all undone: `healed` ► active again: `recovered` ► calm ] × N
//!   ► clients stop ► candidates stop ► leaderships, lives, metadata, leftovers ► judge ► report
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::history::{self, Entry, Run, Writer};
use crate::hosts::Kind;
use crate::hosts::sandbox::Sandbox;
use crate::judge::{self, Verdict};
use crate::lab::{Lab, Plan, nanoseconds};
use crate::nemesis::{Schedule, Step, kinds};
use crate::report;
use testbed::clock;

mod evidence;
mod options;
mod steps;

pub use options::Options;

use steps::Steps;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Convicted of nothing.
    Clean,
    /// Convicted of something.
    Convicted,
}

/// Runs one; must be called inside of a sandbox.
///
/// # Errors
/// It could not be run here, and why.
pub fn run(options: &Options, sandbox: &Sandbox) -> Result<End> {
    let out = options.out()?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let history = Writer::create(&out)?;
    let primacy = options.primacy()?;
    let plan = Plan {
        nodes: options.nodes,
        workload: options.workload,
        session: options.session(),
        tick: options.tick(),
        primacy: primacy.clone(),
        out: out.clone(),
    };
    history.note(Entry::Run(description(options, &plan)?))?;
    let kinds = options.kinds()?;
    for (kind, why) in &kinds.left_out {
        let text = format!("left out: {kind}: {why}");
        eprintln!("drill: {text}");
        history.note(Entry::Note { text })?;
    }
    let session_ms = u64::try_from(plan.session.as_millis())?;
    let schedule = Schedule::new(options.seed, kinds.chosen, session_ms);

    println!("drill: seed {}, {} nodes, {}; {}", options.seed, plan.nodes, plan.workload.name(), out.display());
    let mut lab = Lab::new(plan, sandbox, history.clone())?;
    lab.start_candidates()?;
    history.note(Entry::Ready)?;
    let clients = evidence::start_clients(&lab)?;
    lab.wait(Duration::from_millis(500))?;
    let broken = if options.fixed_set {
        let steps = schedule.each_once();
        break_it(&mut lab, sandbox, options, steps.into_iter())
    } else {
        break_it(&mut lab, sandbox, options, schedule)
    };
    if let Err(error) = &broken {
        let text = format!("the faults ended early: {error:#}");
        eprintln!("drill: {text}");
        history.note(Entry::Note { text })?;
    }
    let verdict = conclude(lab, clients, &out)?;
    if verdict.convicted() {
        return Ok(End::Convicted);
    }
    broken.map(|()| End::Clean)
}

fn break_it(lab: &mut Lab, sandbox: &Sandbox, options: &Options, schedule: impl Iterator<Item = Step>) -> Result<()> {
    let end = clock::now() + nanoseconds(options.duration());
    let mut steps = Steps::default();
    for step in schedule {
        let enough = options.faults.is_some_and(|faults| steps.faults() >= faults);
        if enough || (!options.fixed_set && clock::now() > end) || sandbox.asked_to_stop() {
            return Ok(());
        }
        steps.perform(lab, &step)?;
    }
    Ok(())
}

fn conclude(lab: Lab, clients: evidence::Clients, out: &Path) -> Result<Verdict> {
    println!("drill: collecting the evidence");
    evidence::collect(lab, clients)?;
    history::sort(out)?;
    let lines = history::read(out)?;
    let verdict = judge::judge(&lines);
    print!("{}", judge::told(&out.display().to_string(), &verdict));
    print!("{}", judge::table_text(&verdict.table));
    report::write(&[(&lines, &verdict)], &out.join("report"))?;
    Ok(verdict)
}

/// `drill plan`: the schedule, without running it.
pub fn plan(options: &Options, steps: usize) -> Result<()> {
    let session_ms = u64::try_from(options.session().as_millis())?;
    let schedule = Schedule::new(options.seed, options.kinds()?.chosen, session_ms);
    for (number, step) in schedule.take(steps).enumerate() {
        println!("{:>4}  {step}", number + 1);
    }
    Ok(())
}

/// `drill list`: the kinds of fault.
pub fn list() {
    for kind in kinds::KINDS {
        let missing = kind.needs.missing().map(|why| format!("  NOT HERE: {why}")).unwrap_or_default();
        println!("{:26} {}{missing}", kind.name, kind.about);
    }
    println!("\nnever as a pair, beside one kind twice and two of the volume's:");
    for (one, other, why) in kinds::APART {
        println!("{one} + {other}: {why}");
    }
}

fn description(options: &Options, plan: &Plan) -> Result<Run> {
    Ok(Run {
        seed: options.seed,
        session_ms: u64::try_from(plan.session.as_millis())?,
        tick_ms: u64::try_from(plan.tick.as_millis())?,
        nodes: (1..=plan.nodes).map(|number| format!("n{number}")).collect(),
        workload: plan.workload.name().to_owned(),
        hosts: Kind::Namespaces.to_string(),
        primacy_version: said(Command::new(&plan.primacy).arg("--version"))?,
        kernel: said(Command::new("uname").arg("-r"))?,
        started: said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]))?,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        own_clocks: Kind::Namespaces.own_clocks(),
    })
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
