use primacy::client::commands::{Outcome, Which, choose, which_active};
use primacy::client::render::{Format, render_history, render_status};
use primacy::client::{Access, Client};
use primacy::config::Secret;

use super::*;

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
    let client = Client::from_api([dead(), url(&cut_off)], Access::default());
    assert_eq!(client.cluster().unwrap().active, None);
    assert_eq!(which_active(&client, &Which::Node), Outcome::Failed);
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
    view.members[1].last_contact_ms = Some(2_345);
    view.members[1].row.reason = "evil \x1b[31mcolours\nand lines".into();
    let expected = "\
NODE    ROLE     STATE   EPOCH  SINCE                     READY  ADDRESS             LAG    REASON
node-a  active   ACTIVE  7      2026-01-02T03:04:05.678Z  yes    http://node-a:9090  5 ms   as it should be
node-b  standby  ACTIVE  -      2026-01-02T03:04:05.678Z  no     http://node-b:9090  2.3 s  evil  [31mcolours and lines

Cluster dremio: node-a is active, epoch 7.
Paused: no elections and no fail-over until `primacy resume`.
Switchover to node-b pending.
";
    assert_eq!(render_status(&view, Format::Table), expected);
}

#[test]
fn the_status_is_the_same_to_scripts_in_every_format() {
    let view = active().cluster;
    let tsv = "\
node\trole\tstate\tepoch\tsince\tready\taddress\tlag_ms\treason
node-a\tactive\tACTIVE\t7\t2026-01-02T03:04:05.678Z\tyes\thttp://node-a:9090\t5\tas it should be
node-b\tstandby\tACTIVE\t\t2026-01-02T03:04:05.678Z\tno\thttp://node-b:9090\t5\tas it should be
";
    assert_eq!(render_status(&view, Format::Tsv), tsv);
    let back: ClusterView = serde_json::from_str(&render_status(&view, Format::Json)).unwrap();
    assert_eq!(back, view);
    let back: ClusterView = serde_norway::from_str(&render_status(&view, Format::Yaml)).unwrap();
    assert_eq!(back, view);
}

#[test]
fn the_history_is_printed_in_every_format() {
    let entries = active().history;
    let table = "\
EPOCH  NODE    FROM                      TO  CAUSE  GAP MS  DETAIL
7      node-a  2026-01-02T03:04:05.678Z  -   -      1234    -
";
    assert_eq!(render_history(&entries, Format::Table), table);
    let tsv = "epoch\tnode\tfrom\tto\tcause\tgap_ms\tdetail\n7\tnode-a\t2026-01-02T03:04:05.678Z\t\t\t1234\t\n";
    assert_eq!(render_history(&entries, Format::Tsv), tsv);
    let back: Vec<HistoryEntry> = serde_json::from_str(&render_history(&entries, Format::Json)).unwrap();
    assert_eq!(back, entries);
    let back: Vec<HistoryEntry> = serde_norway::from_str(&render_history(&entries, Format::Yaml)).unwrap();
    assert_eq!(back, entries);
}
