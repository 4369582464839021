//! The supervisor of the active host ends without its own doing; its guardian lives. On hosts with systemd the packaged unit
//! must let it.

use std::time::Duration;

use anyhow::Result;

use super::{expect_successor, judge};
use crate::clock::{self, At};
use crate::cluster::{CONFIG, Cluster};
use crate::outcome::Outcome;

pub fn killed(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    ended(cluster, outcome, |cluster, active| signal(cluster, active, "KILL"))
}

pub fn aborted(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    ended(cluster, outcome, |cluster, active| signal(cluster, active, "ABRT"))
}

pub fn out_of_memory(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    ended(cluster, outcome, |cluster, active| {
        let at = clock::now();
        // The kernel's own way, told whom to take.
        let command = format!("echo 1000 >/proc/$({PID})/oom_score_adj && echo f >/proc/sysrq-trigger");
        cluster.candidates[active].machine.must(&command)?;
        Ok(at)
    })
}

const PID: &str = "cat /run/supervisor 2>/dev/null || systemctl show --value -p MainPID primacy";

/// The moment before.
pub fn signal(cluster: &Cluster, active: usize, signal: &str) -> Result<At> {
    let at = clock::now();
    cluster.candidates[active].machine.must(&format!("kill -{signal} $({PID})"))?;
    Ok(at)
}

fn ended(
    cluster: &mut Cluster,
    outcome: &mut Outcome,
    end: impl FnOnce(&mut Cluster, usize) -> Result<At>,
) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let other = cluster.other(active);
    let fault = end(cluster, active)?;
    // Without its guardian they would wait for the session's end.
    expect_successor(cluster, outcome, fault, epoch, Duration::from_secs(1) + cluster.ordered())?;
    cluster.settle()?;
    let history = cluster.candidates[other].machine.must(&format!("primacy history -c {CONFIG} -o json"))?;
    let said = history.contains("supervisor_lost");
    outcome.expect("the history says that a guardian ended it", said, if said { "supervisor_lost" } else { &history });
    judge(cluster, outcome, fault)
}
