//! With `fencing.watchdog = "required"`: what neither supervisor nor guardian can end is ended by a reset of its host.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use drill::hosts::Network;

use super::{expect_successor, judge};
use crate::clock::{self, At};
use crate::cluster::{CONFIG, Cluster, PROBE_INTERVAL, PROBE_TIMEOUT, Settings};
use crate::outcome::{Outcome, milliseconds};
use crate::resets::Reset;
use crate::ticks::Life;
use crate::watchdog::{I6300ESB, SOFTDOG, configure, state, unload};

/// Asked of ZooKeeper: with a shorter one the device would have to fire a second after it was fed, which a busy machine
/// does not survive.
const SESSION: Duration = Duration::from_secs(10);
/// What primacy makes of it: less half a tick, a heartbeat (a tenth of the session) and its default margin.
const LEASE: Duration = Duration::from_millis(10_000 - 250 - 1_000 - 500);
/// A heartbeat and the margin: from the lease's end to the earliest end of the session.
const GRACE: Duration = Duration::from_millis(1_000 + 500);
/// Half the lease and the grace, in whole seconds (decision 0010).
const TIMEOUT: Duration = Duration::from_secs(5);
/// From the device's end to QEMU's word of it.
const LATE: Duration = Duration::from_millis(300);
/// For a hand-over in order.
const HANDOVER: Duration = Duration::from_secs(1);
/// For the next one, once nothing keeps it from starting.
const NOTICE: Duration = Duration::from_secs(3);
/// After a clean stop: as long as the device would take to fire three times.
const QUIET: Duration = Duration::from_secs(15);
/// How long what must not happen is waited for: longer than a session and an NFS lease.
const NOBODY: Duration = Duration::from_secs(20);
/// A last tick that is no older than this at a reset came from a coordinator that ran until then.
const UNTIL_THEN: Duration = Duration::from_millis(300);
/// How often a guardian looks for a device.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// For a machine to boot.
const BOOT: Duration = Duration::from_secs(90);

/// The active host, its watchdog armed.
struct Scene {
    active: usize,
    epoch: u64,
    /// Of this boot.
    boot: String,
    supervisor: String,
    guardian: String,
    /// Bytes on its console.
    console: usize,
}

impl Scene {
    /// Sets the cluster up with this driver, or without a watchdog.
    fn with(cluster: &mut Cluster, outcome: &mut Outcome, driver: Option<&'static str>) -> Result<Self> {
        cluster.change(Settings { session: SESSION, watchdog: driver, ..cluster.usual() })?;
        Self::look(cluster, outcome, driver)
    }

    fn look(cluster: &Cluster, outcome: &mut Outcome, driver: Option<&str>) -> Result<Self> {
        let (active, epoch) = cluster.active()?;
        let machine = &cluster.candidates[active].machine;
        if driver.is_some() {
            let found = state(machine)?;
            outcome.expect("the active host's device is armed", found.contains(" active 5"), found);
            let other = state(&cluster.candidates[cluster.other(active)].machine)?;
            outcome.expect("the standby's is not", other.contains(" inactive "), other);
        }
        let supervisor = machine.read("/run/supervisor")?;
        // The brackets keep the shell that looks from finding itself.
        let look = format!(
            "for pid in $(grep -l 'guardia[n]' /proc/[0-9]*/cmdline | cut -d/ -f3); do \
             grep -q '^PPid:.{supervisor}$' /proc/$pid/status && echo $pid; done; true"
        );
        let guardian = machine.must(&look)?;
        ensure!(guardian.parse::<u32>().is_ok(), "one guardian of supervisor {supervisor}: `{guardian}`");
        let console = machine.console()?.len();
        Ok(Self { active, epoch, boot: boot_id(cluster, active)?, supervisor, guardian, console })
    }

    /// Sends a signal to supervisor and guardian; from when on it may have arrived.
    fn signal(&self, cluster: &Cluster, signal: &str) -> Result<At> {
        let at = clock::now();
        let command = format!("kill -{signal} {} {}", self.supervisor, self.guardian);
        cluster.candidates[self.active].machine.must(&command)?;
        Ok(at)
    }

    fn last_tick(&self, cluster: &Cluster) -> At {
        cluster.ticks.with(|book| {
            book.lives.iter().filter(|life| life.epoch == self.epoch).map(Life::last).max().unwrap_or_default()
        })
    }

    /// Waits for the reset, and expects it within `limit` of the fault.
    fn expect_reset(&self, cluster: &Cluster, outcome: &mut Outcome, fault: At, limit: Duration) -> Result<At> {
        let resets = &cluster.candidates[self.active].machine.resets;
        let found = cluster.until(limit + NOBODY, || resets.since(fault))?;
        let Reset { at, by } = found.context("the host runs on: no reset")?;
        // A watchdog that is software says so itself; any other reset of a guest's own would be a crash.
        let console = cluster.candidates[self.active].machine.console()?;
        let console = String::from_utf8_lossy(console.get(self.console..).unwrap_or_default()).into_owned();
        let last = console.lines().find(|line| line.contains("softdog: Initiating system reboot"));
        let by = last.map_or(by.as_str(), str::trim);
        outcome.expect("the watchdog resets the host", last.is_some() || by == "watchdog", by);
        outcome.expect_within("fault to reset", at.saturating_sub(fault), limit + LATE);
        Ok(at)
    }

    /// The host was reset while its coordinator ran.
    fn expect_ran_until(&self, cluster: &Cluster, outcome: &mut Outcome, fault: At, reset: At) {
        let last = self.last_tick(cluster);
        outcome.expect(
            "its coordinator ticks on until the reset",
            last > fault && reset.saturating_sub(last) <= UNTIL_THEN,
            format!("last tick {:.0} ms before", milliseconds(reset.saturating_sub(last))),
        );
    }

    /// Waits for the successor, which may not start before the reset.
    fn expect_next_after(
        &self,
        cluster: &Cluster,
        outcome: &mut Outcome,
        fault: At,
        reset: At,
        limit: Duration,
    ) -> Result<()> {
        let (next, _) = expect_successor(cluster, outcome, fault, self.epoch, limit)?;
        outcome.expect(
            "the host is reset before the other starts a coordinator",
            reset < next,
            format!("{:.0} ms before", milliseconds(next.saturating_sub(reset))),
        );
        let observer = &cluster.candidates[cluster.other(self.active)].observer;
        if let Some((elected, _)) = observer.since(fault, |said| said.role != "standby") {
            outcome.expect(
                "and before the other is elected",
                reset < elected,
                format!("{:.0} ms before", milliseconds(elected.saturating_sub(reset))),
            );
        }
        Ok(())
    }

    /// What was reset has booted again.
    fn expect_boot(&self, cluster: &Cluster, outcome: &mut Outcome) -> Result<()> {
        let booted = cluster.until(BOOT, || boot_id(cluster, self.active).ok().filter(|id| *id != self.boot))?;
        let found = format!("boot {:.8} -> {:.8}", self.boot, booted.clone().unwrap_or_default());
        outcome.expect("the host boots again", booted.is_some(), found);
        Ok(())
    }

    /// What its supervisor logged since it had logged so many bytes: the first line with each of these words.
    fn expect_logged(&self, cluster: &Cluster, outcome: &mut Outcome, since: usize, words: &[&str]) {
        let log = cluster.candidates[self.active].machine.supervisor_log().unwrap_or_default();
        let lines = log.get(since..).unwrap_or_default();
        for word in words {
            let line = lines.lines().find(|line| line.contains(word)).map(|line| line.trim().to_owned());
            outcome.expect(format!("its log says: {word}"), line.is_some(), line.unwrap_or_default());
        }
    }

    fn logged(&self, cluster: &Cluster) -> Result<usize> {
        Ok(cluster.candidates[self.active].machine.supervisor_log()?.len())
    }
}

fn boot_id(cluster: &Cluster, index: usize) -> Result<String> {
    let answer =
        cluster.candidates[index].machine.run_within("cat /proc/sys/kernel/random/boot_id", Duration::from_secs(3))?;
    ensure!(answer.succeeded(), "boot id: {}", answer.text);
    Ok(answer.text)
}

/// After a reset: the session is over when ZooKeeper has not heard for so long, the lock when the NFS server has not.
fn takeover(cluster: &Cluster) -> Duration {
    cluster.timing.nfs_lease.max(SESSION + cluster.timing.tick) + NOTICE + cluster.allowance()
}

pub fn frozen(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    frozen_with(cluster, outcome, SOFTDOG)
}

pub fn frozen_i6300esb(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    frozen_with(cluster, outcome, I6300ESB)
}

/// Neither of the two that could kill the coordinator runs, and both still exist.
fn frozen_with(cluster: &mut Cluster, outcome: &mut Outcome, driver: &'static str) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(driver))?;
    let fault = scene.signal(cluster, "STOP")?;
    let reset = scene.expect_reset(cluster, outcome, fault, TIMEOUT)?;
    scene.expect_ran_until(cluster, outcome, fault, reset);
    scene.expect_next_after(cluster, outcome, fault, reset, TIMEOUT + takeover(cluster))?;
    scene.expect_boot(cluster, outcome)?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

/// The same fault without a watchdog: what it is for.
pub fn off(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let scene = Scene::with(cluster, outcome, None)?;
    let fault = scene.signal(cluster, "STOP")?;
    let next = cluster.successor(scene.epoch, NOBODY)?;
    outcome.expect("nobody takes over: the lock is held", next.is_none(), format!("{next:?}"));
    let last = scene.last_tick(cluster);
    let silent = clock::now().saturating_sub(last);
    outcome.expect(
        "the coordinator ticks on, although its lease is over",
        silent <= UNTIL_THEN,
        format!("{:.1} s after the fault", last.saturating_sub(fault).as_secs_f64()),
    );
    let said = cluster.candidates[cluster.other(scene.active)].observer.latest();
    let words = said.map(|said| format!("{}: {}", said.status, said.reason)).unwrap_or_default();
    outcome.expect_timely("the other says for whom it waits", words.starts_with("WAITING_FOR_LOCK"), words);
    let thaw = scene.signal(cluster, "CONT")?;
    let (next, _) = expect_successor(cluster, outcome, thaw, scene.epoch, NOTICE + cluster.allowance())?;
    let last = scene.last_tick(cluster);
    outcome.expect(
        "the thawed guardian kills before the other starts",
        last < next,
        format!("{:.0} ms before", milliseconds(next.saturating_sub(last))),
    );
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

/// A coordinator that SIGKILL does not end.
pub fn stuck(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(SOFTDOG))?;
    let logged = scene.logged(cluster)?;
    let fault = cluster.candidates[scene.active].machine.cut(Network::Nfs)?;
    // The probe fails, and from then on the lease is not renewed.
    let limit = PROBE_INTERVAL + PROBE_TIMEOUT + LEASE + GRACE;
    let reset = scene.expect_reset(cluster, outcome, fault, limit)?;
    let last = scene.last_tick(cluster);
    outcome.figure("fault to the old coordinator's last tick, ms", milliseconds(last.saturating_sub(fault)));
    let observer = &cluster.candidates[scene.active].observer;
    let said = observer.since(fault, |said| said.reason.contains("the watchdog resets this host"));
    let words = said.as_ref().map_or_else(
        || format!("{:?}", observer.latest().map(|said| said.reason)),
        |(at, said)| format!("after {:.1} s: {}", at.saturating_sub(fault).as_secs_f64(), said.reason),
    );
    outcome.expect_timely("its status says what hangs and that the host will be reset", said.is_some(), words);
    scene.expect_logged(cluster, outcome, logged, &["killed, but does not die", "the deadline"]);
    scene.expect_next_after(cluster, outcome, fault, reset, limit + takeover(cluster))?;
    let before = cluster.written(scene.epoch)?;
    scene.expect_boot(cluster, outcome)?;
    cluster.settle()?;
    super::late_records(cluster, outcome, scene.epoch, before)?;
    let late: f64 = outcome.figures.iter().filter(|(name, _)| name.starts_with("late")).map(|(_, count)| count).sum();
    outcome.expect("nothing of it arrives late: its page cache is gone", late < 0.5, format!("{late} records"));
    judge(cluster, outcome, fault)
}

pub fn clean_stop(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(SOFTDOG))?;
    let logged = scene.logged(cluster)?;
    let fault = clock::now();
    cluster.stop_service(scene.active)?;
    expect_successor(cluster, outcome, fault, scene.epoch, HANDOVER + cluster.allowance())?;
    scene.expect_logged(cluster, outcome, logged, &["the watchdog is disarmed"]);
    let found = state(&cluster.candidates[scene.active].machine)?;
    outcome.expect("the device is disarmed", found.contains(" inactive "), found);
    let resets = &cluster.candidates[scene.active].machine.resets;
    let reset = cluster.until(QUIET, || resets.since(fault))?;
    let boot = boot_id(cluster, scene.active)?;
    outcome.expect(
        format!("and does not reset the host within {} s", QUIET.as_secs()),
        reset.is_none() && boot == scene.boot,
        format!("{reset:?}, boot {:.8} -> {boot:.8}", scene.boot),
    );
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn guardian_killed(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    guardian_killed_with(cluster, outcome, SOFTDOG)
}

pub fn guardian_killed_i6300esb(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    guardian_killed_with(cluster, outcome, I6300ESB)
}

/// The price: nobody is left who could prove that the tree is dead, and disarm. The kernel feeds the device once more when
/// it is closed, so this also shows how late it is.
fn guardian_killed_with(cluster: &mut Cluster, outcome: &mut Outcome, driver: &'static str) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(driver))?;
    let fault = clock::now();
    cluster.candidates[scene.active].machine.must(&format!("kill -9 {}", scene.guardian))?;
    let (next, _) = expect_successor(cluster, outcome, fault, scene.epoch, NOTICE + cluster.allowance())?;
    let last = scene.last_tick(cluster);
    outcome.figure("fault to the old coordinator's last tick, ms", milliseconds(last.saturating_sub(fault)));
    outcome.expect(
        "the coordinator dies with its guardian, before the next one starts",
        last < next,
        format!("{:.0} ms before", milliseconds(next.saturating_sub(last))),
    );
    scene.expect_reset(cluster, outcome, fault, TIMEOUT + cluster.allowance())?;
    scene.expect_boot(cluster, outcome)?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn both_killed(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(SOFTDOG))?;
    let fault = scene.signal(cluster, "KILL")?;
    let reset = scene.expect_reset(cluster, outcome, fault, TIMEOUT + cluster.allowance())?;
    let last = scene.last_tick(cluster);
    outcome.figure("fault to the old coordinator's last tick, ms", milliseconds(last.saturating_sub(fault)));
    scene.expect_next_after(cluster, outcome, fault, reset, TIMEOUT + takeover(cluster))?;
    scene.expect_boot(cluster, outcome)?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

/// A process of the tree that has no parent-death signal outlives them both, frozen as they were for a while: the device
/// was last fed before that, and neither their death nor anything else may put the reset off.
pub fn orphan(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let scene = Scene::with(cluster, outcome, Some(SOFTDOG))?;
    // The coordinator becomes the child of a shell.
    let machine = &cluster.candidates[scene.active].machine;
    machine.must(&format!(
        "sed -i 's|^command = \\[\\(.*\\)\\]$|command = [\"/bin/sh\", \"-c\", \"\\\\\"$@\\\\\" \\& wait\", \"sh\", \\1]|' {CONFIG}"
    ))?;
    outcome.note(machine.must(&format!("grep ^command {CONFIG}"))?);
    // Both elections are clean ones: away from it, and back.
    let other = cluster.other(scene.active);
    cluster.stop_service(scene.active)?;
    cluster.serve(scene.active)?;
    cluster.settle()?;
    cluster.stop_service(other)?;
    cluster.settle()?;
    let scene = Scene::look(cluster, outcome, Some(SOFTDOG))?;
    ensure!(scene.active != other, "the role did not go back");
    // The service manager's place is empty: a restarted supervisor would find the orphan and kill it.
    let command = format!("kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/{}/status)", scene.supervisor);
    cluster.candidates[scene.active].machine.must(&command)?;
    let fault = scene.signal(cluster, "STOP")?;
    std::thread::sleep(TIMEOUT / 2);
    scene.signal(cluster, "KILL")?;
    let reset = scene.expect_reset(cluster, outcome, fault, TIMEOUT)?;
    scene.expect_ran_until(cluster, outcome, fault, reset);
    scene.expect_next_after(cluster, outcome, fault, reset, TIMEOUT + takeover(cluster))?;
    scene.expect_boot(cluster, outcome)?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

/// A host without a device: with "required" it never stands, with "automatic" it does, and says so.
pub fn missing(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    cluster.change(Settings { session: SESSION, ..cluster.usual() })?;
    let (active, epoch) = cluster.active()?;
    let other = cluster.other(active);
    let since = clock::now();
    cluster.stop_service(other)?;
    let machine = &cluster.candidates[other].machine;
    unload(machine, None)?;
    machine.must(&format!("sed -i '1i fencing.watchdog = \"required\"' {CONFIG}"))?;
    let check = |cluster: &Cluster| -> Result<(i32, String)> {
        let answer = cluster.candidates[other].machine.run(&format!("primacy check -c {CONFIG} 2>&1"))?;
        let lines: Vec<&str> =
            answer.text.lines().skip_while(|line| !line.contains("fencing.watchdog")).take(2).collect();
        Ok((answer.code, lines.join(" ")))
    };
    let (code, line) = check(cluster)?;
    outcome.expect(
        "required: primacy check fails, and names the remedy",
        code == 1 && line.starts_with("FAIL") && line.contains("modprobe softdog"),
        format!("exit {code}: {line}"),
    );
    cluster.serve(other)?;
    let says = |cluster: &Cluster, words: &str| {
        let observer = cluster.candidates[other].observer.clone();
        let said = cluster.until(NOBODY, || observer.since(since, |said| said.reason.contains(words)))?;
        anyhow::Ok(said.map(|(_, said)| said.reason))
    };
    let said = says(cluster, "never stands for election: fencing.watchdog is \"required\"")?;
    outcome.expect_timely("its status says why", said.is_some(), said.unwrap_or_default());
    cluster.stop_service(active)?;
    let next = cluster.successor(epoch, NOBODY)?;
    outcome.expect("it never becomes active", next.is_none(), format!("{next:?}"));
    configure(&cluster.candidates[other].machine, Some(SOFTDOG))?;
    let repaired = clock::now();
    let limit = LOOK_AGAIN + HANDOVER + cluster.allowance();
    let next = cluster.successor(epoch, limit + NOBODY)?;
    let (first, epoch) = next.context("it does not become active although the driver is loaded")?;
    outcome.expect_within("driver loaded to its coordinator", first.saturating_sub(repaired), limit);
    let found = state(&cluster.candidates[other].machine)?;
    outcome.expect("once the driver is loaded it does, and arms", found.contains(" active 5"), found);
    // The same host with "automatic".
    cluster.stop_service(other)?;
    let machine = &cluster.candidates[other].machine;
    unload(machine, None)?;
    machine.must(&format!("sed -i '1s/required/automatic/' {CONFIG}"))?;
    let (_, line) = check(cluster)?;
    outcome.expect("automatic: primacy check warns", line.starts_with("warn") && line.contains("modprobe"), line);
    let length = machine.supervisor_log()?.len();
    cluster.serve(other)?;
    let machine = &cluster.candidates[other].machine;
    let next = cluster.successor(epoch, limit + NOBODY)?;
    outcome.expect("it becomes active all the same", next.is_some(), format!("{next:?}"));
    let warned = cluster.until(NOBODY, || {
        let text = machine.supervisor_log().ok()?;
        text.get(length..)?.lines().find(|line| line.contains("going on without a watchdog")).map(str::to_owned)
    })?;
    outcome.expect("and its log warns", warned.is_some(), warned.unwrap_or_default());
    cluster.stop_service(other)?;
    cluster.settle()?;
    judge(cluster, outcome, since)?;
    outcome.gap_ms = None;
    Ok(())
}
