use std::collections::BTreeMap;

use super::*;
use crate::status::{ActiveView, MemberRow};

const NOW: &str = "2026-01-02T06:16:05.678Z";

fn now() -> SystemTime {
    humantime::parse_rfc3339(NOW).unwrap()
}

fn member(node: &str, role: Role) -> MemberView {
    let leads = role == Role::Active;
    let row = MemberRow {
        node: node.into(),
        role,
        state: NodeState::Active,
        status: if leads { StatusWord::Ok } else { StatusWord::Standby },
        epoch: leads.then_some(7),
        since: "2026-01-02T03:04:05.678Z".into(),
        ready: leads,
        api: format!("http://{node}:9090"),
        endpoints: BTreeMap::new(),
        priority: 100,
        tags: BTreeMap::new(),
        eligible: !leads,
        always_on: false,
        reason: "as it should be".into(),
        version: "0.1.0".into(),
    };
    MemberView { row, last_contact_ms: Some(5) }
}

fn unfit(node: &str, reason: &str) -> MemberView {
    let mut member = member(node, Role::Standby);
    (member.row.eligible, member.row.reason) = (false, reason.into());
    member
}

fn gone(node: &str) -> MemberView {
    let mut member = unfit(node, "");
    (member.row.state, member.last_contact_ms) = (NodeState::Inactive, Some(277_200_000));
    member
}

fn led_by_a(others: Vec<MemberView>) -> ClusterView {
    let active = ActiveView { node: "a".into(), api: String::new(), epoch: 7, endpoints: BTreeMap::new() };
    let mut members = vec![member("a", Role::Active)];
    members.extend(others);
    ClusterView { cluster: "c".into(), epoch: Some(7), active: Some(active), members, ..ClusterView::default() }
}

fn led_by_nobody(members: Vec<MemberView>) -> ClusterView {
    ClusterView { cluster: "c".into(), epoch: Some(7), members, ..ClusterView::default() }
}

fn headline(view: ClusterView) -> String {
    Verdict::of(&view.into(), now()).headline()
}

#[test]
fn the_verdict_says_who_leads_for_how_long_and_who_could_take_over() {
    let b = || member("b", Role::Standby);
    assert_eq!(headline(led_by_a(vec![b()])), "OK: a leads cluster c for 3 h 12 min (epoch 7), b could take over");
    assert_eq!(
        headline(led_by_a(vec![b(), member("d", Role::Standby)])),
        "OK: a leads cluster c for 3 h 12 min (epoch 7), 2 standbys could take over"
    );
    let mut waits = member("b", Role::Promoting);
    (waits.row.status, waits.row.eligible) = (StatusWord::WaitingForLock, false);
    assert_eq!(headline(led_by_a(vec![waits])), "OK: a leads cluster c for 3 h 12 min (epoch 7), b could take over");
}

#[test]
fn what_is_wrong_is_said_with_its_reason_and_the_worst_decides() {
    let leads = "a leads cluster c for 3 h 12 min (epoch 7)";
    let cases = [
        (led_by_a(vec![]), "WARNING", format!("{leads}, but nobody could take over: there is no other node")),
        (led_by_a(vec![unfit("b", "no lock.")]), "WARNING", format!("{leads}, but nobody could take over; b: no lock")),
        (
            led_by_a(vec![member("b", Role::Standby), unfit("d", "no lock")]),
            "OK",
            format!("{leads}, b could take over; d: no lock"),
        ),
        (
            led_by_a(vec![member("b", Role::Standby), gone("d")]),
            "WARNING",
            format!("{leads}, b could take over; d is missing, last seen 3 d 5 h ago"),
        ),
        (led_by_nobody(vec![]), "CRITICAL", "nobody leads cluster c".to_owned()),
        (
            led_by_nobody(vec![unfit("b", "waits for the lock of a"), gone("d")]),
            "CRITICAL",
            "nobody leads cluster c: b: waits for the lock of a; d is missing, last seen 3 d 5 h ago".to_owned(),
        ),
    ];
    for (view, word, sentence) in cases {
        assert_eq!(headline(view), format!("{word}: {sentence}"));
    }
    let many = ["b", "d", "e", "f", "g"].map(|node| unfit(node, "r")).to_vec();
    assert!(headline(led_by_a(many)).ends_with("; b: r; d: r; e: r; and 2 more"));
}

#[test]
fn nobody_is_said_not_to_lead_by_a_member_that_cannot_know() {
    let sight = Sight { view: led_by_nobody(vec![unfit("b", "no contact")]), blind: Some("b has no contact".into()) };
    let verdict = Verdict::of(&sight, now());
    assert_eq!(verdict.health, Health::Unknown);
    assert!(verdict.headline().starts_with("UNKNOWN: who leads cluster c cannot be known: b has no contact"));
}

#[test]
fn what_operators_want_is_said_and_a_node_taken_out_is_no_fault() {
    let mut isolated = unfit("d", "isolated");
    isolated.row.state = NodeState::Isolated;
    let mut view = led_by_a(vec![member("b", Role::Standby), isolated]);
    view.paused = true;
    view.switchover = Some(serde_json::json!({"to": "b"}));
    view.action = Some(ActionView {
        kind: "pause".into(),
        node: None,
        by: "alice".into(),
        at: "2026-01-02T06:13:00Z".into(),
        reason: Some("patching.".into()),
        until: Some("2026-01-02T08:13:00Z".into()),
    });
    let verdict = Verdict::of(&view.clone().into(), now());
    assert_eq!(
        verdict.headline(),
        "PAUSED: a leads cluster c for 3 h 12 min (epoch 7), and no other node takes over while that lasts"
    );
    assert_eq!(
        verdict.asked_for,
        [
            "PAUSED: no elections and no fail-over until the pause ends (asked for by alice 3 min 5 s ago, ends in 1 h 56 min: \
             patching); `primacy resume` ends it",
            "SWITCHOVER to b is asked for; `primacy switchover --cancel` calls it off",
            "ISOLATED: d by an operator",
        ]
    );
    assert_eq!((verdict.health, verdict.figures.standbys), (Health::Warning, 1));
    let action = |kind: &str, node: &str| {
        let action = view.action.clone().unwrap();
        Some(ActionView { kind: kind.into(), node: Some(node.into()), until: None, ..action })
    };
    (view.paused, view.switchover) = (false, None);
    let asked_for = |action| Verdict::of(&ClusterView { action, ..view.clone() }.into(), now()).asked_for;
    let by = "(asked for by alice 3 min 5 s ago: patching)";
    assert_eq!(asked_for(action("isolate", "d")), [format!("ISOLATED: d by an operator {by}")]);
    assert_eq!(
        asked_for(action("upgrade", "b")),
        ["ISOLATED: d by an operator".to_owned(), format!("UPGRADE of b is under way {by}")]
    );
}

#[test]
fn each_state_has_its_exit_code() {
    let all = [Health::Ok, Health::Warning, Health::Critical, Health::Unknown];
    assert_eq!(all.map(Health::code), [0, 1, 2, 3]);
}

fn always_on(node: &str, role: Role) -> MemberView {
    let mut member = member(node, role);
    (member.row.always_on, member.row.eligible, member.row.epoch) = (true, false, None);
    if role != Role::Active {
        (member.row.status, member.row.reason) = (StatusWord::Starting, "waiting before it is started again".into());
    }
    member
}

#[test]
fn coordinators_that_are_always_on_are_counted_and_nobody_misses_a_leader() {
    let all = led_by_nobody(vec![always_on("x", Role::Active), always_on("y", Role::Active)]);
    assert_eq!(headline(all), "OK: 2 of 2 always-on coordinators of cluster c serve");
    let one = led_by_nobody(vec![always_on("x", Role::Active), always_on("y", Role::Standby)]);
    let wanted = "WARNING: 1 of 2 always-on coordinators of cluster c serve; y: waiting before it is started again";
    assert_eq!(headline(one), wanted);
    let mut away = always_on("y", Role::Standby);
    (away.row.state, away.last_contact_ms) = (NodeState::Inactive, Some(180_000));
    let missing = led_by_nobody(vec![always_on("x", Role::Active), away]);
    let wanted = "WARNING: 1 of 2 always-on coordinators of cluster c serve; y is missing, last seen 3 min ago";
    assert_eq!(headline(missing), wanted);
    let none = led_by_nobody(vec![always_on("y", Role::Standby)]);
    assert!(headline(none).starts_with("CRITICAL: 0 of 1 always-on coordinators of cluster c serve"));
}

#[test]
fn one_that_is_always_on_is_no_standby_and_does_not_lead_in_anybodys_place() {
    let beside = Verdict::of(&led_by_a(vec![always_on("x", Role::Active)]).into(), now());
    assert_eq!((beside.health, beside.figures.standbys), (Health::Warning, 0), "{}", beside.sentence);
    assert!(
        beside.sentence.contains("nobody could take over") && !beside.sentence.contains("x:"),
        "{}",
        beside.sentence
    );
    let alone = led_by_nobody(vec![member("b", Role::Standby), always_on("x", Role::Active)]);
    assert!(headline(alone).starts_with("CRITICAL: nobody leads cluster c"));
}
