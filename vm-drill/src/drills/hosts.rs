//! What happens to whole hosts.

use std::time::Duration;

use anyhow::{Context, Result};
use drill::hosts::Stop;

use super::{expect_successor, judge, late_records, takeover_limit};
use crate::clock::{self, At};
use crate::cluster::Cluster;
use crate::outcome::{Outcome, milliseconds};
use crate::ticks::Life;

/// A planned hand-over: stop, lock, election, start.
const HANDOVER: Duration = Duration::from_secs(1);
/// How long the new coordinator works before the old host comes back.
const ALONE: Duration = Duration::from_secs(2);

pub fn graceful_halt(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = cluster.shut_down(active)?;
    expect_successor(cluster, outcome, fault, epoch, HANDOVER + cluster.ordered())?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn power_loss(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = cluster.power_off(active)?;
    expect_successor(cluster, outcome, fault, epoch, takeover_limit(cluster))?;
    // The journal of the old one: every record that it said was synced is there.
    let (acknowledged, found) = acknowledged(cluster, epoch)?;
    outcome.expect("every record that was acknowledged is on the server", found >= acknowledged, {
        format!("{acknowledged} acknowledged, {found} found")
    });
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn freeze(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    stop_and_go(cluster, outcome, Stop::Freeze)
}

pub fn clock_stop(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    stop_and_go(cluster, outcome, Stop::Pause)
}

fn stop_and_go(cluster: &mut Cluster, outcome: &mut Outcome, how: Stop) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = cluster.candidates[active].machine.stop(how)?;
    expect_successor(cluster, outcome, fault, epoch, takeover_limit(cluster))?;
    let alone = clock::now();
    std::thread::sleep(ALONE);
    let before = cluster.written(epoch)?;
    let late = cluster.late_since(alone);
    let thaw = cluster.candidates[active].machine.go(late)?;
    let silent = || {
        let last = cluster.ticks.with(|book| book.lives.iter().find(|life| life.epoch == epoch).map(Life::last))?;
        (clock::now().saturating_sub(last.max(thaw)) >= ALONE).then_some(())
    };
    cluster.until(Duration::from_secs(20), silent)?.context("the old coordinator goes on and on")?;
    let (last, wrote, failed) = cluster.ticks.with(|book| {
        let life = book.lives.iter().find(|life| life.epoch == epoch).context("the old coordinator was never seen")?;
        let after = |at: &At| *at >= thaw;
        let wrote = life.wrote.iter().filter(|(_, at)| after(at)).count();
        let failed: Vec<i32> = life.failed.iter().filter(|(at, _)| after(at)).map(|(_, errno)| *errno).collect();
        anyhow::Ok((life.ticks.iter().filter(|at| after(at)).max().copied(), wrote, failed))
    })?;
    let lived = last.map_or(Duration::ZERO, |last| last.saturating_sub(thaw));
    outcome.expect_within("thaw to the old coordinator's last tick", lived, how.grace(cluster.timing.lease()) + late);
    outcome.figure("between two ticks of the next one at most, ms", milliseconds(late));
    outcome.figure("records synced after the thaw", f64::from(u32::try_from(wrote)?));
    if !failed.is_empty() {
        outcome.note(format!("writes after the thaw failed with errno {failed:?}"));
    }
    late_records(cluster, outcome, epoch, before)?;
    let machine = &cluster.candidates[active].machine;
    let gone = machine.run(
        "! pidof vm-guest | tr ' ' '\\n' | while read pid; do \
                            grep -q coordinator /proc/$pid/cmdline && echo $pid; done | grep -q .",
    )?;
    outcome.expect("nothing of it is left", gone.succeeded(), format!("exit {} {}", gone.code, gone.text));
    cluster.settle()?;
    judge(cluster, outcome, fault)?;
    outcome.note(format!("frozen for {:.1} s", milliseconds(thaw.saturating_sub(fault)) / 1e3));
    Ok(())
}

/// How many records a coordinator said were synced, and how many the server has.
pub fn acknowledged(cluster: &Cluster, epoch: u64) -> Result<(u64, u64)> {
    let said = cluster.ticks.with(|book| {
        let life = book.lives.iter().find(|life| life.epoch == epoch);
        life.and_then(|life| life.wrote.last().map(|(number, _)| *number)).unwrap_or(0)
    });
    Ok((said, cluster.written(epoch)?.0 / super::RECORD))
}
