//! What holds whatever a node hears, in whatever order: also stale, doubled and contradictory words.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::election::port::{Loss, OtherCandidate};
use crate::guardian::protocol::{LockRecord, StuckProcess, WatchdogView};
use crate::intents::{Asked, Intended, Pause, Switchover, WantedState, Wish};
use crate::role::{End, Phase};
use crate::status::{Member, NodeState, PeerResult, PeerTest};

/// Something to hear; the numbers give its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub kind: u8,
    pub number: u64,
    pub yes: bool,
    /// Time passes before, in ms.
    pub after: u64,
}

/// Words from here on are answers to what the node has ordered.
pub(super) const ANSWER: u8 = 52;

pub(super) fn words() -> impl Strategy<Value = Vec<Word>> {
    let after = prop_oneof![6 => Just(0u64), 3 => 0u64..1_500, 1 => 0u64..30_000];
    // Every other word is what the node waits for: without that nobody gets far.
    let word = (0..2 * ANSWER, 0u64..10, any::<bool>(), after);
    prop::collection::vec(word.prop_map(|(kind, number, yes, after)| Word { kind, number, yes, after }), 1..150)
}

pub(super) fn input(now: Moment, Word { kind, number, yes, .. }: Word) -> Input {
    let said = |report| Input::Guardian(GuardianInput::Report(Box::new(report)));
    let told = Input::Election;
    let text = || format!("text {number}");
    let sent = now - Duration::from_millis(number * 1_000);
    match kind {
        0 => Input::Guardian(GuardianInput::Spawned { pid: 7, started: number }),
        1 => Input::Guardian(GuardianInput::NotStarted(text())),
        2 => Input::Guardian(GuardianInput::Lost(text())),
        3 | 4 => said(Report::Ready { pid: 7 }),
        5 | 6 => {
            let problem = (!yes).then(text);
            said(Report::Volume(VolumeView { problem, missing: number == 1, ..VolumeView::default() }))
        }
        7 => said(Report::Watchdog(WatchdogView { problem: (!yes).then(text), ..WatchdogView::default() })),
        8 | 9 => {
            let record = yes.then(|| LockRecord::of("b", number));
            said(Report::LockAcquired { volume: "v".to_owned(), record, write_back: number == 1 })
        }
        10 => said(Report::LockRefused { holder: yes.then(|| LockRecord::of("b", number)) }),
        11 | 12 => said(Report::RecordWritten { epoch: number }),
        13 => said(Report::VolumeUnusable { problem: text() }),
        14 => said(Report::VolumeLost { problem: text() }),
        15 => said(Report::Probed { started: sent, took: Duration::from_millis(number), free_bytes: number }),
        16 | 17 => said(Report::Started { pid: 8, holds_lock: yes }),
        18 => said(Report::StartFailed { problem: text() }),
        19 => said(Report::Exited { status: ExitStatus::Code(1) }),
        20 => {
            let outcome = if yes { CommandOutcome::Ended(ExitStatus::Code(0)) } else { CommandOutcome::Killed };
            said(Report::CommandEnded { id: number, outcome })
        }
        21 => said(Report::TreeDead),
        22 => {
            let process = StuckProcess { pid: 1, command: text(), waits_in: text() };
            said(Report::Stuck { processes: vec![process] })
        }
        23 => said(Report::LockClosed { clean: yes }),
        24 => said(Report::Fenced { deadline: now, clean: yes }),
        25 => said(Report::Pong { number }),
        26 => said(Report::Remark { text: text() }),
        27 | 28 => {
            let timeout = Duration::from_secs(if yes { 10 } else { number });
            told(Fact::Connected { session: Some(text()), timeout, asked: sent })
        }
        29 => told(Fact::Disconnected { reason: text() }),
        30 | 31 => {
            let other = OtherCandidate { node: "b".to_owned(), priority: 200, eligible: yes };
            let others = if number == 1 { vec![other] } else { Vec::new() };
            told(Fact::Elected(Box::new(ElectionOutcome {
                epoch: number,
                paused: number == 2,
                others,
                ..ElectionOutcome::default()
            })))
        }
        32 | 33 => told(Fact::Claimed { epoch: number, counts_from: sent, last_will: None }),
        34 => told(Fact::ClaimRefused { reason: text() }),
        35 => told(Fact::Renewed { sent, counts_from: sent, acknowledged: now }),
        36 => told(Fact::Lost(if yes { Loss::NodeDeleted } else { Loss::Backend(text()) })),
        37 => told(Fact::Resigned),
        38 => {
            let members = if yes { vec![member(number)] } else { Vec::new() };
            told(Fact::Cluster(Box::new(ClusterView { epoch: Some(7), members, ..ClusterView::default() })))
        }
        39 => Input::OrphansDead { leadership: number },
        40 => Input::Answered { question: number, answer: if yes { Ok(()) } else { Err(text()) } },
        41 => {
            let result = if yes { PeerResult::Verified } else { PeerResult::Failed };
            let test = PeerTest { result, with: None, volume: None, at: String::new(), detail: text() };
            Input::PeerTested { node: "b".to_owned(), test }
        }
        42 if number == 0 => Input::StopAsked { signal: StopSignal::Terminate },
        42 if number == 1 => Input::ElectionEnded,
        42 => Input::ReloadAsked,
        43..47 => told(Fact::Intended(Box::new(intended(number, yes)))),
        47 => told(Fact::Behind { election_node: format!("latch-{number}"), next: next(number, yes) }),
        48 => told(Fact::Stamped { at: now, server: SystemTime::UNIX_EPOCH + Duration::from_secs(number) }),
        50 if number < 2 => Input::Asked(Asked::Upgrade { number, by: text(), reason: None }),
        50 if number == 2 => Input::ProgramChecked(if yes { Ok(text()) } else { Err(text()) }),
        49 if number < 3 => Input::Asked(Asked::State(WantedState::plain(STATES[usize::from(yes)]))),
        _ => Input::TimePassed,
    }
}

/// What may be found behind an active node.
fn next(number: u64, yes: bool) -> Option<Box<ElectionOutcome>> {
    let (epoch, paused) = (number, number == 2);
    yes.then(|| Box::new(ElectionOutcome { epoch, paused, ..ElectionOutcome::default() }))
}

const STATES: [NodeState; 2] = [NodeState::Isolating, NodeState::Active];

/// What people want, in the number's own way; written by a transaction of that number.
fn intended(number: u64, yes: bool) -> Intended {
    let wish = Wish::default();
    let until = yes.then(|| "1970-01-01T00:00:05Z".to_owned());
    let switchover = |to: &str| Switchover {
        to: to.to_owned(),
        not_before: (number == 4).then(|| "1970-01-01T00:00:03Z".to_owned()),
        expect_epoch: if number == 3 { 6 } else { 7 },
        now: yes,
        wish: Wish::default(),
        asked: number,
    };
    let mut intended = Intended { written: i64::try_from(number).unwrap(), ..Intended::default() };
    match number {
        0 => intended.control.paused = Some(Pause { wish, until }),
        1 | 2 => {
            let wanted = WantedState { state: STATES[0], now: yes, wish, until };
            intended.states.insert("a".to_owned(), (wanted, 1));
        }
        3..8 => intended.control.switchover = Some(switchover(if number == 7 { "a" } else { "b" })),
        _ => {}
    }
    intended
}

/// Another node, on a host that has been booted so often.
fn member(boots: u64) -> Member {
    let mut process = identity().process;
    process.boot_id = boots.to_string();
    serde_json::from_value(serde_json::json!({
        "node": "b", "role": "standby", "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "", "ready": false,
        "api": "http://b:1", "priority": 100, "version": "0", "eligible": true, "reason": "", "process": process,
        "election_node": format!("latch-{boots}"), "ready_for": boots,
    }))
    .unwrap()
}

/// What comes of an order if all goes well.
pub(super) fn answers(output: &Output, now: Moment) -> Vec<Input> {
    let said = |report| Input::Guardian(GuardianInput::Report(Box::new(report)));
    let told = Input::Election;
    let well = CommandOutcome::Ended(ExitStatus::Code(0));
    match output {
        Output::StartGuardian(_) => vec![
            Input::Guardian(GuardianInput::Spawned { pid: 7, started: 1 }),
            told(Fact::Connected { session: None, timeout: Duration::from_secs(10), asked: now }),
            said(Report::Ready { pid: 7 }),
            said(Report::Volume(VolumeView::default())),
        ],
        Output::Election(ElectionOrder::Stand) => {
            vec![told(Fact::Elected(Box::new(ElectionOutcome { epoch: 6, ..ElectionOutcome::default() })))]
        }
        Output::Election(ElectionOrder::Claim { breadcrumb, .. }) => {
            vec![told(Fact::Claimed { epoch: breadcrumb.epoch, counts_from: now, last_will: None })]
        }
        Output::Election(ElectionOrder::Intend(change)) => {
            let Some((_, control)) = &change.control else { return Vec::new() };
            let asked = 100 + control.switchover.as_ref().map_or(0, |switchover| switchover.asked);
            let written = i64::try_from(asked).unwrap();
            let seen = Intended { control: control.clone(), written, ..Intended::default() };
            let view = ClusterView { epoch: Some(7), members: vec![member(asked)], ..ClusterView::default() };
            vec![told(Fact::Intended(Box::new(seen))), told(Fact::Cluster(Box::new(view)))]
        }
        Output::Election(ElectionOrder::Resign { .. }) => vec![told(Fact::Resigned)],
        Output::Election(ElectionOrder::Close) => vec![Input::ElectionEnded],
        Output::Guardian(GuardianOrder::AcquireLock { .. }) => {
            vec![said(Report::LockAcquired { volume: "v".to_owned(), record: None, write_back: false })]
        }
        Output::Guardian(GuardianOrder::WriteRecord(record)) => {
            vec![said(Report::RecordWritten { epoch: record.epoch })]
        }
        Output::Guardian(GuardianOrder::Run(command)) => {
            vec![said(Report::CommandEnded { id: command.id, outcome: well })]
        }
        Output::Guardian(GuardianOrder::Start { .. }) => vec![said(Report::Started { pid: 8, holds_lock: true })],
        Output::Guardian(GuardianOrder::Stop | GuardianOrder::Kill) => vec![said(Report::TreeDead)],
        Output::Guardian(GuardianOrder::CloseLock { .. }) => vec![said(Report::LockClosed { clean: true })],
        Output::Guardian(GuardianOrder::Ping { number }) => vec![said(Report::Pong { number: *number })],
        Output::Ask { question, .. } => vec![Input::Answered { question: *question, answer: Ok(()) }],
        Output::CheckProgram => vec![Input::ProgramChecked(Ok("1".to_owned()))],
        _ => Vec::new(),
    }
}

/// What was said since the guardian that there is was started.
#[derive(Default)]
struct Books {
    ready: bool,
    volume: bool,
    locked: bool,
    recorded: BTreeSet<u64>,
    claimed: BTreeSet<u64>,
    switchovers: u32,
    upgrades: u32,
}

impl Books {
    fn hear(&mut self, input: &Input) {
        match input {
            Input::Guardian(GuardianInput::Report(report)) => match &**report {
                Report::Ready { .. } => self.ready = true,
                Report::Volume(view) => self.volume = view.problem.is_none() || view.missing,
                Report::LockAcquired { .. } => self.locked = true,
                Report::RecordWritten { epoch } => drop(self.recorded.insert(*epoch)),
                _ => {}
            },
            Input::Election(Fact::Claimed { epoch, .. }) => drop(self.claimed.insert(*epoch)),
            _ => {}
        }
    }

    /// `stood`: it stood in the queue already, and only looks again.
    fn check(&mut self, output: &Output, stood: bool) {
        match output {
            Output::StartGuardian(_) => {
                *self = Self { switchovers: self.switchovers, upgrades: self.upgrades, ..Self::default() };
            }
            Output::Election(ElectionOrder::Stand) if !stood => {
                assert!(self.ready && self.volume, "it stands on what another guardian has seen");
            }
            Output::Guardian(GuardianOrder::Start { epoch, .. }) => {
                assert!(self.locked, "it starts without the lock");
                assert!(self.recorded.contains(epoch) && self.claimed.contains(epoch), "it starts without the epoch");
            }
            _ => {}
        }
    }
}

/// Lets a node hear something, and judges what it wants; answers whether it has come to its end.
fn judge(bench: &mut Bench, books: &mut Books, input: Input) -> bool {
    books.hear(&input);
    let stood = bench.node.machine().phase(bench.now) == Phase::Standing;
    let before = bench.wanted.len();
    let ending = bench.node.machine().end();
    bench.node.hear(at(bench.now), input);
    bench.collect();
    if ending.is_none() && bench.node.machine().end() == Some(End::Switchover) {
        let (seen, view) = (&bench.node.intents.seen, &bench.node.facts.cluster);
        let wanted = seen.control.switchover.as_ref().expect("nobody steps down for nothing");
        let target = view.members.iter().find(|member| member.row.node == wanted.to);
        let answered = target.and_then(|target| target.ready_for);
        assert_eq!(answered, Some(seen.written), "it stops on an answer to another question");
        books.switchovers += 1;
    }
    let mut ended = false;
    for output in &bench.wanted[before..] {
        let words_for_people = matches!(output, Output::Say(_) | Output::Publish | Output::Status(_));
        assert!(!ended || words_for_people, "{output:?} is wanted after its end");
        books.check(output, stood);
        ended |= matches!(output, Output::Exit(_) | Output::Execute);
        if matches!(output, Output::Execute) {
            let machine = bench.node.machine();
            assert_eq!((machine.phase(bench.now), machine.lease_until()), (Phase::Finished, None));
            assert!(!machine.anything_may_live(), "something of it is left");
            assert_eq!(bench.node.stops, 0, "a stop has precedence");
            books.upgrades += 1;
        }
    }
    // Nothing that is told to people can fail.
    let _ = bench.node.snapshot(bench.now);
    ended
}

/// Lets a node hear all of them, and judges it throughout.
fn play(words: Vec<Word>, more: &str) -> Books {
    let (mut bench, mut books, mut due) = (Bench::new(more), Books::default(), VecDeque::new());
    for word in words {
        bench.now = bench.now + Duration::from_millis(word.after);
        due.extend(bench.wanted.drain(..).flat_map(|output| answers(&output, bench.now)));
        let input = match word.kind {
            ANSWER.. => due.pop_front().unwrap_or(Input::TimePassed),
            _ => input(bench.now, word),
        };
        if judge(&mut bench, &mut books, input) {
            break;
        }
        // What is due now is done when time is heard, and does not stay due.
        if bench.node.deadline() <= bench.now {
            if (0..2).any(|_| judge(&mut bench, &mut books, Input::TimePassed)) {
                break;
            }
            assert!(bench.node.deadline() > bench.now, "time stands still: {:?}", bench.node.deadline());
        }
    }
    books
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_hears_a_node_orders_in_order_and_wants_nothing_after_its_end(words in words(), probed: bool) {
        play(words, if probed { PROBED } else { "" });
    }
}

/// What is asserted of switchovers and upgrades is asserted of some: the words do lead to them.
#[test]
fn the_words_do_reach_a_switchover_and_an_upgrade() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let all = (0..4_000).map(|_| play(words().new_tree(&mut runner).unwrap().current(), ""));
    let found =
        all.fold((0, 0), |(switchovers, upgrades), books| (switchovers + books.switchovers, upgrades + books.upgrades));
    assert!(found.0 >= 10 && found.1 >= 10, "{found:?}");
}
