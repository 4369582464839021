//! What is known of the guardian's process: whether it answers, and when another one is due.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::moment::Moment;

/// A guardian that has not answered a ping for so long is killed: it could not kill at a deadline either. Far above any
/// scheduling delay of a host that can still hold a session.
const SILENCE: Duration = Duration::from_secs(1);

/// Between two pings. Each costs two processes a wake-up. A guardian that falls silent is found after this and [`SILENCE`]
/// at the latest.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// A ping may come so much earlier: with a heartbeat's answer, when both processes are awake anyway.
const PING_EARLY: Duration = Duration::from_millis(1500);

/// A process that did not run for so long was itself frozen: what it thinks of others' silence does not count.
const OWN_SILENCE: Duration = Duration::from_millis(500);

/// A guardian that died younger than this is not replaced at once.
const RESPAWN: Duration = Duration::from_secs(1);

/// A fresh guardian can wait until the next active has started: nothing of this node competes with it for this long.
const HANDOVER: Duration = Duration::from_millis(100);

/// The guardian, as far as this process can see it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Watch {
    /// 0 as long as it is not known.
    pid: i32,
    /// In clock ticks, for who finds the pid again.
    born: u64,
    /// When its start was ordered.
    ordered: Moment,
    next_ping: Moment,
    pings: u64,
    /// The oldest ping without an answer.
    unanswered: Option<(u64, Moment)>,
    /// It has ended a leadership and leaves: it executes its last will, which is bounded, and answers nobody meanwhile.
    leaves: bool,
    /// Killed or gone: it answers no more, and once it has been waited for its pid may be somebody else's.
    ended: bool,
    /// When to start another one.
    respawn: Option<Moment>,
}

impl Watch {
    pub const fn new(now: Moment) -> Self {
        Self {
            pid: 0,
            born: 0,
            ordered: now,
            next_ping: now,
            pings: 0,
            unanswered: None,
            leaves: false,
            ended: false,
            respawn: None,
        }
    }

    /// 0 as long as it is not known.
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// When it was born, in clock ticks.
    pub const fn born(&self) -> u64 {
        self.born
    }

    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    pub const fn is_to_be_replaced(&self) -> bool {
        self.respawn.is_some()
    }

    /// It runs, as far as is known, and takes orders.
    pub const fn serves(&self) -> bool {
        self.pid != 0 && !self.ended && !self.leaves && self.respawn.is_none()
    }

    pub fn start(&mut self, now: Moment) {
        *self = Self { pings: self.pings, next_ping: now + PING_INTERVAL, ..Self::new(now) };
    }

    pub const fn spawned(&mut self, pid: i32, born: u64) {
        self.pid = pid;
        self.born = born;
    }

    pub const fn gone(&mut self) {
        self.ended = true;
        self.unanswered = None;
    }

    pub fn replace(&mut self, now: Moment) {
        let wait = RESPAWN.saturating_sub(now.since(self.ordered)).max(HANDOVER);
        self.respawn = Some(now + wait);
    }

    /// Whether another one is to be started now; said once.
    pub fn is_due(&mut self, now: Moment) -> bool {
        self.respawn.take_if(|at| *at <= now).is_some()
    }

    /// When another one is to be started.
    pub const fn respawn(&self) -> Option<Moment> {
        self.respawn
    }

    /// What bears on when the next one is started.
    pub fn hash_bearing(&self, now: Moment, state: &mut impl Hasher) {
        let young = Some(self.ordered + RESPAWN).filter(|until| *until > now);
        (self.ended, self.leaves, self.respawn, young).hash(state);
    }

    /// It has said that it leaves: its silence means nothing.
    pub const fn leaves(&mut self) {
        self.leaves = true;
        self.unanswered = None;
    }

    /// The number of a ping, unless it has ended, leaves, or does not live yet.
    pub fn ping(&mut self, now: Moment) -> Option<u64> {
        self.next_ping = now + PING_INTERVAL;
        if self.ended || self.leaves || self.pid == 0 {
            return None;
        }
        self.pings += 1;
        self.unanswered.get_or_insert((self.pings, now));
        Some(self.pings)
    }

    pub fn ping_is_due(&self, now: Moment) -> bool {
        self.next_ping <= now
    }

    /// Whether a ping costs no wake-up of its own at this moment, at which this process is awake.
    pub fn ping_is_free(&self, now: Moment) -> bool {
        self.next_ping.since(now) <= PING_EARLY
    }

    pub fn answered(&mut self, number: u64) {
        if self.unanswered.is_some_and(|(oldest, _)| oldest <= number) {
            self.unanswered = None;
        }
    }

    /// Whether it has not answered for too long. It is to be killed then; said once.
    pub fn falls_silent(&mut self, now: Moment) -> bool {
        let silent = self.unanswered.take_if(|(_, sent)| *sent + SILENCE <= now).is_some();
        self.ended |= silent;
        silent
    }

    /// This process runs again at `now`, after it has slept since `last`: then it was not the guardian that was silent. How
    /// long that was.
    pub fn excuse(&mut self, last: Moment, now: Moment) -> Option<Duration> {
        let own = now.since(last);
        (own > PING_INTERVAL + OWN_SILENCE).then(|| {
            self.unanswered = None;
            own
        })
    }

    /// When something is due.
    pub fn deadline(&self) -> Moment {
        let silent = self.unanswered.map(|(_, sent)| sent + SILENCE);
        [silent, self.respawn].into_iter().flatten().fold(self.next_ping, Moment::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(1_000_000 + millis)
    }

    fn living() -> Watch {
        let mut watch = Watch::new(at(0));
        watch.spawned(4711, 1);
        watch
    }

    #[test]
    fn a_guardian_that_leaves_is_not_taken_for_a_silent_one() {
        let mut watch = living();
        assert!(watch.ping(at(0)).is_some());
        assert!(watch.clone().falls_silent(at(2000)));
        watch.leaves();
        assert_eq!(watch.ping(at(1)), None);
        assert!(!watch.falls_silent(at(2000)));
    }

    #[test]
    fn a_guardian_that_does_not_live_yet_and_one_that_is_gone_are_not_asked() {
        let mut watch = Watch::new(at(0));
        assert_eq!(watch.ping(at(0)), None);
        watch.spawned(4711, 1);
        watch.ping(at(1));
        watch.gone();
        assert!(watch.ping(at(2)).is_none() && !watch.falls_silent(at(5000)));
    }

    #[test]
    fn an_answer_to_a_later_ping_is_one_to_an_earlier_one_too() {
        let mut watch = living();
        let first = watch.ping(at(0)).unwrap();
        let second = watch.ping(at(500)).unwrap();
        assert_eq!(watch.deadline(), at(1000));
        watch.answered(second);
        assert!(first < second && !watch.falls_silent(at(9000)));
    }

    #[test]
    fn who_did_not_run_does_not_call_others_silent() {
        let mut watch = living();
        watch.ping(at(0));
        assert_eq!(watch.excuse(at(0), at(3000)), None, "it is woken for the next ping only then");
        assert_eq!(watch.excuse(at(0), at(9000)), Some(Duration::from_secs(9)));
        assert!(!watch.falls_silent(at(9000)));
    }

    #[test]
    fn one_that_dies_young_is_not_replaced_at_once_and_no_other_before_the_next_active_has_started() {
        let mut watch = living();
        watch.replace(at(200));
        assert!(!watch.is_due(at(999)) && watch.is_due(at(1000)) && !watch.is_due(at(1000)));
        watch.replace(at(60_000));
        assert!(!watch.is_due(at(60_099)) && watch.is_due(at(60_100)));
    }
}
