//! What people want of a node, and what it does about it.

use super::*;
use crate::intents::{Control, Ended, Intended, Pause, Switchover, WantedState, Wish};
use crate::status::{ActiveView, HistoryEntry, Member, NodeState, StatusWord};

const DRAIN: &str = "\n[drain]\ngrace_period = \"10s\"\ncommand = [\"/bin/in-flight\"]\ntimeout = \"1m\"\n";

fn wish() -> Wish {
    Wish { by: "alice".to_owned(), at: "2026-01-02T03:04:05Z".to_owned(), reason: Some("a new kernel".to_owned()) }
}

fn wanted(state: NodeState) -> Intended {
    let wanted = WantedState { state, now: false, wish: wish(), until: None };
    Intended { states: [("a".to_owned(), (wanted, 3))].into(), ..Intended::default() }
}

fn told(bench: &mut Bench, intended: Intended) -> String {
    bench.fact(Fact::Intended(Box::new(intended)))
}

fn switchover(to: &str, epoch: u64, asked: u64) -> Intended {
    let switchover =
        Switchover { to: to.to_owned(), not_before: None, expect_epoch: epoch, now: false, wish: wish(), asked };
    let control = Control { switchover: Some(switchover), ..Control::default() };
    Intended {
        control,
        version: Some(i32::try_from(asked).unwrap()),
        written: 100 + i64::try_from(asked).unwrap(),
        ..Intended::default()
    }
}

/// Another member, by this node's own.
fn member(bench: &Bench, node: &str, place: u32, change: impl FnOnce(&mut Member)) -> Member {
    let mut member = bench.node.facts.member(&bench.node.machine, bench.now);
    node.clone_into(&mut member.row.node);
    member.row.eligible = true;
    member.election_node = Some(format!("/election/_c_x-latch-{place:010}"));
    change(&mut member);
    member
}

fn cluster(bench: &mut Bench, active: &str, epoch: u64, members: Vec<Member>) -> String {
    let api = String::new();
    let active = Some(ActiveView { node: active.to_owned(), api, epoch, endpoints: Default::default() });
    let view = ClusterView { epoch: Some(epoch), active, members, ..ClusterView::default() };
    bench.fact(Fact::Cluster(Box::new(view)))
}

/// So many seconds with a heartbeat in each.
fn lead_on(bench: &mut Bench, seconds: u32) -> String {
    let mut words = Vec::new();
    for _ in 0..seconds {
        bench.renew();
        words.push(bench.pass(Duration::from_secs(1)));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

fn will() -> LastWill {
    LastWill {
        zookeeper: crate::guardian::protocol::ZooKeeperAccess {
            servers: String::new(),
            session_timeout: Duration::from_secs(10),
            digest: None,
            tls: None,
            addresses: Default::default(),
        },
        election_node: String::new(),
        breadcrumb: None,
        session: None,
        epoch: None,
        also_delete: Vec::new(),
    }
}

fn ordered(bench: &Bench) -> Option<crate::intents::Change> {
    bench.wanted.iter().find_map(|output| match output {
        Output::Election(ElectionOrder::Intend(change)) => Some((**change).clone()),
        _ => None,
    })
}

#[test]
fn a_node_that_does_not_know_what_is_wanted_of_it_does_not_stand() {
    let mut node = Node::new(config(""), identity(), at(Moment::from_millis(1)));
    while node.poll_output().is_some() {}
    assert!(!node.machine().rules().may_stand);
    node.hear(at(Moment::from_millis(2)), Input::Election(Fact::Intended(Box::default())));
    assert!(node.machine().rules().may_stand);
}

#[test]
fn an_isolated_node_does_not_stand_after_a_restart_either() {
    let mut bench = Bench::new("");
    told(&mut bench, wanted(NodeState::Isolated));
    bench.guardian();
    bench.connected();
    assert_eq!(bench.volume(None), "");
    let server = bench.node.snapshot(bench.now).server;
    assert_eq!((server.state, server.status), (NodeState::Isolated, StatusWord::Isolated));
    assert!(server.reason.contains("alice: a new kernel"), "{}", server.reason);
    assert_eq!(told(&mut bench, Intended::default()), "Stand");
}

#[test]
fn who_is_to_be_isolated_drains_first_and_says_what_is_in_flight() {
    let mut bench = Bench::started(DRAIN);
    assert_eq!(told(&mut bench, wanted(NodeState::Isolating)), "");
    let server = bench.node.snapshot(bench.now).server;
    assert_eq!((server.state, server.status), (NodeState::Isolating, StatusWord::Isolating));
    assert_eq!(bench.node.facts.service(&bench.node.machine), None, "it serves nobody new");
    assert_eq!(lead_on(&mut bench, 10), "Run(drain.command)");
    let outcome = |code| CommandOutcome::Ended(ExitStatus::Code(code));
    assert_eq!(bench.report(Report::CommandEnded { id: 1, outcome: outcome(1) }), "");
    let reason = bench.node.snapshot(bench.now).server.reason;
    assert!(reason.contains("draining; drain.command: "), "{reason}");
    assert_eq!(lead_on(&mut bench, 1), "Run(drain.command)");
    assert_eq!(bench.report(Report::CommandEnded { id: 2, outcome: outcome(0) }), "Stop");
    bench.report(Report::TreeDead);
    bench.report(Report::LockClosed { clean: true });
    bench.fact(Fact::Resigned);
    let change = ordered(&bench).expect("what has become of it is kept");
    let (version, state) = &change.states["a"];
    assert_eq!((*version, state.as_ref().unwrap().state), (Some(3), NodeState::Isolated));
}

#[test]
fn a_drain_that_takes_too_long_is_cut_short() {
    let mut bench = Bench::started(DRAIN);
    told(&mut bench, wanted(NodeState::Isolating));
    assert_eq!(lead_on(&mut bench, 10), "Run(drain.command)");
    assert_eq!(lead_on(&mut bench, 60), "Stop");
}

#[test]
fn who_is_let_back_in_while_it_drains_leads_on() {
    let mut bench = Bench::started(DRAIN);
    told(&mut bench, wanted(NodeState::Isolating));
    told(&mut bench, Intended::default());
    assert_eq!(lead_on(&mut bench, 90), "");
    assert_eq!(bench.role(), Role::Active);
    assert_eq!(bench.node.snapshot(bench.now).server.state, NodeState::Active);
}

#[test]
fn a_shutdown_is_taken_out_of_the_store_and_ends_the_process_in_order() {
    let mut bench = Bench::standing("");
    told(&mut bench, wanted(NodeState::ShuttingDown));
    assert_eq!(ordered(&bench).unwrap().states["a"], (Some(3), None));
    assert!(bench.wanted.iter().any(|it| matches!(it, Output::Election(ElectionOrder::Resign { .. }))));
    // What is asked for afterwards comes too late.
    told(&mut bench, Intended::default());
    bench.fact(Fact::Resigned);
    assert!(bench.wanted.iter().any(|it| matches!(it, Output::Election(ElectionOrder::Close))), "{:?}", bench.wanted);
}

#[test]
fn the_active_node_stops_only_on_an_answer_to_the_question_that_it_has_just_asked() {
    let mut bench = Bench::started("");
    let b = member(&bench, "b", 9, |_| {});
    cluster(&mut bench, "a", 7, vec![b.clone()]);
    told(&mut bench, switchover("b", 7, 0));
    let change = ordered(&bench).expect("the target is asked");
    let (version, control) = change.control.unwrap();
    assert_eq!((version, control.switchover.unwrap().asked), (Some(0), 1));
    // It was ready for something that was written before.
    let old = Member { ready_for: Some(100), ..b.clone() };
    cluster(&mut bench, "a", 7, vec![old.clone()]);
    told(&mut bench, switchover("b", 7, 1));
    assert_eq!(cluster(&mut bench, "a", 7, vec![old]), "");
    // An answer that comes too late is none, either: it is asked once more.
    bench.renew();
    bench.pass(Duration::from_secs(2));
    let answered = Member { ready_for: Some(101), ..b.clone() };
    assert_eq!(cluster(&mut bench, "a", 7, vec![answered]), "");
    // That this was asked is read when an interval has passed, too.
    told(&mut bench, switchover("b", 7, 2));
    assert_eq!(bench.pass(Duration::ZERO), "");
    told(&mut bench, switchover("b", 7, 3));
    let answered = Member { ready_for: Some(103), ..b };
    assert_eq!(cluster(&mut bench, "a", 7, vec![answered]), "Stop");
}

/// It was frozen, say: the target may be dead since.
#[test]
fn an_active_node_that_learns_late_that_its_question_was_written_asks_again() {
    let mut bench = Bench::started("");
    let b = member(&bench, "b", 9, |_| {});
    cluster(&mut bench, "a", 7, vec![b.clone()]);
    told(&mut bench, switchover("b", 7, 0));
    bench.renew();
    bench.pass(Duration::from_secs(2));
    told(&mut bench, switchover("b", 7, 1));
    let answered = Member { ready_for: Some(101), ..b.clone() };
    assert_eq!(cluster(&mut bench, "a", 7, vec![answered]), "");
    told(&mut bench, switchover("b", 7, 2));
    let answered = Member { ready_for: Some(102), ..b };
    assert_eq!(cluster(&mut bench, "a", 7, vec![answered]), "Stop");
}

#[test]
fn a_target_that_does_not_get_ready_costs_nobody_anything() {
    let mut bench = Bench::started("");
    let b = member(&bench, "b", 9, |b| b.row.eligible = false);
    cluster(&mut bench, "a", 7, vec![b]);
    told(&mut bench, switchover("b", 7, 0));
    assert!(!lead_on(&mut bench, 29).contains("Stop"));
    let mut words = String::new();
    let mut ended = None;
    for _ in 0..3 {
        words += &lead_on(&mut bench, 1);
        ended = ended.or_else(|| ordered(&bench));
    }
    let Some(crate::intents::Change { control: Some((Some(0), control)), .. }) = ended else { panic!("{ended:?}") };
    let Some(Ended { failed: Some(why), .. }) = control.ended else { panic!("it says why") };
    assert!(why.contains("b was not ready within 30 s"), "{why}");
    assert_eq!((control.switchover, bench.role()), (None, Role::Active));
}

#[test]
fn a_target_answers_only_when_it_is_the_next_one_and_able() {
    let mut bench = Bench::standing("");
    let active = member(&bench, "b", 1, |_| {});
    cluster(&mut bench, "b", 6, vec![active.clone()]);
    told(&mut bench, switchover("a", 6, 1));
    assert_eq!(bench.node.facts.ready_for, None, "who stands before it is not known");
    bench.fact(Fact::Behind { election_node: "/election/a-stranger-latch-0000000002".to_owned(), next: None });
    bench.pass(Duration::ZERO);
    assert_eq!(bench.node.facts.ready_for, None, "a stranger would be the next one");
    bench.fact(Fact::Behind { election_node: active.election_node.unwrap(), next: None });
    assert_eq!(bench.node.facts.ready_for, Some(101));
    bench.volume(Some("read-only"));
    assert_eq!(bench.node.facts.ready_for, None);
}

#[test]
fn who_stands_before_the_target_makes_room_once() {
    let mut bench = Bench::standing("");
    let (active, target) = (member(&bench, "b", 1, |_| {}), member(&bench, "c", 5, |_| {}));
    let will = |place: u32| {
        let election_node = format!("/election/_c_y-latch-{place:010}");
        Fact::Queued(Box::new(LastWill { election_node, ..will() }))
    };
    bench.fact(will(3));
    cluster(&mut bench, "b", 6, vec![active.clone(), target.clone()]);
    assert_eq!(told(&mut bench, switchover("c", 6, 0)), "Yield");
    assert_eq!(cluster(&mut bench, "b", 6, vec![active.clone(), target.clone()]), "");
    bench.fact(will(6));
    assert_eq!(bench.pass(Duration::from_secs(3)), "");
}

#[test]
fn after_a_switchover_no_priority_counts_but_the_target() {
    use crate::election::port::OtherCandidate;
    let others = |node: &str| vec![OtherCandidate { node: node.to_owned(), priority: 900, eligible: true }];
    for (to, others, yields) in [("a", others("b"), false), ("b", others("b"), true), ("c", others("b"), false)] {
        let mut bench = Bench::standing("");
        told(&mut bench, switchover(to, 6, 3));
        let outcome = ElectionOutcome { epoch: 6, others, ..ElectionOutcome::default() };
        let words = bench.fact(Fact::Elected(Box::new(outcome)));
        assert_eq!(words.contains("Yield"), yields, "to {to}: {words}");
    }
}

#[test]
fn whoever_leads_afterwards_takes_the_intent_away() {
    let mut bench = Bench::started("");
    told(&mut bench, switchover("b", 6, 3));
    let (_, control) = ordered(&bench).unwrap().control.unwrap();
    assert_eq!((control.switchover, control.ended.unwrap().failed), (None, None));
}

#[test]
fn a_pause_ends_by_the_servers_clock_and_by_one_node() {
    for (active, ends_it) in [("a", true), ("b", false)] {
        let mut bench = if ends_it { Bench::started("") } else { Bench::standing("") };
        let b = member(&bench, "b", 9, |_| {});
        cluster(&mut bench, active, 7, vec![b]);
        let until = "2026-01-02T03:04:05Z".to_owned();
        let server = humantime::parse_rfc3339(&until).unwrap() - Duration::from_secs(5);
        bench.fact(Fact::Stamped { at: bench.now, server });
        let control = Control { paused: Some(Pause { wish: wish(), until: Some(until) }), ..Control::default() };
        told(&mut bench, Intended { control, version: Some(4), ..Intended::default() });
        assert_eq!(ordered(&bench), None);
        let mut change = None;
        for _ in 0..7 {
            lead_on(&mut bench, 1);
            change = change.or_else(|| ordered(&bench));
        }
        assert_eq!(change.map(|change| change.control.unwrap().1.paused.is_none()), ends_it.then_some(true));
    }
}

/// What the history is told of the end of a leadership.
fn told_end(bench: &Bench) -> HistoryEntry {
    let found = bench.wanted.iter().find_map(|output| match output {
        Output::Election(ElectionOrder::Resign { ended: Some(entry), .. }) => Some(entry.clone()),
        _ => None,
    });
    found.expect("the leadership's end is told")
}

fn end_in_order(bench: &mut Bench) -> HistoryEntry {
    bench.report(Report::TreeDead);
    bench.report(Report::LockClosed { clean: true });
    told_end(bench)
}

#[test]
fn an_end_is_told_with_who_asked_for_it_and_never_with_who_asked_for_an_earlier_one() {
    let mut bench = Bench::started("");
    told(&mut bench, wanted(NodeState::Isolated));
    let entry = end_in_order(&mut bench);
    assert_eq!((entry.by.as_deref(), entry.reason.as_deref()), (Some("alice"), Some("a new kernel")));
    // Of a standby that was taken out once nothing is left when it leads and is stopped by a signal.
    let mut bench = Bench::standing("");
    told(&mut bench, wanted(NodeState::Isolated));
    bench.fact(Fact::Resigned);
    assert_eq!(told(&mut bench, Intended::default()), "Stand");
    let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), ..ElectionOutcome::default() };
    bench.fact(Fact::Elected(Box::new(outcome)));
    bench.report(Report::LockAcquired { volume: "v".to_owned(), record: None, write_back: false });
    bench.report(Report::RecordWritten { epoch: 7 });
    let now = bench.now;
    bench.fact(Fact::Claimed { epoch: 7, counts_from: now, last_will: None });
    bench.report(Report::Started { pid: 8, holds_lock: true });
    assert_eq!(bench.hear(Input::StopAsked { signal: StopSignal::Terminate }), "Stop");
    assert_eq!(end_in_order(&mut bench).by, None);
}

fn scheduled(at: &str) -> Intended {
    let mut intended = switchover("b", 7, 0);
    intended.control.switchover.as_mut().unwrap().not_before = Some(at.to_owned());
    intended
}

#[test]
fn a_switchover_for_later_begins_when_the_servers_say_so_and_one_that_is_too_late_never() {
    let due = "2026-01-02T03:04:05Z";
    let server = humantime::parse_rfc3339(due).unwrap();
    let mut bench = Bench::started("");
    let b = member(&bench, "b", 9, |_| {});
    cluster(&mut bench, "a", 7, vec![b.clone()]);
    told(&mut bench, scheduled(due));
    lead_on(&mut bench, 3);
    assert_eq!(ordered(&bench), None, "while the servers' clock is not known nothing is due");
    let now = bench.now;
    bench.fact(Fact::Stamped { at: now, server: server - Duration::from_secs(5) });
    lead_on(&mut bench, 4);
    assert_eq!(ordered(&bench), None);
    let mut asked = None;
    for _ in 0..2 {
        lead_on(&mut bench, 1);
        asked = asked.or_else(|| ordered(&bench));
    }
    assert_eq!(asked.unwrap().control.unwrap().1.switchover.unwrap().asked, 1);

    let mut bench = Bench::started("");
    cluster(&mut bench, "a", 7, vec![b]);
    let now = bench.now;
    bench.fact(Fact::Stamped { at: now, server: server + Duration::from_secs(61) });
    told(&mut bench, scheduled(due));
    let control = ordered(&bench).unwrap().control.unwrap().1;
    assert!(control.ended.unwrap().failed.unwrap().contains("more than a minute"));
    assert_eq!((control.switchover, bench.role()), (None, Role::Active));
}

#[test]
fn a_switchover_drains_first_and_the_targets_time_counts_from_there() {
    let mut bench = Bench::started(DRAIN);
    let b = member(&bench, "b", 9, |_| {});
    cluster(&mut bench, "a", 7, vec![b]);
    let mut intended = switchover("b", 7, 0);
    intended.control.switchover.as_mut().unwrap().now = false;
    assert_eq!(told(&mut bench, intended), "Run(drain.command)");
    assert_eq!(lead_on(&mut bench, 40), "", "it still drains");
    let empty = CommandOutcome::Ended(ExitStatus::Code(0));
    bench.report(Report::CommandEnded { id: 1, outcome: empty });
    let control = ordered(&bench).expect("now the target is asked").control.unwrap().1;
    assert_eq!(control.switchover.unwrap().asked, 1);
}

#[test]
fn a_pause_ends_a_switchover_that_has_not_stopped_anybody() {
    let mut bench = Bench::started("");
    let b = member(&bench, "b", 9, |_| {});
    cluster(&mut bench, "a", 7, vec![b]);
    let mut intended = switchover("b", 7, 0);
    intended.control.paused = Some(Pause { wish: wish(), until: None });
    told(&mut bench, intended);
    let control = ordered(&bench).unwrap().control.unwrap().1;
    assert!(control.ended.unwrap().failed.unwrap().contains("paused"));
    assert!(control.paused.is_some() && control.switchover.is_none());
}
