//! A candidacy driven by synthetic answers: no server, no clock.

mod courses;
mod ensemble;
mod properties;
mod refusals;
mod tables;
mod volume;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::election::port::ElectionOutcome;
use crate::status::{Breadcrumb, MemberRow, NodeState, Role, StatusWord};

const SESSION: i64 = 7;

const INTERVAL: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        always_on: false,
        node: "a".to_owned(),
        paths: Arc::new(Paths::new("/p", "c")),
        timing: LeaseTiming {
            session_timeout: Duration::from_secs(10),
            tick_time: Duration::from_secs(2),
            heartbeat_interval: INTERVAL,
            margin: Duration::from_millis(500),
        },
    }
}

fn failure(kind: Kind) -> Failure {
    Failure { kind, words: format!("{kind:?}") }
}

fn breadcrumb(node: &str, epoch: u64) -> Breadcrumb {
    Breadcrumb {
        election_node: None,
        node: node.to_owned(),
        epoch,
        api: "host:1".to_owned(),
        endpoints: BTreeMap::new(),
        since: "then".to_owned(),
        clean: false,
        host: None,
        cause: None,
        to: None,
    }
}

fn entry(node: &str, epoch: u64) -> HistoryEntry {
    let (node, from) = (node.to_owned(), "then".to_owned());
    HistoryEntry::begun(epoch, node, from)
}

fn member(node: &str) -> Member {
    let row = MemberRow {
        node: node.to_owned(),
        role: Role::Standby,
        state: NodeState::Active,
        status: StatusWord::Standby,
        epoch: None,
        since: "then".to_owned(),
        ready: false,
        api: "host:1".to_owned(),
        endpoints: BTreeMap::new(),
        priority: 3,
        tags: BTreeMap::new(),
        version: "0".to_owned(),
        eligible: true,
        always_on: false,
        reason: String::new(),
    };
    Member { format: 1, row, process: None, session_timeout_ms: None, election_node: None, ready_for: None }
}

fn claim(epoch: u64) -> ElectionOrder {
    ElectionOrder::Claim {
        breadcrumb: breadcrumb("a", epoch),
        volume: "volume".to_owned(),
        entry: entry("a", epoch),
        predecessor_ended: None,
    }
}

fn resign() -> ElectionOrder {
    ElectionOrder::Resign { clean: true, ended: Some(entry("a", 1)) }
}

/// What a look finds of who is alone in the queue of a cluster that never had a leader.
fn looked() -> Looked {
    Looked {
        synced: Ok(()),
        queue: Ok(vec!["x-latch-0000000002".to_owned()]),
        owner: Ok(Some(SESSION)),
        epoch: Ok(None),
        active: Ok(None),
        volume: Ok(None),
        control: Ok(None),
    }
}

const OWN: &str = "/p/c/election/x-latch-0000000002";

/// A candidacy, and what it has asked for and was not answered.
struct Lab {
    candidacy: Candidacy,
    now: Moment,
    asked: BTreeMap<RequestId, Request>,
}

impl Lab {
    fn new() -> Self {
        let mut lab =
            Self { candidacy: Candidacy::new(terms()), now: Moment::from_millis(1_000_000), asked: BTreeMap::new() };
        lab.outputs();
        lab
    }

    fn connected() -> Self {
        let mut lab = Self::new();
        lab.connect();
        lab
    }

    fn at(&self) -> At {
        At { moment: self.now, wall: UNIX_EPOCH }
    }

    fn connect(&mut self) -> Vec<Output> {
        self.connect_granted(10)
    }

    fn connect_granted(&mut self, seconds: u64) -> Vec<Output> {
        let (granted, name, asked) = (Duration::from_secs(seconds), "7".to_owned(), self.now);
        self.hear(Input::Connected(Connection { session: SESSION, name, granted, asked, several: true }))
    }

    fn hear(&mut self, input: Input) -> Vec<Output> {
        self.candidacy.handle(self.at(), input);
        self.outputs()
    }

    fn order(&mut self, order: ElectionOrder) -> Vec<Output> {
        self.hear(Input::Order(order))
    }

    fn outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.candidacy.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Ask(id, request) => {
                    self.asked.insert(*id, request.clone());
                }
                Output::Forget(id) => {
                    self.asked.remove(id);
                }
                Output::Turn(_) => self.asked.clear(),
                _ => {}
            }
        }
        outputs
    }

    /// Lets time pass up to the deadline.
    fn wait(&mut self) -> Vec<Output> {
        self.now = self.now.max(self.candidacy.deadline().expect("something is due"));
        self.hear(Input::TimePassed)
    }

    /// The only request that is under way but for touches and watches.
    fn pending(&self) -> (RequestId, Request) {
        let pending = self
            .asked
            .iter()
            .filter(|(_, request)| !matches!(request, Request::Touch { .. } | Request::UntilDeleted { .. }));
        let pending: Vec<_> = pending.collect();
        let [(id, request)] = pending[..] else { panic!("not one request is under way: {:?}", self.asked) };
        (*id, request.clone())
    }

    fn answer(&mut self, answer: Answer) -> Vec<Output> {
        let (id, _) = self.pending();
        self.asked.remove(&id);
        self.hear(Input::Answered(id, answer))
    }

    /// Answers the watch of a node's deletion.
    fn deleted(&mut self, path: &str) -> Vec<Output> {
        let watch = |request: &Request| matches!(request, Request::UntilDeleted { node, .. } if node == path);
        let (&id, _) = self.asked.iter().find(|(_, request)| watch(request)).expect("it is watched");
        self.asked.remove(&id);
        self.hear(Input::Answered(id, Answer::Deleted))
    }

    fn queued() -> Self {
        let mut lab = Self::connected();
        lab.order(ElectionOrder::Stand);
        lab.answer(Answer::Entered(Ok(OWN.to_owned())));
        lab
    }

    fn elected() -> Self {
        let mut lab = Self::queued();
        lab.answer(Answer::Looked(Ok(Box::new(looked()))));
        lab
    }

    fn leading() -> Self {
        let mut lab = Self::elected();
        lab.order(claim(1));
        lab.answer(Answer::Written(Ok(vec![0; 5])));
        lab
    }
}

/// Every position that a candidacy may be in while it is connected, each with one request under way if there is any.
fn positions() -> Vec<(&'static str, Lab)> {
    let after = |mut lab: Lab, order: ElectionOrder| {
        lab.order(order);
        lab
    };
    let answered = |mut lab: Lab, answer: Answer| {
        lab.answer(answer);
        lab
    };
    let behind =
        Looked { queue: Ok(vec!["x-latch-0000000001".to_owned(), "x-latch-0000000002".to_owned()]), ..looked() };
    let mut fallen = Lab::leading();
    fallen.deleted(OWN);
    let mut gone = Lab::queued();
    gone.deleted(OWN);
    let mut beating = Lab::leading();
    while !beating.asked.values().any(|request| matches!(request, Request::Heartbeat(_))) {
        beating.wait();
    }
    let entering = after(Lab::connected(), ElectionOrder::Stand);
    let claiming = after(Lab::elected(), claim(1));
    let refused = Answer::Written(Err((Some(1), failure(Kind::BadVersion))));
    let no_history = Answer::Written(Err((Some(3), failure(Kind::NoNode))));
    vec![
        ("Idle", Lab::connected()),
        ("Entering", entering),
        (
            "Entering, ensuring directories",
            answered(after(Lab::connected(), ElectionOrder::Stand), Answer::Entered(Err(failure(Kind::NoNode)))),
        ),
        (
            "Entering, later",
            answered(after(Lab::connected(), ElectionOrder::Stand), Answer::Entered(Err(failure(Kind::Refused)))),
        ),
        ("Queued, looking", Lab::queued()),
        ("Queued, behind", answered(Lab::queued(), Answer::Looked(Ok(Box::new(behind))))),
        ("Queued, later", answered(Lab::queued(), Answer::Looked(Err(failure(Kind::Unknown))))),
        ("Elected", Lab::elected()),
        ("Claiming", claiming),
        ("Claiming, ensuring directories", answered(after(Lab::elected(), claim(1)), no_history)),
        ("Claiming, looking again", answered(after(Lab::elected(), claim(1)), refused)),
        ("Leaving", after(Lab::elected(), ElectionOrder::Yield)),
        ("Leading", Lab::leading()),
        ("Leading, heartbeat under way", beating),
        ("Fallen", gone),
        ("Fallen from leading", fallen),
        ("Resigning", after(Lab::leading(), resign())),
    ]
}

/// What comes out, in a word each.
fn words(outputs: &[Output]) -> String {
    let word = |output: &Output| match output {
        Output::Ask(_, Request::Write(writes)) => format!("ask {}", written(writes)),
        Output::Ask(_, Request::Heartbeat(_)) => "ask Heartbeat".to_owned(),
        Output::Ask(_, Request::UntilDeleted { node, .. }) if node == OWN => "watch own".to_owned(),
        Output::Ask(_, Request::UntilDeleted { .. }) => "watch predecessor".to_owned(),
        Output::Ask(_, request) => format!("ask {}", head(request)),
        Output::Tell(Fact::Lost(loss)) => format!("tell Lost({})", head(loss)),
        Output::Tell(fact) => format!("tell {}", head(fact)),
        Output::Say(line) => format!("say {}", head(line)),
        Output::Turn(Turn::Close { .. }) => "CLOSE".to_owned(),
        Output::Turn(turn) => head(turn).to_uppercase(),
        other => head(other),
    };
    let words: Vec<String> = outputs.iter().map(word).collect();
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}

fn written(writes: &[Write]) -> &'static str {
    let sets = |path: &str| {
        writes.iter().any(|write| match write {
            Write::Set { path: other, .. } | Write::Create { path: other, .. } => other == path,
            Write::Check { .. } | Write::Delete { .. } => false,
        })
    };
    match () {
        () if sets("/p/c/epoch") => "Claim",
        () if writes.iter().any(|write| matches!(write, Write::Delete { .. })) => "Resignation",
        () if sets("/p/c/heartbeat") => "HeartbeatNode",
        () => "rest of the Resignation",
    }
}

/// A variant's name.
fn head(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
