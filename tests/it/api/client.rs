use std::time::SystemTime;

use primacy::client::commands::{Outcome, Which, check, choose, which_active};
use primacy::client::render::{Format, render_history, render_status};
use primacy::client::verdict::Health;
use primacy::client::{Access, Client};
use primacy::config::Secret;

use super::*;

fn now() -> SystemTime {
    humantime::parse_rfc3339("2026-01-02T06:16:08Z").unwrap()
}

fn url(fixture: &Fixture) -> String {
    format!("http://{}/", fixture.api.address())
}

/// A URL where nobody listens.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn members_are_tried_in_turn() {
    let fixture = Fixture::new(active());
    // Bound and never accepted: connections succeed and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::from_api([dead(), silent_url, url(&fixture)], Access::default());
    assert_eq!(client.cluster().unwrap().active.unwrap().node, "node-a");
    assert_eq!(client.history().unwrap()[0].epoch, 7);
    assert_eq!(which_active(&client, &Which::Node), Outcome::Done);
}

#[test]
fn a_member_that_knows_of_no_active_node_does_not_have_the_last_word() {
    let (cut_off, active) = (Fixture::new(standby_out_of_contact()), Fixture::new(active()));
    let client = Client::from_api([url(&cut_off), url(&active)], Access::default());
    assert_eq!(client.cluster().unwrap().active.unwrap().node, "node-a");
}

#[test]
fn that_nobody_is_active_is_known_only_to_a_member_in_contact() {
    let mut nobody = standby();
    (nobody.server.active, nobody.cluster.active) = (None, None);
    let (cut_off, knows) = (Fixture::new(standby_out_of_contact()), Fixture::new(nobody));
    let client = Client::from_api([dead(), url(&cut_off)], Access::default());
    let sight = client.sight().unwrap();
    assert_eq!(sight.view.active, None);
    assert_eq!(sight.blind.as_deref(), Some("node-b has no contact (elected after node-b stopped cleanly)"));
    assert_eq!(which_active(&client, &Which::Node), Outcome::Unknown);
    assert_eq!(check(client), Health::Unknown);
    for urls in [vec![url(&knows)], vec![url(&cut_off), url(&knows)]] {
        let client = Client::from_api(urls, Access::default());
        knows.turned(Duration::ZERO);
        assert_eq!(client.sight().unwrap().blind, None);
        assert_eq!(which_active(&client, &Which::Node), Outcome::Failed);
        assert_eq!(check(client), Health::Critical);
    }
}

#[test]
fn a_check_is_ok_while_somebody_leads_and_another_could_take_over() {
    let mut snapshot = active();
    let fixture = Fixture::new(snapshot.clone());
    let checked = || check(Client::from_api([url(&fixture)], Access::default()));
    assert_eq!(checked(), Health::Ok);
    snapshot.cluster.paused = true;
    fixture.snapshot.store(Arc::new(snapshot.clone()));
    assert_eq!(checked(), Health::Warning);
    snapshot.cluster.paused = false;
    snapshot.cluster.members.truncate(1);
    fixture.snapshot.store(Arc::new(snapshot));
    assert_eq!(checked(), Health::Warning);
    assert_eq!(check(Client::from_api([dead()], Access::default())), Health::Unknown);
}

#[test]
fn where_members_know_of_themselves_alone_each_is_asked_for_its_own_row() {
    let (mut a, mut b) = (active(), standby());
    a.cluster.members.truncate(1);
    b.cluster.members.remove(0);
    (b.cluster.active, b.server.active) = (None, None);
    let (a, b) = (Fixture::new(a), Fixture::new(b));
    let client = Client::from_api([url(&b), url(&a), dead()], Access::default());
    let sight = client.sight().unwrap();
    let nodes: Vec<_> = sight.view.members.iter().map(|member| member.row.node.as_str()).collect();
    assert_eq!((nodes, sight.blind), (vec!["node-a", "node-b"], None));
    assert_eq!(check(client), Health::Ok);
}

#[test]
fn where_nobody_answers_every_url_has_its_reason() {
    let urls = [dead(), "nonsense".into()];
    let error = Client::from_api(urls.clone(), Access::default()).cluster().unwrap_err().to_string();
    assert!(urls.iter().all(|url| error.contains(url.as_str())), "{error}");
    assert!(Client::from_api(Vec::<String>::new(), Access::default()).history().is_err());
}

#[test]
fn the_token_is_shown_where_reading_needs_one() {
    let tokens = Tokens { full: None, read: Some(Secret::new("read-token")) };
    let fixture = Fixture::with(active(), |settings| settings.tokens = tokens);
    assert!(Client::from_api([url(&fixture)], Access::default()).cluster().unwrap_err().to_string().contains("401"));
    assert!(Client::from_api([url(&fixture)], Access::by_token(Secret::new("read-token"))).cluster().is_ok());
}

#[test]
fn which_active_prints_what_was_asked_for_or_nothing() {
    let mut view = active().cluster;
    assert_eq!(choose(&view, &Which::Node).unwrap(), "node-a\n");
    assert_eq!(choose(&view, &Which::Api).unwrap(), "http://node-a:9090\n");
    assert_eq!(choose(&view, &Which::Endpoint("web".into())).unwrap(), "http://node-a:9047\n");
    assert_eq!(choose(&view, &Which::Endpoint("x".into())).unwrap_err(), "node-a has no endpoint x; it has: web");
    view.active = None;
    assert_eq!(choose(&view, &Which::Node).unwrap_err(), "no node of cluster dremio is active");
}

#[test]
fn the_status_is_a_table_for_people() {
    let mut view = active().cluster;
    view.paused = true;
    view.switchover = Some(serde_json::json!({"to": "node-b"}));
    view.members[1].last_contact_ms = Some(2_350);
    view.members[1].row.reason = "evil \x1b[31mcolours\nand lines".into();
    let expected = "\
PAUSED: node-a leads cluster dremio for 3 h 12 min (epoch 7), and no other node takes over while that lasts
PAUSED: no elections and no fail-over until the pause ends; `primacy resume` ends it
SWITCHOVER to node-b is asked for; `primacy switchover --cancel` calls it off

NODE    ROLE     STATE   EPOCH  SINCE           READY  ADDRESS             LAG    REASON
node-a  active   ACTIVE  7      3 h 12 min ago  yes    http://node-a:9090  < 1 s  as it should be
node-b  standby  ACTIVE  -      3 h 12 min ago  no     http://node-b:9090  2 s    evil  [31mcolours and lines
";
    assert_eq!(render_status(&view.into(), Format::Table, now()), expected);
}

#[test]
fn the_status_is_the_same_to_scripts_in_every_format() {
    let view = active().cluster;
    let tsv = "\
node\trole\tstate\tepoch\tsince\tready\taddress\tlag_ms\treason
node-a\tactive\tACTIVE\t7\t2026-01-02T03:04:05.678Z\tyes\thttp://node-a:9090\t5\tas it should be
node-b\tstandby\tACTIVE\t\t2026-01-02T03:04:05.678Z\tno\thttp://node-b:9090\t5\tas it should be
";
    assert_eq!(render_status(&view.clone().into(), Format::Tsv, now()), tsv);
    let back: ClusterView = serde_json::from_str(&render_status(&view.clone().into(), Format::Json, now())).unwrap();
    assert_eq!(back, view);
    let back: ClusterView = serde_norway::from_str(&render_status(&view.clone().into(), Format::Yaml, now())).unwrap();
    assert_eq!(back, view);
}

#[test]
fn the_history_is_printed_in_every_format() {
    let entries = active().history;
    let table = "\
EPOCH  NODE    FROM                                   LASTED  CAUSE  GAP     DETAIL
7      node-a  2026-01-02T03:04:05Z (3 h 12 min ago)  still   -      1.23 s  -
";
    assert_eq!(render_history(&entries, Format::Table, now()), table);
    let tsv = "epoch\tnode\tfrom\tto\tcause\tgap_ms\tdetail\n7\tnode-a\t2026-01-02T03:04:05.678Z\t\t\t1234\t\n";
    assert_eq!(render_history(&entries, Format::Tsv, now()), tsv);
    let back: Vec<HistoryEntry> = serde_json::from_str(&render_history(&entries, Format::Json, now())).unwrap();
    assert_eq!(back, entries);
    let back: Vec<HistoryEntry> = serde_norway::from_str(&render_history(&entries, Format::Yaml, now())).unwrap();
    assert_eq!(back, entries);
}
