//! Hosts that are not fit to run a coordinator: `primacy check` and `primacy run` must say so before anything starts.

use std::time::Duration;

use anyhow::{Context, Result};

use super::judge;
use crate::clock;
use crate::cluster::{CONFIG, Cluster, MOUNT_OPTIONS, MOUNT_POINT};
use crate::outcome::Outcome;

/// In which nobody may start on an unfit host.
const NOBODY: Duration = Duration::from_secs(5);
/// For a supervisor to start and look at its volume.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn unmounted(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    unfit(cluster, outcome, "true", "mount the volume")
}

pub fn foreign(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let mount = format!(
        "mount -t tmpfs foreign {MOUNT_POINT} && mkdir {MOUNT_POINT}/.primacy && \
         echo '{{\"id\":\"foreign\"}}' >{MOUNT_POINT}/.primacy/volume.json"
    );
    unfit(cluster, outcome, &mount, "foreign")
}

/// The standby has something else there than the volume, and the active one stops.
fn unfit(cluster: &mut Cluster, outcome: &mut Outcome, instead: &str, reason: &str) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let other = cluster.other(active);
    cluster.stop_service(other)?;
    cluster.candidates[other].machine.must(&format!("umount {MOUNT_POINT} && {{ {instead}; }}"))?;
    let check = cluster.candidates[other].machine.run(&format!("primacy check -c {CONFIG} 2>&1"))?;
    let refused = check.text.lines().find(|line| line.starts_with("FAIL")).unwrap_or_default().to_owned();
    outcome.expect("primacy check fails", check.code == 1, format!("exit {}: {refused}", check.code));
    cluster.serve(other)?;
    std::thread::sleep(Duration::from_secs(1));
    let since = clock::now();
    cluster.stop_service(active)?;
    std::thread::sleep(NOBODY);
    let started = cluster.ticks.with(|book| book.lives.iter().filter(|life| life.epoch > epoch).count());
    outcome.expect("nothing is started on it", started == 0, format!("{started} coordinators"));
    let said = cluster.candidates[other].observer.since(since, |said| said.reason.contains(reason));
    let latest = cluster.candidates[other].observer.latest().map(|said| said.reason).unwrap_or_default();
    let words = said.as_ref().map_or(latest, |(_, said)| said.reason.clone());
    outcome.expect_timely("its status says why", said.is_some(), words);
    cluster.serve(active)?;
    let first = cluster.successor(epoch, Duration::from_secs(15))?.context("the fit one does not start again")?;
    outcome.note(format!("the fit one started again as epoch {}", first.1));
    repair(cluster, other)?;
    judge(cluster, outcome, since)?;
    outcome.gap_ms = None;
    Ok(())
}

/// Unmounts whatever is there and brings the candidate back.
fn repair(cluster: &mut Cluster, index: usize) -> Result<()> {
    cluster.power_off(index)?;
    cluster.settle()
}

pub fn soft(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    mounted_badly(cluster, outcome, "vers=4.2,proto=tcp,soft,timeo=50,retrans=1", "not a hard mount", "volume.mount")
}

pub fn version_3(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    serve_version_3(cluster)?;
    let outcome_of_it = mounted_badly(cluster, outcome, "vers=3,proto=tcp,nolock", "NFSv3", "volume.mount");
    cluster.server.power_off()?;
    cluster.settle()?;
    outcome_of_it
}

/// Until the server is booted again. Not always: with NFSv3, lockd's grace period holds up NFSv4, too.
pub fn serve_version_3(cluster: &Cluster) -> Result<()> {
    let command = "rpc.nfsd 0; echo 10 >/proc/sys/fs/nfs/nlm_grace_period; rpcbind -w; rpc.statd; \
                   killall rpc.mountd; rpc.mountd; echo +3 >/proc/fs/nfsd/versions; rpc.nfsd 4";
    cluster.server.must(command).map(drop)
}

/// The standby mounts with options that are known to be bad; it must be said by both.
fn mounted_badly(cluster: &mut Cluster, outcome: &mut Outcome, options: &str, word: &str, check: &str) -> Result<()> {
    let (active, _) = cluster.active()?;
    let other = cluster.other(active);
    let since = clock::now();
    cluster.stop_service(other)?;
    cluster.candidates[other].machine.must(&format!("umount {MOUNT_POINT}"))?;
    cluster.mount(other, options)?;
    said_by_both(cluster, outcome, other, word, check)?;
    repair(cluster, other)?;
    judge(cluster, outcome, since)?;
    outcome.gap_ms = None;
    Ok(())
}

fn said_by_both(cluster: &mut Cluster, outcome: &mut Outcome, index: usize, word: &str, check: &str) -> Result<()> {
    let machine = &cluster.candidates[index].machine;
    let answer = machine.run(&format!("primacy check -c {CONFIG} 2>&1"))?;
    let line = answer.text.lines().find(|line| line.contains(check) && line.contains(word) && !line.starts_with("ok"));
    outcome.expect("primacy check says so", line.is_some(), line.unwrap_or(&answer.text).to_owned());
    let length = machine.supervisor_log()?.len();
    cluster.serve(index)?;
    let machine = &cluster.candidates[index].machine;
    let found = cluster.until(PATIENCE, || {
        let text = machine.supervisor_log().ok()?;
        text.get(length..)?.lines().find(|line| line.contains(word)).map(str::to_owned)
    })?;
    outcome.expect_timely("primacy run says so in its log", found.is_some(), found.unwrap_or_default());
    Ok(())
}

pub fn duplicate_identity(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let other = cluster.other(active);
    let since = clock::now();
    let name = cluster.candidates[active].machine.name.clone();
    let own = cluster.candidates[other].machine.name.clone();
    cluster.stop_service(other)?;
    cluster.candidates[other].machine.must(&format!("umount {MOUNT_POINT} && hostname {name}"))?;
    // For the server this is the active host, booted again: it takes the active one's lock away.
    cluster.mount(other, MOUNT_OPTIONS)?;
    let twin = &cluster.candidates[other].machine;
    let check = twin.run(&format!("primacy check -c {CONFIG} 2>&1"))?;
    let line = check.text.lines().find(|line| line.contains("identity") && line.starts_with("FAIL"));
    outcome.expect("primacy check fails", line.is_some(), line.unwrap_or(&check.text).to_owned());
    cluster.serve(other)?;
    let said = cluster
        .until(PATIENCE, || cluster.candidates[other].observer.since(since, |said| said.reason.contains("identity")))?;
    let words = said.as_ref().map(|(_, said)| said.reason.clone());
    outcome.expect_timely("primacy run refuses, and its status says why", said.is_some(), words.unwrap_or_default());
    std::thread::sleep(NOBODY);
    let started =
        cluster.ticks.with(|book| book.lives.iter().filter(|life| life.node == own && life.epoch > epoch).count());
    outcome.expect("nothing is started on it", started == 0, format!("{started} coordinators"));
    let (_, after) =
        cluster.ticks.with(|book| book.lives.last().map(|life| (life.first(), life.epoch))).unwrap_or_default();
    outcome.note(format!("the active one went from epoch {epoch} to {after}"));
    outcome.note(format!("{own} called itself {name}"));
    repair(cluster, other)?;
    judge(cluster, outcome, since)?;
    outcome.gap_ms = None;
    Ok(())
}
