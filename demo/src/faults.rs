//! The faults: what is done, what the audience is told, and what came of it.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, SESSION, send};
use crate::problem::Problem;
use crate::running::{now, overlap};

/// How long a fault that passes lasts: two and a half sessions, so that nobody is saved by its shortness.
const AWAY: Duration = SESSION.saturating_mul(5).checked_div(2).expect("two is not zero");
/// No fail-over takes this long with a session of 4 s: session, tick, start, and a slow machine.
const LIMIT: Duration = Duration::from_secs(30);
/// The new coordinator must have run alone for this long.
const TAIL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// The active supervisor gets SIGTERM
    Stop,
    /// The coordinator crashes (kill -9)
    Crash,
    /// The active supervisor is killed (kill -9)
    Kill,
    /// The active supervisor is frozen for a while
    Freeze,
    /// The active node is cut off from ZooKeeper for a while
    Cut,
}

/// What the coordinators' log says of one fault.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub fault: Fault,
    pub from: String,
    /// Who runs it afterwards; `None`: nobody, or more than one.
    pub to: Option<String>,
    /// From the former coordinator's last sign of life to the next one's first.
    pub gap: Option<Duration>,
    /// How long two ran at once.
    pub overlap: Duration,
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        self.overlap.is_zero() && self.to.is_some() && self.gap.is_some()
    }
}

impl Fault {
    pub const fn needs_zookeeper(self) -> bool {
        matches!(self, Self::Cut)
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::Stop => "the active node is stopped",
            Self::Crash => "the coordinator crashes",
            Self::Kill => "the supervisor is killed",
            Self::Freeze => "the supervisor is frozen",
            Self::Cut => "the active node is cut off",
        }
    }

    /// What is done to node `{}`, and why it ends well.
    pub const fn story(self, zookeeper: bool) -> (&'static str, &'static str) {
        match (self, zookeeper) {
            (Self::Stop, _) => (
                "SIGTERM to {}'s supervisor, as in a rolling update.",
                "It ends its coordinator, frees the lock, gives up its place, in this order: no time-out is waited for.",
            ),
            (Self::Crash, _) => {
                ("kill -9 of the coordinator on {}.", "Its guardian sees that at once, and the role is given away.")
            }
            (Self::Kill, true) => (
                "kill -9 of {}'s supervisor. Its ZooKeeper session would live on for 4 s or more.",
                "The guardian outlives it, kills the coordinator, then removes the election node itself.",
            ),
            (Self::Kill, false) => (
                "kill -9 of {}'s supervisor.",
                "The guardian outlives it and kills the coordinator; the lock goes with the last process.",
            ),
            (Self::Freeze, _) => (
                "SIGSTOP to {}'s supervisor for 10 s. A frozen process cannot know that it is deposed.",
                "Nobody renews its lease, so the guardian kills the coordinator before anybody else may be elected.",
            ),
            (Self::Cut, _) => (
                "{} does not reach ZooKeeper for 10 s: silence, no error. Its coordinator is healthy.",
                "It cannot prove that it still leads: its coordinator dies before its session can. The other node waits for the lock, and reads there that nothing is left.",
            ),
        }
    }

    /// Makes the fault in a settled cluster and sees it to its end.
    pub fn perform(self, cluster: &mut Cluster) -> Result<Outcome, Problem> {
        let (active, old) =
            cluster.the_one().ok_or_else(|| Problem::Failed("no single coordinator before the fault".to_owned()))?;
        let overlap_before = overlap(&cluster.log);
        self.strike(cluster, active, old.process())?;
        let struck = now();
        let passes = matches!(self, Self::Freeze | Self::Cut);
        let limit = struck + LIMIT + if passes { AWAY } else { Duration::ZERO };

        let (mut healed, mut alone_since) = (false, None);
        loop {
            cluster.step()?;
            let moment = now();
            if passes && !healed && moment >= struck + AWAY {
                heal(self, cluster, active)?;
                healed = true;
                // What a thawed supervisor does next belongs to the fault.
                alone_since = None;
            }
            let handed_over = cluster.the_one().is_some_and(|(_, run)| run.pid != old.pid);
            alone_since = if handed_over { alone_since.or(Some(moment)) } else { None };
            let over = healed || !passes;
            if over && (alone_since.is_some_and(|since| moment >= since + TAIL) || moment > limit) {
                break;
            }
            cluster.doing = if healed || !passes {
                String::new()
            } else {
                format!("fault: {:.1} s left", (struck + AWAY).saturating_sub(moment).as_secs_f64())
            };
        }
        cluster.doing.clear();
        cluster.nodes[active].restart = true;

        let runs = cluster.log.runs();
        let old_last = runs.iter().find(|run| run.pid == old.pid && run.node == old.node).map(|run| run.last);
        let next = runs.iter().filter(|run| run.first > old.first && run.pid != old.pid).min_by_key(|run| run.first);
        Ok(Outcome {
            fault: self,
            from: old.node,
            to: cluster.the_one().filter(|(_, run)| run.pid != old.pid).map(|(_, run)| run.node),
            gap: next.zip(old_last).map(|(next, last)| Duration::from_nanos(next.first.saturating_sub(last))),
            overlap: overlap(&cluster.log).saturating_sub(overlap_before),
        })
    }

    fn strike(self, cluster: &mut Cluster, active: usize, coordinator: i32) -> Result<(), Problem> {
        let node = &mut cluster.nodes[active];
        match self {
            Self::Stop => {
                node.restart = false;
                node.signal(Signal::SIGTERM)
            }
            Self::Crash => send(coordinator, Signal::SIGKILL),
            Self::Kill => node.signal(Signal::SIGKILL),
            Self::Freeze => node.signal(Signal::SIGSTOP),
            Self::Cut => {
                if let Some(relay) = &node.relay {
                    relay.freeze();
                }
                Ok(())
            }
        }
    }
}

/// Ends a fault that passes.
fn heal(fault: Fault, cluster: &mut Cluster, active: usize) -> Result<(), Problem> {
    let node = &cluster.nodes[active];
    let text = match fault {
        Fault::Freeze => {
            node.signal(Signal::SIGCONT)?;
            format!("   {}'s supervisor is thawed", node.name)
        }
        _ => {
            if let Some(relay) = &node.relay {
                relay.thaw();
            }
            format!("   {} reaches ZooKeeper again", node.name)
        }
    };
    cluster.screen.line(&text);
    Ok(())
}
