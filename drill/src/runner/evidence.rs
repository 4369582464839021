//! What is gathered at the end, from sources that know nothing of each other, and in which order: whoever could still
//! change something is stopped before it is looked at.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::judge;
use testbed::lives::spans;
use testbed::span::Span;
use testbed::ticks::TickLog;

use crate::history::{self, Entry, Line, Writer};
use crate::hosts::{Host as _, processes};
use crate::lab::{API_PORT, CLUSTER, Lab};
use crate::recordings;
use crate::workload::clients::ClientPlan;
use crate::workload::ticks;

/// The clients' own notes, until they are merged.
const CLIENTS: &str = "clients.jsonl";
/// How long clients may take to give up what they are waiting for.
const CLIENTS_WITHIN: Duration = Duration::from_secs(20);
/// How long a clean stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long the last traces of a clean stop may stay.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// The clients' process.
pub struct Clients {
    child: Child,
}

/// Starts the clients on their host.
pub fn start_clients(lab: &Lab) -> Result<Clients> {
    let plan = ClientPlan {
        history: lab.plan.out.join(CLIENTS),
        workload: lab.plan.workload.kind(),
        prefix: "c".to_owned(),
        threads: 4,
        pause_ms: 100,
        timeout_ms: 1000,
        apis: lab.candidates.iter().map(|one| format!("http://{}:{API_PORT}", one.host.address())).collect(),
        endpoint: lab.plan.workload.endpoint().to_owned(),
        through: Some(lab.proxy_address()),
    };
    let drill = std::env::current_exe().context("cannot find this program")?.display().to_string();
    let words: Vec<String> = plan.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let argv: Vec<&str> = std::iter::once(drill.as_str()).chain(words.iter().map(String::as_str)).collect();
    Ok(Clients { child: lab.start_client(&argv, &lab.log("clients.log"))? })
}

/// Stops everything in order and notes what each source says. Takes the lab: nothing of it is left.
pub fn collect(mut lab: Lab, mut clients: Clients) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(clients.child.id())?), Signal::SIGTERM).context("cannot stop the clients")?;
    let limit = CLIENTS_WITHIN;
    if lab.until(limit, "the clients stop", |_| clients.child.try_wait().ok().flatten()).is_err() {
        lab.history.note(Entry::Note { text: format!("the clients did not stop within {limit:?}") })?;
        let _ = clients.child.kill();
    }
    lab.remember_leaderships();
    lab.observer.stop();
    stop_candidates(&mut lab)?;
    let history = lab.history.clone();
    let (leaderships, failure) = lab.leaderships();
    if let Some(error) = failure {
        history.note(Entry::Note { text: format!("{error:#}") })?;
    }
    for value in leaderships {
        history.note(Entry::Leadership(value))?;
    }
    leftovers(&mut lab)?;
    for server in &mut lab.zookeepers {
        server.process.kill()?;
    }
    for candidate in &mut lab.candidates {
        candidate.host.power_off()?;
    }
    for life in ticks::lives(&lab.ticks())? {
        history.note(life)?;
    }
    let (metadata, odd) = lab.plan.workload.examine(&lab.volume)?;
    history.note(Entry::Metadata(metadata))?;
    for text in odd {
        history.note(Entry::Note { text })?;
    }
    match recordings::verify(&lab.plan.primacy, &lab.plan.out.join(recordings::FOLDER)) {
        Ok(verdict) => history.note(verdict)?,
        Err(error) => history.note(Entry::Note { text: format!("{error:#}") })?,
    }
    if let Err(error) = lab.volume.unmount() {
        history.note(Entry::Leftover { kind: "mount".to_owned(), what: format!("{error:#}") })?;
    }
    merge(&lab.plan.out, &history)
}

fn stop_candidates(lab: &mut Lab) -> Result<()> {
    for candidate in &mut lab.candidates {
        candidate.unwanted();
        candidate.signal(Signal::SIGTERM);
    }
    let stopped = lab.until(STOP_WITHIN, "all supervisors stop", |lab| {
        lab.candidates.iter().all(|candidate| candidate.supervisor().is_none()).then_some(())
    });
    if stopped.is_err() {
        for candidate in lab.candidates.iter().filter(|candidate| candidate.supervisor().is_some()) {
            let what = format!("{}'s supervisor {STOP_WITHIN:?} after SIGTERM", candidate.name());
            lab.history.note(Entry::Leftover { kind: "process".to_owned(), what })?;
        }
    }
    Ok(())
}

/// What a clean stop of everything should not leave.
fn leftovers(lab: &mut Lab) -> Result<()> {
    let _ = lab.until(GONE_WITHIN, "nothing is left", |lab| (found(lab).is_empty()).then_some(()));
    for (kind, what) in found(lab) {
        lab.history.note(Entry::Leftover { kind: kind.to_owned(), what })?;
    }
    Ok(())
}

fn found(lab: &Lab) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for candidate in &lab.candidates {
        for pid in candidate.host.group().processes() {
            // A zombie is its parent's matter, which is gone.
            if let Some(name) = processes::name(pid) {
                let what = format!("{}: {pid} {name}: {}", candidate.name(), processes::command_line(pid));
                found.push(("process", what));
            }
        }
    }
    for pid in lab.volume.users() {
        found.push(("descriptor", format!("{pid} has something on the volume open: {}", processes::command_line(pid))));
    }
    // The leader knows all sessions with their ephemeral nodes.
    for dump in lab.zookeepers.iter().filter_map(|server| server.process.ask("dump")) {
        let prefix = format!("/primacy/{CLUSTER}/");
        for node in dump.lines().map(str::trim).filter(|line| line.starts_with(&prefix)) {
            if !found.iter().any(|(_, what)| what == node) {
                found.push(("znode", node.to_owned()));
            }
        }
    }
    found
}

fn merge(out: &Path, history: &Writer) -> Result<()> {
    let file = out.join(CLIENTS);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for Line { at, entry } in history::parse(&text)? {
        history.note_at(at, entry)?;
    }
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// The longest time between `from` and `to` in which no coordinator lived, for the line that is printed.
pub fn longest_gap(log: &mut TickLog, from: u64, to: u64) -> Result<Duration> {
    log.poll().context("cannot read the ticks")?;
    Ok(judge::longest_gap(&spans(log.runs()), Span { first: from, last: to }))
}
