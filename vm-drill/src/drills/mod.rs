//! The drills: each breaks something of a cluster at rest, waits for what must follow, and states what it expects.

mod cuts;
mod exclusion;
mod fencing;
mod hosts;
mod late_pages;
mod refusals;
mod services;
mod supervisor;
mod watchdog;
mod with_peer;

use std::time::Duration;

use anyhow::{Context, Result};
use drill::judge::{Case, overlaps, stretches, together};
use testbed::judge::{Overlap, longest_gap};
use testbed::span::Span;

use crate::clock::{At, nanoseconds};
use crate::cluster::Cluster;
use crate::evidence;
use crate::lab::Need;
use crate::outcome::{Outcome, milliseconds};

/// Bytes of a record.
const RECORD: u64 = crate::wire::RECORD as u64;

/// A drill's function. An error means that it could not be carried out.
pub type Run = fn(&mut Cluster, &mut Outcome) -> Result<()>;

pub struct Drill {
    pub name: &'static str,
    /// What is done, in one sentence.
    pub what: &'static str,
    /// Part of the short set.
    pub short: bool,
    /// What the hosts must have for it.
    pub needs: &'static [Need],
    pub run: Run,
}

impl Drill {
    /// Needs hardware for which the image has no driver unless it was built for that (`VM_DRILL_KERNEL`): run only if it is
    /// named.
    pub fn only_if_named(&self) -> bool {
        self.name.ends_with(crate::watchdog::I6300ESB)
    }
}

/// All drills, in the order in which they are run.
pub const ALL: &[Drill] = &[
    Drill {
        name: "exclusion",
        what: "the lock: inherited by the coordinator, refused to another host, free after the last holder's death",
        short: true,
        needs: &[],
        run: exclusion::lock,
    },
    Drill {
        name: "coordinator-crash",
        what: "the coordinator is killed",
        short: false,
        needs: &[],
        run: exclusion::crash,
    },
    Drill {
        name: "supervisor-killed",
        what: "the active host's supervisor is killed; its guardian lives",
        short: false,
        needs: &[],
        run: supervisor::killed,
    },
    Drill {
        name: "supervisor-aborted",
        what: "the active host's supervisor aborts",
        short: false,
        needs: &[],
        run: supervisor::aborted,
    },
    Drill {
        name: "supervisor-out-of-memory",
        what: "the kernel of the active host kills the supervisor for want of memory",
        short: false,
        needs: &[],
        run: supervisor::out_of_memory,
    },
    Drill {
        name: "late-pages-crash",
        what: "a coordinator that has not written everything to the volume yet is killed; its host lives",
        short: false,
        needs: &[],
        run: late_pages::crash,
    },
    Drill {
        name: "late-pages-supervisor",
        what: "the same, killed by its guardian, whose supervisor was killed",
        short: false,
        needs: &[],
        run: late_pages::supervisor,
    },
    Drill {
        name: "late-pages-deadline",
        what: "the same, killed at its lease's end, since its host is cut off from ZooKeeper",
        short: false,
        needs: &[],
        run: late_pages::deadline,
    },
    Drill {
        name: "graceful-halt",
        what: "the active host is shut down in order: service stopped, volume unmounted, power off",
        short: false,
        needs: &[],
        run: hosts::graceful_halt,
    },
    Drill { name: "power-loss", what: "the active host loses power", short: true, needs: &[], run: hosts::power_loss },
    Drill {
        name: "freeze",
        what: "the active host is frozen until its lock is taken, and thaws; its clock has gone on",
        short: true,
        needs: &[Need::Freeze],
        run: hosts::freeze,
    },
    Drill {
        name: "clock-stop",
        what: "the same, stopped by the hypervisor together with its clock",
        short: false,
        needs: &[],
        run: hosts::clock_stop,
    },
    Drill {
        name: "cut-zookeeper",
        what: "the active host loses ZooKeeper, and nothing else",
        short: false,
        needs: &[],
        run: cuts::zookeeper,
    },
    Drill {
        name: "cut-nfs",
        what: "the active host loses the NFS server, and nothing else",
        short: true,
        needs: &[],
        run: cuts::nfs,
    },
    Drill {
        name: "cut-both",
        what: "the active host loses ZooKeeper and the NFS server",
        short: false,
        needs: &[],
        run: cuts::both,
    },
    Drill {
        name: "nfs-restart",
        what: "the NFS service is restarted",
        short: false,
        needs: &[],
        run: services::nfs_restart,
    },
    Drill {
        name: "nfs-power-loss",
        what: "the NFS server loses power and boots again",
        short: false,
        needs: &[],
        run: services::nfs_power_loss,
    },
    Drill {
        name: "zookeeper-restart",
        what: "ZooKeeper is killed and started again",
        short: false,
        needs: &[],
        run: services::zookeeper_restart,
    },
    Drill {
        name: "zookeeper-rolling-restart",
        what: "one ZooKeeper server of an ensemble after the other is killed and started again, the leader last",
        short: false,
        needs: &[Need::Ensemble],
        run: services::zookeeper_rolling_restart,
    },
    Drill { name: "disk-full", what: "the volume is filled up", short: false, needs: &[], run: services::disk_full },
    Drill {
        name: "lock-deleted",
        what: "the lock file is deleted on the NFS server",
        short: false,
        needs: &[],
        run: services::lock_deleted,
    },
    Drill {
        name: "rolling-restart",
        what: "the service is restarted on one candidate after the other, the active one last",
        short: false,
        needs: &[],
        run: services::rolling_restart,
    },
    Drill {
        name: "unmounted",
        what: "the standby's volume is not mounted and the active one stops",
        short: false,
        needs: &[Need::ServiceWithoutVolume],
        run: refusals::unmounted,
    },
    Drill {
        name: "foreign",
        what: "the standby has another volume mounted there and the active one stops",
        short: false,
        needs: &[],
        run: refusals::foreign,
    },
    Drill {
        name: "duplicate-identity",
        what: "two hosts have one NFS client identity: the same host name at mount time",
        short: false,
        needs: &[],
        run: refusals::duplicate_identity,
    },
    Drill { name: "soft-mount", what: "the standby's mount is soft", short: false, needs: &[], run: refusals::soft },
    Drill {
        name: "nfs3",
        what: "the standby's mount is NFSv3",
        short: false,
        needs: &[Need::Nfs3],
        run: refusals::version_3,
    },
    Drill {
        name: "watchdog-frozen",
        what: "supervisor and guardian of the active host are stopped (SIGSTOP); softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::frozen,
    },
    Drill {
        name: "watchdog-frozen-i6300esb",
        what: "supervisor and guardian of the active host are stopped; QEMU's i6300esb is armed \
               (VM_DRILL_KERNEL=linux-image-amd64)",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::frozen_i6300esb,
    },
    Drill {
        name: "watchdog-off",
        what: "the same without a watchdog, until the thaw",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::off,
    },
    Drill {
        name: "watchdog-stuck",
        what: "the active host loses the NFS server, so that its coordinator hangs in the kernel; softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::stuck,
    },
    Drill {
        name: "watchdog-clean-stop",
        what: "the active supervisor is stopped in order; softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::clean_stop,
    },
    Drill {
        name: "watchdog-guardian-killed",
        what: "the active host's guardian is killed; softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::guardian_killed,
    },
    Drill {
        name: "watchdog-guardian-killed-i6300esb",
        what: "the active host's guardian is killed; QEMU's i6300esb is armed (VM_DRILL_KERNEL=linux-image-amd64)",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::guardian_killed_i6300esb,
    },
    Drill {
        name: "watchdog-both-killed",
        what: "supervisor and guardian of the active host are killed together; softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::both_killed,
    },
    Drill {
        name: "watchdog-orphan",
        what: "they are stopped, and killed 2.5 s later, and a grandchild of theirs is the coordinator, which lives on; \
               softdog is armed",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::orphan,
    },
    Drill {
        name: "watchdog-missing",
        what: "the standby has no watchdog although it is required, and then although it is wished for",
        short: false,
        needs: &[Need::Resets],
        run: watchdog::missing,
    },
    Drill {
        name: "fencing-open",
        what: "without fencing: the active host is stopped together with its clock, and comes back beside its successor",
        short: false,
        needs: &[],
        run: fencing::open,
    },
    Drill {
        name: "fencing-closed",
        what: "the same with the fencing command of packaging/fencing/nfs-server",
        short: false,
        needs: &[Need::ExportsToHosts],
        run: fencing::closed,
    },
    Drill {
        name: "fencing-closed-early",
        what: "the same with fencing.frees_lock and an NFS lease of 30 s: its client is expired while that lasts",
        short: false,
        needs: &[Need::ExportsToHosts],
        run: fencing::closed_early,
    },
    Drill {
        name: "fencing-closed-cut",
        what: "with it, the active host loses the NFS server, and gets it back",
        short: false,
        needs: &[Need::ExportsToHosts],
        run: fencing::closed_after_cut,
    },
    Drill {
        name: "fencing-fails",
        what: "the active host loses power, and the NFS server cannot fence it: the volume is exported to everybody",
        short: false,
        needs: &[Need::ExportsToHosts],
        run: fencing::fails,
    },
    Drill {
        name: "fencing-frees-lock",
        what: "power loss with an NFS lease of 30 s, without fencing.frees_lock and with it",
        short: false,
        needs: &[Need::ExportsToHosts],
        run: fencing::frees_lock,
    },
    Drill {
        name: "with-peer",
        what: "primacy check --with-peer on two hosts at the same time",
        short: false,
        needs: &[],
        run: with_peer::sound,
    },
    Drill {
        name: "with-peer-nolock",
        what: "the same with the standby's locks kept from the server (NFSv3, nolock), and a new cluster's first start",
        short: false,
        needs: &[Need::Nfs3],
        run: with_peer::local_locks,
    },
];

/// After host death and cuts: whoever is later of session and NFS lease, and 3 s to notice and start.
fn takeover_limit(cluster: &Cluster) -> Duration {
    let timing = &cluster.timing;
    timing.nfs_lease.max(timing.session + timing.tick) + Duration::from_secs(3) + cluster.allowance()
}

/// Waits for the successor, expects it within `limit` after the fault, and answers its first tick and epoch.
fn expect_successor(
    cluster: &Cluster,
    outcome: &mut Outcome,
    fault: At,
    epoch: u64,
    limit: Duration,
) -> Result<(At, u64)> {
    let patience = limit + Duration::from_secs(20);
    let (first, next) = cluster
        .successor(epoch, patience)?
        .with_context(|| format!("no coordinator runs {patience:?} after the fault"))?;
    outcome.expect_within("fault to the next coordinator", first.saturating_sub(fault), limit);
    outcome.expect("the epoch grows", next > epoch, format!("{epoch} -> {next}"));
    Ok((first, next))
}

/// Notes gap and overlap since `since`, and expects what the judge will of the run: that two never ran at the same time, or
/// no longer than a host may that stood still.
fn judge(cluster: &Cluster, outcome: &mut Outcome, since: At) -> Result<()> {
    let lines = evidence::so_far(cluster)?;
    let case = Case::of(&lines);
    let since = nanoseconds(since);
    let within = Span { first: since, last: testbed::clock::now() };
    outcome.gap_ms = Some(milliseconds(longest_gap(&stretches(&case.lives), within)));
    let sum = |found: Vec<Overlap>| found.iter().filter_map(|one| one.both.after(since)).map(Span::length).sum();
    let both: Duration = sum(together(&case));
    outcome.overlap_ms = Some(milliseconds(both));
    let after = case.standstills.iter().filter(|stood| stood.span.last >= since).map(|stood| stood.grace);
    let text = match after.max().unwrap_or(0) {
        0 => "two never run at the same time".to_owned(),
        grace => format!("two run for at most {} ms", Duration::from_nanos(grace).as_millis()),
    };
    let charged = overlaps(&case).iter().any(|one| one.both.last >= since);
    outcome.expect(text, !charged, format!("{:.1} ms", milliseconds(both)));
    Ok(())
}

/// What reached the server's disk, of an old coordinator, since `before`: records synced and not synced.
fn late_records(cluster: &Cluster, outcome: &mut Outcome, epoch: u64, before: (u64, u64)) -> Result<()> {
    let after = cluster.written(epoch)?;
    let records = |before: u64, after: u64| u32::try_from(after.saturating_sub(before) / RECORD).map(f64::from);
    outcome.figure("late records, synced", records(before.0, after.0)?);
    outcome.figure("late records, not synced", records(before.1, after.1)?);
    Ok(())
}
