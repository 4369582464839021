//! The next in line behind the active one, and its claim by the proof in the lock file.

use super::*;

const BEFORE: &str = "/p/c/election/y-latch-0000000001";

fn active(clean: bool) -> Breadcrumb {
    Breadcrumb { election_node: Some(BEFORE.to_owned()), clean, ..breadcrumb("b", 4) }
}

/// Behind `b`, or first once that is gone.
fn found(active: &Breadcrumb, version: i32, behind: bool) -> Answer {
    let queue = ["x-latch-0000000002", "y-latch-0000000001"].map(str::to_owned);
    let looked = Looked {
        queue: Ok(queue[..1 + usize::from(behind)].to_vec()),
        epoch: Ok(Some((b"4".to_vec(), 9))),
        active: Ok(Some((serde_json::to_vec(active).unwrap(), version))),
        volume: Ok(Some((b"volume".to_vec(), 0))),
        control: Ok(Some((b"{}".to_vec(), 6))),
        ..looked()
    };
    Answer::Looked(Ok(Box::new(looked)))
}

fn next(outputs: &[Output]) -> Option<u64> {
    outputs.iter().find_map(|output| match output {
        Output::Tell(Fact::Behind { next, .. }) => Some(next.as_ref().map(|next| next.epoch)),
        _ => None,
    })?
}

fn waiting() -> Lab {
    let mut lab = Lab::queued();
    assert_eq!(next(&lab.answer(found(&active(false), 3, true))), Some(4));
    lab
}

fn writes(lab: &Lab) -> Vec<Write> {
    match lab.pending() {
        (_, Request::Write(writes)) => writes,
        other => panic!("no transaction: {other:?}"),
    }
}

#[test]
fn only_the_last_leadership_s_own_election_node_is_waited_behind() {
    let of_another = Breadcrumb { election_node: Some("/p/c/election/z-latch-0000000000".to_owned()), ..active(false) };
    let older = Breadcrumb { epoch: 3, ..active(false) };
    let of_an_older_version = Breadcrumb { election_node: None, ..active(false) };
    for breadcrumb in [of_another, older, of_an_older_version, active(true)] {
        assert_eq!(next(&Lab::queued().answer(found(&breadcrumb, 3, true))), None, "{breadcrumb:?}");
    }
}

#[test]
fn the_claim_by_the_proof_removes_the_election_node_before_it_and_is_guarded_by_all_that_was_seen() {
    let mut lab = waiting();
    lab.order(claim(5));
    let writes = writes(&lab);
    assert_eq!(writes[0], Write::Check { path: OWN.to_owned(), version: None });
    assert!(matches!(&writes[1], Write::Set { path, version: Some(9), .. } if path == "/p/c/epoch"));
    let Write::Set { path, data, version: Some(3) } = &writes[2] else { panic!("{writes:?}") };
    let breadcrumb: Breadcrumb = serde_json::from_slice(data).unwrap();
    assert_eq!((path.as_str(), breadcrumb.election_node.as_deref()), ("/p/c/active", Some(OWN)));
    assert!(writes.contains(&Write::Check { path: "/p/c/control".to_owned(), version: Some(6) }));
    assert_eq!(writes.last(), Some(&Write::Delete { path: BEFORE.to_owned() }));
    let outputs = lab.answer(Answer::Written(Ok(vec![0, 10, 4, 0, 0, 0])));
    assert!(outputs.iter().any(|output| matches!(output, Output::TellClaimed { .. })), "{outputs:?}");
}

#[test]
fn a_goodbye_that_was_quicker_is_looked_at_and_the_epoch_taken_as_by_who_is_elected() {
    // By the breadcrumb, or by the queue alone: a last will may have left the breadcrumb as it was.
    for (part, breadcrumb, version) in [(2, active(true), 4), (5, active(false), 3)] {
        let mut lab = waiting();
        lab.order(claim(5));
        assert_eq!(words(&lab.answer(Answer::Written(Err((Some(part), failure(Kind::BadVersion)))))), "ask Look");
        assert_eq!(words(&lab.answer(found(&breadcrumb, version, false))), "ask Claim");
        assert!(!writes(&lab).iter().any(|write| matches!(write, Write::Delete { .. })));
    }
}

#[test]
fn a_claim_that_comes_while_the_queue_is_looked_at_waits_for_what_is_found() {
    let mut lab = waiting();
    assert_eq!(words(&lab.deleted(BEFORE)), "ask Look");
    assert_eq!(words(&lab.order(claim(5))), "–");
    assert_eq!(words(&lab.answer(found(&active(true), 4, false))), "ask Claim", "it is not elected first");
}

#[test]
fn who_is_to_go_to_the_back_goes_although_the_queue_is_being_looked_at() {
    let mut lab = waiting();
    lab.deleted(BEFORE);
    assert_eq!(words(&lab.order(ElectionOrder::Yield)), "Forget, Forget, ask Delete");
}

#[test]
fn what_is_wanted_or_who_leads_having_changed_is_looked_at_again() {
    let seen =
        |epoch, control| Input::Viewed(Seen { control, active: Some((epoch, BEFORE.to_owned())), ..Seen::default() });
    let mut lab = waiting();
    assert_eq!(words(&lab.hear(seen(4, Some(6)))), "–", "nothing has changed");
    assert_eq!(words(&lab.hear(seen(4, Some(7)))), "Forget, ask Look");
    let mut lab = Lab::queued();
    lab.answer(found(&Breadcrumb { epoch: 3, ..active(false) }, 2, true));
    assert_eq!(words(&lab.hear(seen(4, Some(6)))), "Forget, ask Look", "who stood before it leads now");
}

#[test]
fn a_claim_by_who_is_not_next_is_refused_and_it_stays_in_the_queue() {
    let mut lab = Lab::queued();
    lab.answer(found(&active(true), 3, true));
    let outputs = lab.order(claim(5));
    assert!(outputs.iter().any(|output| matches!(output, Output::Tell(Fact::ClaimRefused { .. }))));
    assert_eq!(words(&lab.deleted(BEFORE)), "ask Look");
}
