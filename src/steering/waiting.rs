//! To follow a switchover to its end.

use std::time::Duration;

use super::{Ensemble, Error};
use crate::clock;
use crate::status::ClusterView;

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(200);
/// Everything included: the target's time, the drain's, the stop's. Whoever waits longer looks at the status.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// By then every server has it: one that has none before may be behind.
const HEARD: Duration = Duration::from_secs(2);
/// How long after the next one's start its gap is still waited for.
const GAP: Duration = Duration::from_secs(3);

/// What became of a switchover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done {
        node: String,
        epoch: u64,
        gap_ms: Option<u64>,
    },
    /// Nobody was stopped.
    Failed {
        to: String,
        why: String,
    },
    Cancelled,
    /// It was not seen.
    Unknown,
}

impl Ensemble {
    /// Waits until the epoch that was to end has ended and another node leads, or nobody is to be stopped for it any more.
    ///
    /// # Errors
    /// ZooKeeper could not be asked; the switchover goes on.
    pub(super) fn until_handed_over(&self, epoch: u64) -> Result<Ended, Error> {
        let until = clock::now() + PATIENCE;
        let (asked, mut seen, mut led_since) = (clock::now(), false, None);
        while clock::now() < until {
            let (cluster, intended) = self.seen()?;
            let control = &intended.control;
            if let Some((node, next)) = next(&cluster, epoch) {
                let history = self.history()?;
                let gap_ms = history.iter().find(|entry| entry.epoch == next).and_then(|entry| entry.gap_ms);
                let since = *led_since.get_or_insert_with(clock::now);
                if gap_ms.is_some() || clock::now().since(since) > GAP {
                    return Ok(Ended::Done { node, epoch: next, gap_ms });
                }
            } else if control.switchover.is_some() {
                seen = true;
            } else if cluster.epoch == Some(epoch) && (seen || clock::now().since(asked) > HEARD) {
                return Ok(match control.ended.clone().filter(|ended| ended.expect_epoch == epoch) {
                    Some(ended) => {
                        let why = ended.failed.unwrap_or_else(|| "it ended".to_owned());
                        Ended::Failed { to: ended.to, why }
                    }
                    None => Ended::Cancelled,
                });
            }
            std::thread::sleep(AGAIN);
        }
        Ok(Ended::Unknown)
    }
}

fn next(cluster: &ClusterView, epoch: u64) -> Option<(String, u64)> {
    let active = cluster.active.as_ref().filter(|active| active.epoch > epoch)?;
    Some((active.node.clone(), active.epoch))
}
