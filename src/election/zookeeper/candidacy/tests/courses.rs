//! From one position to another, and from one connection to the next.

use super::*;

/// Hearts beat until the next one is under way.
fn beat(lab: &mut Lab) -> Moment {
    while !lab.asked.values().any(|request| matches!(request, Request::Heartbeat(_))) {
        lab.wait();
    }
    lab.now
}

fn acknowledged() -> Answer {
    Answer::Written(Ok(vec![0; 3]))
}

fn renewed(outputs: &[Output]) -> Option<(Moment, Moment)> {
    outputs.iter().find_map(|output| match output {
        Output::Tell(Fact::Renewed { sent, counts_from, .. }) => Some((*sent, *counts_from)),
        _ => None,
    })
}

fn part(index: usize, kind: Kind) -> Answer {
    Answer::Written(Err((Some(index), failure(kind))))
}

#[test]
fn a_candidacy_goes_from_the_order_to_stand_to_a_lease_and_to_its_end() {
    let mut lab = Lab::new();
    assert_eq!(words(&lab.order(ElectionOrder::Stand)), "–", "there is no session");
    assert_eq!(words(&lab.connect()), "tell Connected, Share, ask Enter, ask Touch");
    let outputs = lab.answer(Answer::Entered(Ok(OWN.to_owned())));
    assert_eq!(words(&outputs), "TellQueued, tell Standing, watch own, ask Look");
    assert_eq!(words(&lab.answer(Answer::Looked(Ok(Box::new(looked()))))), "tell Elected");
    assert_eq!(words(&lab.order(claim(1))), "ask Claim");
    let outputs = lab.answer(Answer::Written(Ok(vec![0; 5])));
    assert_eq!(words(&outputs), "say EpochTaken, TellClaimed, Attend");
    let sent = beat(&mut lab);
    lab.now = lab.now + Duration::from_millis(20);
    assert_eq!(renewed(&lab.answer(acknowledged())), Some((sent, sent)));
    assert_eq!(words(&lab.order(resign())), "Desist, ask Resignation");
    assert_eq!(words(&lab.answer(Answer::Written(Ok(vec![0; 4])))), "tell Resigned, CLOSE", "nothing of it remains");
    assert_eq!(words(&lab.hear(Input::Closed)), "OPEN");
    assert_eq!(words(&lab.connect()), "tell Connected, Share, ask Touch", "it was not ordered to stand again");
}

#[test]
fn nobody_stands_by_a_name_that_is_not_proven_to_be_its_own() {
    let mut lab = Lab::new();
    lab.order(ElectionOrder::Publish(Box::new(member("a"))));
    lab.order(ElectionOrder::Stand);
    assert_eq!(words(&lab.connect()), "tell Connected, Share, ask Touch");
    assert_eq!(words(&lab.hear(Input::Registered(true))), "ask Enter");
    lab.answer(Answer::Entered(Err(failure(Kind::NoNode))));
    lab.hear(Input::Disconnected);
    assert_eq!(words(&lab.connect()), "tell Connected, Share, ask Touch", "and not over another connection either");
}

#[test]
fn whoever_waits_touches_its_session_as_often_as_a_leader_would_and_now_and_then_by_a_large_packet() {
    let mut lab = Lab::elected();
    let mut large = 0;
    for _ in 0..130 {
        let (&id, request) = lab.asked.iter().find(|(_, r)| matches!(r, Request::Touch { .. })).expect("one touch");
        large += u32::from(*request == Request::Touch { large: true });
        lab.asked.remove(&id);
        lab.hear(Input::Answered(id, Answer::Done(Ok(()))));
        let touched = lab.now;
        assert_eq!(words(&lab.wait()), "ask Touch");
        assert_eq!(lab.now.since(touched), INTERVAL);
    }
    assert_eq!(large, 2, "every six sessions of ten seconds");
    lab.now = lab.now + INTERVAL * 3;
    assert_eq!(words(&lab.hear(Input::TimePassed)), "–", "one at a time");
}

#[test]
fn a_claim_after_a_silence_counts_from_earlier() {
    let mut lab = Lab::elected();
    let connected = lab.now;
    lab.now = lab.now + Duration::from_secs(6);
    lab.order(claim(1));
    let outputs = lab.answer(Answer::Written(Ok(vec![0; 5])));
    let counts_from = outputs.iter().find_map(|output| match output {
        Output::TellClaimed { counts_from, .. } => Some(*counts_from),
        _ => None,
    });
    assert_eq!(counts_from, Some(connected + Duration::from_secs(2)), "no touch was answered since");
}

#[test]
fn an_order_to_resign_waits_for_the_outcome_of_a_claim() {
    let mut lab = Lab::elected();
    lab.order(claim(1));
    assert_eq!(words(&lab.order(resign())), "–");
    let outputs = lab.answer(Answer::Written(Ok(vec![0; 5])));
    assert_eq!(words(&outputs), "say EpochTaken, TellClaimed, Attend, Desist, ask Resignation");
}

#[test]
fn a_heartbeat_comes_first_over_another_connection_and_everything_else_waits_for_its_answer() {
    let mut lab = Lab::leading();
    beat(&mut lab);
    assert_eq!(words(&lab.hear(Input::Disconnected)), "tell Disconnected, REATTACH");
    let stake = lab.candidacy.timing().length();
    assert_eq!(stake, Duration::from_millis(7_500));
    lab.now = lab.now + Duration::from_secs(2);
    assert_eq!(words(&lab.connect()), "tell Connected, ask Heartbeat");
    assert_eq!(words(&lab.answer(acknowledged())), "tell Renewed, watch own, Share, Attend");
}

#[test]
fn a_heartbeat_is_sent_every_interval_and_one_at_a_time() {
    let mut lab = Lab::leading();
    let first = beat(&mut lab);
    lab.now = lab.now + Duration::from_millis(300);
    lab.answer(acknowledged());
    assert_eq!(beat(&mut lab), first + INTERVAL);
    lab.now = lab.now + INTERVAL * 2;
    assert_eq!(words(&lab.hear(Input::TimePassed)), "–");
    lab.answer(part(2, Kind::Refused));
    assert_eq!(lab.asked.values().filter(|r| matches!(r, Request::Heartbeat(_))).count(), 1, "the next one is due");
}

#[test]
fn a_server_that_does_not_answer_for_half_a_lease_is_left_for_another_once() {
    let mut lab = Lab::leading();
    let sent = beat(&mut lab);
    assert_eq!(words(&lab.wait()), "tell Disconnected, REATTACH");
    assert_eq!(lab.now.since(sent), Duration::from_millis(3_750));
    lab.connect();
    assert_eq!(lab.candidacy.deadline(), None, "the next one answers no more: the ensemble is slow");
    let mut lab = Lab::leading();
    lab.candidacy.grant.several = false;
    beat(&mut lab);
    assert_eq!(lab.candidacy.deadline(), None, "there is no other");
}

#[test]
fn a_heartbeat_tells_a_deleted_node_from_an_epoch_that_was_overtaken_and_both_from_a_failure() {
    for (index, kind, told) in [
        (0, Kind::NoNode, "tell Lost(NodeDeleted), Desist"),
        (0, Kind::BadVersion, "tell Lost(NodeDeleted), Desist"),
        (1, Kind::NoNode, "tell Lost(Overtaken), Desist"),
        (1, Kind::BadVersion, "tell Lost(Overtaken), Desist"),
        (0, Kind::Refused, "say HeartbeatFailed"),
        (2, Kind::Refused, "say HeartbeatFailed"),
        (2, Kind::NoNode, "ask HeartbeatNode"),
    ] {
        let mut lab = Lab::leading();
        beat(&mut lab);
        assert_eq!(words(&lab.answer(part(index, kind))), told, "{index} {kind:?}");
    }
}

#[test]
fn the_node_of_the_heartbeats_is_created_anew_and_written_at_once() {
    for answer in [Ok(vec![0]), Err((Some(0), failure(Kind::NodeExists)))] {
        let mut lab = Lab::leading();
        beat(&mut lab);
        lab.answer(part(2, Kind::NoNode));
        assert_eq!(words(&lab.answer(Answer::Written(answer))), "ask Heartbeat");
    }
    let mut lab = Lab::leading();
    beat(&mut lab);
    lab.answer(part(2, Kind::NoNode));
    assert_eq!(words(&lab.answer(part(0, Kind::Refused))), "say HeartbeatFailed");
}

#[test]
fn what_cannot_be_written_of_a_resignation_is_left_out() {
    let mut lab = Lab::leading();
    lab.order(resign());
    assert_eq!(words(&lab.answer(part(2, Kind::BadVersion))), "ask Resignation", "without the breadcrumb");
    assert_eq!(words(&lab.answer(part(1, Kind::NoNode))), "ask rest of the Resignation", "the own node is gone");
    assert_eq!(words(&lab.answer(part(1, Kind::NoNode))), "CLOSE", "nothing is left to say");
    assert_eq!(words(&lab.hear(Input::Closed)), "tell Resigned, OPEN");
}

#[test]
fn a_resignation_is_tried_again_for_as_long_as_the_session_may_last() {
    let mut lab = Lab::leading();
    let began = lab.now;
    lab.order(resign());
    loop {
        let outputs = match lab.asked.values().any(|request| matches!(request, Request::Write(_))) {
            true => lab.answer(Answer::Written(Err((None, failure(Kind::Unknown))))),
            false => lab.wait(),
        };
        match words(&outputs).as_str() {
            "–" | "ask Resignation" => {}
            other => {
                assert_eq!(other, "say ResignationUntold, CLOSE");
                break;
            }
        }
    }
    assert_eq!(lab.now.since(began), Duration::from_secs(10));
}

#[test]
fn whoever_leads_no_more_resigns_without_a_word_to_who_does() {
    let mut lab = Lab::leading();
    lab.order(resign());
    assert_eq!(words(&lab.answer(part(0, Kind::BadVersion))), "CLOSE");
}

#[test]
fn a_leader_that_resigns_while_cut_off_says_so_over_the_next_connection() {
    let mut lab = Lab::leading();
    lab.hear(Input::Disconnected);
    lab.order(ElectionOrder::Announce(None));
    assert_eq!(words(&lab.order(resign())), "Desist");
    assert_eq!(words(&lab.connect()), "tell Connected, ask Resignation");
    assert_eq!(words(&lab.answer(Answer::Written(Ok(vec![0; 4])))), "tell Resigned, CLOSE");
}

#[test]
fn a_leader_that_resigns_and_finds_nobody_has_resigned_after_a_session() {
    let mut lab = Lab::leading();
    lab.now = lab.now + INTERVAL / 2;
    lab.hear(Input::Disconnected);
    lab.now = lab.now + INTERVAL;
    let ordered = lab.now;
    lab.order(resign());
    assert_eq!(words(&lab.wait()), "say ResignationUntold, tell Resigned, OPEN");
    assert_eq!(lab.now.since(ordered), Duration::from_secs(10));
}

#[test]
fn what_was_ordered_before_a_resignation_without_a_connection_is_not_done_after_it() {
    let mut lab = Lab::elected();
    lab.hear(Input::Disconnected);
    lab.order(ElectionOrder::Stand);
    lab.order(claim(1));
    assert_eq!(words(&lab.order(resign())), "tell ClaimRefused, tell Resigned, OPEN");
    assert_eq!(words(&lab.connect()), "tell Connected, Share, ask Touch");
}

#[test]
fn a_loss_keeps_the_session_until_the_supervisor_has_let_go_and_the_end_of_a_leadership_is_still_noted() {
    let mut lab = Lab::leading();
    assert_eq!(words(&lab.deleted(OWN)), "tell Lost(NodeDeleted), Desist");
    assert_eq!(words(&lab.hear(Input::Disconnected)), "tell Disconnected, REATTACH");
    assert_eq!(words(&lab.connect()), "tell Connected, Share");
    assert_eq!(words(&lab.order(resign())), "Desist, ask Resignation");
    assert_eq!(words(&lab.answer(part(1, Kind::NoNode))), "ask rest of the Resignation");
    assert_eq!(words(&lab.answer(Answer::Written(Ok(vec![0; 3])))), "CLOSE", "it was lost before: no need to hurry");
    assert_eq!(words(&lab.hear(Input::Closed)), "tell Resigned, OPEN");
}

#[test]
fn a_shorter_grant_counts_at_once_and_a_longer_one_with_the_next_session() {
    let mut lab = Lab::leading();
    lab.hear(Input::Disconnected);
    assert_eq!(words(&lab.connect_granted(6)), "say GrantChanged, tell Connected, ask Heartbeat");
    assert_eq!(lab.candidacy.timing().session_timeout, Duration::from_secs(6));
    lab.hear(Input::Disconnected);
    lab.connect_granted(10);
    assert_eq!(lab.candidacy.timing().session_timeout, Duration::from_secs(6));
}

#[test]
fn a_place_in_the_queue_is_given_up_for_a_longer_grant_and_an_election_is_not() {
    let reconnected = |mut lab: Lab| {
        lab.hear(Input::Disconnected);
        lab.connect_granted(12)
    };
    assert_eq!(words(&reconnected(Lab::connected())), "say GrantChanged, tell Connected, CLOSE");
    let lost = "say GrantChanged, tell Connected, tell Lost(Backend), CLOSE";
    assert_eq!(words(&reconnected(Lab::queued())), lost);
    let outputs = words(&reconnected(Lab::elected()));
    assert_eq!(outputs, "say GrantChanged, tell Connected, watch own, Share, ask Touch");
}

#[test]
fn a_session_of_which_only_narrow_connections_are_found_ends_for_that_reason() {
    let mut lab = Lab::queued();
    lab.hear(Input::Disconnected);
    lab.hear(Input::Narrow("too narrow".to_owned()));
    let outputs = lab.hear(Input::SessionLost);
    assert_eq!(words(&outputs), "say SessionEnded, tell Disconnected, tell Lost(Backend), OPEN");
}

#[test]
fn a_place_that_was_left_is_taken_anew_in_the_same_session_and_only_once_it_is_known_to_be_left() {
    let mut lab = Lab::elected();
    assert_eq!(words(&lab.order(ElectionOrder::Yield)), "Forget, ask Delete");
    assert_eq!(words(&lab.order(ElectionOrder::Yield)), "–");
    assert_eq!(words(&lab.answer(Answer::Done(Ok(())))), "ask Enter");
    let mut lab = Lab::elected();
    lab.order(ElectionOrder::Yield);
    let outputs = lab.answer(Answer::Done(Err(failure(Kind::NoAnswer))));
    assert_eq!(words(&outputs), "tell Lost(Backend), CLOSE");
}

#[test]
fn whoever_resigned_between_two_places_in_the_queue_has_nothing_to_lose() {
    let mut lab = Lab::elected();
    lab.order(ElectionOrder::Publish(Box::new(member("a"))));
    lab.order(ElectionOrder::Yield);
    assert_eq!(words(&lab.answer(Answer::Done(Ok(())))), "–", "its name is not proven");
    assert_eq!(words(&lab.order(resign())), "tell Resigned");
    assert_eq!(words(&lab.hear(Input::SessionLost)), "CLOSE");
}

#[test]
fn nothing_comes_after_the_order_to_close() {
    let mut lab = Lab::leading();
    assert_eq!(words(&lab.order(ElectionOrder::Close)), "Desist, ask Resignation");
    assert_eq!(words(&lab.order(ElectionOrder::Stand)), "–");
    assert_eq!(words(&lab.answer(Answer::Written(Ok(vec![0; 2])))), "CLOSE");
    assert_eq!(words(&lab.hear(Input::Closed)), "tell Resigned, FINISH");
    for input in [Input::Order(ElectionOrder::Stand), Input::Closed, Input::SessionLost, Input::TimePassed] {
        assert_eq!(words(&lab.hear(input)), "–");
    }
    assert_eq!(words(&lab.connect()), "–");
}
