//! Two hosts try the lock against each other: by hand (`primacy check --with-peer`) and by themselves.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use drill::hosts::Answer;
use serde_json::Value;

use super::judge;
use super::refusals::serve_version_3;
use crate::clock;
use crate::cluster::{CONFIG, Cluster, MOUNT_POINT};
use crate::outcome::Outcome;

/// For two supervisors to start, see each other and try the lock; a failed test is begun anew after 30 s.
const BY_THEMSELVES: Duration = Duration::from_secs(60);
/// In which nobody may start on a host whose lock excludes nobody.
const NOBODY: Duration = Duration::from_secs(10);
/// What keeps locks from the server. NFSv4 has no such option: it takes `local_lock` and ignores it.
const LOCAL: &str = "vers=3,proto=tcp,nolock";

pub fn sound(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (_, epoch) = cluster.active()?;
    let since = clock::now();
    for index in 0..cluster.candidates.len() {
        let name = cluster.candidates[index].machine.name.clone();
        let lock = lock_when(cluster, index, |lock| lock["verified"] == "verified")?;
        let met = lock["verified"] == "verified";
        outcome.expect(format!("{name} says lock.verified by itself"), met, words(&lock));
    }
    for (name, answer) in check_all(cluster)? {
        let line = line(&answer);
        outcome.expect(format!("primacy check --with-peer on {name} is ok"), line.starts_with("ok"), line);
    }
    let (_, after) = cluster.active()?;
    outcome.expect("the active coordinator is not disturbed", after == epoch, format!("epoch {epoch} -> {after}"));
    judge(cluster, outcome, since)
}

pub fn local_locks(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let (active, _) = cluster.active()?;
    let other = cluster.other(active);
    let since = clock::now();
    let result = with_local_locks(cluster, outcome, active, other);
    // The server's NFSv3, the mounts and the configuration end with the machines.
    cluster.power_off(active)?;
    cluster.power_off(other)?;
    cluster.server.power_off()?;
    cluster.settle()?;
    judge(cluster, outcome, since)?;
    outcome.gap_ms = None;
    result
}

fn with_local_locks(cluster: &mut Cluster, outcome: &mut Outcome, active: usize, other: usize) -> Result<()> {
    cluster.stop_service(other)?;
    cluster.stop_service(active)?;
    serve_version_3(cluster)?;
    cluster.wait_for_nfs()?;
    cluster.candidates[other].machine.must(&format!("umount {MOUNT_POINT}"))?;
    cluster.mount(other, "vers=4.2,proto=tcp,hard,local_lock=all")?;
    let options =
        format!("grep ' {MOUNT_POINT} ' /proc/mounts | grep -o 'vers=[^,]*\\|local_lock=[^,]*' | tr '\\n' ' '");
    let version_4 = cluster.candidates[other].machine.must(&options)?;
    outcome.note(format!("NFSv4 mounted with local_lock=all: {version_4}"));
    cluster.candidates[other].machine.must(&format!("umount {MOUNT_POINT}"))?;
    cluster.mount(other, LOCAL)?;
    let local = cluster.candidates[other].machine.must(&options)?;
    outcome.note(format!("mounted with {LOCAL}: {local}"));

    for (name, answer) in check_all(cluster)? {
        let line = line(&answer);
        let named = line.starts_with("FAIL") && line.contains("got the lock while");
        outcome.expect(format!("primacy check --with-peer on {name} fails, by name"), named && answer.code == 1, line);
        let remedy = answer.text.lines().find(|line| line.contains("without nolock or local_lock")).unwrap_or_default();
        outcome.expect("and says what to do", !remedy.is_empty(), remedy.trim());
    }

    // A cluster of which ZooKeeper knows nothing yet.
    let (own, epoch) = cluster.ticks.with(|book| {
        let epoch = book.lives.iter().map(|life| life.epoch).max().unwrap_or_default();
        (cluster.candidates[other].machine.name.clone(), epoch)
    });
    for index in [active, other] {
        cluster.candidates[index].machine.must(&format!("sed -i 's/^cluster = .*/cluster = \"fresh\"/' {CONFIG}"))?;
    }
    cluster.serve(active)?;
    let sound = cluster.successor(epoch, BY_THEMSELVES)?.context("nobody becomes active in the new cluster")?;
    cluster.serve(other)?;
    for index in [active, other] {
        let name = cluster.candidates[index].machine.name.clone();
        let lock = lock_when(cluster, index, |lock| lock["verified"] == "failed")?;
        let met = lock["verified"] == "failed";
        outcome.expect(format!("a new cluster's {name} finds it by itself at its first start"), met, words(&lock));
    }
    let observer = &cluster.candidates[other].observer;
    let said = cluster.until(NOBODY, || observer.latest().filter(|said| said.reason.contains("never stands")))?;
    outcome.expect("its status says that it never stands for election", said.is_some(), {
        said.map(|said| said.reason).unwrap_or_default()
    });
    let role = cluster.candidates[active].observer.latest().map(|said| said.role).unwrap_or_default();
    outcome.expect("what is active goes on", role == "active", format!("{role}, epoch {}", sound.1));
    cluster.stop_service(active)?;
    thread::sleep(NOBODY);
    // What the drill's own cluster knows nothing of.
    cluster.remember_leaderships();
    let count = started(cluster, epoch, &own);
    outcome.expect("nothing is ever started on the host whose lock excludes nobody", count == 0, format!("{count}"));
    Ok(())
}

/// A node's coordinators since that epoch.
fn started(cluster: &Cluster, epoch: u64, node: &str) -> usize {
    cluster.ticks.with(|book| book.lives.iter().filter(|life| life.epoch > epoch && life.node == node).count())
}

/// `primacy check --with-peer` on the first two at the same time.
fn check_all(cluster: &Cluster) -> Result<Vec<(String, Answer)>> {
    let command = format!("primacy check -c {CONFIG} --with-peer --wait 30s 2>&1");
    let machines: Vec<_> = cluster.candidates.iter().take(2).map(|one| &one.machine).collect();
    thread::scope(|scope| {
        let checks: Vec<_> = machines.iter().map(|machine| scope.spawn(|| machine.run(&command))).collect();
        let answers = checks.into_iter().map(|check| check.join().ok().context("a check panicked")?);
        machines.iter().zip(answers).map(|(machine, answer)| Ok((machine.name.clone(), answer?))).collect()
    })
}

fn line(answer: &Answer) -> String {
    answer.text.lines().find(|line| line.contains("volume.peer")).unwrap_or(&answer.text).to_owned()
}

/// `lock` of its status, as soon as it is as wanted; or as it is after a while.
fn lock_when(cluster: &Cluster, index: usize, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let api = cluster.candidates[index].machine.api();
    let found = cluster.until(BY_THEMSELVES, || lock(api).filter(&wanted))?;
    Ok(found.or_else(|| lock(api)).unwrap_or_default())
}

fn lock(api: SocketAddr) -> Option<Value> {
    let asker: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = asker.get(format!("http://{api}/server_status")).call().ok()?;
    let status: Value = serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()?;
    Some(status["lock"].clone())
}

fn words(lock: &Value) -> String {
    let word = |key: &str| lock[key].as_str().unwrap_or("null").to_owned();
    format!("{}: {}", word("verified"), word("verified_detail"))
}
