//! What recordings tell, in words for people: the steps of one timeline.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use crate::election::port::{ElectionOrder, Fact, Loss};
use crate::guardian::protocol::{GuardianOrder, LockRecord, Report};
use crate::intents::Asked;
use crate::moment::{Moment, in_words};
use crate::node::{GuardianInput, Input, Output, Request, Say};
use crate::recorder::header::{Header, Part};
use crate::recording::guardian::{Deed, What};
use crate::recording::reading::{Error, Segment, find, part, read};
use crate::recording::supervisor::ReadLine;
use crate::status::Role;

use crate::status::timeline::{Mark, Process, Step, from_nanos, in_order};

use super::recordings::{Guardian, Line, Recordings};

/// All steps of all recordings.
pub fn of(recordings: &Recordings) -> Vec<Step> {
    let mut steps = Vec::new();
    for supervisor in &recordings.supervisors {
        supervisors(&supervisor.segment, &mut steps);
    }
    for guardian in &recordings.guardians {
        guardians(guardian, &mut steps);
    }
    in_order(steps)
}

/// The steps that a node's folder tells of between two points in time. Only the segments that can tell of them are read, one at
/// a time. It blocks.
///
/// # Errors
/// They cannot be read.
pub fn within(folder: &Path, from: SystemTime, to: SystemTime) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for path in find(folder)? {
        let written = fs::metadata(&path).and_then(|about| about.modified());
        // The last write is the end of what it can tell of; its own clock may have been set since.
        if written.is_ok_and(|written| written < from) {
            continue;
        }
        let mut told = Vec::new();
        match part(&path)? {
            Some(Part::Supervisor) => supervisors(&read(&path)?, &mut told),
            Some(Part::Guardian) => guardians(&read(&path)?, &mut told),
            None => {}
        }
        steps.extend(told.into_iter().filter(|step| step.at >= from && step.at <= to));
    }
    Ok(in_order(steps))
}

fn supervisors(segment: &Segment<Value, Line>, steps: &mut Vec<Step>) {
    let mut now = segment.header.at;
    for (_, line) in &segment.lines {
        let said = match line {
            Line::Known(ReadLine::Heard { at, heard, .. }) => {
                now = *at;
                heard_in_words(heard).map(|what| (what, mark_of_input(heard)))
            }
            Line::Known(ReadLine::Wanted { wanted }) => {
                wanted_in_words(wanted).map(|what| (what, mark_of_output(wanted)))
            }
            Line::Unknown(_) => None,
        };
        steps.extend(said.map(|(what, mark)| step(&segment.header, now, what, mark)));
    }
}

fn guardians(segment: &Guardian, steps: &mut Vec<Step>) {
    for (_, line) in &segment.lines {
        let said = match &line.what {
            What::Heard(_) => None,
            What::Reported(report) => reported_in_words(report).map(|what| (what, mark_of_report(report))),
            What::Did(deed) => deed_in_words(deed).map(|what| (what, mark_of_deed(deed))),
        };
        steps.extend(said.map(|(what, mark)| step(&segment.header, line.at, what, mark)));
    }
}

fn step<S>(header: &Header<S>, at: Moment, what: Cow<'static, str>, mark: Option<Mark>) -> Step {
    Step {
        at: from_nanos(header.wall) + at.since(header.at),
        boot_ns: at.as_nanos(),
        boot: header.boot.clone(),
        node: header.node.clone(),
        process: match header.part {
            Part::Supervisor => Process::Supervisor,
            Part::Guardian => Process::Guardian,
        },
        what: what.into_owned(),
        mark,
        unordered: false,
    }
}

/// What ends a leadership, as its supervisor hears it; and what it has got of the next one.
fn mark_of_input(input: &Input) -> Option<Mark> {
    match input {
        Input::StopAsked { .. }
        | Input::Requested(_)
        | Input::Asked(Asked::State(_) | Asked::Rehearse { .. })
        | Input::ElectionEnded
        | Input::Guardian(GuardianInput::Lost(_))
        | Input::Election(Fact::Disconnected { .. } | Fact::Lost(_) | Fact::Intended(_)) => Some(Mark::Cause),
        Input::Election(Fact::Claimed { .. }) => Some(Mark::Claimed),
        Input::OrphansDead { .. } => Some(Mark::Dead),
        _ => None,
    }
}

fn mark_of_output(output: &Output) -> Option<Mark> {
    let Output::Say(Say::RoleChanges { transition, .. }) = output else { return None };
    match transition.to {
        Role::Demoting | Role::Fencing => Some(Mark::Ending),
        Role::Active => Some(Mark::Ready),
        Role::Standby | Role::Promoting => None,
    }
}

fn mark_of_report(report: &Report) -> Option<Mark> {
    match report {
        Report::Exited { .. } | Report::VolumeLost { .. } => Some(Mark::Cause),
        Report::LockClosed { .. } | Report::Fenced { .. } => Some(Mark::Closed),
        Report::LockAcquired { .. } => Some(Mark::Locked),
        Report::RecordWritten { .. } => Some(Mark::Claimed),
        Report::Started { .. } => Some(Mark::Started),
        _ => None,
    }
}

fn mark_of_deed(deed: &Deed) -> Option<Mark> {
    match deed {
        Deed::BeganToEnd { .. } => Some(Mark::Ending),
        Deed::SawAllDead => Some(Mark::Dead),
        Deed::Left { .. } => Some(Mark::Closed),
        Deed::Forked { .. } | Deed::ForkedAlwaysOn | Deed::Ran { .. } | Deed::AskedToClose { .. } => None,
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
        | Input::ProgramChecked(_)
        | Input::ReloadAsked
        | Input::Warmed(_) => return None,
        Input::Election(fact) => return fact_in_words(fact),
        Input::ElectionEnded => "the election backend is gone".into(),
        Input::OrphansDead { .. } => "nothing is left of what its dead guardian left".into(),
        Input::PeerTested { node, test } => format!("tried the lock against {node}: {:?}", test.result).into(),
        Input::StopAsked { signal } => format!("is asked to stop: {}", signal.as_str()).into(),
        Input::Requested(Request::Isolate) => "is asked not to lead until it is activated".into(),
        Input::Requested(Request::Activate) => "is asked to stand again".into(),
        Input::Asked(Asked::Reload { .. }) => return None,
        Input::Asked(Asked::Rehearse { fault, by }) => format!("rehearses {} for {by}", fault.as_str()).into(),
        Input::Asked(Asked::Upgrade { by, .. }) => format!("is to execute its program anew for {by}").into(),
        Input::Asked(Asked::State(wanted)) => {
            format!("is to be {}, {}", wanted.state.as_str(), wanted.wish.in_words()).into()
        }
        Input::Requested(Request::StepDown { epoch }) => format!("is asked to give epoch {epoch} away").into(),
    };
    Some(words)
}

fn fact_in_words(fact: &Fact) -> Words {
    let words: Cow<'static, str> = match fact {
        Fact::Connected { timeout, .. } => {
            format!("is connected to ZooKeeper, session of {}", in_words(*timeout)).into()
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
        Fact::Behind { election_node, next: None } => format!("waits behind {election_node}").into(),
        Fact::Behind { election_node, next: Some(_) } => {
            format!("is next behind the active node's {election_node}").into()
        }
        Fact::Intended(intended) => match intended.action() {
            Some(action) => {
                let node = action.node.map_or_else(String::new, |node| format!(" of {node}"));
                format!("reads that people want: {}{node}", action.kind).into()
            }
            None => return None,
        },
        Fact::Queued(_) | Fact::Renewed { .. } | Fact::Cluster(_) | Fact::History(_) | Fact::Stamped { .. } => {
            return None;
        }
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
            ElectionOrder::Intend(change) => match &change.control {
                Some((_, control)) => match &control.switchover {
                    Some(switchover) if switchover.asked > 0 => {
                        format!("asks {} whether it is ready", switchover.to).into()
                    }
                    Some(_) | None => "changes what people want of the cluster".into(),
                },
                None => "notes what has become of a node's state".into(),
            },
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
            GuardianOrder::StartAlwaysOn => "orders the start".into(),
            GuardianOrder::Run(command) => format!("runs {}", command.name).into(),
            GuardianOrder::Stop => "has the coordinator stopped".into(),
            GuardianOrder::Kill => "has everything killed".into(),
            GuardianOrder::CloseLock { .. } => "has the lock closed".into(),
            GuardianOrder::CallOff => "waits for the active one's lock no more".into(),
            GuardianOrder::Configure(_)
            | GuardianOrder::AwaitLock { .. }
            | GuardianOrder::Look
            | GuardianOrder::Rehearse(_)
            | GuardianOrder::WriteRecord(_)
            | GuardianOrder::SetDeadline { .. }
            | GuardianOrder::SetWatchdog(_)
            | GuardianOrder::LastWill(_)
            | GuardianOrder::Ping { .. } => return None,
        },
        Output::KillGuardian => "kills its guardian".into(),
        Output::KillOrphans { .. } => "kills what its dead guardian has left".into(),
        Output::Exit(exit) => format!("ends: {exit:?}").into(),
        Output::Execute => "executes the program at its path anew".into(),
        Output::Say(_)
        | Output::StartGuardian(_)
        | Output::StartElection
        | Output::Ask { .. }
        | Output::TestPeer { .. }
        | Output::ReadConfiguration
        | Output::KeepWarm(_)
        | Output::CheckProgram
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
        Report::CalledOff => "has let go of what it waited for".into(),
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
        Deed::ForkedAlwaysOn => "forks the coordinator".into(),
        Deed::SawAllDead => "nothing of it lives any more".into(),
        Deed::BeganToEnd { cause } => format!("begins to end by itself: {}", cause.in_words()).into(),
        Deed::Left { election_node: Some(_) } => "executes its last will".into(),
        Deed::Ran { .. } | Deed::AskedToClose { .. } | Deed::Left { election_node: None } => return None,
    };
    Some(words)
}
