//! The bytes of every version: what supervisor and guardian say to each other, what is written in ZooKeeper and on the volume.
//!
//! `formats/NAME-VERSION.jsonl` holds a line for each kind. Those of this version are what is written today, byte for byte;
//! those of every version can still be read. A change that this test finds needs a new version, with files of its own, if an
//! older program would misunderstand it; otherwise `PRIMACY_REGENERATE=1 cargo test --test it formats` writes them anew.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use primacy::election::port::{ElectionOrder, Fact, Loss};
use primacy::guardian::protocol::{
    self, CommandOrder, CommandOutcome, Ended, ExitStatus, GuardianOrder, LastWill, LockRecord, NoteLevel, Over,
    PermissionKind, Rehearsed, Report, Settings, StuckProcess, TlsMaterial, VolumeView, WatchdogSettings,
    WatchdogTerms, WatchdogView, ZooKeeperAccess,
};
use primacy::host::{HostIdentity, ProcessIdentity};
use primacy::moment::Moment;
use primacy::node::{GuardianInput, Input, Output, StopSignal};
use primacy::recorder;
use primacy::recorder::header::{self, Header, Part};
use primacy::recording::guardian::{self, Deed, What};
use primacy::recording::supervisor;
use primacy::status::{
    self, Breadcrumb, ClusterView, End, HistoryEntry, Member, MemberRow, NodeState, Role, StatusWord,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats")
}

/// The files of all versions, this one's last.
fn check<T: Serialize + DeserializeOwned>(name: &str, version: u32, kinds: &[T]) {
    let written: Vec<String> = kinds.iter().map(|kind| serde_json::to_string(kind).unwrap()).collect();
    let written = format!("{}\n", written.join("\n"));
    let file = |version| folder().join(format!("{name}-{version}.jsonl"));
    if std::env::var_os("PRIMACY_REGENERATE").is_some() {
        fs::create_dir_all(folder()).unwrap();
        fs::write(file(version), &written).unwrap();
    }
    for each in 1..=version {
        let text = fs::read_to_string(file(each)).unwrap_or_else(|error| panic!("{}: {error}", file(each).display()));
        for line in text.lines() {
            let read = serde_json::from_str::<T>(line);
            assert!(read.is_ok(), "version {each} of {name} is not understood any more: {line}: {:?}", read.err());
        }
        assert!(each != version || text == written, "{name} is written in another way: is it still version {version}?");
    }
}

fn host() -> HostIdentity {
    HostIdentity {
        name: "host".to_owned(),
        machine_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        smbios_uuid: Some("4c4c4544-0042-3510-8052-b4c04f4d4d32".to_owned()),
        addresses: ["52:54:00:12:34:56".to_owned()].into(),
        boot_id: Some("b7a3c8f0-1111-4222-8333-444455556666".to_owned()),
    }
}

fn record() -> LockRecord {
    LockRecord {
        format: protocol::RECORD_FORMAT,
        node: "a".to_owned(),
        host: "host".to_owned(),
        host_id: "0123456789abcdef0123456789abcdef".to_owned(),
        boot_id: "b7a3c8f0-1111-4222-8333-444455556666".to_owned(),
        pid: 4711,
        pid_started: 123_456,
        pid_namespace: Some(4_026_531_836),
        identity: Some(host()),
        api: "http://a:9090".to_owned(),
        epoch: 7,
        since: "2026-01-02T03:04:05.678Z".to_owned(),
        nfs_client: Some("Linux NFSv4.2 host".to_owned()),
        ended: None,
        over: None,
    }
}

fn ended_record() -> LockRecord {
    LockRecord {
        ended: Some(Ended { at: "2026-01-02T04:04:05.678Z".to_owned(), cause: End::Stopped.into() }),
        over: Some(Over { epoch: 7, election_node: Some("/primacy/c/election/_c_1-latch-0000000001".to_owned()) }),
        ..record()
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("KEY".to_owned(), "value".to_owned())])
}

fn settings() -> Settings {
    Settings {
        version: protocol::VERSION,
        cluster: "c".to_owned(),
        node: "a".to_owned(),
        permission: PermissionKind::Lock,
        lock_directory: "/volume/.primacy".into(),
        probe_interval: Duration::from_secs(2),
        probe_timeout: Duration::from_secs(5),
        min_free_space: 104_857_600,
        command: texts(&["/bin/coordinator", "--in-the-foreground"]),
        forking: false,
        working_directory: Some("/".into()),
        environment: environment(),
        user: Some("dremio".to_owned()),
        stop_signal: 15,
        stop_timeout: Duration::from_secs(120),
        before_kill: texts(&["/bin/dump"]),
        watchdog: Some(WatchdogSettings { device: "/dev/watchdog".into(), required: true }),
        configuration: Some("/etc/primacy/primacy.toml".into()),
        former_names: texts(&["old"]),
        recorder: Some(recorder::settings::Settings {
            directory: "/var/lib/primacy/recorder".into(),
            limit: 67_108_864,
            cluster: "c".to_owned(),
            node: "a".to_owned(),
        }),
    }
}

fn last_will() -> LastWill {
    LastWill {
        zookeeper: ZooKeeperAccess {
            servers: "zk1:2181,zk2:2181".to_owned(),
            session_timeout: Duration::from_secs(10),
            digest: Some("user:password".to_owned()),
            tls: Some(TlsMaterial {
                ca: Some("ca".to_owned()),
                cert: Some("cert".to_owned()),
                key: Some("key".to_owned()),
            }),
            addresses: BTreeMap::from([("zk1".to_owned(), vec!["192.0.2.1".parse().unwrap()])]),
        },
        election_node: "/primacy/c/election/_c_1-latch-0000000001".to_owned(),
        breadcrumb: Some(("/primacy/c/active".to_owned(), 3, "{}".to_owned())),
        session: Some(72_057_594_037_927_936),
        epoch: Some(("/primacy/c/epoch".to_owned(), 6)),
        also_delete: texts(&["/primacy/c/members/a"]),
    }
}

fn at() -> Moment {
    Moment::from_millis(1_234_567)
}

#[test]
fn orders_to_the_guardian() {
    let command = CommandOrder {
        id: 1,
        name: "before_start".to_owned(),
        argv: texts(&["/bin/prepare"]),
        environment: environment(),
        timeout: Duration::from_secs(60),
        notice: false,
    };
    let terms = WatchdogTerms { seconds: 4, longest: Duration::from_secs(5), grace: Duration::from_secs(1) };
    let orders = [
        GuardianOrder::Configure(Box::new(settings())),
        GuardianOrder::AcquireLock { expected_volume: Some("v".to_owned()), patient: false },
        GuardianOrder::AwaitLock { until: at(), grace: Duration::from_secs(2), expected_volume: Some("v".to_owned()) },
        GuardianOrder::CallOff,
        GuardianOrder::Look,
        GuardianOrder::Rehearse(Rehearsed::FreezeSupervisor { thaw: Duration::from_secs(12) }),
        GuardianOrder::WriteRecord(record()),
        GuardianOrder::SetDeadline { deadline: at() },
        GuardianOrder::SetWatchdog(terms),
        GuardianOrder::Start { epoch: 7, deadline: at() },
        GuardianOrder::StartAlwaysOn,
        GuardianOrder::Run(Box::new(command)),
        GuardianOrder::Stop,
        GuardianOrder::Kill,
        GuardianOrder::CloseLock { cause: End::Stopped.into() },
        GuardianOrder::LastWill(Some(last_will())),
        GuardianOrder::Ping { number: 1 },
    ];
    // A new kind has to have its line above.
    for order in &orders {
        match order {
            GuardianOrder::Configure(_)
            | GuardianOrder::AcquireLock { .. }
            | GuardianOrder::AwaitLock { .. }
            | GuardianOrder::CallOff
            | GuardianOrder::Look
            | GuardianOrder::Rehearse(_)
            | GuardianOrder::WriteRecord(_)
            | GuardianOrder::SetDeadline { .. }
            | GuardianOrder::SetWatchdog(_)
            | GuardianOrder::Start { .. }
            | GuardianOrder::StartAlwaysOn
            | GuardianOrder::Run(_)
            | GuardianOrder::Stop
            | GuardianOrder::Kill
            | GuardianOrder::CloseLock { .. }
            | GuardianOrder::LastWill(_)
            | GuardianOrder::Ping { .. } => {}
        }
    }
    check("guardian-orders", protocol::VERSION, &orders);
}

#[test]
fn reports_of_the_guardian() {
    let volume = VolumeView {
        id: Some("v".to_owned()),
        file_system: Some("nfs4".to_owned()),
        problem: Some("it is full".to_owned()),
        missing: false,
        warnings: texts(&["it is soft"]),
        free_bytes: Some(1 << 30),
        record: Some(record()),
    };
    let watchdog = WatchdogView {
        problem: Some("it is busy".to_owned()),
        warning: Some("it is slow".to_owned()),
        armed: Some(Duration::from_secs(4)),
    };
    let stuck = StuckProcess { pid: 1, command: "java".to_owned(), waits_in: "rpc_wait_bit_killable".to_owned() };
    let ended = |outcome| Report::CommandEnded { id: 1, outcome };
    let reports = [
        Report::Ready { pid: 4711 },
        Report::Volume(volume),
        Report::Watchdog(watchdog),
        Report::LockAcquired { volume: "v".to_owned(), record: Some(ended_record()), write_back: true },
        Report::CalledOff,
        Report::LockRefused { holder: Some(record()) },
        Report::RecordWritten { epoch: 7 },
        Report::VolumeUnusable { problem: "it is full".to_owned() },
        Report::VolumeLost { problem: "it was replaced".to_owned() },
        Report::Probed { started: at(), took: Duration::from_millis(3), free_bytes: 1 << 30 },
        Report::Started { pid: 4712, holds_lock: true },
        Report::HoldsLock { holds_lock: false },
        Report::StartFailed { problem: "no such file".to_owned() },
        Report::Exited { status: ExitStatus::Signal(9) },
        ended(CommandOutcome::Ended(ExitStatus::Code(0))),
        ended(CommandOutcome::NotStarted("no such file".to_owned())),
        ended(CommandOutcome::TimedOut(Duration::from_secs(60))),
        ended(CommandOutcome::Killed),
        Report::Output { name: "before_start".to_owned(), line: "ready".to_owned() },
        Report::TreeDead,
        Report::Stuck { processes: vec![stuck] },
        Report::LockClosed { clean: true },
        Report::Fenced { deadline: at(), clean: false },
        Report::Pong { number: 1 },
        Report::Remark { text: "killed what was left".to_owned() },
        Report::Note { level: NoteLevel::Warn, text: "beware".to_owned() },
    ];
    for report in &reports {
        match report {
            Report::Ready { .. }
            | Report::Volume(_)
            | Report::Watchdog(_)
            | Report::LockAcquired { .. }
            | Report::CalledOff
            | Report::LockRefused { .. }
            | Report::RecordWritten { .. }
            | Report::VolumeUnusable { .. }
            | Report::VolumeLost { .. }
            | Report::Probed { .. }
            | Report::Started { .. }
            | Report::HoldsLock { .. }
            | Report::StartFailed { .. }
            | Report::Exited { .. }
            | Report::CommandEnded { .. }
            | Report::Output { .. }
            | Report::TreeDead
            | Report::Stuck { .. }
            | Report::LockClosed { .. }
            | Report::Fenced { .. }
            | Report::Pong { .. }
            | Report::Remark { .. }
            | Report::Note { .. } => {}
        }
    }
    check("guardian-reports", protocol::VERSION, &reports);
}

#[test]
fn records_of_the_lock_file() {
    check("lock-file", protocol::RECORD_FORMAT, &[record(), ended_record()]);
}

fn member() -> Member {
    let row = MemberRow {
        node: "a".to_owned(),
        role: Role::Active,
        state: NodeState::Active,
        status: StatusWord::Ok,
        epoch: Some(7),
        since: "2026-01-02T03:04:05.678Z".to_owned(),
        ready: true,
        api: "http://a:9090".to_owned(),
        endpoints: BTreeMap::from([("web".to_owned(), "http://a:9047".to_owned())]),
        priority: 100,
        tags: BTreeMap::from([("rack".to_owned(), "1".to_owned())]),
        version: "0.1.0".to_owned(),
        eligible: false,
        always_on: false,
        reason: "elected again".to_owned(),
    };
    Member {
        format: status::ZOOKEEPER_FORMAT,
        row,
        process: Some(ProcessIdentity {
            host_id: "0123456789abcdef0123456789abcdef".to_owned(),
            boot_id: "b7a3c8f0-1111-4222-8333-444455556666".to_owned(),
            pid: 4711,
            pid_started: 123_456,
            pid_namespace: Some(4_026_531_836),
            host: Some(host()),
        }),
        session_timeout_ms: Some(10_000),
        election_node: Some("/primacy/c/election/_c_6a1c0b7e-latch-0000000012".to_owned()),
        ready_for: Some(4_294_967_301),
    }
}

#[test]
fn contents_in_zookeeper() {
    check("zookeeper-member", status::ZOOKEEPER_FORMAT, &[member()]);
    let breadcrumb = Breadcrumb {
        node: "a".to_owned(),
        epoch: 7,
        api: "http://a:9090".to_owned(),
        endpoints: BTreeMap::from([("web".to_owned(), "http://a:9047".to_owned())]),
        since: "2026-01-02T03:04:05.678Z".to_owned(),
        clean: false,
        host: Some(host()),
        election_node: Some("/primacy/c/election/_c_6a1c0b7e-latch-0000000012".to_owned()),
        cause: None,
        to: None,
    };
    let (cause, to) = (Some(End::Stopped.into()), Some("2026-01-02T04:04:05.678Z".to_owned()));
    let clean = Breadcrumb { clean: true, cause: cause.clone(), to: to.clone(), ..breadcrumb.clone() };
    check("zookeeper-active", status::ZOOKEEPER_FORMAT, &[breadcrumb, clean]);
    let entry = HistoryEntry {
        epoch: 7,
        node: "a".to_owned(),
        from: "2026-01-02T03:04:05.678Z".to_owned(),
        to,
        cause,
        gap_ms: Some(12),
        evidence: Some(status::Evidence::CleanEnd),
        detail: Some("elected again".to_owned()),
        by: Some("alice".to_owned()),
        reason: Some("a new kernel".to_owned()),
    };
    check("zookeeper-history", status::ZOOKEEPER_FORMAT, &[entry]);
}

/// The rules hold of recordings of every version, so what they look at has to stay readable. What a node knows (the state of a
/// supervisor's header) is read by the version alone that wrote it.
#[test]
fn lines_of_recordings() {
    let settings = recorder::settings::Settings {
        directory: "/var/lib/primacy/recorder".into(),
        limit: 67_108_864,
        cluster: "c".to_owned(),
        node: "a".to_owned(),
    };
    let state = guardian::State {
        lock: Some("/volume/.primacy".into()),
        permission: PermissionKind::Lock,
        held: true,
        lost: false,
        written: Some(7),
        deadline: Some(at()),
        alive: true,
        ending: false,
    };
    let wall = std::time::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let mut header = Header::new(Part::Guardian, &settings, "b7a3c8f0-1111-4222-8333-444455556666", at(), wall, state);
    (header.program, header.pid) = ("0.1.0".to_owned(), 4711);
    check("recording-guardian-header", header::FORMAT, &[header]);

    let did = |deed| guardian::Line { at: at(), what: What::Did(deed) };
    let lines = [
        guardian::Line { at: at(), what: What::Heard(Cow::Owned(GuardianOrder::SetDeadline { deadline: at() })) },
        guardian::Line { at: at(), what: What::Reported(Cow::Owned(Report::LockClosed { clean: true })) },
        did(Deed::Forked { epoch: 7, told: 7, checked: at() }),
        did(Deed::ForkedAlwaysOn),
        did(Deed::Ran { id: 1 }),
        did(Deed::SawAllDead),
        did(Deed::AskedToClose { proof: true }),
        did(Deed::BeganToEnd { cause: End::LeaseExpired.into() }),
        did(Deed::Left { election_node: Some("/primacy/c/election/_c_1-latch-0000000001".to_owned()) }),
        did(Deed::Left { election_node: None }),
    ];
    for line in &lines {
        match &line.what {
            What::Heard(_) | What::Reported(_) => {}
            What::Did(
                Deed::Forked { .. }
                | Deed::ForkedAlwaysOn
                | Deed::Ran { .. }
                | Deed::SawAllDead
                | Deed::AskedToClose { .. }
                | Deed::BeganToEnd { .. }
                | Deed::Left { .. },
            ) => {}
        }
    }
    check("recording-guardian", header::FORMAT, &lines);

    let heard = |input| supervisor::ReadLine::Heard { at: at(), wall: 1_767_323_045_000_000_000, heard: input };
    let wanted = |output| supervisor::ReadLine::Wanted { wanted: output };
    let lines = [
        heard(Input::Guardian(GuardianInput::Spawned { pid: 4711, started: 123_456 })),
        heard(Input::Guardian(GuardianInput::Lost("signal: 9".to_owned()))),
        heard(Input::Guardian(GuardianInput::Report(Box::new(Report::TreeDead)))),
        heard(Input::Election(Fact::Connected { session: None, timeout: Duration::from_secs(10), asked: at() })),
        heard(Input::Election(Fact::Elected(Box::default()))),
        heard(Input::Election(Fact::Claimed { epoch: 7, counts_from: at(), last_will: None })),
        heard(Input::Election(Fact::Renewed { sent: at(), counts_from: at(), acknowledged: at() })),
        heard(Input::Election(Fact::Lost(Loss::SessionExpired))),
        heard(Input::Election(Fact::Resigned)),
        heard(Input::OrphansDead { leadership: 3 }),
        heard(Input::StopAsked { signal: StopSignal::Terminate }),
        heard(Input::TimePassed),
        wanted(Output::Guardian(GuardianOrder::Kill)),
        wanted(Output::Election(ElectionOrder::Stand)),
        wanted(Output::Election(ElectionOrder::Resign { clean: true, ended: None })),
        wanted(Output::Publish),
    ];
    check("recording-supervisor", header::FORMAT, &lines);
}

/// A node looks for peers on other hosts, so a recording that is replayed needs what members say of theirs.
#[test]
fn the_cluster_is_recorded_with_its_members_hosts() {
    let cluster = ClusterView { members: vec![member()], ..ClusterView::default() };
    let heard = Input::Election(Fact::Cluster(Box::new(cluster.clone())));
    let read: Input = serde_json::from_str(&serde_json::to_string(&heard).unwrap()).unwrap();
    let Input::Election(Fact::Cluster(read)) = read else { panic!("{read:?}") };
    assert_eq!(*read, cluster);
}
