use super::*;
use crate::status::{MemberView, NodeState, Role, StatusWord};

fn member(node: &str, api: &str, endpoints: &[(&str, &str)]) -> MemberView {
    let row = MemberRow {
        node: node.to_owned(),
        role: Role::Standby,
        state: NodeState::Active,
        status: StatusWord::Standby,
        epoch: None,
        since: "2026-01-02T03:04:05.678Z".into(),
        ready: false,
        api: api.to_owned(),
        endpoints: endpoints.iter().map(|(name, at)| ((*name).to_owned(), (*at).to_owned())).collect(),
        priority: 100,
        tags: BTreeMap::new(),
        version: "0.1.0".into(),
        eligible: true,
        always_on: false,
        reason: String::new(),
    };
    MemberView { row, last_contact_ms: None }
}

fn always_on(mut member: MemberView) -> MemberView {
    member.row.always_on = true;
    member
}

fn cluster(members: Vec<MemberView>) -> ClusterView {
    ClusterView { cluster: "dremio".into(), members, ..ClusterView::default() }
}

fn dremio() -> ClusterView {
    cluster(vec![
        member("node-a", "http://node-a:9090", &[("web", "http://node-a:9047"), ("jdbc", "node-a:31010")]),
        member("node-b", "http://node-b:9090", &[("web", "http://node-b:9047/ui"), ("jdbc", "node-b:31010")]),
        member("witness", "http://witness:9090", &[]),
    ])
}

fn open_looking() -> ClusterView {
    cluster(vec![
        always_on(member(
            "node-a",
            "https://node-a:9090",
            &[("web", "http://10.0.0.1:8080"), ("cli", "[fd00::1]:8081")],
        )),
        always_on(member(
            "node.b",
            "https://[fd00::2]:9090",
            &[("web", "http://10.0.0.2:8080"), ("cli", "[fd00::2]:8081")],
        )),
    ])
}

fn planned(view: &ClusterView, listen: &[&str]) -> Result<Plan, String> {
    let listen: Vec<String> = listen.iter().map(|text| (*text).to_owned()).collect();
    let listen = Listen::new(&listen)?;
    Plan::new(view, &listen, None).map_err(|refused| refused.to_string())
}

#[test]
fn haproxy_for_one_coordinator_at_a_time() {
    insta::assert_snapshot!(haproxy::render(&planned(&dremio(), &[]).unwrap()));
}

#[test]
fn haproxy_for_coordinators_that_are_always_on_behind_https() {
    let mut plan = planned(&open_looking(), &["10.0.0.100", "cli=[fd00::100]:81"]).unwrap();
    plan.ca = Some("/etc/primacy/ca.pem".into());
    insta::assert_snapshot!(haproxy::render(&plan));
}

#[test]
fn nginx_for_one_coordinator_at_a_time() {
    insta::assert_snapshot!(nginx::render(&planned(&dremio(), &[]).unwrap()).unwrap());
}

#[test]
fn nginx_for_coordinators_that_are_always_on_behind_https() {
    insta::assert_snapshot!(nginx::render(&planned(&open_looking(), &["10.0.0.100"]).unwrap()).unwrap());
}

#[test]
fn what_is_no_name_host_or_port_never_gets_into_a_file() {
    let odd = "http://a:1\n    server evil 6.6.6.6:80";
    for (view, wrong) in [
        (cluster(vec![member("node\na", "http://a:1", &[("web", "http://a:2")])]), "node\\na"),
        (cluster(vec![member("a", odd, &[("web", "http://a:2")])]), "a's API"),
        (cluster(vec![member("a", "ftp://a:1", &[("web", "http://a:2")])]), "a's API"),
        (cluster(vec![member("a", "http://a:1", &[("web", odd)])]), "a's endpoint web"),
        (cluster(vec![member("a", "http://a:1", &[("web", "a:2;")])]), "a's endpoint web"),
        (cluster(vec![member("a", "http://a:1", &[("web {", "a:2")])]), "web {"),
        (cluster(vec![member("a", "http://a:1", &[])]), "no member of cluster dremio has endpoints"),
    ] {
        let problem = planned(&view, &[]).unwrap_err();
        assert!(problem.contains(wrong), "{problem}");
    }
}

#[test]
fn endpoints_that_do_not_fit_together_are_named() {
    let mixed = cluster(vec![
        member("a", "http://a:1", &[("web", "http://a:2")]),
        member("b", "http://b:1", &[("web", "b:2")]),
    ]);
    assert!(planned(&mixed, &[]).unwrap_err().contains("HTTP on one of a and b"));
    let port = cluster(vec![member("a", "http://a:1", &[("rest", "http://a:2"), ("web", "http://b:2")])]);
    let problem = planned(&port, &[]).unwrap_err();
    assert!(problem.contains("rest and web") && problem.contains("--listen web=*:PORT"), "{problem}");
    assert_eq!(planned(&port, &["web=10.0.0.1:3"]).unwrap().listeners.len(), 2);
    let same = cluster(vec![member("a", "http://a:1", &[("rest", "http://a:2/api"), ("web", "http://a:2")])]);
    let plan = planned(&same, &[]).unwrap();
    assert_eq!(plan.listeners.len(), 1);
    assert_eq!(plan.notes, ["endpoint web is where rest is, and is served there"]);
}

#[test]
fn what_a_cluster_lacks_is_said() {
    let view = cluster(vec![
        member("a", "http://a:1", &[("web", "http://a"), ("jdbc", "a:2")]),
        member("b", "http://b:1", &[("web", "https://b")]),
    ]);
    assert!(planned(&view, &[]).is_err());
    let view = cluster(vec![
        member("a", "http://a:1", &[("web", "https://a"), ("jdbc", "a:2")]),
        member("b", "http://b:1", &[("web", "https://b")]),
    ]);
    let plan = planned(&view, &[]).unwrap();
    assert_eq!(plan.notes, ["endpoint jdbc is missing on b: no client reaches it there"]);
    let web = plan.listeners.iter().find(|listener| listener.name == "web").unwrap();
    assert_eq!((web.protocol, web.bind.port), (Protocol::Tcp, 443));
}

#[test]
fn where_to_listen_is_said_for_all_or_for_one() {
    let bound = |listen: &[&str]| {
        planned(&dremio(), listen).map(|plan| plan.listeners.iter().map(|it| it.bind.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(bound(&[]).unwrap(), ["*:31010", "*:9047"]);
    assert_eq!(bound(&["fd00::1"]).unwrap(), ["[fd00::1]:31010", "[fd00::1]:9047"]);
    assert_eq!(bound(&["10.0.0.1", "web=*:80"]).unwrap(), ["10.0.0.1:31010", "*:80"]);
    for (wrong, why) in [
        (&["10.0.0.1", "10.0.0.2"][..], "two addresses"),
        (&["10.0.0.1:80"], "NAME=10.0.0.100:9047"),
        (&["web=80"], "web=10.0.0.100:9047"),
        (&["web=*:80", "web=*:81"], "twice"),
        (&["rest=*:80"], "there are: jdbc, web"),
        (&["a b"], "is no address"),
    ] {
        let problem = bound(wrong).unwrap_err();
        assert!(problem.contains(why), "{wrong:?}: {problem}");
    }
}
