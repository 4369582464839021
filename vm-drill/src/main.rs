//! `vm-drill`: see the library.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use drill::history::{self, Entry, Run};
use drill::judge;
use primacy_vm_drill::clock::{self, At, nanoseconds};
use primacy_vm_drill::cluster::Cluster;
use primacy_vm_drill::drills::{ALL, Drill};
use primacy_vm_drill::lab::Need;
use primacy_vm_drill::outcome::{Outcome, Verdict};
use primacy_vm_drill::report::{Report, Row, in_milliseconds};
use primacy_vm_drill::{evidence, qemu, vagrant};

/// Where the hosts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hosts {
    /// QEMU machines, made for this run.
    Qemu,
    /// The machines of a `vagrant up`.
    Vagrant,
}

/// Drills of primacy on real hosts. Exit codes: 0 all passed, 1 not all, 2 usage, 3 cannot be run
/// here, 4 all but what the host had no time for.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which drills; all of them if none is named. See --list.
    drills: Vec<String>,
    /// Only the short set.
    #[arg(long)]
    short: bool,
    /// How often each.
    #[arg(short, default_value_t = 1)]
    n: usize,
    #[arg(long, value_enum, default_value = "qemu")]
    hosts: Hosts,
    /// How many, of QEMU's.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    candidates: u8,
    /// ZooKeeper servers beside QEMU's machines; default: 3 if a drill needs an ensemble, 1 otherwise.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    zookeepers: Option<u8>,
    /// Do not begin another drill after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Emulate, although KVM works.
    #[arg(long)]
    emulate: bool,
    /// Give up with exit code 3 where KVM does not work.
    #[arg(long)]
    require_kvm: bool,
    /// For logs, disks and results.
    #[arg(long, default_value = "target/vm-drill")]
    out: PathBuf,
    /// Where the table goes, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// The results.json of an earlier run, whose outcomes count, too.
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Default: beside this program.
    #[arg(long)]
    primacy: Option<PathBuf>,
    /// Where build-image is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/build-image"), hide = true)]
    build_image: PathBuf,
    /// Where the Vagrantfile is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../vagrant"), hide = true)]
    vagrant: PathBuf,
    /// Prints the drills.
    #[arg(long)]
    list: bool,
}

impl Arguments {
    /// The program under test, where this host has it.
    fn primacy(&self) -> Result<PathBuf> {
        let beside = || Ok(std::env::current_exe()?.parent().context("this program has no directory")?.join("primacy"));
        self.primacy.clone().map_or_else(beside, Ok)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for drill in ALL {
            println!("{:35}{}{}", drill.name, if drill.short { "(short set) " } else { "" }, drill.what);
        }
        return ExitCode::SUCCESS;
    }
    let drills = match choose(&arguments) {
        Ok(drills) => drills,
        Err(error) => {
            eprintln!("vm-drill: {error:#}");
            return ExitCode::from(2);
        }
    };
    match prepare(&arguments, &drills).and_then(|cluster| run(&arguments, &drills, cluster)) {
        Ok(Verdict::Passed | Verdict::NotHere) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Ok(Verdict::Starved) => ExitCode::from(4),
        Err(error) => {
            eprintln!("vm-drill: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn choose(arguments: &Arguments) -> Result<Vec<&'static Drill>> {
    for name in &arguments.drills {
        ensure!(ALL.iter().any(|drill| drill.name == *name), "there is no drill {name}, see --list");
    }
    let all = arguments.drills.is_empty();
    let named = |drill: &Drill| {
        if all { !drill.only_if_named() } else { arguments.drills.iter().any(|name| name == drill.name) }
    };
    Ok(ALL.iter().filter(|drill| named(drill) && (!arguments.short || drill.short)).collect())
}

/// The hosts, and the cluster on them.
fn prepare(arguments: &Arguments, drills: &[&'static Drill]) -> Result<Cluster> {
    fs::create_dir_all(&arguments.out)?;
    let directory = arguments.out.canonicalize()?;
    let programs = std::env::current_exe()?.parent().context("this program has no directory")?.to_owned();
    let ensemble = drills.iter().any(|drill| drill.needs.contains(&Need::Ensemble));
    let lab = match arguments.hosts {
        Hosts::Qemu => qemu::lab(&qemu::Options {
            directory,
            primacy: arguments.primacy()?,
            guest: programs.join("vm-guest"),
            build_image: arguments.build_image.clone(),
            candidates: arguments.candidates,
            zookeepers: arguments.zookeepers.unwrap_or(if ensemble { 3 } else { 1 }),
            emulate: arguments.emulate,
            require_kvm: arguments.require_kvm,
        }),
        Hosts::Vagrant => vagrant::lab(&vagrant::Options { vagrant: arguments.vagrant.canonicalize()?, directory }),
    };
    // Of an earlier run: two in one file could not be told apart.
    let history = arguments.out.join(history::FILE);
    if history.exists() {
        fs::remove_file(&history)?;
    }
    Cluster::create(lab?, &arguments.out.canonicalize()?)
}

fn run(arguments: &Arguments, drills: &[&'static Drill], mut cluster: Cluster) -> Result<Verdict> {
    let began = clock::now().saturating_sub(cluster.up.1);
    eprintln!("cluster up in {:.1} s", cluster.up.1.as_secs_f64());
    let guest_kernel = cluster.server.must("uname -r")?;
    let primacy = cluster.candidates[0].machine.must("primacy --version")?;
    let run = description(&cluster, &primacy, &guest_kernel)?;
    cluster.history.note_at(nanoseconds(began), Entry::Run(run))?;
    let calm = clock::now();
    std::thread::sleep(Duration::from_secs(2));
    let precision = cluster.ticks.with(|book| book.precision(calm, clock::now())).map(in_milliseconds);
    cluster.history.note(Entry::Ready)?;
    let mut faults = 0;
    let mut outcomes: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    let limit = arguments.limit.map(Duration::from_secs);
    'rounds: for round in 1..=arguments.n {
        for drill in drills {
            if limit.is_some_and(|limit| clock::now().saturating_sub(began) >= limit) {
                println!("SKIP {:20} and what follows: {limit:?} have passed", drill.name);
                break 'rounds;
            }
            faults += 1;
            let outcome = once(drill, faults, &mut cluster)?;
            tell(drill, round, &outcome);
            outcomes.entry(drill.name).or_default().push(outcome);
        }
    }
    let ran = outcomes.values().flatten().any(|outcome| outcome.not_here.is_none());
    let judged = if ran { Some(judge(&mut cluster, arguments)?) } else { None };
    let rows = drills.iter().filter_map(|drill| {
        let outcomes = outcomes.remove(drill.name)?;
        Some(Row { name: drill.name.to_owned(), what: drill.what.to_owned(), outcomes })
    });
    let mut report = Report {
        rows: rows.collect(),
        hosts: cluster.about.clone(),
        guest_kernel,
        host_kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        primacy,
        candidates: cluster.candidates.len(),
        zookeepers: cluster.zookeepers.len(),
        session_ms: cluster.timing.session.as_millis(),
        nfs_lease_ms: cluster.timing.nfs_lease.as_millis(),
        up_seconds: (cluster.up.0.as_secs_f64(), cluster.up.1.as_secs_f64()),
        precision_ms: precision,
        memory_mib: cluster.peak_memory() >> 20,
        seconds: since(began),
        judged,
    };
    for file in &arguments.merge {
        report.merge(&fs::read_to_string(file).with_context(|| file.display().to_string())?)?;
    }
    write(&arguments.out.join("results.json"), &report.json()?)?;
    write(&arguments.out.join("results.md"), &report.markdown())?;
    if let Some(file) = &arguments.markdown {
        write(file, &report.markdown())?;
    }
    println!("{:.0} s, {} MiB; see {}", report.seconds, report.memory_mib, arguments.out.display());
    Ok(report.verdict())
}

fn description(cluster: &Cluster, primacy: &str, kernel: &str) -> Result<Run> {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis());
    // When it began to come up.
    let ago = format!("-{:.3} seconds", cluster.up.1.as_secs_f64());
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ", "-d", &ago]).output().context("date")?;
    Ok(Run {
        seed: 0,
        session_ms: milliseconds(cluster.timing.session)?,
        tick_ms: milliseconds(cluster.timing.tick)?,
        nodes: cluster.candidates.iter().map(|one| one.machine.name.clone()).collect(),
        workload: "journal".to_owned(),
        hosts: cluster.about.clone(),
        primacy_version: primacy.to_owned(),
        kernel: kernel.to_owned(),
        started: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        own_clocks: cluster.server.kind().own_clocks(),
    })
}

/// The whole run, by the drill's judge.
fn judge(cluster: &mut Cluster, arguments: &Arguments) -> Result<judge::Verdict> {
    let out = arguments.out.as_path();
    evidence::collect(cluster, out, &arguments.primacy()?)?;
    history::sort(out)?;
    let lines = history::read(out)?;
    let verdict = judge::judge(&lines);
    print!("{}", judge::told(&out.display().to_string(), &verdict));
    print!("{}", judge::table_text(&verdict.table));
    drill::report::write(&[(&lines, &verdict)], &out.join("report"))?;
    Ok(verdict)
}

/// One run of a drill on a cluster at rest, and back to rest: for the history, one fault.
fn once(drill: &Drill, id: u32, cluster: &mut Cluster) -> Result<Outcome> {
    let began = clock::now();
    let mut outcome = Outcome::default();
    if let Some(reason) = cluster.lacks(drill.needs) {
        outcome.not_here = Some(reason.to_owned());
        return Ok(outcome);
    }
    let before = cluster.shares();
    let (kind, detail) = (drill.name.to_owned(), drill.what.to_owned());
    cluster.history.note(Entry::FaultBegin { id, kind, targets: Vec::new(), detail })?;
    let prepared = cluster.settle().and_then(|()| cluster.change(cluster.usual()));
    let result = prepared.and_then(|()| (drill.run)(cluster, &mut outcome)).and_then(|()| cluster.settle());
    outcome.waited_percent = cluster.shares().waited_since(&before);
    let mut whole = true;
    if let Err(error) = &result {
        outcome.error = Some(format!("{error:#}"));
        // What is wrong must not be the next one's trouble.
        if let Err(error) = cluster.reset().and_then(|()| cluster.settle()) {
            eprintln!("vm-drill: {error:#}");
            whole = false;
        }
    }
    cluster.remember_leaderships();
    let detail = outcome.error.clone().unwrap_or_default();
    cluster.history.note(Entry::FaultEnd { id, ok: result.is_ok(), detail })?;
    if whole && let Err(error) = cluster.note_recovery() {
        cluster.history.note(Entry::Note { text: format!("{error:#}") })?;
    }
    outcome.seconds = since(began);
    Ok(outcome)
}

fn tell(drill: &Drill, round: usize, outcome: &Outcome) {
    if let Some(reason) = &outcome.not_here {
        return println!("SKIP {:20} not on these hosts: {reason}", drill.name);
    }
    let show = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0} ms"));
    println!(
        "{} {:20} #{round} gap {:>9}  overlap {:>7}  {:5.1} s",
        match outcome.verdict() {
            Verdict::Passed => "PASS",
            Verdict::Failed => "FAIL",
            Verdict::Starved => "STARVED",
            Verdict::NotHere => "SKIP",
        },
        drill.name,
        show(outcome.gap_ms),
        show(outcome.overlap_ms),
        outcome.seconds
    );
    for one in &outcome.expectations {
        println!("     {} {}: {}", if one.met { "ok  " } else { "FAIL" }, one.text, one.found);
    }
    for (name, value) in &outcome.figures {
        println!("          {name}: {value:.0}");
    }
    println!("          the machines waited for a processor {:.0} % of the time", outcome.waited_percent);
    for note in &outcome.notes {
        println!("          {note}");
    }
    if let Some(error) = &outcome.error {
        println!("     could not be carried out: {error}");
    }
}

fn since(at: At) -> f64 {
    clock::now().saturating_sub(at).as_secs_f64()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}
