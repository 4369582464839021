//! The active host is cut off: from ZooKeeper, from the NFS server, from both.

use std::time::Duration;

use anyhow::Result;
use drill::hosts::Network;

use super::{expect_successor, judge, late_records, takeover_limit};
use crate::clock::{self, At};
use crate::cluster::{Cluster, PROBE_INTERVAL, PROBE_TIMEOUT};
use crate::outcome::{Outcome, milliseconds};

/// How long the supervisor waits for a killed tree that does not die before it gives the role away.
const STUCK: Duration = Duration::from_secs(10);
/// How long the new coordinator works before the cable is put back.
const ALONE: Duration = Duration::from_secs(2);
/// For what comes back with the cable: retransmissions back off.
const AFTER: Duration = Duration::from_secs(8);

pub fn zookeeper(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = cluster.timing.session + cluster.timing.tick + Duration::from_secs(3) + cluster.allowance();
    let (active, epoch) = cluster.active()?;
    let fault = cluster.candidates[active].machine.cut(Network::ZooKeeper)?;
    let (next, _) = expect_successor(cluster, outcome, fault, epoch, limit)?;
    let last = last_tick(cluster, epoch);
    outcome.expect(
        "the old one is dead before the next one starts",
        last < next,
        format!("{:.0} ms before", milliseconds(next.saturating_sub(last))),
    );
    outcome.figure("fault to the old coordinator's last tick, ms", milliseconds(last.saturating_sub(fault)));
    std::thread::sleep(ALONE);
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

pub fn nfs(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    // A probe begins, does not end in time, the tree is killed and does not die; then the next one must get the lock,
    // for which the server's lease has run out meanwhile.
    let limit = PROBE_INTERVAL + PROBE_TIMEOUT + STUCK + Duration::from_secs(3) + cluster.allowance();
    cut_off(cluster, outcome, &[Network::Nfs], limit, true)
}

pub fn both(cluster: &mut Cluster, outcome: &mut Outcome) -> Result<()> {
    let limit = takeover_limit(cluster);
    cut_off(cluster, outcome, &[Network::ZooKeeper, Network::Nfs], limit, false)
}

fn cut_off(
    cluster: &mut Cluster,
    outcome: &mut Outcome,
    networks: &[Network],
    limit: Duration,
    says_what_hangs: bool,
) -> Result<()> {
    let (active, epoch) = cluster.active()?;
    let fault = clock::now();
    for network in networks {
        cluster.candidates[active].machine.cut(*network)?;
    }
    let (next, _) = expect_successor(cluster, outcome, fault, epoch, limit)?;
    let last = last_tick(cluster, epoch);
    outcome.figure("fault to the old coordinator's last tick, ms", milliseconds(last.saturating_sub(fault)));
    outcome.expect(
        "the old one no longer runs when the next one starts",
        last < next,
        format!("{:.0} ms before", milliseconds(next.saturating_sub(last))),
    );
    if says_what_hangs {
        let observer = &cluster.candidates[active].observer;
        let said = observer.since(fault, |said| said.reason.contains("not dead"));
        let words = said.as_ref().map_or_else(
            || format!("{:?}", observer.latest().map(|said| said.reason)),
            |(at, said)| format!("after {:.1} s: {}", at.saturating_sub(fault).as_secs_f64(), said.reason),
        );
        outcome.expect_timely("its status says which process hangs, and where in the kernel", said.is_some(), words);
    }
    std::thread::sleep(ALONE);
    let before = cluster.written(epoch)?;
    cluster.candidates[active].machine.heal()?;
    std::thread::sleep(AFTER);
    late_records(cluster, outcome, epoch, before)?;
    cluster.settle()?;
    judge(cluster, outcome, fault)
}

fn last_tick(cluster: &Cluster, epoch: u64) -> At {
    cluster.ticks.with(|book| {
        book.lives.iter().filter(|life| life.epoch == epoch).map(crate::ticks::Life::last).max().unwrap_or_default()
    })
}
