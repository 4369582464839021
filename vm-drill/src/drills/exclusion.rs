//! The lock by itself, and the plainest fault.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{expect_successor, judge};
use crate::clock;
use crate::cluster::{Cluster, LOCK_FILE, MOUNT_POINT};
use crate::host::Machine;
use crate::outcome::Outcome;

/// To be free after the last holder's death: CB_NOTIFY_LOCK or a poll every few ms, no lease.
const RELEASE: Duration = Duration::from_millis(100);

pub fn lock(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let (holder, other) = (&cluster.candidates[active].machine, &cluster.candidates[cluster.other(active)].machine);
    let pid = coordinator(cluster, epoch)?;
    let held = holder.run(&format!("grep -h OFDLCK /proc/{pid}/fdinfo/*"))?;
    outcome.expect("the coordinator itself holds the lock (/proc/PID/fdinfo)", held.succeeded(), held.text);
    let refused = other.run(&format!("vm-guest try-lock {LOCK_FILE}"))?;
    outcome.expect("another host is refused while it runs", refused.code == 1, format!("exit {}", refused.code));

    // The same without primacy, so that only the kernel and the server are measured.
    let file = format!("{MOUNT_POINT}/bare-lock");
    holder.must(&format!("rm -f {file} /run/pids; vm-guest hold-lock {file} >/run/pids 2>&1 &"))?;
    let pids = holder.must("until grep ' ' /run/pids; do sleep 0.1; done")?;
    let (parent, child) = pids.split_once(' ').context(pids.clone())?;
    let try_it = |machine: &Machine| machine.run(&format!("vm-guest try-lock {file}"));
    let refused = try_it(other)?;
    outcome.expect("a bare lock is refused to another host", refused.code == 1, format!("exit {}", refused.code));
    holder.must(&format!("kill -9 {parent}"))?;
    let refused = try_it(other)?;
    outcome.expect(
        "and still when only the child that inherited it lives",
        refused.code == 1,
        refused.code.to_string(),
    );
    cluster.ticks.with(|book| book.locked = None);
    other.must(&format!("vm-guest poll-lock {file} --to {} >/run/poll-lock 2>&1 &", other.drill()?))?;
    std::thread::sleep(Duration::from_millis(300));
    let early = cluster.ticks.with(|book| book.locked);
    outcome.expect("nobody gets it before the child's death", early.is_none(), format!("{early:?}"));
    holder.must(&format!("vm-guest kill-holder {child} --to {}", holder.drill()?))?;
    let locked = cluster.until(Duration::from_secs(30), || cluster.ticks.with(|book| book.locked))?;
    let locked = locked.context("the lock was never free")?;
    let killed = cluster.ticks.with(|book| book.killed).context("the killer was never heard of")?;
    outcome.expect_within("last holder's death to the other host's lock", locked.saturating_sub(killed), RELEASE);
    Ok(())
}

pub fn crash(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let pid = coordinator(cluster, epoch)?;
    let fault = clock::now();
    cluster.candidates[active].machine.kill(pid)?;
    expect_successor(cluster, outcome, fault, epoch, Duration::from_secs(1) + cluster.ordered())?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

/// The guest's pid of the coordinator of this epoch.
pub fn coordinator(cluster: &Cluster, epoch: u64) -> Result<u32> {
    let pid = cluster.ticks.with(|book| book.lives.iter().find(|life| life.epoch == epoch).map(|life| life.pid));
    pid.with_context(|| format!("no coordinator of epoch {epoch}"))
}
