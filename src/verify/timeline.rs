//! One timeline of all that recordings tell, for people.
//!
//! Within one boot of one host the boot clock orders everything. Between hosts only wall clocks do, which may be wrong: a step that
//! nothing but they put behind the one before it is marked.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::guardian::protocol::{GuardianOrder, LockRecord, Report};
use crate::moment::Moment;
use crate::node::{GuardianInput, Input, Output, Say};
use crate::recorder::header::{Header, Part};
use crate::recording::guardian::{Deed, What};
use crate::recording::supervisor::ReadLine;

use super::recordings::{Line, Recordings};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Nanoseconds since 1970, by the wall clock of its host at the beginning of the segment.
    pub wall: u64,
    /// By its host's boot clock.
    pub at: Moment,
    /// Of its host's boot.
    pub boot: String,
    pub node: String,
    pub part: Part,
    /// One line.
    pub what: String,
    /// Nothing but wall clocks puts it behind the step before it.
    pub unordered: bool,
}

/// All steps of all recordings.
pub fn of(recordings: &Recordings) -> Vec<Step> {
    let mut steps = Vec::new();
    for supervisor in &recordings.supervisors {
        let header = &supervisor.segment.header;
        let mut now = header.at;
        for (_, line) in &supervisor.segment.lines {
            let said = match line {
                Line::Known(ReadLine::Heard { at, heard, .. }) => {
                    now = *at;
                    heard_in_words(heard)
                }
                Line::Known(ReadLine::Wanted { wanted }) => wanted_in_words(wanted),
                Line::Unknown(_) => None,
            };
            steps.extend(said.map(|what| step(header, now, what)));
        }
    }
    for guardian in &recordings.guardians {
        for (_, line) in &guardian.lines {
            let said = match &line.what {
                What::Heard(_) => None,
                What::Reported(report) => reported_in_words(report),
                What::Did(deed) => deed_in_words(deed),
            };
            steps.extend(said.map(|what| step(&guardian.header, line.at, what)));
        }
    }
    in_order(steps)
}

/// Sorts steps by time, and marks those of which that proves nothing.
pub fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by_key(|step| (step.wall, step.at));
    let mut before: Option<String> = None;
    for step in &mut steps {
        step.unordered = before.as_ref().is_some_and(|boot| *boot != step.boot);
        before = Some(step.boot.clone());
    }
    steps
}

fn step<S>(header: &Header<S>, at: Moment, what: Cow<'static, str>) -> Step {
    let since = u64::try_from(at.since(header.at).as_nanos()).unwrap_or(u64::MAX);
    Step {
        wall: header.wall.saturating_add(since),
        at,
        boot: header.boot.clone(),
        node: header.node.clone(),
        part: header.part,
        what: what.into_owned(),
        unordered: false,
    }
}

type Words = Option<Cow<'static, str>>;

fn heard_in_words(input: &Input) -> Words {
    let words: Cow<'static, str> = match input {
        Input::Guardian(GuardianInput::Spawned { pid, .. }) => format!("its guardian runs (pid {pid})").into(),
        Input::Guardian(GuardianInput::NotStarted(why)) => format!("no guardian can be started: {why}").into(),
        Input::Guardian(GuardianInput::Lost(how)) => format!("its guardian is gone: {how}").into(),
        Input::Guardian(GuardianInput::Report(_))
        | Input::Answered { .. }
        | Input::TimePassed
        | Input::Reread(_)
        | Input::ReloadAsked => return None,
        Input::Election(fact) => return fact_in_words(fact),
        Input::ElectionEnded => "the election backend is gone".into(),
        Input::OrphansDead { .. } => "nothing is left of what its dead guardian left".into(),
        Input::PeerTested { node, test } => format!("tried the lock against {node}: {:?}", test.result).into(),
        Input::StopAsked { signal } => format!("is asked to stop: {}", signal.as_str()).into(),
    };
    Some(words)
}

fn fact_in_words(fact: &Fact) -> Words {
    let words: Cow<'static, str> = match fact {
        Fact::Connected { timeout, .. } => {
            format!("is connected to ZooKeeper, session of {}", humantime::format_duration(*timeout)).into()
        }
        Fact::Disconnected { reason } => format!("has no contact with its election: {reason}").into(),
        Fact::Standing => "stands in the queue".into(),
        Fact::Elected(outcome) => format!("is first in the queue; the last epoch was {}", outcome.epoch).into(),
        Fact::Claimed { epoch, .. } => format!("has epoch {epoch}").into(),
        Fact::ClaimRefused { reason } => format!("is refused the epoch: {reason}").into(),
        Fact::Lost(loss) => match loss {
            Loss::SessionExpired => "lost its leadership: its session is over".into(),
            Loss::NodeDeleted => "lost its leadership: its election node was deleted".into(),
            Loss::Overtaken => "lost its leadership: another epoch was taken".into(),
            Loss::Backend(why) => format!("lost its leadership: {why}").into(),
        },
        Fact::Resigned => "has left the election".into(),
        Fact::DuplicateName { holder } => format!("finds its name taken: {holder}").into(),
        Fact::Queued(_) | Fact::Renewed { .. } | Fact::Cluster(_) | Fact::History(_) => return None,
    };
    Some(words)
}

fn wanted_in_words(output: &Output) -> Words {
    let words: Cow<'static, str> = match output {
        Output::Say(Say::RoleChanges { transition, detail }) => {
            let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            let cause = transition.cause.as_str().replace('_', " ");
            format!("{} -> {}: {cause}{detail}", transition.from.as_str(), transition.to.as_str()).into()
        }
        Output::Say(Say::RunsAgain { gap_ms: Some(gap) }) => format!("a coordinator runs again after {gap} ms").into(),
        Output::Election(order) => match order {
            ElectionOrder::Claim { breadcrumb, .. } => format!("claims epoch {}", breadcrumb.epoch).into(),
            ElectionOrder::Resign { clean: true, .. } => "resigns: it ended in order".into(),
            ElectionOrder::Resign { clean: false, .. } => "resigns".into(),
            ElectionOrder::Yield => "goes to the back of the queue".into(),
            ElectionOrder::Stand
            | ElectionOrder::Publish(_)
            | ElectionOrder::Announce(_)
            | ElectionOrder::Amend(_)
            | ElectionOrder::AskAgain
            | ElectionOrder::Close => return None,
        },
        Output::Guardian(order) => match order {
            GuardianOrder::AcquireLock { .. } => "wants the lock".into(),
            GuardianOrder::Start { epoch, .. } => format!("orders the start in epoch {epoch}").into(),
            GuardianOrder::Run(command) => format!("runs {}", command.name).into(),
            GuardianOrder::Stop => "has the coordinator stopped".into(),
            GuardianOrder::Kill => "has everything killed".into(),
            GuardianOrder::CloseLock { .. } => "has the lock closed".into(),
            GuardianOrder::Configure(_)
            | GuardianOrder::Look
            | GuardianOrder::WriteRecord(_)
            | GuardianOrder::SetDeadline { .. }
            | GuardianOrder::SetWatchdog(_)
            | GuardianOrder::LastWill(_)
            | GuardianOrder::Ping { .. } => return None,
        },
        Output::KillGuardian => "kills its guardian".into(),
        Output::KillOrphans { .. } => "kills what its dead guardian has left".into(),
        Output::Exit(exit) => format!("ends: {exit:?}").into(),
        Output::Say(_)
        | Output::StartGuardian(_)
        | Output::StartElection
        | Output::Ask { .. }
        | Output::TestPeer { .. }
        | Output::ReadConfiguration
        | Output::Reconfigured(_)
        | Output::Publish
        | Output::Status(_)
        | Output::Stopping => return None,
    };
    Some(words)
}

fn reported_in_words(report: &Report) -> Words {
    let holder = |record: &Option<LockRecord>| {
        record
            .as_ref()
            .map_or_else(|| "somebody".to_owned(), |record| format!("{} (epoch {})", record.node, record.epoch))
    };
    let words: Cow<'static, str> = match report {
        Report::LockAcquired { record: Some(record), .. } if record.is_over() => {
            format!("has the lock; the record proves that epoch {} of {} is over", record.epoch, record.node).into()
        }
        Report::LockAcquired { record: None, .. } => "has the lock, and finds no record".into(),
        Report::LockAcquired { record, .. } => {
            format!("has the lock; the last record is that of {}", holder(record)).into()
        }
        Report::LockRefused { holder: record } => format!("is refused the lock: {} has it", holder(record)).into(),
        Report::RecordWritten { epoch } => format!("has written the record of epoch {epoch}").into(),
        Report::VolumeUnusable { problem } => format!("cannot use the volume: {problem}").into(),
        Report::VolumeLost { problem } => format!("has lost the volume: {problem}").into(),
        Report::Started { pid, .. } => format!("its coordinator runs (pid {pid})").into(),
        Report::StartFailed { problem } => format!("the start failed: {problem}").into(),
        Report::Exited { status } => format!("its coordinator ended by itself: {status}").into(),
        Report::LockClosed { clean: true } => "has closed the lock, and all is written back".into(),
        Report::LockClosed { clean: false } => "has closed the lock".into(),
        Report::Fenced { .. } => "ended the leadership at its deadline".into(),
        Report::Stuck { processes } => {
            let named: Vec<String> =
                processes.iter().map(|it| format!("{} ({}) in {}", it.command, it.pid, it.waits_in)).collect();
            format!("does not die: {}", named.join(", ")).into()
        }
        Report::Remark { text } => text.clone().into(),
        Report::Ready { .. }
        | Report::Volume(_)
        | Report::Watchdog(_)
        | Report::Probed { .. }
        | Report::HoldsLock { .. }
        | Report::CommandEnded { .. }
        | Report::Output { .. }
        | Report::TreeDead
        | Report::Pong { .. }
        | Report::Note { .. } => return None,
    };
    Some(words)
}

fn deed_in_words(deed: &Deed) -> Words {
    let words: Cow<'static, str> = match deed {
        Deed::Forked { epoch, .. } => format!("forks the coordinator in epoch {epoch}").into(),
        Deed::SawAllDead => "nothing of it lives any more".into(),
        Deed::BeganToEnd { cause } => format!("begins to end by itself: {}", cause.in_words()).into(),
        Deed::Left { election_node: Some(_) } => "executes its last will".into(),
        Deed::Ran { .. } | Deed::AskedToClose { .. } | Deed::Left { election_node: None } => return None,
    };
    Some(words)
}

/// Steps as text: a line each.
pub fn render(steps: &[Step]) -> String {
    let mut text = String::new();
    let mut before: Option<u64> = None;
    let width = steps.iter().map(|step| step.node.len()).max().unwrap_or(0);
    for step in steps {
        let gap = before.map_or(0.0, |before| std::time::Duration::from_nanos(step.wall - before).as_secs_f64() * 1e3);
        before = Some(step.wall);
        let mark = if step.unordered { '~' } else { ' ' };
        let clock =
            humantime::format_rfc3339_micros(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(step.wall));
        let part = match step.part {
            Part::Supervisor => "        ",
            Part::Guardian => "guardian",
        };
        text += &format!("{clock} {mark}{gap:>10.3} ms  {:width$}  {part}  {}\n", step.node, step.what);
    }
    text
}
