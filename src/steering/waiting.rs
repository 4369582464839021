//! To wait for a switchover's end in ZooKeeper itself.

use std::time::Duration;

use super::following::{Ended, Following};
use super::{Ensemble, Error};
use crate::clock;

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(200);
/// Everything included: the target's time, the drain's, the stop's. Whoever waits longer looks at the status.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Ensemble {
    /// Waits until the epoch that was to end has ended and another node leads, or nobody is to be stopped for it any more.
    ///
    /// # Errors
    /// ZooKeeper could not be asked; the switchover goes on.
    pub(super) fn until_handed_over(&self, epoch: u64) -> Result<Ended, Error> {
        let ordered = clock::now();
        let mut following = Following::new(epoch, ordered);
        while clock::now().since(ordered) < PATIENCE {
            let (view, _) = self.seen()?;
            // What cannot be read of the history is a gap that is not known.
            if let Some(ended) = following.look(&view, || self.history().unwrap_or_default(), clock::now()) {
                return Ok(ended);
            }
            std::thread::sleep(AGAIN);
        }
        Ok(Ended::Unknown)
    }
}
