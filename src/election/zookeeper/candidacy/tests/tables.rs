//! What every position makes of every order, of every way in which a request may fail, and of a lost connection: snapshots, so
//! that a change of the machine is a difference that one can read.

use std::fmt::Write as _;

use super::*;

fn orders() -> Vec<(&'static str, ElectionOrder)> {
    vec![
        ("Stand", ElectionOrder::Stand),
        ("Yield", ElectionOrder::Yield),
        ("Claim", claim(2)),
        ("Resign", resign()),
        ("AskAgain", ElectionOrder::AskAgain),
        ("Close", ElectionOrder::Close),
    ]
}

/// A failure of whatever was asked.
fn failed(request: &Request, kind: Kind) -> Answer {
    match request {
        Request::Enter => Answer::Entered(Err(failure(kind))),
        Request::EnsureDirectories | Request::Delete { .. } | Request::Touch { .. } => Answer::Done(Err(failure(kind))),
        Request::Look { .. } => Answer::Looked(Err(failure(kind))),
        Request::UntilDeleted { .. } => Answer::Deleted,
        Request::Write(_) | Request::Heartbeat(_) => Answer::Written(Err((None, failure(kind)))),
    }
}

/// How many positions there are in [`positions`].
fn each_position() -> impl Iterator<Item = usize> {
    0..positions().len()
}

fn position(index: usize) -> (&'static str, Lab) {
    positions().swap_remove(index)
}

#[test]
fn every_position_answers_every_order() {
    let mut table = String::new();
    for index in each_position() {
        let _ = writeln!(table, "{}", position(index).0);
        for (name, order) in orders() {
            let _ = writeln!(table, "    {name:9} {}", words(&position(index).1.order(order)));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_position_answers_every_failure() {
    let mut table = String::new();
    for index in each_position() {
        let (name, lab) = position(index);
        if !lab.asked.values().any(|request| !matches!(request, Request::Touch { .. } | Request::UntilDeleted { .. })) {
            continue;
        }
        let _ = writeln!(table, "{name}");
        for kind in [Kind::NoNode, Kind::NodeExists, Kind::BadVersion, Kind::Refused, Kind::Unknown, Kind::NoAnswer] {
            let (_, mut lab) = position(index);
            let (_, request) = lab.pending();
            let _ = writeln!(table, "    {:10} {}", format!("{kind:?}"), words(&lab.answer(failed(&request, kind))));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_position_answers_a_lost_connection_and_a_lost_session() {
    let mut table = String::new();
    for index in each_position() {
        let _ = writeln!(table, "{}", position(index).0);
        let _ = writeln!(table, "    session    {}", words(&position(index).1.hear(Input::SessionLost)));
        let (_, mut lab) = position(index);
        let _ = writeln!(table, "    connection {}", words(&lab.hear(Input::Disconnected)));
        if !matches!(lab.candidacy.contact, Contact::Searching { .. }) {
            continue;
        }
        let _ = writeln!(table, "      again    {}", words(&lab.connect()));
        for (word, input) in [("resign", Some(resign())), ("close", Some(ElectionOrder::Close)), ("time", None)] {
            let (_, mut lab) = position(index);
            lab.hear(Input::Disconnected);
            let outputs = match input {
                Some(order) => lab.order(order),
                None => lab.wait(),
            };
            let _ = writeln!(table, "      {word:8} {}", words(&outputs));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_answer_to_what_nobody_waits_for_any_more_is_nothing() {
    for index in each_position() {
        let waited = position(index).1.asked.into_keys().max().unwrap_or_default();
        for answer in [
            Answer::Entered(Ok("/p/c/election/y-latch-1".to_owned())),
            Answer::Done(Ok(())),
            Answer::Looked(Ok(Box::new(looked()))),
            Answer::Deleted,
            Answer::Written(Ok(vec![0; 6])),
            Answer::Entered(Err(failure(Kind::Unknown))),
            Answer::Done(Err(failure(Kind::NoAnswer))),
            Answer::Looked(Err(failure(Kind::NoAnswer))),
            Answer::Written(Err((Some(0), failure(Kind::NoNode)))),
            Answer::Written(Err((None, failure(Kind::NoAnswer)))),
        ] {
            let (name, mut lab) = position(index);
            let before = format!("{:?}", lab.candidacy.position);
            let outputs = lab.hear(Input::Answered(waited + 1, answer.clone()));
            assert_eq!(words(&outputs), "–", "{name}: {answer:?}");
            assert_eq!(format!("{:?}", lab.candidacy.position), before, "{name}: {answer:?}");
        }
    }
}

#[test]
fn an_answer_over_a_connection_that_was_given_up_is_nothing() {
    for index in each_position() {
        let (name, mut lab) = position(index);
        let asked = lab.asked.clone();
        lab.hear(Input::Disconnected);
        for (id, request) in &asked {
            for kind in [Kind::NoNode, Kind::NoAnswer] {
                assert_eq!(words(&lab.hear(Input::Answered(*id, failed(request, kind)))), "–", "{name}: {request:?}");
            }
        }
        if matches!(lab.candidacy.contact, Contact::Searching { .. }) {
            lab.connect();
            for (id, request) in &asked {
                let outputs = lab.hear(Input::Answered(*id, failed(request, Kind::NoNode)));
                assert_eq!(words(&outputs), "–", "{name}, connected again: {request:?}");
            }
        }
    }
}
