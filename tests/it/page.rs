//! The page at `/`, in a real browser.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use primacy::api::Tokens;
use primacy::clock;
use primacy::config::Secret;
use primacy::status::{ActionView, EndCause, Evidence, HistoryEntry, NodeState, Role, Snapshot, StatusWord};

use crate::api::{Fixture, active, expired, standby, standby_out_of_contact};
use crate::cluster::Cluster;
use crate::zookeeper::Server;

use browser::Browser;
use judge::judge;

mod browser;
mod judge;

const NO_BROWSER: &str = "no chromium and chromedriver here";

fn url(fixture: &Fixture) -> String {
    format!("http://{}/", fixture.api.address())
}

/// Two leaderships before the present one.
fn with_history(mut snapshot: Snapshot) -> Snapshot {
    let entry = |epoch: u64, node: &str, from: &str, to: &str, cause| HistoryEntry {
        to: Some(to.into()),
        cause: Some(cause),
        gap_ms: Some(412),
        evidence: Some(Evidence::LockAndSession),
        ..HistoryEntry::begun(epoch, node.into(), from.into())
    };
    let switchover: EndCause = serde_json::from_str("\"switchover\"").unwrap();
    snapshot.history.push(HistoryEntry {
        by: Some("alice".into()),
        reason: Some("a new kernel".into()),
        ..entry(6, "node-b", "2026-01-01T22:00:00Z", "2026-01-02T03:04:05Z", switchover)
    });
    snapshot.history.push(entry(5, "node-a", "2025-12-24T10:00:00Z", "2026-01-01T21:59:12Z", EndCause::HostLost));
    snapshot
}

fn paused() -> Snapshot {
    let mut snapshot = active();
    snapshot.cluster.paused = true;
    snapshot.cluster.action = Some(ActionView {
        kind: "pause".into(),
        node: None,
        by: "alice".into(),
        at: clock::timestamp(),
        reason: Some("a switch is replaced".into()),
        until: Some("2099-01-02T05:04:05Z".into()),
    });
    snapshot
}

fn alone() -> Snapshot {
    let mut snapshot = active();
    let row = &mut snapshot.cluster.members[1].row;
    (row.eligible, row.reason) = (false, "the volume at /mnt has not answered for 5 s".into());
    snapshot
}

fn missing() -> Snapshot {
    let mut snapshot = active();
    let mut gone = snapshot.cluster.members[1].clone();
    gone.row.node = "node-c".into();
    (gone.row.state, gone.row.role, gone.row.eligible) = (NodeState::Inactive, Role::Standby, false);
    gone.last_contact_ms = Some(277_200_000);
    snapshot.cluster.members.push(gone);
    snapshot
}

fn leaderless() -> Snapshot {
    let mut snapshot = standby();
    (snapshot.server.active, snapshot.cluster.active) = (None, None);
    snapshot.cluster.members[0].row.role = Role::Promoting;
    snapshot.cluster.members[0].row.status = StatusWord::WaitingForLock;
    snapshot.cluster.members[0].row.reason = "the lock is held by node-c".into();
    snapshot
}

fn switching() -> Snapshot {
    let mut snapshot = active();
    snapshot.cluster.switchover = Some(serde_json::json!({"to": "node-b", "expect_epoch": 7}));
    snapshot.cluster.action = Some(ActionView {
        kind: "switchover".into(),
        node: Some("node-b".into()),
        by: "bob".into(),
        at: clock::timestamp(),
        reason: None,
        until: None,
    });
    snapshot
}

#[test]
fn every_state_is_one_sentence_and_a_colour_that_can_be_read() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let fixture = Fixture::new(with_history(active()));
    let browser = Browser::open(&url(&fixture));
    for (name, snapshot, word, sentence, advice) in [
        ("ok", active(), "OK", "node-a leads cluster dremio", "Nothing is to be done"),
        ("alone", alone(), "WARNING", "nobody could take over", "Read the reason of each standby"),
        ("missing", missing(), "WARNING", "node-c is missing, last seen 3 d 5 h ago", "primacy forget NODE"),
        ("paused", paused(), "PAUSED", "no other node takes over while that lasts", "primacy resume ends it"),
        ("leaderless", leaderless(), "CRITICAL", "nobody leads cluster dremio", "Most often another node is about to"),
        ("expired", expired(), "CRITICAL", "nobody leads cluster dremio", "Most often another node is about to"),
        ("blind", standby_out_of_contact(), "UNKNOWN", "node-b has no contact", "Somebody may well lead"),
        ("switching", switching(), "OK", "node-a leads cluster dremio", "Nothing is to be done"),
    ] {
        fixture.turned(Duration::ZERO);
        fixture.snapshot.store(Arc::new(with_history(snapshot)));
        browser.until(&format!("the page says {word} of {name}"), |it| {
            fixture.turned(Duration::ZERO);
            (it.text("#word") == word && it.text("#sentence").contains(sentence)).then_some(())
        });
        browser.until_text("#advice", advice);
        browser.until_text("#connection", "live");
        browser.until_text("#leaderships", "ended: switchover");
        judge(&browser, name);
        assert_eq!(browser.complaints(), [""; 0], "{name}");
    }
    // What is under way is said, and why nothing else can be asked for.
    browser.until_text("#under-way", "Switchover to node-b, asked for by bob");
    browser.until_text("#why-not", "Not now: a switchover is under way, asked for by bob.");
    let disabled =
        "return [...document.querySelectorAll('#buttons button')].map((it) => [it.innerText, it.ariaDisabled])";
    let expected = serde_json::json!([["Switchover…", "true"], ["Cancel the switchover…", null], ["Pause…", "true"]]);
    assert_eq!(browser.js(disabled), expected);
    assert_eq!(
        browser.js("return document.querySelector('#announcement').textContent.startsWith('OK: node-a leads')"),
        true
    );
    browser.go(&format!("{}?wall", url(&fixture)));
    browser.until_text("#word", "OK");
    assert_eq!(browser.text("#act"), "", "nobody acts on a wall");
    browser.picture("wall");
    assert_eq!(browser.complaints(), [""; 0], "wall");
}

#[test]
fn whatever_others_have_written_is_text() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let hostile =
        "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>\u{202e}\u{0}' \" & {neighbours}";
    let mut snapshot = with_history(paused());
    for member in &mut snapshot.cluster.members {
        (member.row.reason, member.row.version) = (hostile.repeat(20), hostile.into());
    }
    snapshot.cluster.members[1].row.node = format!("{hostile}{}", "x".repeat(300));
    snapshot.cluster.members[1].row.api = "javascript:window.pwned=1".into();
    snapshot.cluster.members[1].row.state = NodeState::Isolated;
    snapshot.server.reason = hostile.into();
    let action = snapshot.cluster.action.as_mut().unwrap();
    (action.by, action.reason, action.until) = (hostile.into(), Some(hostile.into()), Some(hostile.into()));
    for entry in &mut snapshot.history {
        (entry.node, entry.detail) = (hostile.into(), Some(hostile.into()));
        // Of the one that is opened it has to be a time.
        if entry.epoch != 7 {
            entry.from = hostile.into();
        }
        (entry.by, entry.reason) = (Some(hostile.into()), Some(hostile.into()));
        entry.evidence = Some(Evidence::Other(hostile.into()));
    }
    let fixture = Fixture::new(snapshot);
    let browser = Browser::open(&url(&fixture));
    browser.until_text("#sentence", "node-a leads");
    browser.until_text("#rows", "<img src=x");
    browser.until_text("#leaderships", "<img src=x");
    browser.until_text("#asked-for", "<img src=x");
    browser.click(&browser.find("#leaderships button", "How it began"));
    browser.until_text("#epoch-about", "<img src=x");
    let made = "return [window.pwned ?? null, document.querySelectorAll('img, body script, iframe').length, \
                [...document.links].filter((it) => !it.protocol.startsWith('http')).length]";
    assert_eq!(browser.js(made), serde_json::json!([null, 0, 0]));
    // Nothing of it turns the page's own words backwards.
    assert_eq!(browser.js("return /[\\u0000\\u202e]/.test(document.body.textContent + document.title)"), false);
    judge(&browser, "hostile");
    assert_eq!(browser.complaints(), [""; 0]);
    // Even a script of the page's own could not make markup of it.
    let refused =
        browser.js("try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch { return 'refused'; }");
    assert_eq!(refused, "refused");
}

#[test]
fn a_page_that_has_lost_its_node_says_so_and_finds_it_again() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fixture = Fixture::at(listener, active(), |_| ());
    let browser = Browser::open(&url(&fixture));
    browser.until_text("#connection", "live");
    browser.until_text("#word", "OK");
    drop(fixture);
    browser.until_text("#connection", "Connection lost");
    browser.until_text("#why-not", "this page has lost the cluster");
    browser
        .until_text("#headline", "UNKNOWN This page has no connection to the cluster. The last that node-a said: OK:");
    assert_eq!(browser.text("#advice"), "", "it is not known whether anything is to be done");
    judge(&browser, "lost");
    let fixture = Fixture::at(TcpListener::bind(address).unwrap(), alone(), |_| ());
    browser.until_text("#connection", "live");
    browser.until_text("#word", "WARNING");
    drop(fixture);
}

#[test]
fn a_token_that_is_withdrawn_is_asked_for_and_another_one_is_taken() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let tokens = |text: &str| Tokens { full: None, read: Some(Secret::new(text)) };
    let fixture = Fixture::with(active(), |settings| settings.tokens = tokens("one"));
    let browser = Browser::open(&url(&fixture));
    browser.until_text("#token-wanted", "those with a token");
    browser.write("#token", "one");
    browser.press("\u{e007}");
    browser.until_text("#connection", "live");
    browser.until_text("#sentence", "node-a leads");
    assert_eq!(browser.js("return document.querySelector('#token').value"), "");
    fixture.api.reload_tokens(tokens("another"));
    browser.until_text("#connection", "a token is needed");
    browser.until_text("#token-state", "wrong or has expired");
    judge(&browser, "token");
    browser.write("#token", "another");
    browser.click(&browser.find("#token-form button", "Use"));
    browser.until_text("#connection", "live");
}

/// Each where it says that it is: pages of one may ask the others.
fn cluster(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(&Server::shared().address());
    // As it looks to a person.
    cluster.name = format!("sales-{}", &cluster.name[1..9]);
    cluster.set("cluster", cluster.name.clone());
    // A browser is heavy: nobody is to lose its role for want of a processor.
    cluster.set("zookeeper.session_timeout", "10s");
    for name in names {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        cluster.set_for(name, "api.listen", address.to_string());
        cluster.set_for(name, "api.advertise", format!("http://{address}"));
    }
    cluster.start_with_active(names);
    cluster
}

fn page_of(cluster: &mut Cluster, node: &str) -> String {
    format!("http://127.0.0.1:{}/", cluster.port(node).unwrap())
}

#[test]
fn a_fail_over_is_seen_as_it_happens_and_can_be_opened() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let mut cluster = cluster(&["node-a", "node-b"]);
    let browser = Browser::open(&page_of(&mut cluster, "node-b"));
    browser.until_text("#sentence", "node-a leads cluster");
    browser.until("node-a's lease drains on node-b's page", |it| {
        it.text("#rows tr:nth-child(1) .lease").ends_with("s left").then_some(())
    });
    browser.until_text("#rows tr:nth-child(2)", "not held");
    assert_eq!(browser.complaints(), [""; 0]);
    browser.js("window.sameAsBefore = true");
    cluster.signal("node-a", Signal::SIGKILL);
    browser.until_text("#sentence", "node-b leads cluster");
    browser.until_text("#leaderships", "Epoch 2: node-b, leads still");
    browser.until_text("#leaderships", "ended: supervisor lost");
    assert_eq!(browser.js("return window.sameAsBefore"), true, "it was not loaded again");
    cluster.until_exit("node-a");
    cluster.start("node-a");
    cluster.until_eligible("node-a");
    browser.until_text("#word", "OK");
    browser.until("both say how they are", |it| (!it.text("#rows").contains('–')).then_some(()));
    browser.size(1280, 960);
    browser.picture("page");
    browser.click(&browser.find("#leaderships button", "How it began"));
    browser.until_text("#steps", "promoting -> active");
    browser.until("the steps of both", |it| {
        let steps = it.text("#steps");
        (steps.contains("node-a (guardian)") && steps.contains("node-b")).then_some(())
    });
    browser.picture("failover");
}

#[test]
fn a_switchover_is_confirmed_with_the_keyboard_and_followed() {
    if !browser::is_here() {
        return crate::skipped(NO_BROWSER);
    }
    let mut cluster = cluster(&["a", "b"]);
    let browser = Browser::open(&page_of(&mut cluster, "a"));
    browser.until_text("#word", "OK");
    browser.js("document.querySelector('#buttons button').focus()");
    browser.press("\u{e007}");
    browser.until_text("#ask", "a stops its coordinator");
    browser.press("\u{e00c}");
    browser.until("the dialog is closed", |it| {
        (it.js("return document.querySelector('#ask').open") == false).then_some(())
    });
    assert_eq!(browser.js("return document.activeElement.innerText"), "Switchover…", "the focus is where it was");
    browser.press("\u{e007}");
    browser.until_text("#ask", "how long there will be no coordinator is not known");
    judge(&browser, "switchover");
    browser.write("#ask input[maxlength]", "a new kernel");
    browser.press("\u{e007}");
    browser.until_text("#sentence", "b leads cluster");
    browser.until_text("#leaderships", "ended: switchover");
    browser.until_text("#leaderships", "asked for by local: a new kernel");
    // Of a node, and one that is refused says why.
    browser.until_text("#word", "OK");
    browser.click(&browser.find("#rows tr:nth-child(1) button", "Isolate…"));
    browser.write("#ask input[maxlength]", "it is repaired");
    browser.click(&browser.find("#ask-yes", "Isolate"));
    browser.until_text("#asked-for", "it is repaired");
    browser.find("#rows tr:nth-child(1) button", "Activate…");
    assert_eq!(browser.complaints(), [""; 0]);
    browser.click(&browser.find("#rows tr:nth-child(2) button", "Isolate…"));
    browser.click(&browser.find("#ask-yes", "Isolate"));
    browser.until_text("#ask-problem", "is the last one that could lead");
    browser.find("#ask label", "Even though nobody else could lead");
}
