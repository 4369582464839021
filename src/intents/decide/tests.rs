use serde_json::json;

use super::*;
use crate::status::ActiveView;

fn member(node: &str, role: &str, eligible: bool, priority: u32) -> MemberView {
    serde_json::from_value(json!({
        "node": node, "role": role, "state": "ACTIVE", "status": "STANDBY", "epoch": null, "since": "", "ready": false,
        "api": "", "priority": priority, "version": "0", "eligible": eligible, "reason": "its own reason",
        "last_contact_ms": 0,
    }))
    .unwrap()
}

/// `a` leads epoch 7.
fn picture(others: &[(&str, bool, u32)]) -> Picture {
    let (node, api, endpoints) = ("a".to_owned(), String::new(), BTreeMap::new());
    let mut members = vec![member("a", "active", false, 100)];
    members.extend(others.iter().map(|(node, eligible, priority)| member(node, "standby", *eligible, *priority)));
    let active = Some(ActiveView { node, api, epoch: 7, endpoints });
    let cluster = ClusterView { epoch: Some(7), active, members, ..ClusterView::default() };
    let intended = Intended { version: Some(3), ..Intended::default() };
    Picture {
        cluster,
        intended,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        last: None,
        last_host_today: None,
    }
}

fn to(picture: &Picture, asked: SwitchoverAsked) -> Result<String, Refusal> {
    match switchover(picture, asked)? {
        Decision::Unchanged => Ok("unchanged".to_owned()),
        Decision::Write(change) => {
            let (version, control) = change.control.unwrap();
            assert_eq!(version, Some(3), "guarded by what was read");
            let switchover = control.switchover.unwrap();
            assert_eq!(switchover.expect_epoch, 7);
            Ok(switchover.to)
        }
    }
}

fn asked(to: Option<&str>) -> SwitchoverAsked {
    SwitchoverAsked { to: to.map(str::to_owned), ..SwitchoverAsked::default() }
}

#[test]
fn without_a_target_the_role_goes_to_the_first_name_of_the_highest_priority_that_could_take_over() {
    let three = picture(&[("d", true, 100), ("c", true, 100), ("b", true, 50), ("e", false, 900)]);
    assert_eq!(to(&three, asked(None)).unwrap(), "c");
    assert_eq!(to(&three, asked(Some("b"))).unwrap(), "b", "who is named needs no priority");
    assert_eq!(to(&three, asked(Some("a"))).unwrap(), "unchanged");
    let refusal = to(&three, asked(Some("e"))).unwrap_err();
    let Refusal::Nobody { error, reasons } = refusal else { panic!("{refusal:?}") };
    assert!(error.contains("its own reason") && reasons["c"].contains("could take over"), "{error} {reasons:?}");
}

#[test]
fn a_time_that_has_passed_a_pause_and_another_switchover_are_conflicts_of_their_own() {
    let mut two = picture(&[("b", true, 100)]);
    let past = Some(SystemTime::UNIX_EPOCH);
    let refusal = to(&two, SwitchoverAsked { at: past, ..asked(None) }).unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed(_)), "{refusal:?}");
    two.intended.control.switchover = Some(Switchover {
        to: "b".to_owned(),
        not_before: None,
        expect_epoch: 7,
        now: false,
        wish: Wish::default(),
        asked: 0,
    });
    assert!(matches!(to(&two, asked(None)), Err(Refusal::Conflict(_))));
    assert!(matches!(cancel(&two), Ok(Decision::Write(_))));
    // Of an epoch that has ended, it hinders nobody.
    two.intended.control.switchover.as_mut().unwrap().expect_epoch = 6;
    assert_eq!(to(&two, asked(None)).unwrap(), "b");
    assert!(matches!(cancel(&two), Err(Refusal::Absent(_))));
    // While nobody leads, the coordinator is being stopped for it.
    two.intended.control.switchover.as_mut().unwrap().expect_epoch = 7;
    two.cluster.active = None;
    assert!(matches!(cancel(&two), Err(Refusal::Conflict(_))));
    two.intended.control.paused = Some(Pause::default());
    assert!(matches!(to(&two, asked(None)), Err(Refusal::Conflict(_))));
}

fn wanted(node: &str, state: NodeState) -> StateAsked {
    StateAsked { node: node.to_owned(), state, lasts: None, now: false, force: false, wish: Wish::default() }
}

#[test]
fn of_two_that_could_lead_one_may_be_taken_out_and_both_by_force() {
    let mut two = picture(&[("b", true, 100), ("c", false, 100)]);
    let Ok(Decision::Write(change)) = state(&two, wanted("b", NodeState::Isolating)) else { panic!("there is a") };
    assert!(change.control.is_some(), "every change of a state is guarded by the one node");
    let isolated = crate::intents::WantedState::plain(NodeState::Isolated);
    two.intended.states.insert("b".to_owned(), (isolated, 5));
    assert!(matches!(state(&two, wanted("a", NodeState::Isolated)), Err(Refusal::Conflict(_))));
    let forced = StateAsked { force: true, ..wanted("a", NodeState::Isolated) };
    assert!(matches!(state(&two, forced), Ok(Decision::Write(_))));
    let Ok(Decision::Write(change)) = state(&two, wanted("b", NodeState::Active)) else { panic!("it is let back in") };
    assert_eq!(change.states["b"], (Some(5), None));
    assert!(state(&two, wanted("c", NodeState::Isolated)).is_ok(), "it could not lead anyway");
}

#[test]
fn who_shuts_down_does_nothing_else_and_nobody_is_inactive_by_order() {
    let mut two = picture(&[("b", true, 100)]);
    assert!(matches!(state(&two, wanted("b", NodeState::Inactive)), Err(Refusal::Malformed(_))));
    two.cluster.members[1].row.state = NodeState::ShuttingDown;
    let refusal = state(&two, wanted("b", NodeState::Active)).unwrap_err();
    assert_eq!(refusal, Refusal::Malformed("Invalid state transition to ACTIVE".to_owned()));
    assert_eq!(state(&two, wanted("b", NodeState::ShuttingDown)), Ok(Decision::Unchanged));
    assert!(matches!(state(&two, wanted("x", NodeState::Isolated)), Err(Refusal::Nobody { .. })));
}

#[test]
fn the_expected_gap_is_of_ordered_hand_overs_alone() {
    let entry = |epoch, cause: &str, gap_ms| {
        let mut entry = HistoryEntry::begun(epoch, "a".to_owned(), String::new());
        (entry.cause, entry.gap_ms) = (serde_json::from_value(json!(cause)).ok(), gap_ms);
        entry
    };
    // An entry's gap came before it, so the cause is that of the one before.
    let history = [
        entry(5, "stopped", Some(30)),
        entry(4, "switchover", Some(9_000)),
        entry(3, "lease_expired", Some(10)),
        entry(2, "isolated", Some(20)),
        entry(1, "stopped", None),
    ];
    assert_eq!(expected_gap(&history), Some((20, 30)));
    assert_eq!(expected_gap(&history[..1]), None);
}
