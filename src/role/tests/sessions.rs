//! The lease against an ensemble that is played here, in milliseconds: a client at a follower, the leader's pings, the queue in
//! which sessions expire. None of it knows the formula; it does what ZooKeeper's sources do (3.8: `Leader.lead`,
//! `LearnerHandler`, `LearnerSessionTracker`, `SessionTrackerImpl`, `ExpiryQueue`).

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::moment::Moment;
use crate::role::LeaseTiming;
use crate::role::lease::{Touches, feed_until, fires_within};

/// What happens to one candidate, from its session's first connection to the end of the ensemble's patience with it.
#[derive(Clone, Debug)]
struct Story {
    tick: u64,
    session: u64,
    margin: u64,
    /// When the leader's pings and the queue's multiples of a tick fall.
    phases: (u64, u64),
    /// How long it waits in the queue.
    waits: u64,
    /// One after the other, over and over: what a packet takes to the follower, a write to be decided, an answer to come back.
    delays: Vec<(u64, u64, u64)>,
    /// The process stands still: from when, for how long.
    frozen: Vec<(u64, u64)>,
    /// To another follower: when, what that one grants, and how late the former one answers its leader's ping.
    moves: Option<(u64, u64, u64)>,
}

fn stories() -> impl Strategy<Value = Story> {
    let frame = (200u64..=6_000).prop_flat_map(|tick| (Just(tick), (2 * tick).max(4_000)..=40_000, 0..tick, 0..tick));
    let delay = prop_oneof![8 => (0u64..10, 0u64..20, 0u64..10), 1 => (0u64..2_000, 0u64..2_000, 0u64..2_000)];
    let frozen = prop::collection::vec((0u64..120_000, prop_oneof![1u64..500, 1u64..20_000]), 0..4);
    let moves = prop::option::of((0u64..120_000, 4_000u64..=40_000, 0u64..4_000));
    (frame, 500u64..1_000, 0u64..90_000, prop::collection::vec(delay, 1..12), frozen, moves).prop_map(
        |((tick, session, ping, bucket), margin, waits, delays, frozen, moves)| Story {
            tick,
            session,
            margin,
            phases: (ping, bucket),
            waits,
            delays,
            frozen,
            moves,
        },
    )
}

/// How a client reckons. The first is what this program does; the others are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reckoning {
    Right,
    /// Waits with the client's own pings, a fifth of the session apart, and counts one heartbeat.
    OneHeartbeatForWhoWaited,
    /// A watchdog fires as late as if nothing had been silent at all.
    WatchdogAtHalfATick,
    /// A lease that runs is not shortened by a shorter grant.
    KeepsTheLongerLease,
    /// A longer grant counts as soon as it is there.
    BelievesTheLongerGrant,
}

/// The ensemble's leader: when it hears of the session, and what for.
#[derive(Default)]
struct Leader {
    /// When, and which time-out came with it.
    heard: Vec<(u64, u64)>,
}

impl Leader {
    /// `ExpiryQueue.roundToNextInterval`, with a clock that began at some other time.
    fn expires(story: &Story, heard: u64, timeout: u64) -> u64 {
        let since = heard + timeout + story.phases.1;
        (since / story.tick + 1) * story.tick - story.phases.1
    }

    /// When the session ends if its present follower is dead from `stop` on. What others have to tell still comes.
    fn end(&self, story: &Story, stop: u64, others: &[(u64, u64)]) -> u64 {
        let mut heard: Vec<(u64, u64)> = self.heard.iter().copied().filter(|(at, _)| *at <= stop).collect();
        heard.extend(others.iter().filter(|(at, _)| *at > stop));
        heard.sort_unstable();
        let mut end = u64::MAX;
        for (at, timeout) in heard {
            if at >= end {
                break;
            }
            end = Self::expires(story, at, timeout);
        }
        end
    }
}

/// What the client knows: from `at` on, its lease ends at `until`.
struct Deadline {
    /// When the follower had sent what the client knows it by: if the follower died later, this counts.
    at: u64,
    until: u64,
}

struct Told {
    leader: Leader,
    /// What the former follower tells after the client has left it.
    stale: Vec<(u64, u64)>,
    deadlines: Vec<Deadline>,
    claimed: u64,
    moved: Option<u64>,
    timing: LeaseTiming,
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// All moments are this much later for the code under test, which may look back beyond a story's beginning.
const BEFORE: u64 = 1_000_000;

fn moment(at: u64) -> Moment {
    Moment::from_millis(BEFORE + at)
}

fn at(moment: Moment) -> u64 {
    (moment.as_nanos() / 1_000_000).saturating_sub(BEFORE)
}

fn timing(story: &Story, session: u64) -> LeaseTiming {
    LeaseTiming {
        session_timeout: millis(session),
        tick_time: millis(story.tick),
        heartbeat_interval: millis(story.session / 10),
        margin: millis(story.margin),
    }
}

/// The moment at which a process that stands still now and then gets to do something.
fn awake(story: &Story, mut at: u64) -> u64 {
    while let Some((from, length)) = story.frozen.iter().find(|(from, length)| (*from..from + length).contains(&at)) {
        at = from + length;
    }
    at
}

fn tell(story: &Story, reckoning: Reckoning) -> Told {
    let interval = story.session / 10;
    let waiting = if reckoning == Reckoning::OneHeartbeatForWhoWaited { story.session / 5 } else { interval };
    let end = story.waits + 3 * story.session;
    let mut leader = Leader { heard: vec![(1, story.session)] };
    let mut stale = Vec::new();
    // What each follower has heard: when.
    let mut heard: Vec<u64> = Vec::new();
    let (mut granted, mut counted) = (story.session, story.session);
    let mut touches = Touches::new(&timing(story, granted), moment(0));
    let mut deadlines: Vec<Deadline> = Vec::new();
    let (mut now, mut number, mut claimed, mut moved) = (0, 0, None, None);
    let (mut arrived, mut back) = (1, 1);
    // A ping's answer tells of what has come since the answer before.
    let pings = |from: u64, to: u64| {
        let half = story.tick / 2;
        (0..)
            .map(move |count| story.phases.0 % half + count * half)
            .skip_while(move |at| *at < from)
            .take_while(move |at| *at < to)
    };
    let report = |heard: &[u64], from: u64, to: u64, timeout: u64, late: u64| -> Vec<(u64, u64)> {
        let mut last = from;
        pings(from, to)
            .filter_map(|ping| {
                let told = heard.iter().any(|at| (last..ping).contains(at));
                last = ping;
                told.then_some((ping + late, timeout))
            })
            .collect()
    };
    let mut connected = 1;
    while now < end {
        now = awake(story, now);
        if let Some((at, other, late)) = story.moves
            && moved.is_none()
            && now >= at
        {
            // The connection is another follower's. The leader is asked, and so touches the session itself.
            leader.heard.extend(report(&heard, connected, now, granted, 0));
            stale = report(&heard, now.saturating_sub(story.tick / 2), now + story.tick / 2, granted, late);
            stale.retain(|(at, _)| *at > now);
            leader.heard.extend(stale.iter().copied());
            leader.heard.push((now + 1, other));
            heard.clear();
            connected = now + 1;
            moved = Some(now);
            granted = other;
            counted = if reckoning == Reckoning::BelievesTheLongerGrant { other } else { counted.min(other) };
            touches = Touches::new(&timing(story, counted), moment(now));
            let until = self::at(moment(now) + timing(story, counted).at_most());
            if let Some(last) = deadlines.last()
                && until < last.until
                && reckoning != Reckoning::KeepsTheLongerLease
            {
                deadlines.push(Deadline { at: now + 1, until });
            }
            (arrived, back) = (now + 2, now + 2);
            now += 2;
            continue;
        }
        let (there, decided, home) = story.delays[number % story.delays.len()];
        number += 1;
        let write = now >= story.waits;
        arrived = arrived.max(now + there);
        heard.push(arrived);
        let said = arrived + if write { decided } else { 0 };
        back = back.max(said + home);
        if write {
            claimed.get_or_insert(now);
            let counts_from = match reckoning {
                Reckoning::OneHeartbeatForWhoWaited => moment(now),
                _ => touches.counts_from(moment(now)),
            };
            let until = self::at(counts_from + timing(story, counted).length());
            // Taken in when the process gets to it; counted from here on, which is worse.
            if deadlines.last().is_none_or(|last| last.until < until) {
                deadlines.push(Deadline { at: said, until });
            }
        }
        let answered = awake(story, back);
        touches.answered(moment(now), moment(answered));
        now = answered.max(now + if write { interval } else { waiting });
        if !write {
            now = now.min(story.waits.max(answered));
        }
    }
    leader.heard.extend(report(&heard, connected, end, granted, 0));
    leader.heard.sort_unstable();
    Told { leader, stale, deadlines, claimed: claimed.unwrap_or(end), moved, timing: timing(story, story.session) }
}

/// The first moment at which the follower could die so that something acts although the session has ended.
fn breach(story: &Story, reckoning: Reckoning) -> Option<String> {
    if timing(story, story.session).check().is_err() {
        return None;
    }
    let told = tell(story, reckoning);
    let Told { timing, .. } = told;
    // The time-out of a device that was armed before a shorter grant is the guardian's to shorten.
    let device = timing.watchdog();
    // Once it has expired by itself (the process stood still, say) nothing is acknowledged.
    let over = told.leader.end(story, u64::MAX, &[]);
    for stop in (told.claimed..over.min(story.waits + 2 * story.session)).step_by(37) {
        let others: &[(u64, u64)] = if told.moved.is_some_and(|moved| moved < stop) { &told.stale } else { &[] };
        let ended = told.leader.end(story, stop, others);
        let Some(Deadline { at: known, until }) = told.deadlines.iter().rev().find(|deadline| deadline.at <= stop)
        else {
            continue;
        };
        let mut grace = device.grace;
        if reckoning == Reckoning::WatchdogAtHalfATick {
            grace += timing.heartbeat_interval;
        }
        let timeout = Duration::from_secs(device.seconds);
        // Arming needs that much, so a lease that is shorter has no device that was fed.
        let fed = feed_until(timeout, grace, moment(*until));
        // Nor is one fed under a lease that was over before its heartbeat was acknowledged (a grant too short for any lease).
        let fires = if device.fits() && at(fed) >= *known { at(fed + fires_within(timeout)) } else { 0 };
        if (*until).max(fires) > ended {
            return Some(format!("dies at {stop}: session over at {ended}, lease at {until}, watchdog at {fires}"));
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whatever is silent or slow, wherever a connection moves, whenever a follower dies: the lease is over, its margin with it, and
    /// a watchdog has fired, before the ensemble ends the session.
    #[test]
    fn whoever_acts_last_acts_before_the_ensemble_can_end_the_session(story in stories()) {
        let breach = breach(&story, Reckoning::Right);
        prop_assert!(breach.is_none(), "{}", breach.unwrap_or_default());
    }

    /// Without trouble nothing is given away: a claim after a wait has all of its lease.
    #[test]
    fn who_waited_has_a_whole_lease_from_its_claim_on(story in stories()) {
        let calm = Story { delays: vec![(1, 1, 1)], frozen: vec![], moves: None, ..story };
        prop_assume!(timing(&calm, calm.session).check().is_ok());
        let told = tell(&calm, Reckoning::Right);
        let first = &told.deadlines[0];
        let whole = at(moment(told.claimed) + told.timing.length());
        prop_assert!(first.until + 10 >= whole, "{} instead of {whole}", first.until);
    }
}

#[test]
fn a_grant_too_short_for_any_lease_feeds_no_watchdog() {
    let story = Story {
        tick: 200,
        session: 35_120,
        margin: 706,
        phases: (12, 0),
        waits: 17_215,
        delays: vec![(0, 0, 0)],
        frozen: vec![],
        moves: Some((0, 4_000, 0)),
    };
    assert!(timing(&story, 4_000).length().is_zero());
    assert_eq!(breach(&story, Reckoning::Right), None);
}

/// `calm`: nothing stands still, nothing is slow.
fn convicted(reckoning: Reckoning, calm: bool) {
    let mut runner = TestRunner::deterministic();
    let caught = (0..4_000).any(|_| {
        let story = stories().new_tree(&mut runner).expect("a story").current();
        let story = if calm { Story { delays: vec![(1, 1, 1)], frozen: vec![], moves: None, ..story } } else { story };
        breach(&story, reckoning).is_some()
    });
    assert!(caught, "{reckoning:?} was not caught");
}

#[test]
fn to_count_one_heartbeat_for_who_waited_is_caught() {
    convicted(Reckoning::OneHeartbeatForWhoWaited, true);
}

#[test]
fn a_watchdog_that_leaves_silence_out_is_caught() {
    convicted(Reckoning::WatchdogAtHalfATick, true);
}

#[test]
fn a_lease_that_is_not_shortened_by_a_shorter_grant_is_caught() {
    convicted(Reckoning::KeepsTheLongerLease, false);
}

#[test]
fn a_longer_grant_that_is_believed_at_once_is_caught() {
    convicted(Reckoning::BelievesTheLongerGrant, false);
}
