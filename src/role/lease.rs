//! The lease's arithmetic, all of it: until when this node may act, on the strength of what ZooKeeper has acknowledged.
//!
//! # What an ensemble knows of a session
//! Its leader alone decides when a session ends: at the first multiple of a tick after `heard + T`, where T is what was
//! granted over the connection that it has heard of last. What is it that it hears? Of a client at a follower, not the
//! requests: a forwarded write does not count. The leader asks every follower every half tick, and the answer names the sessions
//! that the follower has heard since its last answer. So when a follower dies (or is cut off) just after it has acknowledged a
//! heartbeat sent at `sent`, its last answer is up to half a tick older, and tells of a session only what had reached the
//! follower *before that*:
//!
//! ```text
//!  client    touch                                  heartbeat: sent ── acknowledged
//!              ╲ g: nothing is sent in between        ╲      ╱
//!  follower  ───●───────────────┬──────────────────────●────●──✗ dies
//!  leader                       ▼ last answer      the leader may know of no later moment than
//!                          ≤ tick/2 before `sent`  the touch, at the earliest: sent − tick/2 − g
//! ```
//!
//! The ensemble cannot expire the session before `sent − tick/2 − g + T`: g is the longest silence before the heartbeat. And
//! **that bound holds for whatever may act last**: the coordinator's kill and the watchdog's reset.
//!
//! # What is counted
//!
//! ```text
//! deadline = counts_from + T − tick/2 − heartbeat_interval − margin
//! ```
//!
//! `counts_from` is `sent`, if nothing longer than a heartbeat interval was silent before. That is not believed but proven, by
//! [`Touches`]: what the server had answered half a tick before `sent` it has told its leader. So it does not matter why a session
//! was silent: the client's own pings come every fifth of T, answers may be slow, a process may have been frozen. Whoever
//! waits touches its session every heartbeat interval, and so has a whole lease from its claim on.
//!
//! `margin` is left for killing the tree after the deadline, for a leader that asks late, and for clocks that drift; a watchdog
//! must have fired when it is over.
//!
//! # T is what is granted today
//! Every connection negotiates T anew, and the first thing it does is to touch the session at the leader. From then on the
//! session can end at `asked + T`, however long the former grant was: see [`LeaseTiming::at_most`]. A *longer* grant does not
//! count for a session: what the former server still has to tell of it carries the shorter T, and may arrive later. (So the
//! election asks for a new session as soon as nothing depends on this one.)
//!
//! Rejected: to reckon with the client's pings. They cannot be seen, and one that is not answered is not repeated for two fifths of T.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::moment::Moment;

/// A server grants no less than so many of its ticks, unless `minSessionTimeout` says otherwise.
const LEAST_TICKS: u32 = 2;
/// And no more, unless `maxSessionTimeout` says otherwise.
const MOST_TICKS: u32 = 20;

/// How many heartbeats a lease must last at least for a node to stand: one may be lost and its successor be slow, and the
/// coordinator still lives.
pub const HEARTBEATS_TO_STAND: u32 = 4;
/// And how many must be left when a coordinator is started.
const HEARTBEATS_TO_START: u32 = 3;

/// What a server's tick can be that grants `granted` to who asks for `asked`.
pub fn ticks_behind(asked: Duration, granted: Duration) -> RangeInclusive<Duration> {
    let (raised_to, cut_to) = (granted / LEAST_TICKS, granted / MOST_TICKS);
    match granted.cmp(&asked) {
        Ordering::Greater => raised_to..=raised_to,
        Ordering::Less => cut_to..=cut_to,
        Ordering::Equal => cut_to..=raised_to,
    }
}

/// The quantities that decide how long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseTiming {
    /// Negotiated with the server, not what was asked for.
    pub session_timeout: Duration,
    /// The ensemble's `tickTime`.
    pub tick_time: Duration,
    /// Between two heartbeats.
    pub heartbeat_interval: Duration,
    /// For killing the tree, and for clocks that drift.
    pub margin: Duration,
}

/// A device may fire late by so great a part of its time-out: a second of an i6300esb has 1,024 ms.
const LATE: u32 = 32;

/// A watchdog's timing. Devices count in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchdogTiming {
    /// What to ask the device for.
    pub seconds: u64,
    /// A device whose time-out is longer is useless: its feeding would have to stop before a heartbeat is acknowledged.
    pub longest: Duration,
    /// Until when after the lease's end it may fire: [`LeaseTiming::grace`].
    pub grace: Duration,
}

/// How long after it was fed a device fires at the latest.
pub fn fires_within(timeout: Duration) -> Duration {
    timeout + timeout / LATE
}

/// Until when a device may be fed under a lease that ends at `deadline`: it has fired when the grace is over. Never past the
/// deadline.
pub fn feed_until(timeout: Duration, grace: Duration, deadline: Moment) -> Moment {
    (deadline + grace - fires_within(timeout)).min(deadline)
}

impl WatchdogTiming {
    /// Whether a device that counts in seconds can be used at all under this lease.
    pub fn fits(&self) -> bool {
        Duration::from_secs(self.seconds) <= self.longest
    }

    /// What a lease must have left for a device of the wanted time-out to be armed.
    pub fn least_to_arm(&self) -> Duration {
        fires_within(Duration::from_secs(self.seconds)).saturating_sub(self.grace)
    }
}

/// Why these timings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingProblem {
    /// What would be left after the subtractions.
    pub lease: Duration,
    /// The least that is accepted: four heartbeats. Three must be left when a coordinator is started, and a renewal
    /// that has been on its way never leaves all of its lease.
    pub least: Duration,
}

impl LeaseTiming {
    /// The same under a session of `granted`, where `asked` was asked for. Servers that raise a session to two of their ticks,
    /// or cut it to twenty, betray that a tick is longer than it is said to be: then the longer one counts.
    #[must_use]
    pub fn granted(self, asked: Duration, granted: Duration) -> Self {
        let betrayed = *ticks_behind(asked, granted).start();
        Self { session_timeout: granted, tick_time: self.tick_time.max(betrayed), ..self }
    }

    /// With `election = "lock"` the volume's probe takes the heartbeat's place: one begun every interval must end within
    /// its time-out. Nobody is elected by time there; a watchdog has another interval to fire.
    pub fn of_probes(interval: Duration, timeout: Duration) -> Self {
        Self {
            session_timeout: interval * 3 + timeout,
            tick_time: Duration::ZERO,
            heartbeat_interval: interval,
            margin: interval,
        }
    }

    /// How long after the moment that it counts from a heartbeat lets this node act.
    pub fn length(&self) -> Duration {
        self.session_timeout.saturating_sub(self.spent())
    }

    /// What of a session is no lease.
    pub fn spent(&self) -> Duration {
        self.tick_time / 2 + self.heartbeat_interval + self.margin
    }

    /// The shortest session that leaves a lease to stand with, with these intervals.
    pub fn shortest_session(&self) -> Duration {
        self.spent() + self.heartbeat_interval * HEARTBEATS_TO_STAND
    }

    /// Likewise, if there are so many heartbeats to a session, however long that is: the session less its part for heartbeats
    /// must cover tick and margin.
    pub fn shortest_session_of(&self, heartbeats: u32) -> Duration {
        (self.tick_time / 2 + self.margin) * heartbeats / (heartbeats - 1 - HEARTBEATS_TO_STAND)
    }

    /// How long after it was last heard of the ensemble may take to end a session, its own elections included.
    pub fn surely_over(&self) -> Duration {
        self.session_timeout * 7 / 5
    }

    /// Between the lease's end and the earliest moment at which another node can be elected.
    pub const fn grace(&self) -> Duration {
        self.margin
    }

    /// How long after a connection was asked for a lease that runs must be over, however long it was, once this session is
    /// granted to it.
    pub fn at_most(&self) -> Duration {
        self.session_timeout.saturating_sub(self.margin)
    }

    /// What a watchdog is to be set to under this lease.
    ///
    /// A device that is fed at `t` fires at `t + timeout`, and that must not be after the grace's end. So the later a
    /// heartbeat is acknowledged, the less can it feed; with half the lease plus the grace, a lease that survives slow
    /// acknowledgements also feeds. Longer would mean resets while the lease still holds, shorter ones would make the
    /// host depend on every delay of the guardian.
    pub fn watchdog(&self) -> WatchdogTiming {
        let grace = self.grace();
        let punctual = |longest: Duration| longest * LATE / (LATE + 1);
        let longest = punctual(self.length() + grace).min(self.length());
        WatchdogTiming { seconds: punctual(self.length() / 2 + grace).as_secs().max(1), longest, grace }
    }

    /// What a lease must have left for a coordinator to be started under it.
    pub fn least_to_start(&self) -> Duration {
        self.heartbeat_interval * HEARTBEATS_TO_START
    }

    /// # Errors
    /// When less than four heartbeats would be left.
    pub fn check(&self) -> Result<(), TimingProblem> {
        let (lease, least) = (self.length(), self.heartbeat_interval * HEARTBEATS_TO_STAND);
        if lease < least || lease.is_zero() { Err(TimingProblem { lease, least }) } else { Ok(()) }
    }
}

/// What this session's server has heard of it and told its leader, as far as that is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touches {
    half_tick: Duration,
    interval: Duration,
    /// The leader has heard of the session at this moment, or later.
    told: Moment,
    /// Sent and answered, and perhaps not told yet; in the order of both.
    answered: VecDeque<(Moment, Moment)>,
}

impl Touches {
    /// Over a connection that was asked for at `asked`: to grant it is the leader's own business, so that is when it has heard
    /// of the session.
    pub fn new(timing: &LeaseTiming, asked: Moment) -> Self {
        Self {
            half_tick: timing.tick_time / 2,
            interval: timing.heartbeat_interval,
            told: asked,
            answered: VecDeque::new(),
        }
    }

    /// Something that was sent at `sent` was answered by `answered`: the server has heard it in between.
    pub fn answered(&mut self, sent: Moment, answered: Moment) {
        self.sent(sent);
        self.answered.push_back((sent, answered));
    }

    /// From when the acknowledgement of a heartbeat counts that was sent at `sent`: earlier than that, if the session was silent
    /// for longer than a heartbeat interval before. To be asked before the heartbeat is [`Self::answered`].
    pub fn counts_from(&mut self, sent: Moment) -> Moment {
        self.sent(sent);
        sent.min(self.told + self.half_tick + self.interval)
    }

    /// The server lives at `sent`, or it could not acknowledge what is sent then: so it has answered its leader at most half a
    /// tick before.
    fn sent(&mut self, sent: Moment) {
        while let Some((touched, answered)) = self.answered.front()
            && *answered + self.half_tick <= sent
        {
            self.told = self.told.max(*touched);
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(session_ms: u64, heartbeat_ms: u64) -> LeaseTiming {
        LeaseTiming {
            session_timeout: Duration::from_millis(session_ms),
            tick_time: Duration::from_secs(2),
            heartbeat_interval: Duration::from_millis(heartbeat_ms),
            margin: Duration::from_millis(500),
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_lease_is_the_session_less_half_a_tick_one_heartbeat_and_the_margin() {
        assert_eq!(timing(10_000, 1_000).length(), Duration::from_millis(7_500));
        assert_eq!(timing(4_000, 400).length(), Duration::from_millis(2_100));
    }

    #[test]
    fn a_lease_that_could_never_have_three_heartbeats_left_is_refused() {
        assert!(timing(4_000, 400).check().is_ok());
        assert!(timing(10_000, 1_800).check().is_err());
        assert!(timing(4_000, 700).check().is_err());
        assert!(timing(1_000, 10).check().is_err());
    }

    #[test]
    fn a_watchdog_fires_before_anybody_else_can_be_elected_and_not_while_slow_acknowledgements_still_renew() {
        assert_eq!(timing(10_000, 1_000).watchdog().seconds, 4);
        assert_eq!(timing(4_000, 400).watchdog().seconds, 1);
        for session in (4_000..60_000).step_by(250) {
            let timing = timing(session, session / 10);
            let watchdog = timing.watchdog();
            for seconds in [watchdog.seconds, watchdog.longest.as_secs().max(1)] {
                let timeout = Duration::from_secs(seconds);
                assert!(timeout <= watchdog.longest, "{session}: {watchdog:?}");
                let last_fed = feed_until(timeout, watchdog.grace, at(0) + timing.length());
                let fires = last_fed + timeout * 1024 / 1000;
                // Nobody waits for more than the last heartbeat but one.
                let bound = at(0) + timing.session_timeout - timing.tick_time / 2 - timing.heartbeat_interval;
                assert!(fires <= bound, "{session}: a slow device of {seconds} s");
                assert!(last_fed >= at(0) && last_fed <= at(0) + timing.length(), "{session}: {seconds} s");
            }
            // Every heartbeat takes half a lease: the lease just lives on, and every acknowledgement still feeds.
            let timeout = Duration::from_secs(watchdog.seconds);
            let last_fed = feed_until(timeout, watchdog.grace, at(0) + timing.length());
            assert!(last_fed >= at(0) + timing.length() / 2, "{session}: {watchdog:?}");
        }
    }

    #[test]
    fn heartbeats_that_follow_each_other_count_from_when_they_were_sent() {
        let mut touches = Touches::new(&timing(10_000, 1_000), at(0));
        for beat in 1..20 {
            assert_eq!(touches.counts_from(at(beat * 1_000)), at(beat * 1_000));
            touches.answered(at(beat * 1_000), at(beat * 1_000 + 5));
        }
    }

    #[test]
    fn a_claim_after_a_silence_counts_from_earlier_and_so_do_heartbeats_until_half_a_tick_has_passed() {
        let mut touches = Touches::new(&timing(10_000, 1_000), at(0));
        touches.answered(at(100_000), at(100_010));
        assert_eq!(touches.counts_from(at(104_000)), at(102_000), "heard of at 100, and two seconds are reckoned with");
        touches.answered(at(104_000), at(104_010));
        assert_eq!(touches.counts_from(at(105_000)), at(102_000), "the claim need not have been told yet");
        touches.answered(at(105_000), at(105_010));
        assert_eq!(touches.counts_from(at(106_000)), at(106_000));
    }

    #[test]
    fn what_was_answered_late_was_perhaps_heard_late() {
        let mut touches = Touches::new(&timing(10_000, 1_000), at(0));
        touches.answered(at(1_000), at(1_010));
        touches.answered(at(2_000), at(2_900));
        assert_eq!(touches.counts_from(at(3_000)), at(3_000));
        touches.answered(at(3_000), at(3_990));
        assert_eq!(touches.counts_from(at(4_000)), at(4_000));
        touches.answered(at(4_000), at(6_500));
        assert_eq!(touches.counts_from(at(6_500)), at(5_000), "only the one sent at 3 has surely been told");
    }

    #[test]
    fn the_longest_tick_counts_that_a_grant_betrays() {
        let millis = Duration::from_millis;
        let tick = |asked, granted| timing(1, 1).granted(millis(asked), millis(granted)).tick_time;
        assert_eq!(tick(10_000, 10_000), millis(2_000));
        assert_eq!(tick(4_000, 12_000), millis(6_000), "raised to two ticks");
        assert_eq!(tick(60_000, 50_000), millis(2_500), "cut to twenty");
        assert_eq!(tick(100_000, 100_000), millis(5_000), "no more than twenty");
        assert_eq!(tick(10_000, 4_000), millis(2_000), "cut by maxSessionTimeout, or by a shorter tick");
    }
}
