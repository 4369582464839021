//! Carries out the machine's orders, and keeps the history of its leaderships.

use std::time::Duration;

use crate::config::{CoordinatorKind, ElectionKind, Mode, WatchdogUse};
use crate::election::port as election;
use crate::guardian::protocol::{self, Ended, GuardianOrder, LockRecord, NoteLevel, Settings, WatchdogSettings};
use crate::role::{Action, Cause, End, Role, Transition, Witness};
use crate::status::{EndCause, HistoryEntry};

use super::commands::{AFTER_STOP_TIMEOUT, Command, CommandName, NOTICE_TIMEOUT, Purpose};
use super::facts::Facts;
use super::input::At;
use super::output::Output;
use super::reasons::sentence;
use super::say::Say;
use super::{Node, gap, predecessor};

impl Node {
    pub(super) fn carry_out(&mut self, at: At, action: Action) {
        match action {
            Action::Stand => self.elect(election::ElectionOrder::Stand),
            Action::Yield => {
                self.say(Say::BetterCandidate);
                self.elect(election::ElectionOrder::Yield);
            }
            Action::AcquireLock => {
                let expected_volume = self.facts.election_outcome.as_ref().and_then(|outcome| outcome.volume.clone());
                let patient = self.facts.config.election == ElectionKind::Lock;
                self.order(GuardianOrder::AcquireLock { expected_volume, patient });
            }
            Action::AwaitLock { until } => {
                let expected_volume = self.facts.next.as_ref().and_then(|next| next.volume.clone());
                let grace = self.facts.config.zookeeper.heartbeat_interval * 2;
                self.order(GuardianOrder::AwaitLock { until, grace, expected_volume });
                self.say_for_whom_it_waits();
            }
            Action::CallOff => {
                self.facts.waited_for = None;
                self.order(GuardianOrder::CallOff);
            }
            Action::FencePredecessor { epoch, named_by } => self.fence_predecessor(epoch, named_by),
            Action::Claim { epoch } => self.claim(at, epoch),
            Action::WriteRecord { epoch } => {
                let record = self.record(at, epoch);
                self.order(GuardianOrder::WriteRecord(record));
            }
            Action::SetDeadline(deadline) => {
                self.order(GuardianOrder::SetDeadline { deadline });
                if self.machine.tree_may_live() {
                    self.set_watchdog();
                }
            }
            Action::RunBeforeStart { epoch } => {
                let config = self.facts.config.clone();
                let (argv, limit) = (config.hooks.before_start.clone(), config.health.startup_timeout);
                self.run_hook(CommandName::BeforeStart, argv, limit, Purpose::BeforeStart { epoch });
            }
            Action::Start { epoch, deadline } => {
                self.watchdog_set = None;
                self.set_watchdog();
                self.order(GuardianOrder::Start { epoch, deadline });
            }
            Action::StartAlwaysOn => self.order(GuardianOrder::StartAlwaysOn),
            Action::StopTree => {
                self.health.end();
                self.order(GuardianOrder::Stop);
            }
            Action::KillTree => {
                self.kill_begins(at.moment);
                self.health.end();
                self.order(GuardianOrder::Kill);
                // A guardian that cannot kill must be noticed at once, not at the next regular ping.
                self.ping(at.moment);
            }
            Action::KillOrphans => {
                self.outputs.push_back(Output::KillOrphans { leadership: Some(self.leadership) });
            }
            Action::RunAfterStop => {
                let argv = self.facts.config.hooks.after_stop.clone();
                self.run_hook(CommandName::AfterStop, argv, AFTER_STOP_TIMEOUT, Purpose::AfterStop);
            }
            Action::CloseLock(end) => self.order(GuardianOrder::CloseLock { cause: end.into() }),
            Action::Resign { clean, end } => {
                let ended = end.map(|end| self.ended_entry(at, end));
                self.elect(election::ElectionOrder::Resign { clean, ended });
            }
            Action::ReplaceGuardian => self.replace_guardian(at.moment),
            Action::Announce(transition) => self.announce(at, transition),
            Action::Exit(exit) => self.begin_to_leave(at.moment, exit),
        }
    }

    /// Tells the guardian how to set its device, if that has changed.
    fn set_watchdog(&mut self) {
        let terms = self.facts.watchdog_terms();
        if self.facts.config.fencing.watchdog != WatchdogUse::Off && self.watchdog_set != Some(terms) {
            self.watchdog_set = Some(terms);
            self.order(GuardianOrder::SetWatchdog(terms));
        }
    }

    fn claim(&mut self, at: At, epoch: u64) {
        let since = at.timestamp();
        if let Some(vouched) = self.facts.word_on_the_predecessor() {
            let (node, former, word) = (&vouched.node, vouched.epoch, vouched.in_words());
            let text = format!("{node} (epoch {former}) is not fenced: {word}");
            self.text(NoteLevel::Warn, text);
        }
        let facts = &mut self.facts;
        let breadcrumb = facts.breadcrumb(epoch, since.clone());
        let begun = HistoryEntry::begun(epoch, facts.config.node.clone(), since);
        let evidence = Some(facts.evidence());
        let entry = HistoryEntry { detail: Some(facts.story.clone()), evidence, ..begun };
        facts.entry = Some(entry.clone());
        let mut predecessor_ended = predecessor_ended(facts, at);
        // The lock file does not say who asked for it; what people want does, as long as that is not carried out.
        if let Some(ended) = &mut predecessor_ended
            && let Some(EndCause::Found(end)) = ended.cause
            && let Some(wish) = self.intents.wish(&ended.node, ended.epoch, end)
        {
            (ended.by, ended.reason) = (Some(wish.by), wish.reason);
        }
        let volume = facts.volume_id.clone().unwrap_or_default();
        self.elect(election::ElectionOrder::Claim { breadcrumb, volume, entry, predecessor_ended });
    }

    fn record(&self, at: At, epoch: u64) -> LockRecord {
        LockRecord {
            format: protocol::RECORD_FORMAT,
            node: self.facts.config.node.clone(),
            host: self.facts.identity.host_name.clone(),
            host_id: self.facts.identity.process.host_id.clone(),
            boot_id: self.facts.identity.process.boot_id.clone(),
            pid: self.guardian.pid(),
            pid_started: self.guardian.born(),
            pid_namespace: self.facts.identity.process.pid_namespace,
            identity: self.facts.identity.process.host.clone(),
            api: self.facts.identity.advertise.clone(),
            epoch,
            since: at.timestamp(),
            nfs_client: None,
            ended: None,
            over: None,
        }
    }

    fn ended_entry(&mut self, at: At, end: End) -> HistoryEntry {
        let epoch = self.machine.epoch().unwrap_or(0);
        let facts = &mut self.facts;
        let now = at.timestamp();
        let begun = || HistoryEntry::begun(epoch, facts.config.node.clone(), now.clone());
        let mut entry = facts.entry.take().unwrap_or_else(begun);
        entry.to = Some(now);
        entry.cause = Some(end.into());
        entry.detail = Some(facts.detail.clone().unwrap_or_else(|| sentence(end).to_owned()));
        if let Some(wish) = self.intents.wish(&entry.node, epoch, end) {
            (entry.by, entry.reason) = (Some(wish.by), wish.reason);
        }
        entry
    }

    fn fence_predecessor(&mut self, epoch: u64, named_by: Witness) {
        let config = self.facts.config.clone();
        self.facts.witness = named_by;
        let predecessor = self.facts.predecessor();
        let told = predecessor::environment(&self.facts.own(), predecessor.as_ref());
        self.say(Say::Fences {
            predecessor: predecessor.as_ref().map(|predecessor| predecessor.node.clone()),
            epoch: predecessor.as_ref().map(|predecessor| predecessor.epoch),
            host: told["PRIMACY_FORMER_HOST"].clone(),
            on_this_host: told["PRIMACY_FORMER_ON_THIS_HOST"].clone(),
        });
        let mut environment = self.facts.hook_environment(None);
        environment.extend(told);
        let command = Command {
            name: CommandName::Fencing,
            argv: config.fencing.command.clone(),
            environment,
            timeout: config.fencing.timeout,
        };
        self.run(command, Purpose::FencePredecessor { epoch, required: config.fencing.required });
    }

    fn announce(&mut self, at: At, transition: Transition) {
        let Transition { from, to, cause, epoch: _ } = transition;
        let facts = &mut self.facts;
        facts.role_since = at.timestamp();
        *facts.metrics.transitions.entry((from, to, cause)).or_default() += 1;
        match (to, cause) {
            (Role::Promoting, Cause::Elected) => facts.tell_election(),
            (Role::Promoting, Cause::AlwaysOn) => {
                "runs on every host (mode = \"always-on\")".clone_into(&mut facts.story);
                facts.detail = None;
                facts.metrics.coordinator_restarts += u64::from(self.leadership > 0);
                self.leadership += 1;
            }
            (Role::Promoting, _) => facts.metrics.coordinator_restarts += 1,
            (Role::Demoting | Role::Fencing, Cause::Ended(end)) => {
                let detail = facts.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
                facts.story = format!("not active since {}: {}{detail}", facts.role_since, sentence(end));
            }
            _ => {}
        }
        let detail = facts.detail.clone().unwrap_or_default();
        self.say(Say::RoleChanges { transition, detail });
        match transition.to {
            Role::Active => self.became_active(at),
            Role::Standby => {
                self.facts.detail = None;
                self.standby_is_news = !self.facts.config.hooks.on_standby.is_empty();
            }
            Role::Promoting | Role::Demoting | Role::Fencing => self.facts.coordinator.ready = false,
        }
    }

    fn became_active(&mut self, at: At) {
        self.facts.coordinator.ready = true;
        self.facts.story = format!("{}, active since {}", self.facts.story, self.facts.role_since);
        self.measure_gap(at);
        let argv = self.facts.config.hooks.on_active.clone();
        self.notice(CommandName::OnActive, argv, NOTICE_TIMEOUT);
    }

    /// The outage that this start ended, where the predecessor's end is known.
    fn measure_gap(&mut self, at: At) {
        let facts = &mut self.facts;
        let Some(entry) = &mut facts.entry else { return };
        if entry.gap_ms.is_some() {
            return;
        }
        let Some(Ended { at: ended, cause }) = facts.predecessor_end.take() else { return };
        let Ok(ended) = humantime::parse_rfc3339(&ended) else { return };
        let session = Duration::from_millis(facts.session_timeout_ms.unwrap_or(0));
        let known = gap::Known { locked: facts.locked, seen_active: facts.seen_active, session };
        match gap::measure(ended, at.wall, known, at.moment) {
            Ok(gap) => {
                entry.gap_ms = u64::try_from(gap.as_millis()).ok();
                facts.metrics.failover_gap_seconds.entry(cause).or_default().observe(gap.as_secs_f64());
                self.outputs.push_back(Output::Say(Say::RunsAgain { gap_ms: entry.gap_ms }));
            }
            Err(why) => {
                let text = format!("a coordinator runs again; for how long there was none is not known: {why}");
                self.outputs.push_back(Output::Say(Say::Text(NoteLevel::Warn, text)));
                let detail = entry.detail.take().unwrap_or_default();
                entry.detail = Some(format!("{detail}; gap unknown: {why}"));
            }
        }
        let entry = Box::new(entry.clone());
        self.elect(election::ElectionOrder::Amend(entry));
    }
}

/// What the history should say of the former leadership if nobody has completed its entry.
fn predecessor_ended(facts: &mut Facts, at: At) -> Option<HistoryEntry> {
    let predecessor = facts.predecessor()?;
    // Its guardian notes the end in the lock file even where ZooKeeper could not be told.
    let noted = facts.predecessor_record.as_ref().filter(|record| record.epoch == predecessor.epoch);
    let noted = noted.and_then(|record| record.ended.clone());
    // What the guardian writes into the breadcrumb was composed in advance; its note in the lock file knows the cause.
    let cause = noted.as_ref().map(|ended| ended.cause.clone()).or_else(|| predecessor.cause.clone());
    let ended_at = noted.map(|ended| ended.at).or_else(|| predecessor.to.clone());
    let cause = cause.unwrap_or(EndCause::HostLost);
    facts.predecessor_end = ended_at.clone().map(|at| Ended { at, cause: cause.clone() });
    // Who says goodbye by itself completes its own entry.
    let breadcrumb = facts.election_outcome.as_ref().and_then(|outcome| outcome.predecessor.as_ref());
    if breadcrumb.is_some_and(|said| said.epoch == predecessor.epoch && said.clean && said.to.is_some()) {
        return None;
    }
    // What was known of it before stays: how it began, and how long the gap before it was.
    let known = facts.history.iter().find(|entry| entry.epoch == predecessor.epoch);
    Some(HistoryEntry {
        gap_ms: known.and_then(|entry| entry.gap_ms),
        evidence: known.and_then(|entry| entry.evidence.clone()),
        by: None,
        reason: None,
        epoch: predecessor.epoch,
        node: predecessor.node,
        from: predecessor.since,
        to: ended_at.or_else(|| Some(at.timestamp())),
        cause: Some(cause),
        detail: Some(if predecessor.clean {
            "ended by its guardian".to_owned()
        } else {
            "it went away without saying goodbye".to_owned()
        }),
    })
}

impl Facts {
    /// What a guardian has to know of the configuration.
    pub(super) fn guardian_settings(&self) -> Settings {
        let config = &self.config;
        let coordinator = &config.coordinator;
        Settings {
            version: protocol::VERSION,
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            permission: match config.mode {
                Mode::ActiveStandby => protocol::PermissionKind::Lock,
                Mode::AlwaysOn => protocol::PermissionKind::AlwaysOn,
            },
            lock_directory: config.lock.directory.clone(),
            probe_interval: config.lock.probe_interval,
            probe_timeout: config.lock.probe_timeout,
            min_free_space: config.lock.min_free_space,
            command: coordinator.command.clone(),
            forking: coordinator.kind == CoordinatorKind::Forking,
            working_directory: coordinator.working_directory.clone(),
            environment: coordinator.environment.clone(),
            user: coordinator.user.clone(),
            stop_signal: coordinator.stop_signal,
            stop_timeout: coordinator.stop_timeout,
            before_kill: coordinator.before_kill.clone(),
            watchdog: match config.fencing.watchdog {
                WatchdogUse::Off => None,
                wanted @ (WatchdogUse::Automatic | WatchdogUse::Required) => Some(WatchdogSettings {
                    device: config.fencing.watchdog_device.clone(),
                    required: wanted == WatchdogUse::Required,
                }),
            },
            configuration: self.identity.configuration.clone(),
            former_names: self.identity.former_names.clone(),
            recorder: config.recording(),
        }
    }
}
