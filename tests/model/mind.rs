//! The node under test, as the model speaks with it: the model's events become what a supervisor hears, and what the node wants
//! becomes the model's actions.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use primacy::config::{self, Config};
use primacy::election::port::{self, ElectionOrder, Fact, OtherCandidate};
use primacy::guardian::protocol::{
    CommandOutcome, ExitStatus, GuardianOrder, LockRecord, Over, Report, VolumeView, WatchdogView,
};
use primacy::host::{HostIdentity, ProcessIdentity};
use primacy::intents::{Vouched, Wish};
use primacy::moment::Moment;
use primacy::node::{At, GuardianInput, Identity, Input, Node, Output, Purpose, Reckoned, Request, StopSignal, Timing};
use primacy::role::{Action, End, Event, Loss, Predecessor, Recorded, RoleMachine, Rules, Succession};
use primacy::status::Breadcrumb;

use super::told;
use super::world::{CUT, EXPIRES_FROM, HAND_OVER_WITHIN, LEASE, Order, units};

/// What is granted to a session, and what is granted when the servers cut it.
const GRANTED: Duration = Duration::from_secs(10);
const CUT_TO: Duration = Duration::from_secs(9);

/// A node, and what its shell has to remember for it.
#[derive(Clone, Debug)]
pub struct Mind {
    node: Arc<Node>,
    /// Orphans are being killed, of the leadership of that number.
    orphans: Option<u64>,
    /// When it heard something last.
    heard: Moment,
    /// Every node has this one's name, and nobody can tell one host from another.
    alike: bool,
    /// A person's word in ZooKeeper: whether on this node, and for which epoch.
    pub vouched: Option<(bool, u64)>,
    /// The other candidates, as it was told of them last: only while something is wanted.
    pub others: Vec<OtherCandidate>,
}

impl PartialEq for Mind {
    fn eq(&self, other: &Self) -> bool {
        let fingerprint = |mind: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            mind.hash(&mut hasher);
            hasher.finish()
        };
        fingerprint(self) == fingerprint(other)
    }
}

impl Eq for Mind {}

impl Hash for Mind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.node.hash_bearing(self.heard, state);
        (self.orphans.is_some(), self.vouched).hash(state);
        for other in &self.others {
            (&other.node, other.priority, other.eligible).hash(state);
        }
    }
}

fn host(name: &str) -> HostIdentity {
    HostIdentity {
        name: name.to_owned(),
        machine_id: Some(name.to_owned()),
        smbios_uuid: Some(name.to_owned()),
        addresses: [format!("1:{name}")].into(),
        boot_id: Some("boot".to_owned()),
    }
}

/// Its own name and host, and those of whoever else.
pub const OWN: &str = "own";
const OTHER: &str = "other";
/// The active one's election node.
const BEFORE: &str = "before";

/// Read once for each set of rules: nodes are restarted a million times.
fn config(rules: &Rules) -> Arc<Config> {
    static READ: Mutex<BTreeMap<[bool; 6], Arc<Config>>> = Mutex::new(BTreeMap::new());
    let Rules { fencing, fencing_required, watchdog_required, before_start, after_stop, probed, .. } = *rules;
    let key = [fencing, fencing_required, watchdog_required, before_start, after_stop, probed];
    let mut read = READ.lock().expect("nobody panics while it is held");
    Arc::clone(read.entry(key).or_insert_with(|| parse(rules)))
}

fn parse(rules: &Rules) -> Arc<Config> {
    let list = |set: bool| if set { "[\"/bin/true\"]" } else { "[]" };
    // With what it gets beyond its time-out to be killed in, a probe has one unit to answer.
    let health = "[health]\ncommand = [\"/bin/true\"]\ninterval = \"1s\"\ntimeout = \"500ms\"\nfailures = 1\n";
    let watchdog = if rules.watchdog_required { "required" } else { "off" };
    let text = format!(
        "cluster = \"c\"\nnode = \"{OWN}\"\n[zookeeper]\nservers = \"127.0.0.1:2181\"\n[lock]\ndirectory = \"/volume\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[coordinator]\ncommand = [\"/bin/true\"]\n\
         [fencing]\ncommand = {}\nrequired = {}\nwatchdog = \"{watchdog}\"\n\
         [hooks]\nbefore_start = {}\nafter_stop = {}\n{}",
        list(rules.fencing),
        rules.fencing_required && rules.fencing,
        list(rules.before_start),
        list(rules.after_stop),
        if rules.probed { health } else { "" }
    );
    Arc::new(config::parse(&text, None).unwrap_or_else(|problems| panic!("{problems}\n{text}")))
}

fn identity() -> Identity {
    let process = ProcessIdentity {
        host_id: OWN.to_owned(),
        boot_id: "boot".to_owned(),
        pid: 1,
        pid_started: 1,
        pid_namespace: None,
        host: Some(host(OWN)),
    };
    Identity {
        configuration: None,
        advertise: String::new(),
        host_name: OWN.to_owned(),
        process,
        former_names: Vec::new(),
        every_node_is_a_host: false,
        upgrades: 0,
    }
}

/// The model's units: what follows from a session that was cut is known to it alone.
fn timing(rules: &Rules) -> Timing {
    let whole = rules.clone();
    let cut = Rules { lease: units(LEASE - CUT), may_stand: false, ..rules.clone() };
    Timing::new(move |_, session| {
        let is_cut = session == Some(CUT_TO);
        Reckoned {
            rules: if is_cut { cut.clone() } else { whole.clone() },
            at_most: units(if is_cut { EXPIRES_FROM - CUT - 1 } else { EXPIRES_FROM + LEASE }),
            hand_over_within: units(HAND_OVER_WITHIN),
        }
    })
}

fn at(now: Moment) -> At {
    At { moment: now, wall: SystemTime::UNIX_EPOCH }
}

fn breadcrumb(predecessor: Predecessor, epoch: u64, other: &str) -> Option<Breadcrumb> {
    let (node, clean) = match predecessor {
        // There is always an epoch in the model, and who was before the first is no danger.
        Predecessor::None | Predecessor::Clean => (other, true),
        Predecessor::Own => (OWN, false),
        Predecessor::Unclean | Predecessor::Vouched => (other, false),
        Predecessor::Unknown => return None,
    };
    Some(Breadcrumb {
        election_node: None,
        node: node.to_owned(),
        epoch,
        api: String::new(),
        endpoints: Default::default(),
        since: String::new(),
        clean,
        host: Some(host(node)),
        cause: None,
        to: None,
    })
}

fn record(recorded: Recorded, other: &str) -> Option<LockRecord> {
    let (node, over) = match recorded.predecessor {
        Predecessor::None => return None,
        Predecessor::Clean => (other, true),
        Predecessor::Own => (OWN, false),
        Predecessor::Unclean | Predecessor::Vouched | Predecessor::Unknown => (other, false),
    };
    let epoch = recorded.epoch;
    Some(LockRecord {
        identity: Some(host(node)),
        over: over.then_some(Over { epoch, election_node: Some(BEFORE.to_owned()) }),
        ..LockRecord::of(node, epoch)
    })
}

fn found(succession: Succession, other: &str, vouched: Option<(bool, u64)>) -> port::ElectionOutcome {
    let vouched = vouched.map(|(own, epoch)| {
        let node = if own { OWN } else { other };
        Box::new(Vouched { node: node.to_owned(), epoch, host: Some(host(node)), wish: Wish::default() })
    });
    let better = OtherCandidate { node: OTHER.to_owned(), priority: u32::MAX, eligible: true };
    port::ElectionOutcome {
        epoch: succession.epoch,
        predecessor: breadcrumb(succession.predecessor, succession.predecessor_epoch, other),
        volume: Some("v".to_owned()),
        paused: false,
        vouched,
        others: succession.better_candidate.then_some(better).into_iter().collect(),
    }
}

impl Mind {
    pub fn new(rules: &Rules, alike: bool, now: Moment) -> Self {
        let mut node = Node::under(timing(rules), config(rules), identity(), at(now));
        // The model starts the first guardian with its supervisor.
        while node.poll_output().is_some() {}
        let mut mind =
            Self { node: Arc::new(node), orphans: None, heard: now, alike, vouched: None, others: Vec::new() };
        mind.hear(now, connected(GRANTED, now));
        mind.hear(now, Input::Election(port::Fact::Intended(Box::default())));
        mind
    }

    pub fn machine(&self) -> &RoleMachine {
        self.node.machine()
    }

    pub fn next_decision(&self) -> Option<Moment> {
        self.node.next_decision()
    }

    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Order> {
        let resigned = event == Event::Resigned;
        let Some(input) = self.input(now, event) else { return Vec::new() };
        let mut orders = self.hear(now, input);
        if resigned {
            // What comes next is another session, and the wanted time-out is asked for.
            orders.extend(self.hear(now, connected(GRANTED, now)));
        }
        orders
    }

    /// First in the queue while elections are paused.
    pub fn be_held(&mut self, now: Moment, succession: Succession) -> Vec<Order> {
        let other = if self.alike { OWN } else { OTHER };
        let found = port::ElectionOutcome { paused: true, ..self.found(succession, other) };
        self.hear(now, Input::Election(Fact::Elected(Box::new(found))))
    }

    /// They go on.
    pub fn resume(&mut self, now: Moment) -> Vec<Order> {
        self.hear(now, Input::Election(Fact::Cluster(Box::default())))
    }

    /// The probe that runs has ended, if one does.
    pub fn be_answered(&mut self, now: Moment, well: bool) -> Vec<Order> {
        let Some(id) = self.running(|it| matches!(it, Purpose::Probe { .. })) else { return Vec::new() };
        self.hear(now, command_ended(id, well))
    }

    pub fn be_asked(&mut self, now: Moment, request: Request) -> Vec<Order> {
        self.hear(now, Input::Requested(request))
    }

    pub fn ready_for(&self) -> Option<i64> {
        self.node.ready_for()
    }

    fn found(&self, succession: Succession, other: &str) -> port::ElectionOutcome {
        let found = found(succession, other, self.vouched);
        if self.others.is_empty() {
            return found;
        }
        port::ElectionOutcome { others: self.others.clone(), ..found }
    }

    pub fn hear(&mut self, now: Moment, input: Input) -> Vec<Order> {
        self.heard = now;
        let mut orders = Vec::new();
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let node = Arc::make_mut(&mut self.node);
            node.hear(at(now), next);
            while let Some(output) = Arc::make_mut(&mut self.node).poll_output() {
                if matches!(output, Output::Election(ElectionOrder::Close)) {
                    input = Some(Input::ElectionEnded);
                }
                orders.extend(self.order(output));
            }
        }
        orders
    }

    /// The command that runs for this purpose, if one does.
    fn running(&self, wanted: impl Fn(Purpose) -> bool) -> Option<u64> {
        self.node.running().find(|(_, purpose)| wanted(*purpose)).map(|(id, _)| id)
    }

    fn input(&mut self, now: Moment, event: Event) -> Option<Input> {
        let other = if self.alike { OWN } else { OTHER };
        let report = |report| Some(Input::Guardian(GuardianInput::Report(Box::new(report))));
        let ended = |id: Option<u64>, succeeded: bool| Some(command_ended(id?, succeeded));
        let fact = |fact| Some(Input::Election(fact));
        match event {
            Event::GuardianReady => report(Report::Ready { pid: 1 }),
            Event::GuardianLost => Some(Input::Guardian(GuardianInput::Lost("killed".to_owned()))),
            Event::VolumeSeen { usable } => {
                let problem = (!usable).then(|| "unusable".to_owned());
                report(Report::Volume(VolumeView { id: Some("v".to_owned()), problem, ..VolumeView::default() }))
            }
            Event::WatchdogSeen { usable } => {
                let problem = (!usable).then(|| "unusable".to_owned());
                report(Report::Watchdog(WatchdogView { problem, ..WatchdogView::default() }))
            }
            Event::Elected(succession) => fact(Fact::Elected(Box::new(self.found(succession, other)))),
            Event::LockAcquired { recorded, write_back } => {
                report(Report::LockAcquired { volume: "v".to_owned(), record: record(recorded, other), write_back })
            }
            Event::NextInLine(next) => fact(Fact::Behind {
                election_node: BEFORE.to_owned(),
                next: next.map(|succession| Box::new(found(succession, other, self.vouched))),
            }),
            Event::CalledOff => report(Report::CalledOff),
            Event::LockRefused { recorded: epoch } => {
                let holder =
                    (epoch > 0).then(|| record(Recorded { epoch, predecessor: Predecessor::Unclean }, other)).flatten();
                report(Report::LockRefused { holder })
            }
            Event::VolumeUnusable => report(Report::VolumeUnusable { problem: "unusable".to_owned() }),
            Event::PredecessorFenced { epoch, succeeded } => ended(
                self.running(|it| matches!(it, Purpose::FencePredecessor { epoch: asked, .. } if asked == epoch)),
                succeeded,
            ),
            Event::Claimed { epoch, sent } => fact(Fact::Claimed { epoch, counts_from: sent, last_will: None }),
            Event::ClaimRefused => fact(Fact::ClaimRefused { reason: "refused".to_owned() }),
            Event::RecordWritten { epoch } => report(Report::RecordWritten { epoch }),
            Event::Prepared { epoch, succeeded } => {
                ended(self.running(|it| it == Purpose::BeforeStart { epoch }), succeeded)
            }
            Event::Started => report(Report::Started { pid: 2, holds_lock: true }),
            Event::StartFailed => report(Report::StartFailed { problem: "refused".to_owned() }),
            Event::Exited => report(Report::Exited { status: ExitStatus::Signal(9) }),
            Event::TreeDead => match self.orphans.take() {
                Some(leadership) => Some(Input::OrphansDead { leadership }),
                None => report(Report::TreeDead),
            },
            Event::Tidied => ended(self.running(|it| it == Purpose::AfterStop), true),
            Event::Renewed { sent } => fact(Fact::Renewed { sent, counts_from: sent, acknowledged: now }),
            Event::Granted { .. } => Some(connected(CUT_TO, now)),
            Event::Lost(loss) => fact(Fact::Lost(match loss {
                Loss::SessionExpired => port::Loss::SessionExpired,
                Loss::NodeDeleted => port::Loss::NodeDeleted,
                Loss::Overtaken => port::Loss::Overtaken,
            })),
            Event::VolumeLost => report(Report::VolumeLost { problem: "lost".to_owned() }),
            Event::Fenced { clean } => report(Report::Fenced { deadline: now, clean }),
            Event::LockClosed { clean } => report(Report::LockClosed { clean }),
            Event::Resigned => fact(Fact::Resigned),
            Event::StopRequested | Event::KillRequested => Some(Input::StopAsked { signal: StopSignal::Terminate }),
            Event::DuplicateName => fact(Fact::DuplicateName { holder: OTHER.to_owned() }),
            Event::TimePassed => Some(Input::TimePassed),
            Event::LockGranted { .. } => unreachable!("the node itself finds out, of what it waits for"),
            Event::Ready | Event::Unhealthy => unreachable!("the node itself finds out, of what a probe answers"),
            Event::StepDownRequested(_) => unreachable!("the node itself asks, of what people want"),
        }
    }

    fn order(&mut self, output: Output) -> Option<Order> {
        Some(Order::Role(match output {
            Output::Guardian(order) => match order {
                GuardianOrder::AcquireLock { .. } => Action::AcquireLock,
                GuardianOrder::AwaitLock { until, .. } => Action::AwaitLock { until },
                GuardianOrder::CallOff => Action::CallOff,
                GuardianOrder::WriteRecord(record) => Action::WriteRecord { epoch: record.epoch },
                GuardianOrder::SetDeadline { deadline } => Action::SetDeadline(deadline),
                GuardianOrder::Start { epoch, deadline } => Action::Start { epoch, deadline },
                GuardianOrder::Stop => Action::StopTree,
                GuardianOrder::Kill => Action::KillTree,
                GuardianOrder::CloseLock { .. } => Action::CloseLock(End::Stopped),
                GuardianOrder::Run(command) => {
                    let purpose = self.node.running().find(|(id, _)| *id == command.id)?.1;
                    match purpose {
                        Purpose::FencePredecessor { epoch, .. } => {
                            Action::FencePredecessor { epoch, named_by: self.node.witness() }
                        }
                        Purpose::BeforeStart { epoch } => Action::RunBeforeStart { epoch },
                        Purpose::AfterStop => Action::RunAfterStop,
                        Purpose::Probe { .. } => return Some(Order::Probe),
                        Purpose::Notice | Purpose::Alarm | Purpose::Drain => return None,
                    }
                }
                GuardianOrder::StartAlwaysOn => unreachable!("no node of the model is always on"),
                GuardianOrder::Configure(_)
                | GuardianOrder::Look
                | GuardianOrder::Rehearse(_)
                | GuardianOrder::SetWatchdog(_)
                | GuardianOrder::LastWill(_)
                | GuardianOrder::Ping { .. } => return None,
            },
            Output::StartGuardian(_) => Action::ReplaceGuardian,
            Output::Election(order) => match order {
                ElectionOrder::Stand => Action::Stand,
                ElectionOrder::Yield => Action::Yield,
                ElectionOrder::Claim { breadcrumb, .. } => Action::Claim { epoch: breadcrumb.epoch },
                ElectionOrder::Intend(change) => return told::change(&change),
                ElectionOrder::Resign { clean, .. } => Action::Resign { clean, end: None },
                ElectionOrder::Publish(_)
                | ElectionOrder::Announce(_)
                | ElectionOrder::Amend(_)
                | ElectionOrder::AskAgain
                | ElectionOrder::Close => return None,
            },
            Output::KillOrphans { leadership: Some(leadership) } => {
                self.orphans = Some(leadership);
                Action::KillOrphans
            }
            Output::Exit(exit) => Action::Exit(exit),
            Output::KillGuardian | Output::StartElection => unreachable!("no guardian is asked, and no backend ends"),
            Output::CheckProgram | Output::Execute => unreachable!("nobody asks for an upgrade"),
            Output::Say(_)
            | Output::KillOrphans { leadership: None }
            | Output::Ask { .. }
            | Output::TestPeer { .. }
            | Output::ReadConfiguration
            | Output::KeepWarm(_)
            | Output::Reconfigured(_)
            | Output::Publish
            | Output::Status(_)
            | Output::Stopping => return None,
        }))
    }
}

fn command_ended(id: u64, succeeded: bool) -> Input {
    let outcome = CommandOutcome::Ended(ExitStatus::Code(i32::from(!succeeded)));
    Input::Guardian(GuardianInput::Report(Box::new(Report::CommandEnded { id, outcome })))
}

fn connected(timeout: Duration, now: Moment) -> Input {
    Input::Election(Fact::Connected { session: None, timeout, asked: now })
}
