//! Storage fencing: what an old host still writes when it comes back, without and with `packaging/fencing/nfs-server`.
//!
//! The NFS server exports the volume to each candidate by itself, the scripts run as their README says, with the real
//! `exportfs`, the kernel's clients, and ssh between real machines. A host that was fenced is given its access back by a
//! boot, and the drill registers that boot as `primacy-unfence.service` does, before the volume is mounted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use drill::hosts::{Answer, Network, Stop};

use super::{RECORD, expect_successor, judge, takeover_limit};
use crate::clock::{self, At};
use crate::cluster::{Cluster, MOUNT_POINT, PROBE_INTERVAL, PROBE_TIMEOUT, Settings};
use crate::outcome::{Outcome, milliseconds};

/// As the scripts' README says.
const AFTER_THE_LOCK: &str = r#"[fencing]
command = ["/usr/local/bin/primacy-fence-nfs", "root@nfs"]
required = true
"#;
const FREES_LOCK: &str = r#"[fencing]
command = ["/usr/local/bin/primacy-fence-nfs", "root@nfs"]
required = true
frees_lock = true
"#;

/// The fencing command: a key exchange, `exportfs` three times, the end of the clients.
const COMMAND: Duration = Duration::from_secs(3);
/// From there until the old host comes back.
const ALONE: Duration = Duration::from_secs(2);
/// For what comes back with it: it finds out, its coordinator is killed, the end of that flushes what the page cache has.
const AFTER: Duration = Duration::from_secs(12);
/// In which nobody may start without having fenced: several attempts.
const NOBODY: Duration = Duration::from_secs(15);
/// From the repair to the next attempt: the pauses between them have grown meanwhile.
const NEXT_ATTEMPT: Duration = Duration::from_secs(60);
/// An NFS server's lease that is long beside a session; its default is 90 s.
const LONG_LEASE: Duration = Duration::from_secs(30);
/// For clients to reclaim their locks after the server's restart.
const RECLAIM: Duration = Duration::from_secs(6);

/// How the old host goes, and comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Stopped by the hypervisor together with its clock: it comes back without knowing.
    Stop,
    /// Its cable to the NFS server is pulled.
    Cut,
}

/// An old host that has come back beside its successor.
struct Returned {
    host: usize,
    epoch: u64,
    fault: At,
    /// Bytes of it on the server's disk when it came back.
    before: (u64, u64),
    /// Errors of its coordinator's writes since it came back, and how often each.
    failed: BTreeMap<i32, usize>,
}

impl Returned {
    /// Records of it that have reached the server's disk since it came back: synced, not synced.
    fn late(&self, cluster: &Cluster) -> Result<(u64, u64)> {
        let after = cluster.written(self.epoch)?;
        Ok((after.0.saturating_sub(self.before.0) / RECORD, after.1.saturating_sub(self.before.1) / RECORD))
    }
}

pub fn open(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = takeover_limit(cluster);
    let old = come_back(cluster, outcome, Fault::Stop, limit)?;
    let late = old.late(cluster)?;
    note_late(outcome, late)?;
    outcome.expect(
        "what the old host still has reaches the volume after its successor's start",
        late.0 + late.1 > 0,
        format!("{} records synced, {} not synced", late.0, late.1),
    );
    cluster.settle()?;
    judge(cluster, outcome, old.fault)
}

pub fn closed(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = takeover_limit(cluster) + COMMAND;
    nothing_late(cluster, outcome, AFTER_THE_LOCK, Fault::Stop, limit)
}

pub fn closed_early(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    lease(cluster, LONG_LEASE)?;
    // The NFS server's lease is no part of it, but the election, a lease in which the lock is waited for, and a start.
    let timing = cluster.timing;
    let limit = early(cluster) + COMMAND + Duration::from_secs(3) + cluster.allowance();
    nothing_late(cluster, outcome, FREES_LOCK, Fault::Stop, limit)?;
    lease(cluster, timing.nfs_lease)
}

pub fn closed_after_cut(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // As `cut-nfs`: a probe, and a tree that cannot be killed.
    let stuck = Duration::from_secs(10);
    let limit = PROBE_INTERVAL + PROBE_TIMEOUT + stuck + Duration::from_secs(3) + cluster.allowance() + COMMAND;
    nothing_late(cluster, outcome, AFTER_THE_LOCK, Fault::Cut, limit)
}

fn nothing_late(
    cluster: &mut Cluster,
    outcome: &mut Outcome,
    fencing: &'static str,
    fault: Fault,
    limit: Duration,
) -> Result<()> {
    fenced(cluster, fencing, |cluster| {
        let old = come_back(cluster, outcome, fault, limit)?;
        let refused = touch(cluster, old.host)?;
        let words = ["Stale file handle", "Permission denied", "Input/output error"];
        outcome.expect(
            "the old host is refused",
            words.iter().any(|word| refused.contains(word)),
            format!("{refused}; its coordinator's writes failed with (errno: how often) {:?}", old.failed),
        );
        outcome.note(server(cluster, "status")?);
        note_command(cluster, outcome)?;
        let stays = register(cluster, old.host)?;
        outcome.expect("without a reboot it stays fenced, exit 3", stays.code == 3, said(&stays));
        reboot(cluster, outcome, old.host)?;
        let late = old.late(cluster)?;
        note_late(outcome, late)?;
        outcome.expect(
            "nothing of the old host reaches the volume after its successor's start",
            late == (0, 0),
            format!("{} records synced, {} not synced", late.0, late.1),
        );
        judge(cluster, outcome, old.fault)
    })
}

/// The active host goes, its successor starts, the old host comes back.
fn come_back(cluster: &mut Cluster, outcome: &mut Outcome, how: Fault, limit: Duration) -> Result<Returned> {
    let (host, epoch) = cluster.active()?;
    let machine = &mut cluster.candidates[host].machine;
    let fault = match how {
        Fault::Stop => machine.stop(Stop::Pause)?,
        Fault::Cut => machine.cut(Network::Nfs)?,
    };
    expect_successor(cluster, outcome, fault, epoch, limit)?;
    let alone = clock::now();
    std::thread::sleep(ALONE);
    let (before, late) = (cluster.written(epoch)?, cluster.late_since(alone));
    let machine = &mut cluster.candidates[host].machine;
    let back = match how {
        Fault::Stop => machine.go(late)?,
        Fault::Cut => machine.heal()?,
    };
    std::thread::sleep(AFTER);
    let mut failed = BTreeMap::new();
    cluster.ticks.with(|book| {
        let lives = book.lives.iter().filter(|life| life.epoch == epoch);
        for (_, errno) in lives.flat_map(|life| &life.failed).filter(|(at, _)| *at >= back) {
            *failed.entry(*errno).or_default() += 1;
        }
    });
    outcome.note(format!("away for {:.1} s", milliseconds(back.saturating_sub(fault)) / 1e3));
    Ok(Returned { host, epoch, fault, before, failed })
}

/// What the last fencing command said, and how long it took.
fn note_command(cluster: &Cluster, outcome: &mut Outcome) -> Result<()> {
    let mut found: Option<(f64, f64, String)> = None;
    for candidate in &cluster.candidates {
        let log = candidate.machine.supervisor_log()?;
        let mut began = None;
        for line in log.lines() {
            let Some((at, words)) = line.trim_start().split_once(' ') else { continue };
            let Ok(at) = at.parse::<f64>() else { continue };
            if words.contains("fencing the former active") {
                began = Some(at);
            } else if let Some(began) = began.filter(|_| words.contains("of its clients expired"))
                && found.as_ref().is_none_or(|(_, last, _)| *last < at)
            {
                let words = words.split_once("INFO ").map_or(words, |(_, words)| words);
                found = Some((began, at, words.to_owned()));
            }
        }
    }
    let (began, ended, said) = found.context("no fencing command has succeeded")?;
    outcome.figure("fencing command, ms", (ended - began) * 1e3);
    outcome.note(said);
    Ok(())
}

fn note_late(outcome: &mut Outcome, late: (u64, u64)) -> Result<()> {
    outcome.figure("late records, synced", f64::from(u32::try_from(late.0)?));
    outcome.figure("late records, not synced", f64::from(u32::try_from(late.1)?));
    Ok(())
}

/// What a host is told that writes to the volume by what it has mounted. It may hang there: not for ever.
fn touch(cluster: &Cluster, host: usize) -> Result<String> {
    let command = format!(
        "( touch {MOUNT_POINT}/journal/afterwards; echo \"exit $?\" ) >/run/touched 2>&1 & \
         n=0; while ! grep -q exit /run/touched && [ $n -lt 200 ]; do sleep 0.1; n=$((n + 1)); done; cat /run/touched"
    );
    Ok(cluster.candidates[host].machine.must(&command)?.replace('\n', ", "))
}

pub fn fails(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    fenced(cluster, AFTER_THE_LOCK, |cluster| {
        // By the way in which it will: somebody exports the volume to the network, once more.
        let somebody = "echo '/srv/export 10.98.0.0/24(rw,sync,no_root_squash,no_subtree_check,fsid=0)' >/etc/exports";
        cluster.server.must(&format!("{somebody}; exportfs -r"))?;
        let (active, epoch) = cluster.active()?;
        let other = cluster.other(active);
        let length = cluster.candidates[other].machine.supervisor_log()?.len();
        let fault = cluster.power_off(active)?;
        let observer = cluster.candidates[other].observer.clone();
        let patience = takeover_limit(cluster) + COMMAND + Duration::from_secs(10);
        let failed =
            cluster.until(patience, || observer.since(fault, |said| said.reason.contains("fencing.command")))?;
        let words = failed.map_or_else(|| format!("{:?}", observer.latest()), |(_, said)| said.reason);
        outcome.expect("its status says that the fencing command failed", words.contains("fencing.command"), words);
        std::thread::sleep(NOBODY);
        let text = cluster.candidates[other].machine.supervisor_log()?;
        let text = text.get(length..).unwrap_or_default();
        let why = text.lines().find(|line| line.contains("also exported to")).unwrap_or_default();
        outcome.expect("its log says why", !why.is_empty(), why);
        let attempts = text.lines().filter(|line| line.contains("fencing the former active")).count();
        outcome.note(format!("{attempts} attempts"));
        let started = cluster.ticks.with(|book| book.lives.iter().filter(|life| life.epoch > epoch).count());
        outcome.expect("nobody starts", started == 0, format!("{started} coordinators"));
        cluster.server.must(": >/etc/exports; exportfs -r")?;
        let mended = clock::now();
        let (first, _) = cluster.successor(epoch, NEXT_ATTEMPT + cluster.allowance())?.context("nobody ever starts")?;
        outcome.figure("repair to the next coordinator, ms", milliseconds(first.saturating_sub(mended)));
        reboot(cluster, outcome, active)?;
        judge(cluster, outcome, fault)?;
        outcome.gap_ms = None;
        Ok(())
    })
}

pub fn frees_lock(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    fenced(cluster, AFTER_THE_LOCK, |cluster| {
        let since = clock::now();
        lease(cluster, LONG_LEASE)?;
        let margin = Duration::from_secs(5) + cluster.allowance() + COMMAND;
        let waits = lose_power(cluster, outcome, LONG_LEASE + margin)?;
        outcome.figure("fault to the next coordinator, fencing after the lock, ms", milliseconds(waits));
        cluster.change(Settings { more: FREES_LOCK, ..cluster.usual() })?;
        let frees = lose_power(cluster, outcome, early(cluster) + margin)?;
        outcome.figure("fault to the next coordinator, fencing frees the lock, ms", milliseconds(frees));
        outcome.expect(
            format!("with frees_lock nobody waits for the NFS server's lease of {} s", LONG_LEASE.as_secs()),
            frees < LONG_LEASE.saturating_sub(cluster.timing.nfs_lease) && frees < waits,
            format!("{:.1} s, without it {:.1} s", frees.as_secs_f64(), waits.as_secs_f64()),
        );
        outcome.figures.remove("fault to the next coordinator, ms");
        judge(cluster, outcome, since)?;
        outcome.gap_ms = None;
        lease(cluster, cluster.timing.nfs_lease)
    })
}

/// The active host loses power, its successor starts, the host boots again. How long nobody was there.
fn lose_power(cluster: &mut Cluster, outcome: &mut Outcome, limit: Duration) -> Result<Duration> {
    let (active, epoch) = cluster.active()?;
    let fault = cluster.power_off(active)?;
    let (first, _) = expect_successor(cluster, outcome, fault, epoch, limit)?;
    note_command(cluster, outcome)?;
    reboot(cluster, outcome, active)?;
    Ok(first.saturating_sub(fault))
}

/// Without the NFS server's lease: the election, and a lease in which the lock is waited for.
fn early(cluster: &Cluster) -> Duration {
    cluster.timing.session + cluster.timing.tick + cluster.timing.lease()
}

/// Restarts the NFS service with another lease.
fn lease(cluster: &mut Cluster, lease: Duration) -> Result<()> {
    let seconds = lease.as_secs();
    cluster.server.must(&format!("nfs-server stop; echo {seconds} >/proc/fs/nfsd/nfsv4leasetime; nfs-server start"))?;
    cluster.wait_for_nfs()?;
    std::thread::sleep(RECLAIM);
    cluster.settle()
}

/// With per-host exports and the fencing command; afterwards without, again.
fn fenced(cluster: &mut Cluster, fencing: &'static str, drill: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let names: Vec<&str> = cluster.candidates.iter().map(|one| one.machine.name.as_str()).collect();
    cluster.server.must(&format!("nfs-fencing on {}", names.join(" ")))?;
    for index in 0..cluster.candidates.len() {
        let answer = register(cluster, index)?;
        ensure!(answer.succeeded(), "registering at the NFS server: {}", said(&answer));
    }
    cluster.change(Settings { more: fencing, ..cluster.usual() })?;
    drill(cluster)?;
    cluster.change(cluster.usual())?;
    cluster.server.must("nfs-fencing off").map(drop)
}

/// As `primacy-unfence.service`, on that machine.
fn register(cluster: &Cluster, index: usize) -> Result<Answer> {
    let machine = &cluster.candidates[index].machine;
    let name = &machine.name;
    let key = format!("PRIMACY_UNFENCE_KEY=/etc/primacy/nfs-register-key.{name}");
    machine.run(&format!("{key} /usr/local/bin/primacy-unfence-nfs root@nfs {name} 2>&1"))
}

/// The fenced host boots, registers that, mounts, and takes part again.
fn reboot(cluster: &mut Cluster, outcome: &mut Outcome, host: usize) -> Result<()> {
    cluster.power_off(host)?;
    cluster.candidates[host].machine.boot()?;
    cluster.candidates[host].machine.wait()?;
    let answer = register(cluster, host)?;
    let given_back = answer.succeeded() && answer.text.contains("no longer fenced");
    outcome.expect("a reboot gives it back its access", given_back, said(&answer));
    cluster.settle()?;
    let observer = &cluster.candidates[host].observer;
    let (latest, eligible) = (observer.latest(), observer.eligible());
    outcome.expect("and it takes part again", eligible, latest.map(|said| said.reason).unwrap_or_default());
    Ok(())
}

fn server(cluster: &Cluster, request: &str) -> Result<String> {
    Ok(cluster.server.must(&format!("/usr/local/sbin/primacy-nfs-fence {request}"))?.replace('\n', "; "))
}

fn said(answer: &Answer) -> String {
    format!("exit {}: {}", answer.code, answer.text.replace('\n', "; "))
}
