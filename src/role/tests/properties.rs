//! Properties that hold whatever is told, in whatever order: also stale, doubled and contradictory facts.
//!
//! The observer below keeps books of its own from what is told and ordered, and knows nothing of the machine's inside.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::role::machine::legal;
use crate::role::{Loss, Role};

/// One move of the world against the machine.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// The oldest order that is not answered yet is answered as the machine hopes.
    Answer,
    /// Some event, fitting or not; the numbers give its content.
    Any { kind: u8, epoch: u64, ago: u64, yes: bool },
    /// Time passes up to the machine's deadline.
    Deadline,
}

pub(super) fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
    let any = (0u8..34, 5u64..10, 0u64..12_000, any::<bool>()).prop_map(|(kind, epoch, ago, yes)| Move::Any {
        kind,
        epoch,
        ago,
        yes,
    });
    let one = prop_oneof![6 => Just(Move::Answer), 3 => any, 1 => Just(Move::Deadline)];
    let time = prop_oneof![6 => Just(0u64), 3 => 0u64..1_500, 1 => 0u64..20_000];
    prop::collection::vec((time, one), 1..120)
}

pub(super) fn event(now: Moment, kind: u8, epoch: u64, ago: u64, yes: bool) -> Event {
    let sent = now - Duration::from_millis(ago);
    let predecessor =
        [Predecessor::None, Predecessor::Clean, Predecessor::Own, Predecessor::Unclean, Predecessor::Unknown]
            [usize::from(kind) % 5];
    match kind {
        0 => Event::GuardianReady,
        1 => Event::GuardianLost,
        2 => Event::VolumeSeen { usable: yes },
        3..=6 => Event::Elected(Succession { epoch, predecessor, predecessor_epoch: epoch, better_candidate: yes }),
        7 => Event::LockAcquired { recorded: noted(epoch), write_back: yes },
        8 => Event::LockRefused { recorded: epoch },
        9 => Event::VolumeUnusable,
        10 => Event::PredecessorFenced { epoch, succeeded: yes },
        11 => Event::Claimed { epoch, sent },
        12 => Event::ClaimRefused,
        13 => Event::RecordWritten { epoch },
        14 => Event::Prepared { epoch, succeeded: yes },
        15 => Event::Started,
        16 => Event::StartFailed,
        17 => Event::Ready,
        18 => Event::Unhealthy,
        19 => Event::Exited,
        20 => Event::TreeDead,
        21 => Event::Tidied,
        22 => Event::Renewed { sent },
        23 if ago < 6_000 => Event::Granted { until: now + Duration::from_millis(ago) },
        23 => Event::Renewed { sent },
        24 => Event::Lost(Loss::SessionExpired),
        25 => Event::Lost(if yes { Loss::NodeDeleted } else { Loss::Overtaken }),
        26 => Event::VolumeLost,
        27 => Event::Fenced { clean: yes },
        28 => Event::LockClosed { clean: yes },
        29 => Event::Resigned,
        30 if ago < 1_000 => Event::StopRequested,
        31 if ago < 1_000 => Event::KillRequested,
        32 if ago < 1_000 => Event::DuplicateName,
        33 => Event::WatchdogSeen { usable: yes },
        34 => Event::NextInLine(yes.then_some(next(epoch, ago < 1_000))),
        35 => Event::LockGranted { over: yes, recorded: noted(epoch), write_back: yes },
        36 => Event::CalledOff,
        _ => Event::TimePassed,
    }
}

/// What the machine hopes to hear after an order.
pub(super) fn answers(now: Moment, action: &Action) -> Vec<Event> {
    match action {
        Action::Stand => {
            vec![Event::NextInLine(Some(next(6, false))), Event::Elected(succession(Predecessor::Unclean))]
        }
        Action::Yield => vec![Event::Elected(succession(Predecessor::Clean))],
        Action::AcquireLock => vec![Event::LockAcquired { recorded: noted(6), write_back: false }],
        Action::FencePredecessor { epoch, .. } => vec![Event::PredecessorFenced { epoch: *epoch, succeeded: true }],
        Action::Claim { epoch } => vec![Event::Claimed { epoch: *epoch, sent: now }],
        Action::WriteRecord { epoch } => vec![Event::RecordWritten { epoch: *epoch }],
        Action::RunBeforeStart { epoch } => vec![Event::Prepared { epoch: *epoch, succeeded: true }],
        Action::Start { .. } | Action::StartAlwaysOn => {
            vec![Event::Started, Event::Ready, Event::Renewed { sent: now }]
        }
        Action::AwaitLock { .. } => {
            vec![Event::LockGranted { over: true, recorded: over(6), write_back: false }]
        }
        Action::CallOff => vec![Event::CalledOff],
        Action::StopTree | Action::KillTree | Action::KillOrphans => vec![Event::TreeDead],
        Action::RunAfterStop => vec![Event::Tidied],
        Action::CloseLock(_) => vec![Event::LockClosed { clean: true }],
        Action::Resign { .. } => vec![Event::Resigned],
        Action::ReplaceGuardian => guardian_starts().into(),
        Action::SetDeadline(_) | Action::Announce(_) | Action::Exit(_) => vec![],
    }
}

fn next(epoch: u64, better_candidate: bool) -> Succession {
    Succession { epoch, predecessor: Predecessor::Unclean, predecessor_epoch: epoch, better_candidate }
}

const fn over(epoch: u64) -> Recorded {
    Recorded { epoch, predecessor: Predecessor::Clean }
}

fn guardian_starts() -> [Event; 3] {
    [Event::GuardianReady, Event::WatchdogSeen { usable: true }, Event::VolumeSeen { usable: true }]
}

/// Books on one leadership, kept from outside.
#[derive(Default)]
struct Leadership {
    succession: u64,
    asked: bool,
    /// The lock of the leadership before is waited for, or it is being called off.
    awaited: bool,
    called_off: bool,
    locked: Option<u64>,
    claim: Option<u64>,
    claimed: bool,
    recorded: bool,
    guardian_lost: bool,
    lease: Option<Moment>,
    tree: bool,
    /// What runs in this leadership's name beside the coordinator, and by which its end is known.
    command: Option<(&'static str, u64)>,
    write_back: bool,
    /// What it wrote may reach the volume after its lock is closed.
    unwritten: bool,
    /// Something was done or told after which TreeDead means this tree.
    dying: bool,
    closing: bool,
    closed: bool,
}

struct Observer {
    bench: Bench,
    role: Role,
    it: Leadership,
    exited: bool,
    unanswered: VecDeque<Event>,
    starts: u32,
}

impl Observer {
    fn new(rules: Rules) -> Self {
        Self {
            bench: Bench::new(rules),
            role: Role::Standby,
            it: Leadership::default(),
            exited: false,
            unanswered: guardian_starts().into(),
            starts: 0,
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.bench.now;
        self.hear(now, &event);
        let actions = self.bench.machine.step(now, event);
        for action in &actions {
            assert!(!self.exited, "an order after the exit: {action:?}");
            self.check(now, action);
            self.unanswered.extend(answers(now, action));
        }
        assert_eq!(self.role, self.bench.machine.role(), "a role that nobody was told of");
        if let Some((deadline, reason)) = self.bench.machine.deadline() {
            assert!(deadline > now, "{reason:?} lies in the past after a step: the shell would spin");
        }
        if self.it.claimed && self.bench.machine.lease_matters() {
            assert!(self.bench.machine.lease_until() <= self.it.lease, "a longer lease than was granted");
        }
        let live = self.it.tree && !self.bench.machine.tree_may_live();
        assert!(!live, "a tree is forgotten");
        let runs = self.it.command.is_some() && !self.bench.machine.anything_may_live();
        assert!(!runs, "a command is forgotten: {:?}", self.it.command);
    }

    fn hear(&mut self, now: Moment, event: &Event) {
        let it = &mut self.it;
        match event {
            Event::Elected(succession) if self.role == Role::Standby => it.succession = succession.epoch,
            Event::LockGranted { over: true, recorded, write_back } if it.awaited && !it.called_off => {
                (it.locked, it.succession) = (Some(recorded.epoch), recorded.epoch);
                it.write_back = *write_back;
            }
            Event::CalledOff => {
                (it.awaited, it.called_off) = (false, false);
                it.locked = it.locked.filter(|_| it.asked || it.claim.is_some());
            }
            Event::LockAcquired { recorded, write_back } if it.asked => {
                it.locked = it.locked.or(Some(recorded.epoch));
                it.write_back = *write_back;
            }
            Event::Claimed { epoch, sent } if it.claim == Some(*epoch) => {
                it.claimed = true;
                it.lease = it.lease.or(Some(*sent + LEASE));
            }
            Event::Renewed { sent } if it.lease.is_some_and(|lease| now < lease) => {
                it.lease = it.lease.max(Some(*sent + LEASE));
            }
            Event::Granted { until } => it.lease = it.lease.map(|lease| lease.min(*until)),
            Event::RecordWritten { epoch } if it.claim == Some(*epoch) => it.recorded = true,
            Event::GuardianLost => {
                it.unwritten |= it.write_back && !it.closed && (it.tree || it.command.is_some());
                it.guardian_lost = true;
                it.closed = true;
                (it.awaited, it.called_off) = (false, false);
            }
            Event::Exited => it.dying = true,
            Event::TreeDead if it.dying => {
                it.tree = false;
                it.command = None;
            }
            Event::PredecessorFenced { epoch, .. } if it.command == Some(("fence", *epoch)) => it.command = None,
            Event::Prepared { epoch, .. } if it.command == Some(("prepare", *epoch)) => it.command = None,
            Event::Tidied if it.command == Some(("tidy", 0)) => it.command = None,
            Event::LockClosed { clean } if it.closing => {
                it.unwritten |= !clean && !it.closed;
                it.closed = true;
            }
            Event::Fenced { clean } => {
                it.unwritten |= !clean && !it.closed;
                it.tree = false;
                it.command = None;
                it.closed = true;
            }
            _ => {}
        }
    }

    fn check(&mut self, now: Moment, action: &Action) {
        let it = &mut self.it;
        match action {
            Action::Announce(change) => {
                assert_eq!(change.from, self.role);
                assert!(legal(change.from, change.to));
                self.role = change.to;
                if change.from == Role::Standby {
                    let Leadership { succession, awaited, called_off, locked, write_back, .. } = *it;
                    *it = Leadership { succession, awaited, called_off, write_back, ..Leadership::default() };
                    it.locked = locked.filter(|_| awaited && !called_off);
                }
            }
            Action::AwaitLock { until } => {
                assert!(!it.called_off && *until > now, "waits for what it has called off");
                assert_eq!(self.role, Role::Standby);
                it.awaited = true;
            }
            Action::CallOff => {
                assert!(it.awaited && !it.called_off, "there is nothing to call off");
                it.called_off = true;
            }
            Action::AcquireLock => {
                assert!(!it.called_off, "asked for the lock before it was let go of");
                (it.awaited, it.locked) = (false, None);
                assert!(!it.asked, "asked for the lock twice");
                it.asked = true;
                it.guardian_lost = false;
                it.closed = false;
            }
            Action::Claim { epoch } => {
                let recorded = it.locked.expect("no claim without the lock");
                assert!(*epoch > it.succession && *epoch > recorded, "an epoch that does not grow");
                assert_eq!(it.claim, None, "claimed twice");
                it.claim = Some(*epoch);
            }
            Action::FencePredecessor { epoch, .. } => it.command = Some(("fence", *epoch)),
            Action::RunBeforeStart { epoch } => it.command = Some(("prepare", *epoch)),
            Action::RunAfterStop => {
                assert!(!it.tree, "tidied up after what lives");
                it.command = Some(("tidy", 0));
                it.dying = false;
            }
            Action::Start { epoch, deadline } => {
                assert_eq!(it.command, None, "a command runs beside the start");
                assert!(it.locked.is_some() && !it.closed && !it.closing && !it.guardian_lost, "no lock");
                assert!(it.claimed && it.recorded && it.claim == Some(*epoch), "no epoch");
                assert_eq!(it.lease, Some(*deadline));
                assert!(deadline.since(now) >= LEAST, "not enough lease");
                assert!(!it.tree, "the former tree lives");
                it.tree = true;
                it.dying = false;
                self.starts += 1;
            }
            Action::StopTree | Action::KillTree | Action::KillOrphans => it.dying = true,
            Action::CloseLock(_) => {
                assert!(!it.tree, "the lock is closed while the tree lives");
                assert_eq!(it.command, None, "the lock is closed while a command of this leadership lives");
                it.closing = true;
            }
            Action::Resign { clean: true, .. } => {
                assert!(!it.tree, "clean while the tree lives");
                assert_eq!(it.command, None, "clean while a command of this leadership lives");
                assert!(!it.unwritten, "clean although what it wrote may arrive late");
                assert!(!it.asked || it.closed, "clean while the lock is held");
            }
            Action::SetDeadline(deadline) => {
                let latest = if it.claimed { it.lease } else { Some(now + LEASE) };
                assert!(Some(*deadline) <= latest, "a deadline that no acknowledgement supports");
            }
            Action::Exit(_) => self.exited = true,
            _ => {}
        }
    }

    fn play(&mut self, moves: Vec<(u64, Move)>) {
        for (time, step) in moves {
            self.bench.now = self.bench.now + Duration::from_millis(time);
            match step {
                Move::Answer => {
                    let event = self.unanswered.pop_front().unwrap_or(Event::Renewed { sent: self.bench.now });
                    self.tell(event);
                }
                Move::Any { kind, epoch, ago, yes } => self.tell(event(self.bench.now, kind, epoch, ago, yes)),
                Move::Deadline => {
                    if let Some((deadline, _)) = self.bench.machine.deadline() {
                        self.bench.now = self.bench.now.max(deadline);
                    }
                    self.tell(Event::TimePassed);
                }
            }
        }
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (any::<[bool; 8]>(), 0u32..3).prop_map(
        |([fencing, required, frees, watchdog, before, after, probed, exit], max)| Rules {
            fencing,
            fencing_required: required,
            fencing_frees_lock: frees,
            watchdog_required: watchdog,
            before_start: before,
            after_stop: after,
            probed,
            exit_after_loss: exit,
            restarts: Restarts { max, within: seconds(30) },
            ..plain()
        },
    )
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_told_the_orders_are_safe(rules in any_rules(), moves in moves()) {
        Observer::new(rules).play(moves);
    }

    #[test]
    fn a_stop_ends_in_an_exit_from_everywhere(rules in any_rules(), moves in moves()) {
        let mut observer = Observer::new(rules);
        observer.play(moves);
        observer.tell(Event::StopRequested);
        for _ in 0..4 {
            for event in [Event::TreeDead, Event::Tidied, Event::LockClosed { clean: true }, Event::Resigned] {
                observer.tell(event);
            }
        }
        prop_assert!(observer.exited, "{:?}", observer.bench.machine);
    }

    #[test]
    fn time_alone_never_makes_it_spin(rules in any_rules(), moves in moves()) {
        let mut observer = Observer::new(rules);
        observer.play(moves);
        for _ in 0..30 {
            let Some((deadline, _)) = observer.bench.machine.deadline() else { break };
            observer.bench.now = deadline;
            // `tell` asserts that the next deadline lies after this one.
            observer.tell(Event::TimePassed);
        }
    }
}

/// The properties would hold for a machine that never does anything, too.
#[test]
fn the_moves_do_reach_a_start() {
    let mut observer = Observer::new(full());
    observer.play(vec![(0, Move::Answer); 40]);
    assert!(observer.starts > 0);
}
