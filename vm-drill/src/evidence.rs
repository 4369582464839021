//! What a run leaves for the judge: the drill's history, which [`crate::cluster`], [`crate::observer`] and [`crate::host`]
//! write while it goes on, and what is gathered here at its end: who lived when, what was said to be synced, what
//! `primacy history` tells, what the volume holds. Whoever could still change something is stopped before it is looked at.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use drill::history::{Entry, JournalRun, Line, Metadata};

use crate::clock::nanoseconds;
use crate::cluster::Cluster;
use crate::host::Machine;
use crate::ticks::Life;

/// Everything, once all drills are over; `directory` takes what hosts have to tell.
pub fn collect(cluster: &mut Cluster, directory: &Path, primacy: &Path) -> Result<()> {
    cluster.remember_leaderships();
    for index in in_order(cluster) {
        if let Err(error) = cluster.stop_service(index) {
            cluster.history.note(Entry::Note { text: format!("{error:#}") })?;
        }
    }
    for leadership in cluster.leaderships.all() {
        cluster.history.note(Entry::Leadership(leadership))?;
    }
    for entry in lives(cluster) {
        cluster.history.note(entry)?;
    }
    cluster.history.note(Entry::Metadata(metadata(cluster)?))?;
    for candidate in &cluster.candidates {
        if let Err(error) = from_host(&candidate.machine, directory) {
            cluster.history.note(Entry::Note { text: format!("{error:#}") })?;
        }
    }
    match recordings(cluster, directory, primacy) {
        Ok(verdict) => cluster.history.note(verdict)?,
        Err(error) => cluster.history.note(Entry::Note { text: format!("{error:#}") })?,
    }
    Ok(())
}

/// Where a candidate's recordings are. A machine that was reset may have lost what it had.
const RECORDER: &str = "/var/lib/primacy/recorder";

/// What all candidates have recorded, brought here and verified.
fn recordings(cluster: &Cluster, directory: &Path, primacy: &Path) -> Result<Entry> {
    let folder = directory.join(drill::recordings::FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    for candidate in &cluster.candidates {
        let machine = &candidate.machine;
        let here = folder.join(&machine.name);
        fs::create_dir_all(&here).with_context(|| here.display().to_string())?;
        let packed =
            machine.must(&format!("mkdir -p {RECORDER} && tar cz -C {RECORDER} . | base64 && rm -rf {RECORDER}"))?;
        unpack(&packed, &here)?;
    }
    drill::recordings::verify(primacy, &folder)
}

fn unpack(packed: &str, folder: &Path) -> Result<()> {
    let mut unpacking = Command::new("sh");
    unpacking.args(["-c", "base64 -d | tar xz -C \"$0\""]).arg(folder).stdin(Stdio::piped());
    let mut child = unpacking.spawn().context("sh")?;
    child.stdin.take().context("no standard input")?.write_all(packed.as_bytes())?;
    ensure!(child.wait()?.success(), "what was recorded cannot be unpacked into {}", folder.display());
    Ok(())
}

/// The history up to now and who has lived up to now: for a drill that asks about itself.
pub fn so_far(cluster: &Cluster) -> Result<Vec<Line>> {
    let mut lines = drill::history::read(&cluster.directory)?;
    let at = testbed::clock::now();
    lines.extend(lives(cluster).into_iter().map(|entry| Line { at, entry }));
    Ok(lines)
}

/// The active one last, so that nobody takes over.
fn in_order(cluster: &Cluster) -> Vec<usize> {
    let active = cluster.active().ok().map(|(active, _)| active);
    let others = (0..cluster.candidates.len()).filter(|index| Some(*index) != active);
    others.chain(active).collect()
}

/// What a host has written of its own, its services stopped.
fn from_host(host: &Machine, directory: &Path) -> Result<()> {
    let log = host.supervisor_log()?;
    let file = directory.join(format!("{}.log", host.name));
    fs::write(&file, log).with_context(|| file.display().to_string())
}

fn lives(cluster: &Cluster) -> Vec<Entry> {
    cluster.ticks.with(|book| book.lives.iter().flat_map(life).collect())
}

fn life(life: &Life) -> Vec<Entry> {
    let wrote = life.wrote.iter().map(|(_, at)| *at);
    let signs = || life.ticks.iter().copied().chain(wrote.clone());
    let (Some(first), Some(last)) = (signs().min(), signs().max()) else { return Vec::new() };
    let (node, pid, epoch) = (life.node.clone(), life.pid, life.epoch);
    let (first, last, ticks) = (nanoseconds(first), nanoseconds(last), life.ticks.len() as u64);
    let mut entries = vec![Entry::Coordinator { node: node.clone(), pid, epoch, first, last, ticks }];
    entries.extend(folded(life.wrote.iter().map(|(number, _)| *number)).into_iter().map(|(first, last)| {
        Entry::Acknowledged { node: node.clone(), pid, epoch, first_sequence: first, last_sequence: last }
    }));
    entries
}

/// Runs of consecutive numbers: a datagram that was lost is a record that nobody was told of.
fn folded(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut().filter(|(_, last)| last + 1 == number) {
            Some((_, last)) => *last = number,
            None => runs.push((number, number)),
        }
    }
    runs
}

/// Whole records on the server's disk, folded: `EPOCH FIRST LAST`.
const READ: &str = "cd /srv/export/journal 2>/dev/null || exit 0; for file in synced-*; do [ -e $file ] && awk \
    'length($0) == 63 && NF == 2 { if ($1 == epoch && $2 == last + 1) last = $2; else { if (epoch != \"\") \
    print epoch, first, last; epoch = $1; first = last = $2 } } END { if (epoch != \"\") print epoch, first, last }' \
    $file; done; true";

fn metadata(cluster: &Cluster) -> Result<Metadata> {
    let found = cluster.server.must(READ)?;
    let writers: Vec<(u64, String, u32)> =
        cluster.ticks.with(|book| book.lives.iter().map(|life| (life.epoch, life.node.clone(), life.pid)).collect());
    Ok(Metadata { journal: journal(&found, &writers)?, ..Metadata::default() })
}

/// Each epoch has a file of its own, so the files' order tells nothing: by epoch. What is older than the first coordinator
/// of the run is an earlier run's.
fn journal(found: &str, writers: &[(u64, String, u32)]) -> Result<Vec<JournalRun>> {
    let since = writers.iter().map(|(epoch, ..)| *epoch).min().unwrap_or(u64::MAX);
    let mut journal = Vec::new();
    for line in found.lines() {
        let numbers: Vec<u64> =
            line.split(' ').map(str::parse).collect::<Result<_, _>>().with_context(|| line.to_owned())?;
        let [epoch, first_sequence, last_sequence] = numbers[..] else { anyhow::bail!("the journal says {line:?}") };
        if epoch < since {
            continue;
        }
        let writer = writers.iter().find(|(of, ..)| *of == epoch);
        // Whom nobody ever heard of: the judge asks whose that epoch was.
        let (node, pid) = writer.map_or_else(|| ("nobody".to_owned(), 0), |(_, node, pid)| (node.clone(), *pid));
        journal.push(JournalRun { epoch, node, pid, first_sequence, last_sequence, begin: 0, end: 0 });
    }
    journal.sort_by_key(|run| run.epoch);
    Ok(journal)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_coordinator_leaves_its_life_and_what_it_said_was_synced() {
        let wrote = [(1, 5), (2, 6), (4, 30), (3, 7), (6, 40)].map(|(number, moment)| (number, at(moment)));
        let ticks = [10, 20].map(at).to_vec();
        let seen =
            Life { node: "a".into(), pid: 7, epoch: 2, ticks, ended: false, wrote: wrote.to_vec(), failed: Vec::new() };
        let found = life(&seen);
        let Entry::Coordinator { first, last, ticks, .. } = &found[0] else { panic!("{found:?}") };
        assert_eq!((*first, *last, *ticks), (5_000_000, 40_000_000, 2), "who writes is alive");
        let said: Vec<(u64, u64)> = found[1..]
            .iter()
            .map(|entry| match entry {
                Entry::Acknowledged { first_sequence, last_sequence, .. } => (*first_sequence, *last_sequence),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(said, [(1, 4), (6, 6)]);
    }

    #[test]
    fn one_of_whom_nothing_was_heard_leaves_nothing() {
        let silent = Life {
            node: "a".into(),
            pid: 7,
            epoch: 2,
            ticks: Vec::new(),
            ended: false,
            wrote: Vec::new(),
            failed: vec![(at(9), 5)],
        };
        assert_eq!(life(&silent), []);
    }

    #[test]
    fn the_journal_is_in_the_order_of_epochs_and_an_unknown_writer_is_nobody() {
        let writers = [(9, "a".to_owned(), 50), (11, "b".to_owned(), 60)];
        let found = journal("10 1 4\n11 1 2\n11 4 9\n7 1 90\n9 1 30", &writers).unwrap();
        let runs: Vec<_> =
            found.iter().map(|run| (run.epoch, run.node.as_str(), run.first_sequence, run.last_sequence)).collect();
        assert_eq!(runs, [(9, "a", 1, 30), (10, "nobody", 1, 4), (11, "b", 1, 2), (11, "b", 4, 9)]);
        assert!(journal("10 1", &writers).is_err());
        assert_eq!(journal("", &writers).unwrap(), []);
    }
}
