//! `/events`, and the command that reads it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use primacy::config::Secret;
use serde_json::Value;

use super::*;

/// A client that reads events.
struct Reader {
    stream: BufReader<TcpStream>,
    head: String,
}

#[derive(Debug)]
struct Told {
    id: Option<String>,
    name: String,
    data: Value,
}

impl Reader {
    /// `headers`: whole lines.
    fn open(fixture: &Fixture, headers: &str) -> Self {
        let mut stream = fixture.connect();
        stream.write_all(format!("GET /events HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "cut off after {head:?}");
        }
        Self { stream, head: head.to_lowercase() }
    }

    fn code(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// A line of the body, its chunks' lengths aside; `None` at its end.
    fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // Pieces end with a line, so nothing but a chunk's own lines ends with \r\n.
            match line.strip_suffix("\r\n") {
                Some("0") => return None,
                Some(_) => {}
                None => return Some(line.trim_end().to_owned()),
            }
        }
    }

    fn next(&mut self) -> Option<Told> {
        let mut told = Told { id: None, name: String::new(), data: Value::Null };
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("id", id)) => told.id = Some(id.to_owned()),
                Some(("event", name)) => told.name = name.to_owned(),
                Some(("data", data)) => told.data = serde_json::from_str(data).unwrap(),
                _ if !told.data.is_null() => return Some(told),
                _ => {}
            }
        }
    }

    /// Up to the first event with an id: a whole state.
    fn whole(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            told.push(self.next().expect("a whole state"));
            if told.last().unwrap().id.is_some() {
                return told;
            }
        }
    }
}

fn ill(reason: &str) -> Snapshot {
    let mut snapshot = active();
    snapshot.cluster.members[1].row.reason = reason.into();
    snapshot
}

#[test]
fn the_whole_state_comes_first_and_then_what_changes() {
    let fixture = Fixture::new(active());
    let mut reader = Reader::open(&fixture, "");
    assert!(reader.head.contains("content-type: text/event-stream\r\n"), "{}", reader.head);
    assert!(reader.head.contains("cache-control: no-store\r\n"), "{}", reader.head);
    let whole = reader.whole();
    let names: Vec<_> = whole.iter().map(|told| told.name.as_str()).collect();
    assert_eq!(names, ["control", "member", "member", "transition"]);
    assert_eq!((&whole[0].data["full_state"], &whole[0].data["active"]["node"]), (&true.into(), &"node-a".into()));
    assert_eq!((&whole[2].data["node"], &whole[2].data["eligible"]), (&"node-b".into(), &true.into()));
    assert_eq!(whole[3].data["epoch"], 7);
    fixture.snapshot.store(Arc::new(ill("no contact with ZooKeeper")));
    let told = reader.next().unwrap();
    assert_eq!((told.name.as_str(), &told.data["reason"]), ("member", &"no contact with ZooKeeper".into()));
    assert!(told.id.is_some() && told.data["seen_at"].is_string(), "{told:?}");
    let mut ended = ill("no contact with ZooKeeper");
    ended.history[0].cause = Some(EndCause::HostLost);
    ended.cluster.paused = true;
    fixture.snapshot.store(Arc::new(ended));
    let (first, second) = (reader.next().unwrap(), reader.next().unwrap());
    assert_eq!((first.name.as_str(), &first.data["cause"]), ("transition", &"host_lost".into()));
    assert_eq!((second.name.as_str(), &second.data["paused"]), ("control", &true.into()));
}

#[test]
fn who_comes_back_is_told_what_it_has_missed_and_a_stranger_the_whole_state() {
    let fixture = Fixture::new(active());
    let id = Reader::open(&fixture, "").whole().pop().unwrap().id.unwrap();
    fixture.snapshot.store(Arc::new(ill("ill")));
    let mut back = Reader::open(&fixture, &format!("Last-Event-ID: {id}\r\n"));
    let told = back.next().unwrap();
    assert_eq!((told.name.as_str(), &told.data["reason"]), ("member", &"ill".into()));
    // The numbers of another process mean nothing here, and later ones than there have been are no better.
    let (process, _) = id.split_once('.').unwrap();
    for id in ["0123456789ab.3".to_owned(), format!("{process}.900"), format!("{process}.x"), "x".repeat(9_000)] {
        let mut stranger = Reader::open(&fixture, &format!("Last-Event-ID: {id}\r\n"));
        assert_eq!(stranger.next().unwrap().data["full_state"], true, "{id:.40}");
    }
}

#[test]
fn a_lease_that_runs_out_is_an_event_although_nobody_has_published_it() {
    let fixture = Fixture::new(Snapshot { lease_until: Some(clock::now() + Duration::from_secs(2)), ..active() });
    let mut reader = Reader::open(&fixture, "");
    reader.whole();
    let told: Vec<_> = (0..2).map(|_| reader.next().unwrap()).collect();
    assert_eq!((&told[0].data["role"], &told[0].data["ready"]), (&"fencing".into(), &false.into()));
    assert_eq!((told[1].name.as_str(), &told[1].data["active"]), ("control", &Value::Null));
}

#[test]
fn every_step_is_told_however_fast_it_is_followed_by_the_next() {
    let fixture = Fixture::new(active());
    let mut reader = Reader::open(&fixture, "");
    reader.whole();
    for step in ["one", "two", "three"] {
        let snapshot = Arc::new(ill(step));
        fixture.snapshot.store(Arc::clone(&snapshot));
        fixture.api.published(&snapshot);
    }
    let told: Vec<_> = (0..3).map(|_| reader.next().unwrap().data["reason"].clone()).collect();
    assert_eq!(told, ["one", "two", "three"]);
}

#[test]
fn a_token_that_is_withdrawn_ends_the_stream() {
    let tokens = |text: &str| Tokens { full: None, read: Some(Secret::new(text)) };
    let fixture = Fixture::with(active(), |settings| settings.tokens = tokens("one"));
    assert_eq!(Reader::open(&fixture, "").code(), "401");
    let mut reader = Reader::open(&fixture, "Authorization: Bearer one\r\n");
    reader.whole();
    fixture.api.reload_tokens(tokens("another"));
    assert!(reader.next().is_none());
}

#[test]
fn events_have_a_budget_of_their_own() {
    let fixture = Fixture::new(active());
    let mut readers: Vec<Reader> = (0..32).map(|_| Reader::open(&fixture, "")).collect();
    assert!(readers.iter().all(|reader| reader.code() == "200"));
    let refused = Reader::open(&fixture, "");
    assert!(refused.code() == "503" && refused.head.contains("retry-after: 10\r\n"), "{}", refused.head);
    assert_eq!(fixture.get("/primary").code, 200);
    // A HEAD takes no place for longer than its answer.
    readers.pop();
    for _ in 0..3 {
        let began = clock::now();
        while fixture.ask("HEAD", "/events", "").code != 200 {
            assert!(clock::now().since(began) < LIMIT, "the place was not given back");
        }
    }
}

/// `primacy events`, until it is dropped.
struct Watching {
    process: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(urls: &[String], more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
        command.args(["events", "--api", &urls.join(",")]).args(more).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn url(fixture: &Fixture) -> String {
    format!("http://{}", fixture.api.address())
}

#[test]
fn the_command_goes_on_at_another_member_and_repeats_nothing() {
    let (first, second) = (Fixture::new(active()), Fixture::new(active()));
    let watching = Watching::start(&[url(&first), url(&second)], &[]);
    let begin: Vec<String> = (0..3).map(|_| watching.line()).collect();
    assert!(begin[0].ends_with("  node-a leads cluster dremio (epoch 7)"), "{begin:?}");
    assert!(begin[2].ends_with("  node-b is standby (STANDBY): as it should be"), "{begin:?}");
    first.snapshot.store(Arc::new(ill("ill")));
    assert!(watching.line().ends_with("  node-b is standby (STANDBY): ill"));
    second.snapshot.store(Arc::new(ill("very ill")));
    drop(first);
    assert!(watching.line().ends_with("  node-b is standby (STANDBY): very ill"));
}

#[test]
fn the_command_writes_json_lines_and_says_when_nobody_can_be_asked() {
    let fixture = Fixture::new(active());
    let watching = Watching::start(&[url(&fixture)], &["-o", "json"]);
    let line: Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!((&line["event"], &line["data"]["active"]["node"]), (&"control".into(), &"node-a".into()));
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_primacy"));
    let output = command.args(["events", "--api", &format!("http://{dead}")]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no API answered"), "{output:?}");
}
