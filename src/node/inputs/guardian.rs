//! What is heard of the guardian's process, and what that means for the role.

use crate::config::ElectionKind;
use crate::guardian::protocol::{GuardianOrder, NoteLevel, Report, VolumeView};
use crate::moment::Moment;
use crate::role::{Event, Phase, Role};
use crate::status::CoordinatorView;

use crate::node::Node;
use crate::node::commands::{LAST_NOTICE_TIMEOUT, NOTICE_TIMEOUT};
use crate::node::input::{At, GuardianInput};
use crate::node::output::Output;
use crate::node::say::Say;

impl Node {
    pub(in crate::node) fn hear_guardian(&mut self, at: At, input: GuardianInput) -> Option<Event> {
        let dull = |report: &Report| matches!(report, Report::Pong { .. } | Report::Output { .. });
        self.changed |= !matches!(&input, GuardianInput::Report(report) if dull(report));
        let report = match input {
            GuardianInput::Spawned { pid, started } => {
                self.guardian.spawned(pid, started);
                return None;
            }
            GuardianInput::NotStarted(error) => {
                let problem = format!("no guardian can be started: {error}");
                self.text(NoteLevel::Error, format!("{problem}; trying again"));
                self.facts.guardian_problem = Some(problem);
                self.guardian.gone();
                self.commands.forget();
                return Some(Event::GuardianLost);
            }
            GuardianInput::Lost(how) => {
                let pid = self.guardian.pid();
                self.guardian.gone();
                self.facts.killing = None;
                self.facts.guardian_problem = Some(format!("the guardian is gone: {how}"));
                if self.machine.phase(at.moment) != Phase::Finished && !self.is_leaving() {
                    self.say(Say::GuardianGone { pid, how: how.clone() });
                }
                self.facts.detail.get_or_insert_with(|| format!("the guardian is gone: {how}"));
                self.health.end();
                self.commands.forget();
                self.facts.volume_seen = false;
                // Whatever it ran becomes this process's; what it ran in a leadership's name is killed by order, and waited for.
                self.outputs.push_back(Output::KillOrphans { leadership: None });
                return Some(Event::GuardianLost);
            }
            GuardianInput::Report(report) => *report,
        };
        if self.guardian.is_to_be_replaced() && !outlives_its_guardian(&report) {
            return None;
        }
        self.hear_report(at, report)
    }

    fn hear_report(&mut self, at: At, report: Report) -> Option<Event> {
        let now = at.moment;
        match report {
            Report::Ready { pid } => {
                self.facts.guardian_problem = None;
                self.say(Say::GuardianReady { pid });
                self.notice_standby(if self.is_leaving() { LAST_NOTICE_TIMEOUT } else { NOTICE_TIMEOUT });
                Some(Event::GuardianReady)
            }
            Report::Volume(view) => Some(self.hear_volume(view, now)),
            Report::Watchdog(view) => {
                let said = self.facts.hear_watchdog(view);
                said.into_iter().for_each(|line| self.say(line));
                Some(Event::WatchdogSeen { usable: self.facts.watchdog_usable() })
            }
            Report::CalledOff => {
                self.facts.lock_held = false;
                Some(Event::CalledOff)
            }
            Report::LockAcquired { volume, record, write_back } => {
                let waited = self.machine.waits();
                let over = waited && self.is_over(record.as_ref());
                if waited {
                    self.say_what_came(over, record.as_ref());
                }
                if over && let Some(next) = self.facts.next.take() {
                    self.take_outcome(*next);
                }
                self.facts.lock_held = true;
                self.facts.locked = Some(now);
                self.facts.lock_holder = None;
                self.facts.volume_id = Some(volume);
                let (recorded, said) = self.facts.hear_record(record);
                said.into_iter().for_each(|line| self.say(line));
                let known = self.facts.election_outcome.as_ref().map_or(0, |outcome| outcome.epoch);
                if known.max(recorded.epoch) == u64::MAX {
                    let problem = format!(
                        "there is no epoch after {}: ZooKeeper's epoch and breadcrumb say {known}, the lock file {}; \
                         somebody has written a number there that no leadership had; correct it",
                        u64::MAX,
                        recorded.epoch
                    );
                    self.text(NoteLevel::Error, problem.clone());
                    self.facts.detail = Some(problem);
                }
                Some(if waited {
                    Event::LockGranted { over, recorded, write_back }
                } else {
                    Event::LockAcquired { recorded, write_back }
                })
            }
            Report::LockRefused { holder } => {
                let name = holder.as_ref().map_or("unknown", |record| record.node.as_str());
                let recorded = holder.as_ref().map_or(0, |record| record.epoch);
                self.say(Say::LockIsHeld { holder: name.to_owned() });
                self.facts.lock_holder = holder;
                Some(Event::LockRefused { recorded })
            }
            Report::RecordWritten { epoch } => Some(Event::RecordWritten { epoch }),
            Report::VolumeUnusable { problem } => {
                self.text(NoteLevel::Error, problem.clone());
                self.facts.detail = Some(problem);
                Some(Event::VolumeUnusable)
            }
            Report::VolumeLost { problem } => {
                self.text(NoteLevel::Error, problem.clone());
                self.facts.detail = Some(problem);
                Some(Event::VolumeLost)
            }
            Report::Probed { started, took, free_bytes } => {
                self.facts.metrics.lock_probe_seconds.observe(took.as_secs_f64());
                self.facts.free_bytes = Some(free_bytes);
                (self.facts.config.election == ElectionKind::Lock).then_some(Event::Renewed { sent: started })
            }
            Report::Started { pid, holds_lock } => {
                self.say(Say::CoordinatorRuns { pid, holds_lock, epoch: self.machine.epoch() });
                self.facts.coordinator.pid = Some(pid);
                self.facts.coordinator.started_at = Some(at.timestamp());
                self.facts.coordinator.holds_lock = (!self.machine.is_always_on()).then_some(holds_lock);
                self.begin_probing(false, now);
                Some(Event::Started)
            }
            Report::HoldsLock { holds_lock } => {
                self.facts.coordinator.holds_lock = Some(holds_lock);
                None
            }
            Report::StartFailed { problem } => {
                self.text(NoteLevel::Error, problem.clone());
                self.facts.detail = Some(problem);
                Some(Event::StartFailed)
            }
            Report::Exited { status } => {
                self.say(Say::CoordinatorEnded { status, pid: self.facts.coordinator.pid });
                self.facts.detail = Some(format!("{status:?}").to_lowercase());
                self.health.end();
                Some(Event::Exited)
            }
            Report::TreeDead => {
                self.kill_is_over(now);
                self.facts.coordinator = CoordinatorView::default();
                self.facts.stuck.clear();
                self.health.end();
                Some(Event::TreeDead)
            }
            Report::CommandEnded { id, outcome } => self.hear_command(id, &outcome, now),
            Report::Output { name, line } => {
                self.say(Say::HookSays { hook: name, line });
                None
            }
            Report::Stuck { processes } => {
                for process in &processes {
                    self.say(Say::DoesNotDie(process.clone()));
                }
                self.facts.stuck = processes;
                None
            }
            Report::LockClosed { clean } => {
                self.facts.lock_held = false;
                Some(Event::LockClosed { clean })
            }
            Report::Fenced { deadline, clean } => {
                self.say(Say::SelfFenced { deadline });
                self.facts.killing = None;
                self.facts.lock_held = false;
                self.facts.coordinator = CoordinatorView::default();
                self.guardian.leaves();
                self.health.end();
                Some(Event::Fenced { clean })
            }
            Report::Pong { number } => {
                self.guardian.answered(number);
                None
            }
            Report::Remark { text } => {
                self.text(NoteLevel::Warn, text.clone());
                self.facts.detail = Some(match self.facts.detail.take() {
                    Some(detail) => format!("{detail}; {text}"),
                    None => text,
                });
                None
            }
            Report::Note { level, text } => {
                self.text(level, text);
                None
            }
        }
    }

    fn hear_volume(&mut self, view: VolumeView, now: Moment) -> Event {
        for warning in &view.warnings {
            if !self.facts.volume.warnings.contains(warning) {
                self.text(NoteLevel::Warn, warning.clone());
            }
        }
        match &view.problem {
            Some(problem) if view.problem != self.facts.volume.problem => {
                // Harmless where the cluster is about to get its first volume; this is said before that is known.
                self.text(if view.missing { NoteLevel::Warn } else { NoteLevel::Error }, problem.clone());
            }
            None if self.facts.volume.problem.is_some() => {
                self.text(NoteLevel::Info, "the volume is usable again".to_owned());
            }
            Some(_) | None => {}
        }
        if view.problem.is_some() && self.machine.role() == Role::Promoting {
            // Why the promotion ends.
            self.facts.detail.clone_from(&view.problem);
        }
        self.facts.free_bytes = view.free_bytes;
        self.facts.volume = view;
        self.facts.volume_seen = true;
        self.tend_peers(now);
        Event::VolumeSeen { usable: self.facts.volume_usable() }
    }

    /// Lets the guardian go; another one is started a moment later.
    pub(in crate::node) fn replace_guardian(&mut self, now: Moment) {
        // What this one has seen of the volume is not what the next one will see.
        self.facts.volume_seen = false;
        self.guardian.replace(now);
    }

    pub(in crate::node) fn start_guardian(&mut self, now: Moment) {
        self.facts.lock_held = false;
        self.facts.volume = VolumeView::default();
        self.facts.volume_seen = false;
        self.facts.watchdog = None;
        self.guardian.start(now);
        self.outputs.push_back(Output::StartGuardian(Box::new(self.facts.guardian_settings())));
        self.hand_over_the_place();
    }

    pub(in crate::node) fn ping(&mut self, now: Moment) {
        if let Some(number) = self.guardian.ping(now) {
            self.order(GuardianOrder::Ping { number });
        }
    }

    /// What the core may be told of the volume now. Not yet seen is not unusable: of that the core knows by itself.
    pub(in crate::node) fn word_on_the_volume(&self) -> Event {
        if self.facts.volume_seen {
            Event::VolumeSeen { usable: self.facts.volume_usable() }
        } else {
            Event::TimePassed
        }
    }
}

/// Whether a report counts although its guardian is about to be replaced: what it still runs ends, and what people should
/// know. What it sees of volume and watchdog is not what the next one will see.
const fn outlives_its_guardian(report: &Report) -> bool {
    match report {
        Report::CommandEnded { .. }
        | Report::Output { .. }
        | Report::Note { .. }
        | Report::Remark { .. }
        | Report::Stuck { .. }
        | Report::Pong { .. } => true,
        Report::Ready { .. }
        | Report::CalledOff
        | Report::Volume(_)
        | Report::Watchdog(_)
        | Report::LockAcquired { .. }
        | Report::LockRefused { .. }
        | Report::RecordWritten { .. }
        | Report::VolumeUnusable { .. }
        | Report::VolumeLost { .. }
        | Report::Probed { .. }
        | Report::Started { .. }
        | Report::HoldsLock { .. }
        | Report::StartFailed { .. }
        | Report::Exited { .. }
        | Report::TreeDead
        | Report::LockClosed { .. }
        | Report::Fenced { .. } => false,
    }
}
