//! The node as a whole, driven by what it hears.

mod alarm;
mod evidence;
mod health;
mod intents;
mod kill;
mod others;
mod properties;
mod recorded;
mod upgrade;
mod waiting;
mod warming;

use std::time::{Duration, SystemTime};

use super::*;
use crate::election::port::{ElectionOrder, ElectionOutcome, Fact};
use crate::guardian::protocol::{CommandOutcome, ExitStatus, Report, VolumeView};
use crate::host::ProcessIdentity;
use crate::role::Role;
use crate::status::ClusterView;

const BASE: &str = r#"
cluster = "c"
node = "a"
[zookeeper]
servers = "127.0.0.1:2181"
[lock]
directory = "/volume"
[api]
listen = "127.0.0.1:0"
"#;

fn config(more: &str) -> Arc<Config> {
    let text = format!("{BASE}{more}");
    Arc::new(crate::config::parse(&text, Some(vec!["/bin/true".to_owned()])).unwrap_or_else(|it| panic!("{it}")))
}

fn identity() -> Identity {
    let process = ProcessIdentity {
        host_id: "host".into(),
        boot_id: "boot".into(),
        pid: 1,
        pid_started: 1,
        pid_namespace: None,
        host: None,
    };
    Identity {
        configuration: None,
        advertise: "http://a:1".to_owned(),
        host_name: "host".to_owned(),
        process,
        former_names: Vec::new(),
        every_node_is_a_host: false,
        upgrades: 0,
    }
}

/// A node, its clocks, and what it has wanted.
struct Bench {
    node: Node,
    now: Moment,
    wanted: Vec<Output>,
    /// Its guardian does not answer.
    silent: bool,
}

impl Bench {
    fn new(more: &str) -> Self {
        let now = Moment::from_millis(1_000_000);
        let mut bench =
            Self { node: Node::new(config(more), identity(), at(now)), now, wanted: Vec::new(), silent: false };
        bench.fact(Fact::Intended(Box::default()));
        bench.collect();
        bench
    }

    fn collect(&mut self) {
        self.wanted.extend(std::iter::from_fn(|| self.node.poll_output()));
    }

    /// Hears something, and gives in words what is wanted then; lines of the log and publications aside.
    fn hear(&mut self, input: Input) -> String {
        self.wanted.clear();
        self.node.hear(at(self.now), input);
        self.collect();
        let asked = self.wanted.iter().find_map(|output| match output {
            Output::Guardian(GuardianOrder::Ping { number }) => Some(*number),
            _ => None,
        });
        if let Some(number) = asked.filter(|_| !self.silent) {
            self.node.hear(at(self.now), Input::Guardian(GuardianInput::Report(Box::new(Report::Pong { number }))));
            self.collect();
        }
        let words: Vec<String> = self.wanted.iter().filter_map(word).collect();
        words.join(" ")
    }

    fn report(&mut self, report: Report) -> String {
        self.hear(Input::Guardian(GuardianInput::Report(Box::new(report))))
    }

    fn fact(&mut self, fact: Fact) -> String {
        self.hear(Input::Election(fact))
    }

    /// Lets time pass, with all that falls due in it.
    fn pass(&mut self, time: Duration) -> String {
        let until = self.now + time;
        let mut words = Vec::new();
        loop {
            let due = self.node.deadline();
            self.now = self.now.max(due.min(until));
            words.push(self.hear(Input::TimePassed));
            if due > until || self.now >= until {
                break;
            }
        }
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    fn lines(&self) -> Vec<&Say> {
        self.wanted.iter().filter_map(|output| if let Output::Say(line) = output { Some(line) } else { None }).collect()
    }

    fn guardian(&mut self) {
        self.hear(Input::Guardian(GuardianInput::Spawned { pid: 7, started: 70 }));
        self.report(Report::Ready { pid: 7 });
    }

    fn volume(&mut self, problem: Option<&str>) -> String {
        let problem = problem.map(str::to_owned);
        self.report(Report::Volume(VolumeView { id: Some("v".to_owned()), problem, ..VolumeView::default() }))
    }

    fn connected(&mut self) {
        let (session, timeout, asked) = (Some("0x1".to_owned()), Duration::from_secs(10), self.now);
        self.fact(Fact::Connected { session, timeout, asked });
        self.fact(Fact::Cluster(Box::new(ClusterView { epoch: Some(6), ..ClusterView::default() })));
    }

    fn standing(more: &str) -> Self {
        let mut bench = Self::new(more);
        bench.connected();
        bench.guardian();
        assert_eq!(bench.volume(None), "Stand");
        bench
    }

    fn elected(more: &str) -> Self {
        let mut bench = Self::standing(more);
        let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), ..ElectionOutcome::default() };
        bench.fact(Fact::Elected(Box::new(outcome)));
        bench
    }

    fn started(more: &str) -> Self {
        let mut bench = Self::elected(more);
        bench.report(Report::LockAcquired { volume: "v".to_owned(), record: None, write_back: false });
        bench.report(Report::RecordWritten { epoch: 7 });
        bench.fact(Fact::Claimed { epoch: 7, counts_from: bench.now, last_will: None });
        bench.report(Report::Started { pid: 8, holds_lock: true });
        bench
    }

    /// Its heartbeats are acknowledged.
    fn renew(&mut self) {
        let now = self.now;
        self.fact(Fact::Renewed { sent: now, counts_from: now, acknowledged: now });
    }

    fn machine_end(&self) -> Option<crate::role::End> {
        self.node.machine.end()
    }

    fn role(&self) -> Role {
        self.node.machine.role()
    }
}

fn at(moment: Moment) -> At {
    At { moment, wall: SystemTime::UNIX_EPOCH + Duration::from_nanos(moment.as_nanos()) }
}

fn word(output: &Output) -> Option<String> {
    Some(match output {
        Output::Say(_) | Output::Publish | Output::Status(_) => return None,
        Output::Guardian(
            GuardianOrder::Ping { .. } | GuardianOrder::SetDeadline { .. } | GuardianOrder::LastWill(_),
        ) => return None,
        Output::Election(
            ElectionOrder::Publish(_) | ElectionOrder::Announce(_) | ElectionOrder::Amend(_) | ElectionOrder::Intend(_),
        ) => return None,
        Output::Guardian(GuardianOrder::Run(command)) => format!("Run({})", command.name),
        Output::Guardian(GuardianOrder::AcquireLock { .. }) => "AcquireLock".to_owned(),
        Output::Guardian(GuardianOrder::WriteRecord(record)) => {
            format!("WriteRecord({} by {})", record.epoch, record.pid)
        }
        Output::Guardian(GuardianOrder::Start { epoch, .. }) => format!("Start({epoch})"),
        Output::Guardian(GuardianOrder::CloseLock { cause }) => format!("CloseLock({})", cause.as_str()),
        Output::Guardian(GuardianOrder::AwaitLock { .. }) => "AwaitLock".to_owned(),
        Output::Guardian(order) => format!("{order:?}"),
        Output::Election(ElectionOrder::Claim { breadcrumb, .. }) => format!("Claim({})", breadcrumb.epoch),
        Output::Election(ElectionOrder::Resign { clean, .. }) => format!("Resign(clean: {clean})"),
        Output::Election(order) => format!("{order:?}"),
        Output::StartGuardian(_) => "StartGuardian".to_owned(),
        Output::Ask { question, .. } => format!("Ask({question})"),
        Output::TestPeer { node, .. } => format!("TestPeer({node})"),
        Output::Reconfigured(_) => "Reconfigured".to_owned(),
        other => format!("{other:?}"),
    })
}

#[test]
fn a_node_leads_step_by_step_and_ends_step_by_step() {
    let mut bench = Bench::new("");
    assert_eq!(bench.wanted.iter().filter_map(word).collect::<Vec<_>>(), ["StartGuardian"]);
    bench.connected();
    bench.guardian();
    assert_eq!(bench.volume(None), "Stand");
    let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), ..ElectionOutcome::default() };
    assert_eq!(bench.fact(Fact::Elected(Box::new(outcome))), "AcquireLock");
    let acquired = Report::LockAcquired { volume: "v".to_owned(), record: None, write_back: false };
    assert_eq!(bench.report(acquired), "Claim(7) WriteRecord(7 by 7)");
    assert_eq!(bench.report(Report::RecordWritten { epoch: 7 }), "");
    let now = bench.now;
    assert_eq!(bench.fact(Fact::Claimed { epoch: 7, counts_from: now, last_will: None }), "Start(7)");
    assert_eq!(bench.report(Report::Started { pid: 8, holds_lock: true }), "");
    assert_eq!(bench.role(), Role::Active);
    assert_eq!(bench.hear(Input::StopAsked { signal: StopSignal::Terminate }), "Stop");
    assert_eq!(bench.report(Report::TreeDead), "CloseLock(stopped)");
    assert_eq!(bench.report(Report::LockClosed { clean: true }), "Resign(clean: true)");
    assert_eq!(bench.fact(Fact::Resigned), "Stopping Close");
    assert_eq!(bench.hear(Input::ElectionEnded), "Exit(Stopped)");
}

#[test]
fn what_a_guardian_that_is_to_be_replaced_sees_of_the_volume_makes_nobody_stand() {
    let mut bench = Bench::elected("");
    bench.report(Report::VolumeUnusable { problem: "full".to_owned() });
    bench.report(Report::LockClosed { clean: true });
    bench.fact(Fact::Resigned);
    assert_eq!(bench.volume(None), "");
    assert_eq!(bench.pass(Duration::from_secs(10)), "StartGuardian");
    bench.guardian();
    // A member has changed, say, before the new one has looked: that is no word on the volume.
    bench.fact(Fact::Cluster(Box::new(ClusterView { epoch: Some(6), ..ClusterView::default() })));
    assert_eq!(bench.volume(None), "Stand");
}

#[test]
fn a_promotion_that_the_volume_ends_names_the_volume() {
    let mut bench = Bench::elected("");
    bench.volume(Some("the volume is full"));
    let told = bench.lines().into_iter().find_map(|line| match line {
        Say::RoleChanges { detail, .. } => Some(detail.clone()),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("the volume is full"));
}

#[test]
fn orphans_of_an_earlier_leadership_prove_nothing_for_this_one() {
    let mut bench = Bench::started("");
    bench.hear(Input::Guardian(GuardianInput::Lost("signal: 9".to_owned())));
    let orders: Vec<_> = bench.wanted.iter().filter_map(word).collect();
    assert!(orders.contains(&"KillOrphans { leadership: Some(1) }".to_owned()), "{orders:?}");
    assert_eq!(bench.hear(Input::OrphansDead { leadership: 0 }), "");
    assert_eq!(bench.hear(Input::OrphansDead { leadership: 1 }), "Resign(clean: true)");
}

#[test]
fn a_node_that_is_isolated_gives_the_role_away_cleanly_and_stands_again_only_once_it_is_activated() {
    let mut bench = Bench::started("");
    assert_eq!(bench.hear(Input::Requested(Request::Isolate)), "Stop");
    assert_eq!(bench.report(Report::TreeDead), "CloseLock(isolated)");
    assert_eq!(bench.report(Report::LockClosed { clean: true }), "Resign(clean: true)");
    assert_eq!(bench.fact(Fact::Resigned), "");
    assert_eq!(bench.role(), Role::Standby);
    assert_eq!(bench.pass(Duration::from_secs(60)), "StartGuardian");
    bench.guardian();
    assert_eq!(bench.volume(None), "");
    // Another session, and whatever is reckoned anew with it, changes nothing.
    bench.connected();
    assert_eq!(bench.volume(None), "");
    let reason = bench.node.snapshot(bench.now).server.reason;
    assert_eq!(reason, "isolated, asked for by somebody; `primacy activate a` lets it lead again");
    assert_eq!(bench.hear(Input::Requested(Request::Activate)), "Stand");
}

#[test]
fn a_standby_that_is_isolated_leaves_the_queue() {
    let mut bench = Bench::standing("");
    assert_eq!(bench.hear(Input::Requested(Request::Isolate)), "Resign(clean: false)");
    assert_eq!(bench.fact(Fact::Resigned), "");
    assert_eq!(bench.hear(Input::Requested(Request::Activate)), "Stand");
}

#[test]
fn a_step_down_is_of_one_leadership_and_its_node_stands_again() {
    let mut bench = Bench::started("");
    assert_eq!(bench.hear(Input::Requested(Request::StepDown { epoch: 6 })), "");
    assert_eq!(bench.role(), Role::Active);
    assert_eq!(bench.hear(Input::Requested(Request::StepDown { epoch: 7 })), "Stop");
    assert_eq!(bench.report(Report::TreeDead), "CloseLock(switchover)");
    assert_eq!(bench.report(Report::LockClosed { clean: true }), "Resign(clean: true)");
    bench.fact(Fact::Resigned);
    assert_eq!(bench.pass(Duration::from_secs(1)), "StartGuardian");
    bench.guardian();
    assert_eq!(bench.volume(None), "Stand");
}

#[test]
fn a_coordinator_that_is_being_stopped_is_asked_nothing_more() {
    const BY_COMMAND: &str = "[health]\ncommand = [\"/bin/true\"]\ninterval = \"1s\"\n";
    let mut bench = Bench::started(BY_COMMAND);
    assert_eq!(bench.hear(Input::StopAsked { signal: StopSignal::Terminate }), "Stop");
    assert_eq!(bench.pass(Duration::from_secs(2)), "");
    // That it has started is heard only when it is stopped already.
    let mut bench = Bench::elected(BY_COMMAND);
    bench.report(Report::LockAcquired { volume: "v".to_owned(), record: None, write_back: false });
    bench.report(Report::RecordWritten { epoch: 7 });
    let now = bench.now;
    assert_eq!(bench.fact(Fact::Claimed { epoch: 7, counts_from: now, last_will: None }), "Start(7)");
    assert_eq!(bench.hear(Input::StopAsked { signal: StopSignal::Terminate }), "Stop");
    assert_eq!(bench.report(Report::Started { pid: 8, holds_lock: true }), "");
    assert_eq!(bench.report(Report::TreeDead), "CloseLock(stopped)");
}

const PROBED: &str = "[health]\nhttp = \"http://127.0.0.1:1/\"\ninterval = \"1s\"\ntimeout = \"1s\"\nfailures = 2\n";

#[test]
fn a_coordinator_is_asked_until_it_is_ready_and_ends_the_leadership_when_it_fails_too_often() {
    let mut bench = Bench::started(PROBED);
    let failed = |question| Input::Answered { question, answer: Err("no".to_owned()) };
    let fine = |question| Input::Answered { question, answer: Ok(()) };
    assert_eq!(bench.hear(failed(1)), "");
    assert_eq!(bench.pass(Duration::from_millis(50)), "Ask(2)");
    assert_eq!(bench.hear(fine(1)), "", "it was asked again since");
    assert_eq!(bench.role(), Role::Promoting);
    bench.hear(fine(2));
    assert_eq!(bench.role(), Role::Active);
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(1)), "Ask(3)");
    bench.hear(failed(3));
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(1)), "Ask(4)");
    bench.hear(fine(4));
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(1)), "Ask(5)");
    bench.hear(failed(5));
    assert_eq!(bench.role(), Role::Active, "not twice in a row");
    bench.renew();
    // Nobody answers at all.
    bench.pass(Duration::from_millis(2500));
    assert_eq!(bench.role(), Role::Demoting);
}

#[test]
fn a_probe_that_cannot_be_killed_is_not_joined_by_another_one() {
    let probed = "[health]\ncommand = [\"/bin/true\"]\ninterval = \"1s\"\ntimeout = \"1s\"\nfailures = 9\n";
    let mut bench = Bench::started(probed);
    let ended = |id| Report::CommandEnded { id, outcome: CommandOutcome::Ended(ExitStatus::Code(0)) };
    bench.report(ended(1));
    assert_eq!(bench.role(), Role::Active);
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(1)), "Run(health.command)");
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(3)), "");
    bench.report(ended(2));
    bench.renew();
    assert_eq!(bench.pass(Duration::from_secs(1)), "Run(health.command)");
}

#[test]
fn a_last_notice_is_run_before_the_process_ends_and_keeps_nobody_longer_than_its_time() {
    let noticed = "[hooks]\non_standby = [\"/bin/true\"]\n";
    let mut bench = Bench::started(noticed);
    bench.hear(Input::StopAsked { signal: StopSignal::Terminate });
    bench.report(Report::TreeDead);
    bench.report(Report::LockClosed { clean: true });
    assert_eq!(bench.fact(Fact::Resigned), "Stopping Run(on_standby)");
    let mut ends = Bench { node: bench.node.clone(), now: bench.now, wanted: Vec::new(), silent: false };
    let outcome = CommandOutcome::Ended(ExitStatus::Code(0));
    assert_eq!(ends.report(Report::CommandEnded { id: 1, outcome }), "Close");
    assert_eq!(ends.hear(Input::ElectionEnded), "Exit(Stopped)");
    assert_eq!(bench.pass(Duration::from_secs(15)), "Close Exit(Stopped)", "neither ends");
}

#[test]
fn a_reload_that_is_asked_for_while_one_is_read_follows_it() {
    let mut bench = Bench::standing("");
    assert_eq!(bench.hear(Input::ReloadAsked), "ReadConfiguration");
    assert_eq!(bench.hear(Input::ReloadAsked), "");
    let read = || Box::new(Reread { config: (*config("")).clone(), level_applies: true });
    assert_eq!(bench.hear(Input::Reread(Ok(read()))), "ReadConfiguration Reconfigured");
    assert_eq!(bench.hear(Input::Reread(Err("wrong".to_owned()))), "");
    assert_eq!(bench.hear(Input::ReloadAsked), "ReadConfiguration");
}

#[test]
fn a_guardian_that_does_not_answer_is_killed_and_one_whose_supervisor_slept_is_not() {
    let mut bench = Bench::standing("");
    bench.silent = true;
    assert_eq!(bench.pass(Duration::from_millis(3900)), "");
    let mut slept = Bench { node: bench.node.clone(), now: bench.now, wanted: Vec::new(), silent: false };
    assert_eq!(bench.pass(Duration::from_millis(200)), "KillGuardian");
    slept.now = slept.now + Duration::from_secs(60);
    assert_eq!(slept.hear(Input::TimePassed), "");
    assert!(slept.lines().iter().any(|line| matches!(line, Say::OwnSilence { .. })));
}

#[test]
fn a_backend_that_ends_by_itself_is_replaced_and_nothing_is_led_meanwhile() {
    let mut bench = Bench::started("");
    assert_eq!(bench.hear(Input::ElectionEnded), "StartElection Kill");
    assert_eq!(bench.role(), Role::Fencing);
}

#[test]
fn who_is_first_during_a_pause_is_not_promoted_and_looks_again_once_it_is_over() {
    let mut bench = Bench::standing("");
    let cluster = |paused| Fact::Cluster(Box::new(ClusterView { epoch: Some(6), paused, ..ClusterView::default() }));
    let found = |paused| {
        let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), paused, ..ElectionOutcome::default() };
        Fact::Elected(Box::new(outcome))
    };
    bench.fact(cluster(true));
    assert_eq!(bench.fact(found(true)), "");
    assert_eq!(bench.role(), Role::Standby);
    assert!(bench.node.snapshot(bench.now).server.reason.contains("elections are paused"));
    assert_eq!(bench.fact(cluster(true)), "");
    assert_eq!(bench.fact(cluster(false)), "Stand");
    assert_eq!(bench.fact(cluster(false)), "", "said once");
    assert_eq!(bench.fact(found(false)), "AcquireLock");
}
