//! Properties that hold whatever ZooKeeper answers, and in whatever order: also late, doubled, failed and unknown.
//!
//! The observer keeps books of its own from what is asked, answered and told, and knows nothing of the machine's inside. The
//! ensemble answers by what it holds, unless an answer is bent; other candidates change what it holds.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::ensemble::Ensemble;
use super::*;

#[derive(Clone, Debug)]
enum Move {
    Order(u8),
    /// One of those under way is answered truthfully.
    Answer(usize),
    /// One of those under way is carried out (or not), and answered by a failure.
    Fail {
        which: usize,
        done: bool,
        kind: u8,
        part: usize,
    },
    /// An answer to whatever was asked earlier, by its number.
    Late {
        back: u64,
        kind: u8,
    },
    /// Somebody else does something to what is in ZooKeeper.
    Others(u8),
    Disconnected,
    SessionLost,
    Viewed(bool),
    Registered,
    Narrow,
    /// Time passes up to the deadline.
    Deadline,
}

fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
    let one = prop_oneof![
        12 => any::<usize>().prop_map(Move::Answer),
        5 => (0u8..12).prop_map(Move::Order),
        2 => (any::<usize>(), any::<bool>(), 0u8..6, 0usize..6)
            .prop_map(|(which, done, kind, part)| Move::Fail { which, done, kind, part }),
        1 => (0u64..6, 0u8..6).prop_map(|(back, kind)| Move::Late { back, kind }),
        3 => (0u8..9).prop_map(Move::Others),
        1 => Just(Move::Disconnected),
        1 => (0u8..8).prop_map(|n| if n == 0 { Move::SessionLost } else { Move::Disconnected }),
        1 => any::<bool>().prop_map(Move::Viewed),
        1 => Just(Move::Registered),
        1 => (0u8..4).prop_map(|n| if n == 0 { Move::Narrow } else { Move::Registered }),
        4 => Just(Move::Deadline),
    ];
    let time = prop_oneof![5 => Just(0u64), 3 => 0u64..1_500, 1 => 0u64..12_000];
    prop::collection::vec((time, one), 1..150)
}

const KINDS: [Kind; 6] =
    [Kind::NoNode, Kind::NodeExists, Kind::BadVersion, Kind::Refused, Kind::Unknown, Kind::NoAnswer];

/// Books on a candidacy, kept from outside.
#[derive(Default)]
struct Books {
    connected: bool,
    /// In this session: own nodes that may be there.
    entered: u32,
    standing: bool,
    /// What the latest election of this session found, until another place is taken.
    elected: bool,
    /// It was told that it is next behind the active one.
    next: bool,
    claimed: bool,
    /// Over this connection.
    shared: bool,
    beaten: bool,
    owed: u32,
    closing: bool,
    finished: bool,
    wanted: bool,
    /// It was ordered to stand while orders had to wait.
    waits_to_stand: bool,
    yields: u32,
    viewed_pause: bool,
    elected_times: u32,
    renewed_times: u32,
    resigned_times: u32,
}

struct World {
    lab: Lab,
    ensemble: Ensemble,
    books: Books,
    epoch: u64,
}

impl World {
    fn new() -> Self {
        let mut ensemble = Ensemble { session: SESSION, ..Ensemble::default() };
        ensemble.nodes.insert("/p/c/heartbeat".to_owned(), (Vec::new(), 0, None));
        Self { lab: Lab::new(), ensemble, books: Books::default(), epoch: 0 }
    }

    fn connect(&mut self) {
        let granted = Duration::from_secs(10);
        let (session, asked) = (self.ensemble.session, self.lab.now);
        self.books.connected = true;
        (self.books.shared, self.books.beaten, self.books.viewed_pause) = (false, false, false);
        self.hear(Input::Connected(Connection { session, name: session.to_string(), granted, asked, several: true }));
    }

    fn end_session(&mut self) {
        self.ensemble.end(self.ensemble.session);
        self.ensemble.session += 1;
        self.books.connected = false;
        (self.books.entered, self.books.elected, self.books.claimed) = (0, false, false);
    }

    fn order(&mut self, number: u8) {
        let order = match number {
            0..3 => ElectionOrder::Stand,
            3 | 4 => ElectionOrder::Yield,
            5..8 => claim(self.epoch + 1),
            8 => resign(),
            9 => ElectionOrder::Publish(Box::new(member("a"))),
            10 => ElectionOrder::AskAgain,
            _ => ElectionOrder::Announce(None),
        };
        self.books.yields += u32::from(matches!(order, ElectionOrder::Yield));
        self.order_of(order);
    }

    fn order_of(&mut self, order: ElectionOrder) {
        match order {
            ElectionOrder::Stand => {
                let waits = !self.books.connected || self.books.closing || !self.lab.candidacy.takes_orders();
                self.books.wanted = true;
                self.books.waits_to_stand |= waits;
            }
            ElectionOrder::Resign { .. } => {
                (self.books.wanted, self.books.waits_to_stand) = (false, false);
                self.books.owed += 1;
            }
            ElectionOrder::Close => self.books.owed += 1,
            _ => {}
        }
        self.hear(Input::Order(order));
    }

    fn answer(&mut self, which: usize, bend: Option<(bool, Kind, usize)>) {
        let Some(&id) = self.lab.asked.keys().nth(which % self.lab.asked.len().max(1)) else { return };
        let request = self.lab.asked[&id].clone();
        let session = self.ensemble.session;
        let answer = match bend {
            None => self.ensemble.answer(&request, session),
            Some((done, kind, part)) => {
                let definite = Failure { kind, words: String::new() }.is_definite();
                // Whoever says that a node is not there does not lie.
                let gone = kind == Kind::NoNode && matches!(request, Request::Delete { .. });
                if (done && !definite) || gone {
                    self.ensemble.answer(&request, session);
                }
                let failure = failure(kind);
                match &request {
                    Request::Enter => Some(Answer::Entered(Err(failure))),
                    Request::EnsureDirectories | Request::Touch { .. } | Request::Delete { .. } => {
                        Some(Answer::Done(Err(failure)))
                    }
                    Request::Look { .. } => self.ensemble.answer(&request, session).map(|answer| match answer {
                        Answer::Looked(Ok(mut looked)) => {
                            match part {
                                0 => looked.synced = Err(failure),
                                1 => looked.owner = Ok(Some(session + 1)),
                                2 => looked.queue = Err(failure),
                                3 => looked.active = Err(failure),
                                _ => return Answer::Looked(Err(failure)),
                            }
                            Answer::Looked(Ok(looked))
                        }
                        other => other,
                    }),
                    // A watch does not fail.
                    Request::UntilDeleted { .. } => None,
                    Request::Write(writes) | Request::Heartbeat(writes) => {
                        let part = definite.then_some(part).filter(|part| *part < writes.len());
                        Some(Answer::Written(Err((part, failure))))
                    }
                }
            }
        };
        let Some(answer) = answer else { return };
        self.lab.asked.remove(&id);
        self.hear_answer(id, &request, answer);
    }

    fn hear_answer(&mut self, id: RequestId, request: &Request, answer: Answer) {
        let unknown = match &answer {
            Answer::Entered(Err(failure)) | Answer::Written(Err((_, failure))) | Answer::Done(Err(failure)) => {
                !failure.is_definite()
            }
            _ => false,
        };
        let changes = matches!(request, Request::Enter | Request::Delete { .. })
            || matches!(request, Request::Write(writes) if written(writes) == "Claim");
        if matches!(request, Request::Delete { .. })
            && let Answer::Done(Ok(()) | Err(Failure { kind: Kind::NoNode, .. })) = &answer
        {
            self.books.entered = 0;
        }
        let outputs = self.hear_as(Input::Answered(id, answer.clone()), Some((request, &answer)));
        if unknown && changes {
            assert!(
                outputs.iter().any(|output| matches!(output, Output::Turn(Turn::Close { .. }))),
                "it is unknown what {request:?} left, and the session goes on: {outputs:?}"
            );
        }
    }

    fn hear(&mut self, input: Input) {
        self.hear_as(input, None);
    }

    fn hear_as(&mut self, input: Input, answered: Option<(&Request, &Answer)>) -> Vec<Output> {
        let before = self.lab.asked.clone();
        let outputs = self.lab.hear(input);
        let mut under_way = before;
        for output in &outputs {
            self.note(output, answered, &mut under_way);
        }
        outputs
    }

    fn note(
        &mut self,
        output: &Output,
        answered: Option<(&Request, &Answer)>,
        under_way: &mut BTreeMap<RequestId, Request>,
    ) {
        let books = &mut self.books;
        assert!(!books.finished, "after the end: {output:?}");
        match output {
            Output::Ask(id, request) => {
                assert!(books.connected && !books.closing, "asked without a connection: {request:?}");
                let same = |other: &Request| match (request, other) {
                    (Request::Write(a), Request::Write(b)) => written(a) == written(b),
                    _ => std::mem::discriminant(request) == std::mem::discriminant(other),
                };
                if !matches!(request, Request::UntilDeleted { .. }) {
                    assert!(!under_way.values().any(same), "two at once: {request:?}");
                }
                match request {
                    Request::Enter => {
                        assert!(books.wanted, "nobody ordered it to stand");
                        assert_eq!(books.entered, 0, "two nodes in one queue");
                        books.waits_to_stand = false;
                    }
                    Request::Delete { .. } => {
                        assert!(books.yields > 0, "nobody ordered it to yield");
                        assert!(!books.claimed, "a leadership is not left like that");
                        books.yields = 0;
                        books.elected = false;
                    }
                    Request::Write(writes) if written(writes) == "Claim" => {
                        let next = books.next || writes.iter().any(|write| matches!(write, Write::Delete { .. }));
                        assert!((books.elected || next) && !books.claimed, "claimed without an election");
                    }
                    Request::Write(writes) if written(writes) == "Resignation" => {
                        assert!(books.claimed && books.owed > 0, "resigned without an order");
                    }
                    Request::Heartbeat(_) => {
                        assert!(books.claimed, "a heartbeat without a leadership");
                        books.beaten = true;
                    }
                    _ => {}
                }
                if books.claimed && !books.shared {
                    let first = matches!(request, Request::Heartbeat(_) | Request::Write(_));
                    assert!(
                        first || matches!(request, Request::UntilDeleted { .. }),
                        "before a heartbeat: {request:?}"
                    );
                }
                under_way.insert(*id, request.clone());
            }
            Output::Forget(id) => drop(under_way.remove(id)),
            Output::TellQueued { .. } => {
                let Some((Request::Enter, Answer::Entered(Ok(_)))) = answered else { panic!("queued by nothing") };
                books.entered += 1;
            }
            Output::TellClaimed { counts_from, leadership, .. } => {
                let Some((Request::Write(writes), Answer::Written(Ok(_)))) = answered else {
                    panic!("claimed by {answered:?}")
                };
                assert_eq!(written(writes), "Claim");
                assert!(*counts_from <= self.lab.now && !books.claimed && books.entered == 1);
                assert_eq!(self.ensemble.content("/p/c/epoch").unwrap().unwrap().1, leadership.epoch_version);
                (books.claimed, books.elected) = (true, false);
                self.epoch = leadership.breadcrumb.epoch;
            }
            Output::Tell(fact) => self.note_fact(fact, answered),
            Output::Share => books.shared = true,
            Output::AttendAlwaysOn { .. } => panic!("this one is not always on"),
            Output::Attend { .. } => assert!(books.claimed),
            Output::Turn(turn) => {
                assert!(!books.closing, "{turn:?} while the session is closed");
                under_way.clear();
                match turn {
                    Turn::Reattach { .. } => books.connected = false,
                    Turn::Close { .. } => books.closing = true,
                    Turn::Open => self.end_session(),
                    Turn::Finish => {
                        self.end_session();
                        self.books.finished = true;
                    }
                }
            }
            Output::Say(_)
            | Output::Publish(_)
            | Output::Announce(_)
            | Output::Amend(_)
            | Output::Intend(_)
            | Output::Desist => {}
        }
    }

    fn note_fact(&mut self, fact: &Fact, answered: Option<(&Request, &Answer)>) {
        let books = &mut self.books;
        match fact {
            Fact::Standing => {
                assert!(books.wanted, "it stands although nobody wants it to");
                books.standing = true;
            }
            Fact::Elected(outcome) => {
                let Some((Request::Look { node }, Answer::Looked(Ok(looked)))) = answered else {
                    panic!("elected by {answered:?}")
                };
                assert!(looked.synced.is_ok(), "without a sync");
                assert_eq!(looked.owner, Ok(Some(self.ensemble.session)), "by another session's node");
                let mut queue = looked.queue.clone().unwrap();
                queue.sort_by_key(|name| name[name.len() - 10..].to_owned());
                assert!(node.ends_with(queue[0].as_str()), "{node} is not the first of {queue:?}");
                assert!(books.standing && books.entered == 1 && !books.claimed);
                assert!(!outcome.paused || books.viewed_pause, "a pause that the view has not shown");
                books.elected = true;
                books.elected_times += 1;
                // A look is for the latest known.
                self.epoch = self.epoch.max(outcome.epoch);
            }
            Fact::Renewed { sent, counts_from, acknowledged } => {
                let Some((Request::Heartbeat(_), Answer::Written(Ok(_)))) = answered else {
                    panic!("renewed by {answered:?}")
                };
                assert!(books.claimed && counts_from <= sent && sent <= acknowledged && books.beaten);
                books.renewed_times += 1;
            }
            Fact::Lost(_) => {
                assert!(std::mem::take(&mut books.standing), "what does not stand was lost");
                (books.wanted, books.elected) = (books.waits_to_stand, false);
            }
            Fact::Resigned => {
                assert!(books.owed > 0, "nobody ordered it to resign");
                books.owed -= 1;
                books.resigned_times += 1;
                (books.standing, books.elected) = (false, false);
            }
            Fact::ClaimRefused { .. } => {}
            Fact::Behind { next, .. } => {
                assert!(books.standing && !books.elected, "who is first waits behind somebody");
                books.next |= next.is_some();
            }
            Fact::Connected { .. } | Fact::Disconnected { .. } => {}
            other => panic!("not a candidacy's to tell: {other:?}"),
        }
    }

    fn step(&mut self, step: &Move) {
        match step {
            Move::Order(number) => self.order(*number),
            Move::Answer(which) => self.answer(*which, None),
            Move::Fail { which, done, kind, part } => {
                self.answer(*which, Some((*done, KINDS[usize::from(*kind)], *part)));
            }
            Move::Late { back, kind } => {
                let id = self.lab.candidacy.requests.saturating_sub(*back);
                if !self.lab.asked.contains_key(&id) {
                    let failure = failure(KINDS[usize::from(*kind)]);
                    for answer in [
                        Answer::Entered(Ok("/p/c/election/late-latch-0000000000".to_owned())),
                        Answer::Deleted,
                        Answer::Done(Err(failure.clone())),
                        Answer::Written(Ok(vec![0; 6])),
                        Answer::Written(Err((Some(0), failure))),
                    ] {
                        let outputs = self.lab.hear(Input::Answered(id, answer.clone()));
                        assert!(
                            !outputs.iter().any(|output| matches!(
                                output,
                                Output::Tell(Fact::Elected(_) | Fact::Renewed { .. } | Fact::Standing | Fact::Lost(_))
                                    | Output::TellClaimed { .. }
                            )),
                            "a late {answer:?} is believed: {outputs:?}"
                        );
                        for output in &outputs {
                            let mut none = BTreeMap::new();
                            self.note(output, None, &mut none);
                        }
                    }
                }
            }
            Move::Others(what) => self.ensemble.others(*what),
            Move::Disconnected if self.books.connected && !self.books.closing => self.hear(Input::Disconnected),
            Move::SessionLost if !self.books.closing => {
                self.ensemble.end(self.ensemble.session);
                self.hear(Input::SessionLost);
            }
            Move::Viewed(paused) if self.books.connected && !self.books.closing => {
                self.books.viewed_pause = *paused;
                self.hear(Input::Viewed(Seen { paused: *paused, ..Seen::default() }));
            }
            Move::Registered if self.books.connected && !self.books.closing => self.hear(Input::Registered(true)),
            Move::Narrow => self.hear(Input::Narrow("narrow".to_owned())),
            Move::Deadline => self.pass(),
            Move::Disconnected | Move::SessionLost | Move::Viewed(_) | Move::Registered => {}
        }
    }

    fn pass(&mut self) {
        if let Some(deadline) = self.lab.candidacy.deadline() {
            self.lab.now = self.lab.now.max(deadline);
            self.hear(Input::TimePassed);
        }
    }

    /// What the shell does when nothing else happens.
    fn go_on(&mut self) {
        if self.books.finished {
            return;
        }
        if self.books.closing {
            self.books.closing = false;
            self.books.connected = false;
            self.hear(Input::Closed);
        } else if !self.books.connected {
            self.connect();
        }
    }

    /// Truthful answers, and time, until it is true.
    fn until(&mut self, what: &str, done: impl Fn(&Books) -> bool) {
        for _ in 0..400 {
            if done(&self.books) {
                return;
            }
            self.go_on();
            for _ in 0..8 {
                for which in 0..self.lab.asked.len() {
                    self.answer(which, None);
                }
            }
            self.hear(Input::Registered(true));
            self.pass();
        }
        panic!("never {what}: {:?} {:?}", self.lab.candidacy.contact, self.lab.candidacy.position);
    }
}

fn run(moves: &[(u64, Move)]) -> World {
    let mut world = World::new();
    world.connect();
    for (millis, step) in moves {
        world.lab.now = world.lab.now + Duration::from_millis(*millis);
        world.step(step);
        // Now and then the shell is slow to find another connection.
        if !matches!(step, Move::Disconnected | Move::Narrow) {
            world.go_on();
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_answered_nobody_is_elected_or_renewed_without_proof_and_every_order_to_resign_is_answered(
        moves in moves()
    ) {
        let mut world = run(&moves);
        world.until("resigned", |books| books.owed == 0);
        world.order_of(resign());
        world.until("resigned", |books| books.owed == 0);
        // Whoever wants to can stand again, is elected once those before it are gone, and leads.
        world.ensemble.nodes.retain(|_, (_, _, owner)| *owner != Some(0));
        world.ensemble.nodes.remove("/p/c/control");
        world.order_of(ElectionOrder::Stand);
        let elections = world.books.elected_times;
        world.until("elected", |books| books.elected_times > elections);
        world.order_of(claim(world.epoch + 1));
        let renewals = world.books.renewed_times;
        world.until("leading", |books| books.renewed_times > renewals + 1);
        world.order_of(ElectionOrder::Close);
        world.until("closed", |books| books.finished);
    }
}

#[test]
fn the_moves_reach_every_position() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..600 {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        world.connect();
        for (_, step) in &moves {
            world.step(step);
            if !matches!(step, Move::Disconnected | Move::Narrow) {
                world.go_on();
            }
            let contact = head(&world.lab.candidacy.contact);
            reached.insert(format!("{contact} {}", head(&world.lab.candidacy.position)));
        }
    }
    for position in ["Idle", "Entering", "Queued", "Elected", "Claiming", "Leaving", "Leading", "Fallen", "Resigning"] {
        assert!(reached.contains(&format!("Connected {position}")), "never {position}: {reached:?}");
    }
    for position in ["Queued", "Elected", "Leading", "Fallen"] {
        assert!(reached.contains(&format!("Searching {position}")), "never without a connection: {position}");
    }
}
