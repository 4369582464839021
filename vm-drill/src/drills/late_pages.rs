//! What a killed coordinator has not written yet: its host lives on, and so does its page cache.
//!
//! Its pages must be on the server before the lock is closed, or never arrive: whatever reaches the server's files after
//! the next coordinator's start is written over what that one may have written there.

use std::time::Duration;

use anyhow::{Context, Result};
use drill::hosts::Network;

use super::{expect_successor, judge, late_records};
use crate::clock::{self, At};
use crate::cluster::{Cluster, Settings};
use crate::outcome::{Outcome, milliseconds};
use crate::wire::{DIRTY, PAGE};

/// What each of its files has: with the kernel's limits on dirty memory, this much stays in the page cache of a small machine.
const PAGES: usize = 1024;
/// For every page to be dirty.
const WORKS: Duration = Duration::from_secs(4);
/// For all of it to be written, over an emulated network to an emulated disk.
const WRITES: Duration = Duration::from_secs(10);
/// The kernel writes what is dirty for 30 s, and looks every 5 s.
const WATCHED: Duration = Duration::from_secs(45);

pub fn crash(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = Duration::from_secs(1) + cluster.ordered() + WRITES;
    late(cluster, outcome, limit, |cluster, active, epoch| {
        let pid = super::exclusion::coordinator(cluster, epoch)?;
        let fault = clock::now();
        cluster.candidates[active].machine.kill(pid)?;
        Ok(fault)
    })
}

pub fn supervisor(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = Duration::from_secs(1) + cluster.ordered() + WRITES;
    late(cluster, outcome, limit, |cluster, active, _| super::supervisor::signal(cluster, active, "KILL"))
}

pub fn deadline(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let session = cluster.timing.longest_session() + cluster.timing.tick;
    let limit = session + Duration::from_secs(3) + cluster.allowance() + WRITES;
    late(cluster, outcome, limit, |cluster, active, _| cluster.candidates[active].machine.cut(Network::ZooKeeper))
}

type Fault = fn(&mut Cluster, usize, u64) -> Result<At>;

fn late(cluster: &mut Cluster, outcome: &mut Outcome, limit: Duration, fault: Fault) -> Result<()> {
    // So that nobody loses the role meanwhile on a host that has little time for its machines.
    cluster.change(Settings { dirty_pages: PAGES, session: cluster.timing.longest_session(), ..cluster.usual() })?;
    let (active, epoch) = cluster.active()?;
    std::thread::sleep(WORKS);
    let machine = &cluster.candidates[active].machine;
    let dirty = machine.must("awk '/^(Dirty|Writeback):/ { kb += $2 } END { print kb }' /proc/meminfo")?;
    outcome.figure("dirty on the active host before, KiB", dirty.parse()?);
    let fault = fault(cluster, active, epoch)?;
    let (first, _) = expect_successor(cluster, outcome, fault, epoch, limit)?;
    let before = cluster.written(epoch)?;
    let noted = files(epoch).map(|file| format!("cp {file} /run/late/")).collect::<Vec<_>>().join(" && ");
    cluster.server.must(&format!("rm -rf /run/late && mkdir -p /run/late && {noted}"))?;
    outcome.figure("next coordinator to the look at the files, ms", milliseconds(clock::now().saturating_sub(first)));
    std::thread::sleep(WATCHED.saturating_sub(clock::now().saturating_sub(fault)));
    for (name, file) in DIRTY.iter().zip(files(epoch)) {
        let compare = format!(
            "cmp -l /run/late/{name}-{epoch} {file} | awk '{{ pages[int(($1 - 1) / {PAGE})] }} \
             END {{ for (page in pages) n++; print n + 0 }}'; echo $(($(date +%s) - $(stat -c %Y {file})))"
        );
        let answer = cluster.server.must(&compare)?;
        let (late, age) = answer.split_once('\n').with_context(|| answer.clone())?;
        let (late, age): (f64, u64) = (late.trim().parse()?, age.trim().parse()?);
        outcome.figure(&format!("late pages, {name}"), late);
        outcome.expect(
            format!("nothing of it arrives beside the next coordinator ({name})"),
            late == 0.0,
            format!(
                "{late} of {PAGES} pages; the server's file last changed {} s after the fault",
                clock::now().saturating_sub(fault).as_secs().saturating_sub(age)
            ),
        );
    }
    late_records(cluster, outcome, epoch, before)?;
    cluster.settle()?;
    cluster.change(cluster.usual())?;
    cluster.server.must("rm -f /srv/export/journal/mapped-* /srv/export/journal/plain-*")?;
    judge(cluster, outcome, fault)
}

/// On the server.
fn files(epoch: u64) -> impl Iterator<Item = String> {
    DIRTY.iter().map(move |name| format!("/srv/export/journal/{name}-{epoch}"))
}
