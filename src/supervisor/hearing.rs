//! What others say, turned into events for the core; what people should know of it is noted on the way.

use crate::clock;
use crate::config::ElectionKind;
use crate::election::{self, Fact};
use crate::guardian::protocol::{NoteLevel, Order, Report};
use crate::role::{Event, Loss, Phase, Role};

use super::guardian_link::{Message, PING_EARLY};
use super::health::Verdict;
use super::knowledge::Contact;
use super::shell::{ASK_AGAIN, Inner, Shell};
use super::{hooks, orphans, reload, wiring};

impl Shell {
    pub(super) fn hear_stop(&mut self, signal: &str) -> Event {
        self.stops += 1;
        if self.stops == 1 {
            tracing::info!(signal, "stopping; once more kills the coordinator");
            Event::StopRequested
        } else {
            tracing::warn!(signal, "asked to stop again: killing the coordinator");
            Event::KillRequested
        }
    }

    pub(super) fn hear_inner(&mut self, inner: Inner) -> Option<Event> {
        if inner.leadership != self.leadership {
            return None;
        }
        if inner.detail.is_some() {
            self.knowledge.detail = inner.detail;
        }
        Some(inner.event)
    }

    pub(super) fn hear_prober(&mut self, verdict: Option<Verdict>) -> Option<Event> {
        self.changed = true;
        match verdict {
            Some(Verdict::Ready) => {
                self.knowledge.coordinator.ready = true;
                Some(Event::Ready)
            }
            Some(Verdict::Failing { failures, reason }) => {
                tracing::warn!(failures, reason, "the health probe failed");
                None
            }
            Some(Verdict::Unhealthy { reason }) => {
                tracing::error!(reason, "the coordinator is unhealthy");
                self.knowledge.detail = Some(reason);
                Some(Event::Unhealthy)
            }
            None => {
                self.prober = None;
                None
            }
        }
    }

    pub(super) fn stop_probing(&mut self) {
        if let Some((task, _)) = self.prober.take() {
            task.abort();
        }
    }

    pub(super) fn hear_guardian(&mut self, message: Message) -> Option<Event> {
        let dull = |report: &Report| matches!(report, Report::Pong { .. } | Report::Output { .. });
        self.changed |= !matches!(&message, Message::Report(report) if dull(report));
        let report = match message {
            Message::NotStarted(error) => {
                let problem = format!("no guardian can be started: {error}");
                tracing::error!("{problem}; trying again");
                self.knowledge.guardian_problem = Some(problem);
                self.commands.forget();
                self.replace_guardian();
                return None;
            }
            Message::Lost(how) => {
                self.knowledge.guardian_problem = Some(format!("the guardian is gone: {how}"));
                if self.machine.phase(clock::now()) != Phase::Finished && self.exit.is_none() {
                    tracing::warn!(pid = self.guardian.pid(), how, "the guardian is gone");
                }
                self.knowledge.detail.get_or_insert_with(|| format!("the guardian is gone: {how}"));
                self.stop_probing();
                self.commands.forget();
                self.knowledge.volume_seen = false;
                // Whatever it ran becomes this process's; what it ran in a leadership's name is killed by order, and waited for.
                tokio::spawn(orphans::kill_all(self.children.clone()));
                return Some(Event::GuardianLost);
            }
            Message::Report(report) => *report,
        };
        if self.respawn_at.is_some() && !outlives_its_guardian(&report) {
            return None;
        }
        let knowledge = &mut self.knowledge;
        match report {
            Report::Ready { pid } => {
                knowledge.guardian_problem = None;
                tracing::debug!(pid, "the guardian is ready");
                self.notice_standby(hooks::NOTICE_TIMEOUT);
                Some(Event::GuardianReady)
            }
            Report::Volume(view) => {
                for warning in view.warnings.iter().filter(|warning| !knowledge.volume.warnings.contains(warning)) {
                    tracing::warn!("{warning}");
                }
                match &view.problem {
                    Some(problem) if view.problem != knowledge.volume.problem => {
                        // Harmless where the cluster is about to get its first volume; this is said before that is known.
                        if view.missing { tracing::warn!("{problem}") } else { tracing::error!("{problem}") }
                    }
                    None if knowledge.volume.problem.is_some() => tracing::info!("the volume is usable again"),
                    _ => {}
                }
                if view.problem.is_some() && self.machine.role() == Role::Promoting {
                    // Why the promotion ends.
                    knowledge.detail.clone_from(&view.problem);
                }
                knowledge.metrics.volume_free_bytes = view.free_bytes;
                knowledge.volume = view;
                knowledge.volume_seen = true;
                self.tend_peers(clock::now());
                Some(Event::VolumeSeen { usable: self.knowledge.volume_usable() })
            }
            Report::Watchdog(view) => {
                knowledge.hear_watchdog(view);
                Some(Event::WatchdogSeen { usable: knowledge.watchdog_usable() })
            }
            Report::LockAcquired { volume, record, write_back } => {
                knowledge.lock_held = true;
                knowledge.locked = Some(clock::now());
                knowledge.lock_holder = None;
                knowledge.volume_id = Some(volume);
                let recorded = knowledge.hear_record(record);
                let known = knowledge.vacancy.as_ref().map_or(0, |vacancy| vacancy.epoch);
                if known.max(recorded.epoch) == u64::MAX {
                    let problem = format!(
                        "there is no epoch after {}: ZooKeeper's epoch and breadcrumb say {known}, the lock file {}; \
                         somebody has written a number there that no leadership had; correct it",
                        u64::MAX,
                        recorded.epoch
                    );
                    tracing::error!("{problem}");
                    knowledge.detail = Some(problem);
                }
                Some(Event::LockAcquired { recorded, write_back })
            }
            Report::LockRefused { holder } => {
                let name = holder.as_ref().map_or("unknown", |record| record.node.as_str());
                tracing::info!(holder = name, "elected, but the lock is held: waiting");
                let recorded = holder.as_ref().map_or(0, |record| record.epoch);
                knowledge.lock_holder = holder;
                Some(Event::LockRefused { recorded })
            }
            Report::RecordWritten { epoch } => Some(Event::RecordWritten { epoch }),
            Report::VolumeUnusable { problem } => {
                tracing::error!("{problem}");
                knowledge.detail = Some(problem);
                Some(Event::VolumeUnusable)
            }
            Report::VolumeLost { problem } => {
                tracing::error!("{problem}");
                knowledge.detail = Some(problem);
                Some(Event::VolumeLost)
            }
            Report::Probed { started, took, free_bytes } => {
                knowledge.metrics.lock_probe_seconds.observe(took.as_secs_f64());
                knowledge.metrics.volume_free_bytes = Some(free_bytes);
                (knowledge.config.election == ElectionKind::Lock).then_some(Event::Renewed { sent: started })
            }
            Report::Started { pid, holds_lock } => {
                tracing::info!(pid, holds_lock, epoch = self.machine.epoch(), "the coordinator runs");
                knowledge.coordinator.pid = Some(pid);
                knowledge.coordinator.started_at = Some(clock::timestamp());
                knowledge.coordinator.holds_lock = Some(holds_lock);
                self.begin_probing();
                Some(Event::Started)
            }
            Report::HoldsLock { holds_lock } => {
                knowledge.coordinator.holds_lock = Some(holds_lock);
                None
            }
            Report::StartFailed { problem } => {
                tracing::error!("{problem}");
                knowledge.detail = Some(problem);
                Some(Event::StartFailed)
            }
            Report::Exited { status } => {
                tracing::warn!(?status, pid = knowledge.coordinator.pid, "the coordinator ended by itself");
                knowledge.detail = Some(format!("{status:?}").to_lowercase());
                self.stop_probing();
                Some(Event::Exited)
            }
            Report::TreeDead => {
                knowledge.coordinator = crate::status::CoordinatorView::default();
                knowledge.stuck.clear();
                self.stop_probing();
                Some(Event::TreeDead)
            }
            Report::CommandEnded { id, outcome } => self.hear_command(id, &outcome),
            Report::Output { name, line } => {
                tracing::info!(hook = name, "{line}");
                None
            }
            Report::Stuck { processes } => {
                for process in &processes {
                    let (pid, command, waits_in) = (process.pid, &process.command, &process.waits_in);
                    tracing::error!(pid, command, waits_in, "killed, but does not die");
                }
                knowledge.stuck = processes;
                None
            }
            Report::LockClosed { clean } => {
                knowledge.lock_held = false;
                Some(Event::LockClosed { clean })
            }
            Report::Fenced { deadline, clean } => {
                tracing::error!(%deadline, "the guardian ended the leadership at its deadline");
                knowledge.lock_held = false;
                knowledge.coordinator = crate::status::CoordinatorView::default();
                self.guardian.leaves();
                self.stop_probing();
                Some(Event::Fenced { clean })
            }
            Report::Pong { number } => {
                self.guardian.answered(number);
                None
            }
            Report::Remark { text } => {
                tracing::warn!("{text}");
                knowledge.detail = Some(match knowledge.detail.take() {
                    Some(detail) => format!("{detail}; {text}"),
                    None => text,
                });
                None
            }
            Report::Note { level, text } => {
                match level {
                    NoteLevel::Info => tracing::info!("{text}"),
                    NoteLevel::Warn => tracing::warn!("{text}"),
                    NoteLevel::Error => tracing::error!("{text}"),
                }
                None
            }
        }
    }

    /// What the core may be told of the volume now. Not yet seen is not unusable: of that the core knows by itself.
    pub(super) fn word_on_the_volume(&self) -> Event {
        if self.knowledge.volume_seen {
            Event::VolumeSeen { usable: self.knowledge.volume_usable() }
        } else {
            Event::TimePassed
        }
    }

    pub(super) fn hear_election(&mut self, fact: Option<Fact>) -> Option<Event> {
        self.changed = true;
        let Some(fact) = fact else {
            // Only a defect ends it. Whatever it held is unknown now, so nothing is led any more.
            tracing::error!("the election backend has ended by itself; this is a defect of primacy; starting another");
            self.election = wiring::backend(&self.knowledge.config, self.knowledge.process.clone());
            self.publisher.forget();
            return Some(Event::Lost(Loss::SessionExpired));
        };
        let knowledge = &mut self.knowledge;
        match fact {
            Fact::Connected { session, timeout, asked } => {
                knowledge.contact = Contact::Connected;
                knowledge.session = session;
                knowledge.last_contact = Some(clock::now());
                if knowledge.config.election != ElectionKind::ZooKeeper {
                    return Some(Event::TimePassed);
                }
                knowledge.hear_grant(timeout);
                self.ask_again = knowledge.wants_another_session().then(|| clock::now() + ASK_AGAIN);
                self.machine.set_rules(reload::rules(&knowledge.config, Some(timeout)));
                let timing = reload::timing(&knowledge.config, Some(timeout));
                Some(Event::Granted { until: timing.at_most(asked) })
            }
            Fact::Disconnected { reason } => {
                knowledge.lose_contact(reason);
                None
            }
            Fact::Queued(testament) => {
                self.place = Some(*testament);
                self.bequeath_place();
                None
            }
            Fact::Standing => {
                tracing::info!("standing for election");
                None
            }
            Fact::Elected(vacancy) => {
                self.leadership += 1;
                knowledge.detail = None;
                let event = Event::Elected(knowledge.hear_vacancy(&vacancy));
                knowledge.volume_id.clone_from(&vacancy.volume);
                knowledge.vacancy = Some(*vacancy);
                Some(event)
            }
            Fact::Claimed { epoch, counts_from: sent, testament } => {
                knowledge.last_contact = Some(sent);
                self.place = None;
                // Before the start can be ordered: what a guardian must undo is known to it when there is something to undo.
                self.bequeath(testament.map(|testament| *testament));
                Some(Event::Claimed { epoch, sent })
            }
            Fact::ClaimRefused { reason } => {
                tracing::warn!(reason, "the epoch was not granted");
                knowledge.detail = Some(reason);
                Some(Event::ClaimRefused)
            }
            Fact::Renewed { sent, counts_from, acknowledged } => {
                knowledge.metrics.heartbeat_seconds.observe(acknowledged.since(sent).as_secs_f64());
                knowledge.last_contact = Some(acknowledged);
                // This process is awake: a ping costs no wake-up of its own.
                if self.next_ping.since(acknowledged) <= PING_EARLY {
                    self.ping();
                }
                Some(Event::Renewed { sent: counts_from })
            }
            Fact::Lost(loss) => {
                let (loss, text) = match loss {
                    election::Loss::SessionExpired => (Loss::SessionExpired, "the session expired".to_owned()),
                    election::Loss::NodeDeleted => (Loss::NodeDeleted, "the election node was deleted".to_owned()),
                    election::Loss::Overtaken => (Loss::Overtaken, "another epoch was taken".to_owned()),
                    election::Loss::Backend(text) => (Loss::SessionExpired, text),
                };
                tracing::warn!("{text}");
                knowledge.detail = Some(text);
                Some(Event::Lost(loss))
            }
            Fact::Resigned => {
                self.place = None;
                self.bequeath(None);
                Some(Event::Resigned)
            }
            Fact::DuplicateName { holder } => {
                tracing::error!(holder, node = knowledge.config.node, "another live member has this node's name");
                Some(Event::DuplicateName)
            }
            Fact::Cluster(view) => {
                let overtaken = knowledge.cluster.epoch != view.epoch;
                knowledge.see(*view);
                if overtaken && knowledge.volume.problem.is_some() {
                    // A directory that was missing has been made by who leads first, say.
                    self.order(Order::Look);
                }
                self.tend_peers(clock::now());
                Some(self.word_on_the_volume())
            }
            Fact::History(history) => {
                knowledge.history = history;
                None
            }
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
