//! Every rule convicts what breaks it, and a whole life that keeps them is acquitted.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::election::port::{ElectionOrder, Fact};
use crate::guardian::protocol::{GuardianOrder, LockRecord, PermissionKind, Report};
use crate::moment::Moment;
use crate::node::{GuardianInput, Input, Output};
use crate::recorder::header::{Header, Part};
use crate::recorder::settings::Settings;
use crate::recording::guardian::{Deed, Line, State, What};
use crate::recording::reading::Segment;
use crate::recording::supervisor::ReadLine;
use crate::status::End;
use crate::verify::Verdict;
use crate::verify::recordings::{self, Guardian, Recordings, Supervisor};
use crate::verify::replay::{Elected, Leadership};

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn guardian(node: &str, pid: i32, said: &[(u64, What<'static>)]) -> Guardian {
    let settings = Settings { directory: "/".into(), limit: 0, cluster: "c".to_owned(), node: node.to_owned() };
    let state = State {
        permission: PermissionKind::Lock,
        lock: Some("/volume".into()),
        held: false,
        lost: false,
        written: None,
        deadline: None,
        alive: false,
        ending: false,
    };
    let mut header = Header::new(Part::Guardian, &settings, "boot", at(0), std::time::UNIX_EPOCH, state);
    header.pid = pid;
    let lines = said.iter().map(|(millis, what)| Line { at: at(*millis), what: what.clone() });
    Guardian { path: PathBuf::from(node), header, lines: (2..).zip(lines).collect() }
}

fn acquired(millis: u64, record: Option<u64>) -> (u64, What<'static>) {
    let record = record.map(|epoch| LockRecord::of("z", epoch));
    let report = Report::LockAcquired { volume: "v".to_owned(), record, write_back: false };
    (millis, What::Reported(Cow::Owned(report)))
}

fn reported(millis: u64, report: Report) -> (u64, What<'static>) {
    (millis, What::Reported(Cow::Owned(report)))
}

fn start(millis: u64, epoch: u64, deadline: u64) -> (u64, What<'static>) {
    (millis, What::Heard(Cow::Owned(GuardianOrder::Start { epoch, deadline: at(deadline) })))
}

fn did(millis: u64, deed: Deed) -> (u64, What<'static>) {
    (millis, What::Did(deed))
}

fn forked(millis: u64, epoch: u64) -> (u64, What<'static>) {
    did(millis, Deed::Forked { epoch, told: epoch, checked: at(millis) })
}

fn life(from: u64, epoch: u64) -> Vec<(u64, What<'static>)> {
    vec![
        acquired(from, Some(epoch - 1)),
        reported(from + 1, Report::RecordWritten { epoch }),
        start(from + 2, epoch, from + 1000),
        forked(from + 3, epoch),
        did(from + 50, Deed::SawAllDead),
        did(from + 51, Deed::AskedToClose { proof: true }),
        reported(from + 53, Report::LockClosed { clean: true }),
        did(from + 54, Deed::Left { election_node: None }),
    ]
}

fn judged(guardians: Vec<Guardian>, leaderships: &[Leadership]) -> Vec<&'static str> {
    let recordings = Recordings { guardians, ..Recordings::default() };
    let mut verdict = Verdict::default();
    super::check(&recordings, leaderships, &mut verdict);
    let mut rules: Vec<_> = verdict.contradictions.iter().map(|it| it.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn lives_that_follow_each_other_are_acquitted() {
    let guardians = vec![guardian("a", 1, &life(100, 5)), guardian("b", 2, &life(152, 6))];
    assert!(judged(guardians, &[]).is_empty());
}

#[test]
fn what_a_guardian_may_not_do_is_convicted() {
    type Forgery = fn(&mut Vec<(u64, What<'static>)>);
    let forgeries: [(&str, Forgery); 12] = [
        ("nothing starts without the lock", |life| drop(life.remove(0))),
        ("nothing starts before the record of its epoch is in the lock file", |life| drop(life.remove(1))),
        ("a guardian starts what its supervisor ordered, and nothing else", |life| {
            let ahead = GuardianOrder::SetDeadline { deadline: at(1000) };
            life[2] = (102, What::Heard(Cow::Owned(ahead)));
        }),
        ("a guardian starts only the kind of coordinator that it was made for", |life| {
            life[3] = did(103, Deed::ForkedAlwaysOn);
        }),
        ("nothing starts unless the deadline lies ahead", |life| life[2] = start(102, 5, 103)),
        ("a coordinator is told the epoch that is in the lock file", |life| {
            life[3] = did(103, Deed::Forked { epoch: 5, told: 4, checked: at(103) });
        }),
        ("nothing starts once the lock was lost", |life| {
            life.insert(3, reported(103, Report::VolumeLost { problem: String::new() }));
        }),
        ("nothing starts once the guardian has begun to end", |life| {
            life.insert(3, did(103, Deed::BeganToEnd { cause: End::LeaseExpired.into() }));
        }),
        ("the lock is not closed before everything is dead that ran under it", |life| life.swap(4, 5)),
        ("a guardian leaves only when everything is dead and the lock is closed", |life| life.swap(6, 7)),
        ("an epoch is later than the one that the lock file had", |life| life[0] = acquired(100, Some(5))),
        ("a lock that is held is not acquired again", |life| life.insert(4, acquired(104, Some(5)))),
    ];
    for (rule, forge) in forgeries {
        let mut forged = life(100, 5);
        forge(&mut forged);
        let rules = judged(vec![guardian("a", 1, &forged)], &[]);
        assert!(rules.contains(&rule), "{rule}: {rules:?}");
    }
}

#[test]
fn a_proof_of_what_was_never_recorded_is_convicted() {
    let forged = [acquired(100, Some(4)), did(101, Deed::AskedToClose { proof: true })];
    let rules = judged(vec![guardian("a", 1, &forged)], &[]);
    assert_eq!(rules, ["the proof of an end is given of a record that was written"]);
}

/// A supervisor that has claimed an epoch, heard this, and resigned as a clean one.
fn resigned(heard: &[Input]) -> Vec<&'static str> {
    let settings = Settings { directory: "/".into(), limit: 0, cluster: "c".to_owned(), node: "a".to_owned() };
    let header =
        Header::new(Part::Supervisor, &settings, "boot", at(0), std::time::UNIX_EPOCH, serde_json::Value::Null);
    let claimed = Input::Election(Fact::Claimed { epoch: 5, counts_from: at(1), last_will: None });
    let hear = |heard: &Input| ReadLine::Heard { at: at(1), wall: 0, heard: heard.clone() };
    let resigns = Output::Election(ElectionOrder::Resign { clean: true, ended: None });
    let said = std::iter::once(&claimed).chain(heard).map(hear).chain([ReadLine::Wanted { wanted: resigns }]);
    let lines = (2..).zip(said.map(recordings::Line::Known)).collect();
    let supervisor = Supervisor { segment: Segment { path: PathBuf::from("a"), header, lines }, node: None };
    let recordings = Recordings { supervisors: vec![supervisor], ..Recordings::default() };
    let mut verdict = Verdict::default();
    super::check(&recordings, &[], &mut verdict);
    verdict.contradictions.iter().map(|it| it.rule).collect()
}

#[test]
fn a_clean_resignation_before_the_lock_was_closed_is_convicted() {
    let report = |report| Input::Guardian(GuardianInput::Report(Box::new(report)));
    let rule = "a resignation is clean only once the tree is dead and the lock closed";
    assert_eq!(resigned(&[report(Report::TreeDead)]), [rule]);
    assert_eq!(resigned(&[report(Report::TreeDead), report(Report::LockClosed { clean: false })]), [rule]);
    assert!(resigned(&[report(Report::TreeDead), report(Report::LockClosed { clean: true })]).is_empty());
    assert!(resigned(&[report(Report::Fenced { deadline: at(9), clean: true })]).is_empty());
    assert!(resigned(&[Input::OrphansDead { leadership: 1 }]).is_empty());
}

#[test]
fn a_start_that_was_ordered_once_is_carried_out_once() {
    let mut forged = life(100, 5);
    forged.insert(5, forked(151, 5));
    let rules = judged(vec![guardian("a", 1, &forged)], &[]);
    assert!(rules.contains(&"a guardian starts what its supervisor ordered, and nothing else"), "{rules:?}");
}

#[test]
fn a_lock_that_two_have_and_two_coordinators_at_once_are_convicted() {
    let rules = judged(vec![guardian("a", 1, &life(100, 5)), guardian("b", 2, &life(120, 6))], &[]);
    assert!(rules.contains(&"a lock that is held is granted to nobody else"), "{rules:?}");
    assert!(rules.contains(&"no two coordinators of a cluster live at the same time"), "{rules:?}");
}

#[test]
fn moments_of_two_boots_are_not_compared() {
    let mut other = guardian("b", 2, &life(120, 6));
    other.header.boot = "another".to_owned();
    assert!(judged(vec![guardian("a", 1, &life(100, 5)), other], &[]).is_empty());
}

#[test]
fn an_epoch_that_two_have_written_is_convicted() {
    let rules = judged(vec![guardian("a", 1, &life(100, 5)), guardian("b", 2, &life(200, 5))], &[]);
    assert!(rules.contains(&"no two leaderships of a cluster have one epoch"), "{rules:?}");
}

fn leadership(node: &str, epoch: u64, elected: u64, bound: u64) -> Leadership {
    Leadership {
        cluster: "c".to_owned(),
        node: node.to_owned(),
        boot: "boot".to_owned(),
        pid: 1,
        epoch,
        elected: Some(Elected { at: at(elected), after_clean_end: false }),
        since: at(elected + 5),
        bound: Some(at(bound)),
        given_up: false,
        path: PathBuf::from(node),
        line: 2,
    }
}

#[test]
fn one_that_is_let_in_while_the_session_before_it_may_live_is_convicted() {
    let bound = "nobody is elected before the session of whoever led can have ended";
    let predecessor = leadership("a", 5, 100, 4000);
    assert_eq!(judged(Vec::new(), &[predecessor.clone(), leadership("b", 6, 3999, 9000)]), [bound]);
    assert!(judged(Vec::new(), &[predecessor.clone(), leadership("b", 6, 4000, 9000)]).is_empty());
    let resigned = Leadership { given_up: true, ..predecessor.clone() };
    assert!(judged(Vec::new(), &[resigned, leadership("b", 6, 300, 9000)]).is_empty());
    let mut after_goodbye = leadership("b", 6, 300, 9000);
    after_goodbye.elected = Some(Elected { at: at(300), after_clean_end: true });
    assert!(judged(Vec::new(), &[predecessor.clone(), after_goodbye]).is_empty());
    let will = vec![did(200, Deed::Left { election_node: Some("n".to_owned()) })];
    assert!(judged(vec![guardian("a", 1, &will)], &[predecessor, leadership("b", 6, 300, 9000)]).is_empty());
}

#[test]
fn epochs_that_do_not_grow_with_time_are_convicted() {
    let grow = "epochs grow with time";
    assert_eq!(judged(Vec::new(), &[leadership("a", 5, 9000, 9000), leadership("b", 6, 100, 200)])[0], grow);
    assert_eq!(judged(Vec::new(), &[leadership("a", 5, 100, 200), leadership("b", 5, 300, 400)])[0], grow);
}
