//! What has become of a switchover, by looking at the cluster again and again.

use std::time::Duration;

use crate::moment::Moment;
use crate::status::{ClusterView, HistoryEntry};

/// How long after the next one's start its gap is still waited for.
const GAP: Duration = Duration::from_secs(3);
/// By then everybody has heard of it: who shows none before may just not know yet.
const HEARD: Duration = Duration::from_secs(2);

/// A switchover that was ordered.
#[derive(Debug)]
pub struct Following {
    /// That was to end.
    epoch: u64,
    ordered: Moment,
    seen: bool,
    led_since: Option<Moment>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done {
        node: String,
        epoch: u64,
        gap_ms: Option<u64>,
    },
    /// Nobody was stopped, and why.
    Failed {
        to: String,
        why: String,
    },
    Cancelled,
    /// It was not seen.
    Unknown,
}

impl Following {
    pub const fn new(epoch: u64, ordered: Moment) -> Self {
        Self { epoch, ordered, seen: false, led_since: None }
    }

    /// Takes in one look. `history`: asked for once another node leads.
    pub fn look(
        &mut self,
        view: &ClusterView,
        history: impl FnOnce() -> Vec<HistoryEntry>,
        now: Moment,
    ) -> Option<Ended> {
        if let Some(active) = view.active.as_ref().filter(|active| active.epoch > self.epoch) {
            let gap_ms = history().iter().find(|entry| entry.epoch == active.epoch).and_then(|entry| entry.gap_ms);
            let since = *self.led_since.get_or_insert(now);
            let known = gap_ms.is_some() || now.since(since) > GAP;
            return known.then(|| Ended::Done { node: active.node.clone(), epoch: active.epoch, gap_ms });
        }
        self.seen |= view.switchover.is_some();
        let over = view.switchover.is_none() && view.epoch == Some(self.epoch);
        if !over || !(self.seen || now.since(self.ordered) > HEARD) {
            return None;
        }
        let last = view.last_switchover.as_ref().filter(|last| last["expect_epoch"] == self.epoch);
        let why = last.and_then(|last| last["failed"].as_str());
        let to = last.and_then(|last| last["to"].as_str()).unwrap_or_default().to_owned();
        Some(why.map_or(Ended::Cancelled, |why| Ended::Failed { to, why: why.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::status::ActiveView;

    fn view(epoch: u64, wanted: bool, failed: Option<&str>) -> ClusterView {
        let (node, api, endpoints) = ("a".to_owned(), String::new(), Default::default());
        ClusterView {
            epoch: Some(epoch),
            active: Some(ActiveView { node, api, epoch, endpoints }),
            switchover: wanted.then(|| json!({"to": "b"})),
            last_switchover: failed.map(|why| json!({"to": "b", "expect_epoch": 7, "failed": why})),
            ..ClusterView::default()
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(1_000 * seconds)
    }

    #[test]
    fn who_has_not_heard_of_it_yet_is_no_word_that_it_was_called_off() {
        let mut following = Following::new(7, at(0));
        assert_eq!(following.look(&view(7, false, None), Vec::new, at(1)), None);
        assert_eq!(following.look(&view(7, true, None), Vec::new, at(1)), None);
        assert_eq!(following.look(&view(7, false, None), Vec::new, at(1)), Some(Ended::Cancelled));
        let mut unheard = Following::new(7, at(0));
        let why = "b was not ready";
        assert_eq!(unheard.look(&view(7, false, Some(why)), Vec::new, at(1)), None, "of an earlier one, perhaps");
        let failed = Ended::Failed { to: "b".to_owned(), why: why.to_owned() };
        assert_eq!(unheard.look(&view(7, false, Some(why)), Vec::new, at(3)), Some(failed));
    }

    #[test]
    fn the_gap_is_waited_for_and_not_for_ever() {
        let mut following = Following::new(7, at(0));
        assert_eq!(following.look(&view(8, true, None), Vec::new, at(1)), None);
        let mut entry = HistoryEntry::begun(8, "a".to_owned(), String::new());
        entry.gap_ms = Some(12);
        let done = |gap_ms| Some(Ended::Done { node: "a".to_owned(), epoch: 8, gap_ms });
        assert_eq!(following.look(&view(8, false, None), || vec![entry], at(2)), done(Some(12)));
        assert_eq!(following.look(&view(8, false, None), Vec::new, at(5)), done(None));
    }
}
