//! What everybody depends on is restarted, or full; and the restart of everybody.

use std::time::Duration;

use anyhow::{Context, Result};

use super::hosts::acknowledged;
use super::{expect_successor, judge};
use crate::clock::{self, At};
use crate::cluster::{CONFIG, Cluster, PROBE_INTERVAL, PROBE_TIMEOUT, Settings};
use crate::host::{Order, Service};
use crate::lab::ZooKeeper;
use crate::outcome::{Outcome, milliseconds};
use crate::ticks::Life;

/// After a service is back: its grace period, and the next probe.
const AFTERMATH: Duration = Duration::from_secs(12);
/// What a coordinator's ticks may pause for on a busy machine, although nothing happened to it.
const UNDISTURBED: Duration = Duration::from_millis(500);

pub fn nfs_restart(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // As operators should: the restart fits in.
    let probe_timeout = PROBE_TIMEOUT.max(cluster.timing.nfs_restart);
    cluster.change(Settings { probe_timeout, ..cluster.usual() })?;
    undisturbed(cluster, outcome, |cluster| {
        cluster.server.service(Service::Nfs, Order::Stop)?;
        std::thread::sleep(Duration::from_secs(1));
        cluster.server.service(Service::Nfs, Order::Start)?;
        cluster.wait_for_nfs()
    })
}

pub fn nfs_power_loss(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // The boot of the server fits in, for nobody can do better than wait for it.
    cluster.change(Settings { probe_timeout: cluster.timing.nfs_boot, ..cluster.usual() })?;
    undisturbed(cluster, outcome, |cluster| {
        cluster.server.power_off()?;
        cluster.server.boot()?;
        cluster.server.wait()?;
        cluster.wait_for_nfs()
    })
}

pub fn zookeeper_restart(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // The lease must outlast the start of a Java machine, which a busy host may draw out.
    cluster.change(Settings { session: cluster.timing.longest_session(), ..cluster.usual() })?;
    undisturbed(cluster, outcome, |cluster| {
        cluster.zookeepers.iter_mut().try_for_each(|server| server.kill())?;
        cluster.zookeepers.iter_mut().try_for_each(|server| server.start())?;
        cluster.zookeepers.iter_mut().try_for_each(|server| server.wait())
    })
}

pub fn zookeeper_rolling_restart(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // The lease must outlast the election of a leader.
    cluster.change(Settings { session: cluster.timing.longest_session(), ..cluster.usual() })?;
    let leads = |cluster: &Cluster, index: usize| cluster.zookeepers[index].mode().is_some_and(|mode| mode == "leader");
    let mut order: Vec<usize> = (0..cluster.zookeepers.len()).collect();
    order.sort_by_key(|index| leads(cluster, *index));
    outcome.expect("there is a leader to be restarted", leads(cluster, order[order.len() - 1]), {
        let mode = |server: &dyn ZooKeeper| server.mode().unwrap_or_else(|| "silent".to_owned());
        let modes = cluster.zookeepers.iter().map(|server| format!("{} {}", server.name(), mode(&**server)));
        modes.collect::<Vec<_>>().join(", ")
    });
    undisturbed(cluster, outcome, |cluster| {
        order.iter().try_for_each(|index| {
            let server = &mut cluster.zookeepers[*index];
            server.kill()?;
            server.start()?;
            server.wait()
        })
    })
}

/// Something is restarted, and the coordinator must go on as if nothing had been.
fn undisturbed(
    cluster: &mut Cluster,
    outcome: &mut Outcome,
    restart: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<()> {
    let (_, epoch) = cluster.active()?;
    let fault = clock::now();
    restart(cluster)?;
    let back = clock::now();
    outcome.figure("outage, ms", milliseconds(back.saturating_sub(fault)));
    let resumed = cluster.until(AFTERMATH, || wrote_after(cluster, epoch, back))?;
    if let Some(at) = resumed {
        outcome.figure("fault to the next synced record, ms", milliseconds(at.saturating_sub(fault)));
    }
    std::thread::sleep(AFTERMATH.saturating_sub(clock::now().saturating_sub(back)));
    cluster.settle()?;
    let (_, after) = cluster.active()?;
    outcome.expect_timely("nobody fails over", after == epoch, format!("epoch {epoch} -> {after}"));
    judge(cluster, outcome, fault)?;
    let gap = Duration::from_secs_f64(outcome.gap_ms.unwrap_or(0.0) / 1e3);
    outcome.expect_timely("the coordinator runs on", gap <= UNDISTURBED, format!("{:.0} ms", gap.as_secs_f64() * 1e3));
    let (said, found) = acknowledged(cluster, epoch)?;
    outcome.expect(
        "nothing that was acknowledged is lost",
        found >= said,
        format!("{said} acknowledged, {found} found"),
    );
    Ok(())
}

/// The moment of the first record that this coordinator wrote after `since`.
fn wrote_after(cluster: &Cluster, epoch: u64, since: At) -> Option<At> {
    cluster.ticks.with(|book| {
        let life = book.lives.iter().find(|life| life.epoch == epoch)?;
        life.wrote.iter().map(|(_, at)| *at).find(|at| *at > since)
    })
}

pub fn disk_full(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = clock::now();
    cluster.server.run("dd if=/dev/zero of=/srv/export/fill bs=1M 2>/dev/null; sync")?;
    // Its files' last blocks have room for some more records, and a starved machine takes a second for each.
    let refused = cluster.until(Duration::from_secs(60), || {
        cluster.ticks.with(|book| {
            let life = book.lives.iter().find(|life| life.epoch == epoch)?;
            life.failed.iter().find(|(at, _)| *at > fault).copied()
        })
    })?;
    let (_, errno) = refused.context("the coordinator could still write: the volume is not full")?;
    outcome.expect("the coordinator's writes fail with ENOSPC (28)", errno == 28, format!("errno {errno}"));
    // Three probes on a full volume.
    std::thread::sleep(Duration::from_secs(7));
    let said = cluster.candidates[active].observer.latest();
    let role = said.as_ref().map_or("none", |said| said.role.as_str()).to_owned();
    outcome.expect_timely("the role stays: the others have the same volume", role == "active", format!("{said:?}"));
    let check = cluster.candidates[active].machine.run(&format!("primacy check -c {CONFIG} 2>&1"))?;
    let line = check.text.lines().find(|line| line.contains("volume.free_space")).unwrap_or_default();
    outcome.expect("primacy check warns", line.starts_with("warn") || line.starts_with("FAIL"), line);
    // And the next one can start on it.
    let pid = cluster.ticks.with(|book| book.lives.iter().find(|life| life.epoch == epoch).map(|life| life.pid));
    let crash = clock::now();
    cluster.candidates[active].machine.kill(pid.context("no coordinator")?)?;
    expect_successor(cluster, outcome, crash, epoch, Duration::from_secs(3) + cluster.ordered())?;
    cluster.server.must("rm -f /srv/export/fill; sync")?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn lock_deleted(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (_, epoch) = cluster.active()?;
    let fault = clock::now();
    cluster.server.must("rm /srv/export/.primacy/coordinator.lock")?;
    // At the next probe, although an NFS client believes for up to a minute what it has seen in a directory.
    let limit = PROBE_INTERVAL + Duration::from_secs(1) + cluster.allowance();
    let ended = cluster.until(limit * 3, || {
        let last = cluster.ticks.with(|book| book.lives.iter().find(|life| life.epoch == epoch).map(Life::last))?;
        (clock::now().saturating_sub(last) > Duration::from_millis(300)).then_some(last)
    })?;
    let ended = ended.context("the old coordinator runs on without a lock")?;
    outcome.expect_within("deletion to the old coordinator's last tick", ended.saturating_sub(fault), limit);
    cluster.settle()?;
    let (_, after) = cluster.active()?;
    outcome.expect("the epoch grows", after > epoch, format!("{epoch} -> {after}"));
    judge(cluster, outcome, fault)
}

pub fn rolling_restart(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = clock::now();
    let standbys = (0..cluster.candidates.len()).filter(|index| *index != active);
    for index in standbys.chain([active]).collect::<Vec<_>>() {
        cluster.stop_service(index)?;
        cluster.serve(index)?;
        cluster.settle()?;
    }
    let (_, after) = cluster.active()?;
    let leaderships = cluster.ticks.with(|book| book.lives.iter().filter(|life| life.epoch > epoch).count());
    outcome.expect_timely(
        "the role is handed over once",
        leaderships == 1,
        format!("{leaderships}, epoch {epoch} -> {after}"),
    );
    judge(cluster, outcome, fault)?;
    let gap = outcome.gap_ms.unwrap_or(f64::INFINITY);
    let limit = milliseconds(Duration::from_secs(1) + cluster.allowance());
    outcome.expect_timely(format!("the gap is at most {limit:.0} ms"), gap <= limit, format!("{gap:.0} ms"));
    Ok(())
}
