//! What a look finds, and what becomes of a claim.

use super::*;
use crate::election::OtherCandidate;

fn look(change: impl FnOnce(&mut Looked)) -> Answer {
    let mut looked = looked();
    change(&mut looked);
    Answer::Looked(Ok(Box::new(looked)))
}

fn outcome(outputs: &[Output]) -> Option<&ElectionOutcome> {
    outputs.iter().find_map(|output| match output {
        Output::Tell(Fact::Elected(outcome)) => Some(&**outcome),
        _ => None,
    })
}

fn refusal(outputs: &[Output]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        Output::Tell(Fact::ClaimRefused { reason }) => Some(reason.as_str()),
        _ => None,
    })
}

fn writes(lab: &Lab) -> Vec<Write> {
    match lab.pending() {
        (_, Request::Write(writes)) => writes,
        other => panic!("no transaction: {other:?}"),
    }
}

fn json(breadcrumb: &Breadcrumb) -> Vec<u8> {
    serde_json::to_vec(breadcrumb).unwrap()
}

/// Elected after a leadership of `b` in epoch 4, and a claim of epoch 5.
fn claiming_after(predecessor: &Breadcrumb, order: ElectionOrder) -> Lab {
    let mut lab = Lab::queued();
    lab.answer(look(|looked| succeed(looked, predecessor, 3)));
    lab.order(order);
    lab
}

fn succeed(looked: &mut Looked, predecessor: &Breadcrumb, version: i32) {
    looked.epoch = Ok(Some((b"4".to_vec(), 9)));
    looked.active = Ok(Some((json(predecessor), version)));
    looked.volume = Ok(Some((b"volume".to_vec(), 0)));
}

fn claim_that_completes(epoch: u64) -> ElectionOrder {
    let ElectionOrder::Claim { breadcrumb, volume, entry, .. } = claim(epoch) else { unreachable!() };
    ElectionOrder::Claim { breadcrumb, volume, entry, predecessor_ended: Some(super::entry("b", epoch - 1)) }
}

fn part_failed(index: usize, kind: Kind) -> Answer {
    Answer::Written(Err((Some(index), failure(kind))))
}

#[test]
fn nobody_is_elected_without_a_sync_or_by_a_node_of_another_session() {
    let mut lab = Lab::queued();
    let outputs = lab.answer(look(|looked| looked.synced = Err(failure(Kind::Unknown))));
    assert_eq!(words(&outputs), "–", "looks again later");
    for owner in [None, Some(SESSION + 1)] {
        let outputs = Lab::queued().answer(look(|looked| looked.owner = Ok(owner)));
        assert_eq!(words(&outputs), "tell Lost(NodeDeleted)", "{owner:?}");
    }
    let outputs = Lab::queued().answer(look(|looked| looked.queue = Ok(Vec::new())));
    assert_eq!(words(&outputs), "tell Lost(NodeDeleted)");
}

#[test]
fn whoever_waits_behind_another_looks_again_when_that_one_is_gone_and_yields_only_there() {
    let mut lab = Lab::queued();
    assert_eq!(words(&lab.order(ElectionOrder::Yield)), "–", "it is not known yet whether anybody is before it");
    let queue = ["x-latch-0000000002", "y-latch-0000000001"].map(str::to_owned);
    lab.answer(look(|looked| looked.queue = Ok(queue.to_vec())));
    assert_eq!(words(&lab.deleted("/p/c/election/y-latch-0000000001")), "ask Look");
}

#[test]
fn a_pause_is_told_only_once_the_view_shows_it() {
    let mut lab = Lab::queued();
    let paused = || look(|looked| looked.control = Ok(Some((br#"{"paused": true}"#.to_vec(), 0))));
    assert_eq!(words(&lab.answer(paused())), "–");
    assert_eq!(words(&lab.wait()), "ask Look");
    lab.hear(Input::Viewed(Seen { paused: true, ..Seen::default() }));
    let outputs = lab.answer(paused());
    assert!(outcome(&outputs).unwrap().paused);
}

#[test]
fn others_are_told_where_anybody_else_stands() {
    let members = ["a", "b"].map(|node| (node.to_owned(), member(node)));
    let seen = Seen { members: members.into(), ..Seen::default() };
    for (queue, told) in [(vec!["x-latch-0000000002"], false), (vec!["x-latch-0000000002", "y-latch-0000000003"], true)]
    {
        let mut lab = Lab::queued();
        lab.hear(Input::Viewed(seen.clone()));
        let outputs = lab.answer(look(|looked| looked.queue = Ok(queue.iter().map(|&name| name.to_owned()).collect())));
        let b = OtherCandidate { node: "b".to_owned(), priority: 3, eligible: true };
        let others = if told { vec![b] } else { Vec::new() };
        assert_eq!(outcome(&outputs).unwrap().others, others);
    }
}

#[test]
fn the_later_of_epoch_and_breadcrumb_counts_and_an_unreadable_epoch_is_told() {
    let mut lab = Lab::queued();
    let outputs = lab.answer(look(|looked| {
        looked.epoch = Ok(Some((b"nonsense".to_vec(), 1)));
        looked.active = Ok(Some((json(&breadcrumb("b", 6)), 2)));
    }));
    assert_eq!(words(&outputs), "say EpochUnreadable, tell Elected");
    assert_eq!(outcome(&outputs).unwrap().epoch, 6);
}

#[test]
fn an_epoch_that_does_not_follow_is_refused_without_a_request() {
    let mut lab = Lab::queued();
    lab.answer(look(|looked| succeed(looked, &breadcrumb("b", 4), 3)));
    assert_eq!(refusal(&lab.order(claim(4))), Some("epoch 4 does not follow 4"));
    assert_eq!(words(&lab.order(claim(5))), "ask Claim");
}

#[test]
fn a_claim_is_guarded_by_the_own_node_and_by_what_the_look_saw() {
    let lab = claiming_after(&breadcrumb("b", 4), claim_that_completes(5));
    let writes = writes(&lab);
    let Write::Check { path, version: None } = &writes[0] else { panic!("{writes:?}") };
    assert_eq!(path, OWN);
    assert!(matches!(&writes[1], Write::Set { path, version: Some(9), .. } if path == "/p/c/epoch"));
    assert!(matches!(&writes[2], Write::Set { path, version: Some(3), .. } if path == "/p/c/active"));
    assert!(matches!(&writes[3], Write::Create { .. }));
    assert!(matches!(&writes[4], Write::Set { version: None, .. }), "the former entry");
    assert_eq!(writes.len(), 5, "the cluster has a volume");
    let mut first = Lab::elected();
    first.order(claim(1));
    assert!(matches!(&self::writes(&first)[1], Write::Create { path, .. } if path == "/p/c/epoch"));
}

#[test]
fn the_history_keeps_nobody_from_leading() {
    let mut lab = claiming_after(&breadcrumb("b", 4), claim_that_completes(5));
    assert_eq!(words(&lab.answer(part_failed(3, Kind::NodeExists))), "ask Claim");
    assert!(matches!(&writes(&lab)[3], Write::Set { version: None, .. }), "left by a cluster that was partly deleted");
    assert_eq!(words(&lab.answer(part_failed(4, Kind::NoNode))), "ask Claim");
    assert_eq!(writes(&lab).len(), 4, "without the former entry");
    assert_eq!(words(&lab.answer(part_failed(3, Kind::NoNode))), "ask EnsureDirectories");
    assert_eq!(words(&lab.answer(Answer::Done(Err(failure(Kind::NoAnswer))))), "ask Claim");
    let outputs = lab.answer(part_failed(3, Kind::NoNode));
    assert_eq!(words(&outputs), "ask Look", "once only");
}

#[test]
fn a_goodbye_since_the_look_is_no_reason_to_refuse_a_claim_and_only_once() {
    for (to, parts) in [(None, 5), (Some("then".to_owned()), 4)] {
        let mut lab = claiming_after(&breadcrumb("b", 4), claim_that_completes(5));
        assert_eq!(words(&lab.answer(part_failed(2, Kind::BadVersion))), "ask Look");
        let goodbye = Breadcrumb { clean: true, to, ..breadcrumb("b", 4) };
        assert_eq!(words(&lab.answer(look(|looked| succeed(looked, &goodbye, 4)))), "ask Claim");
        assert!(matches!(&writes(&lab)[2], Write::Set { version: Some(4), .. }));
        assert_eq!(writes(&lab).len(), parts, "who says goodbye by itself completes its own entry");
        let outputs = lab.answer(part_failed(2, Kind::BadVersion));
        assert_eq!(words(&outputs), "tell ClaimRefused", "not looked at a third time");
    }
}

#[test]
fn a_claim_is_refused_if_anything_else_has_changed() {
    let unclean = breadcrumb("b", 4);
    let clean = Breadcrumb { clean: true, ..breadcrumb("b", 4) };
    let changes: Vec<(&str, Answer)> = vec![
        ("nothing", look(|looked| succeed(looked, &unclean, 3))),
        ("another leadership", look(|looked| succeed(looked, &Breadcrumb { epoch: 5, ..clean.clone() }, 4))),
        ("another node's", look(|looked| succeed(looked, &Breadcrumb { node: "d".to_owned(), ..clean.clone() }, 4))),
        (
            "the epoch's version",
            look(|looked| {
                succeed(looked, &clean, 4);
                looked.epoch = Ok(Some((b"4".to_vec(), 10)));
            }),
        ),
        (
            "another volume",
            look(|looked| {
                succeed(looked, &clean, 4);
                looked.volume = Ok(Some((b"another".to_vec(), 0)));
            }),
        ),
        (
            "a pause",
            look(|looked| {
                succeed(looked, &clean, 4);
                looked.control = Ok(Some((br#"{"paused": true}"#.to_vec(), 0)));
            }),
        ),
        (
            "not first",
            look(|looked| {
                succeed(looked, &clean, 4);
                looked.queue = Ok(["x-latch-0000000002", "y-latch-0000000001"].map(str::to_owned).to_vec());
            }),
        ),
        ("no answer", Answer::Looked(Err(failure(Kind::NoAnswer)))),
    ];
    for (change, answer) in changes {
        let mut lab = claiming_after(&unclean, claim(5));
        lab.answer(part_failed(2, Kind::BadVersion));
        let outputs = lab.answer(answer);
        assert_eq!(refusal(&outputs), Some("the breadcrumb is another's (BadVersion)"), "{change}");
    }
}

#[test]
fn a_claim_of_which_nobody_knows_whether_it_was_carried_out_ends_the_session() {
    for kind in [Kind::Unknown, Kind::NoAnswer] {
        let mut lab = claiming_after(&breadcrumb("b", 4), claim(5));
        assert_eq!(words(&lab.answer(Answer::Written(Err((None, failure(kind)))))), "tell Lost(Backend), CLOSE");
    }
    let mut lab = claiming_after(&breadcrumb("b", 4), claim(5));
    assert_eq!(words(&lab.hear(Input::Disconnected)), "tell Disconnected, tell Lost(Backend), CLOSE");
}

#[test]
fn an_own_node_that_is_deleted_while_the_claim_is_under_way_is_told_after_its_outcome() {
    let mut lab = claiming_after(&breadcrumb("b", 4), claim(5));
    assert_eq!(words(&lab.deleted(OWN)), "–");
    let outputs = lab.answer(Answer::Written(Ok(vec![0, 10, 4, 0])));
    let told = "say EpochTaken, TellClaimed, Attend, tell Lost(NodeDeleted), Desist";
    assert_eq!(words(&outputs), told);
    assert_eq!(words(&lab.order(resign())), "Desist, ask Resignation", "the end is noted");
    let mut lab = claiming_after(&breadcrumb("b", 4), claim(5));
    lab.deleted(OWN);
    assert_eq!(words(&lab.answer(part_failed(0, Kind::NoNode))), "tell Lost(NodeDeleted)");
}
