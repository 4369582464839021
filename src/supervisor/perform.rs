//! Carries out the core's orders. Each order goes to whoever owns the matter; the answer comes back as an event.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock;
use crate::config::{ElectionKind, Health, WatchdogUse};
use crate::election;
use crate::guardian::protocol::{Order, Record};
use crate::processes;
use crate::role::{Action, Cause, End, Event, Role, Transition, Witness};
use crate::status::HistoryEntry;

use super::hooks::{self, Hook, Purpose};
use super::knowledge::{self, Knowledge};
use super::shell::{Inner, Shell};
use super::{former, gap, health, orphans};

impl Shell {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Stand => self.elect(election::Order::Stand),
            Action::Yield => {
                tracing::info!("a better candidate stands in the queue: going to its back");
                self.elect(election::Order::Yield);
            }
            Action::AcquireLock => {
                let expected_volume = self.knowledge.vacancy.as_ref().and_then(|vacancy| vacancy.volume.clone());
                let patient = self.knowledge.config.election == ElectionKind::Lock;
                self.order(Order::AcquireLock { expected_volume, patient });
            }
            Action::FenceFormer { epoch, named_by } => self.fence_former(epoch, named_by),
            Action::Claim { epoch } => self.claim(epoch),
            Action::WriteRecord { epoch } => {
                let record = self.record(epoch);
                self.order(Order::WriteRecord(record));
            }
            Action::SetDeadline(deadline) => {
                self.order(Order::SetDeadline { deadline });
                if self.machine.tree_may_live() {
                    self.set_watchdog();
                }
            }
            Action::RunBeforeStart { epoch } => {
                let config = self.knowledge.config.clone();
                let (argv, limit) = (config.hooks.before_start.clone(), config.health.startup_timeout);
                self.run_hook("before_start", argv, limit, Purpose::BeforeStart { epoch });
            }
            Action::Start { epoch, deadline } => {
                // The core was right when it decided; this is the moment at which it counts.
                if clock::now() < deadline && self.machine.epoch() == Some(epoch) {
                    self.watchdog_set = None;
                    self.set_watchdog();
                    self.order(Order::Start { epoch, deadline });
                } else {
                    self.later(Event::StartFailed);
                }
            }
            Action::StopTree => self.order(Order::Stop),
            Action::KillTree => {
                self.order(Order::Kill);
                // A guardian that cannot kill must be noticed at once, not at the next regular ping.
                self.ping();
            }
            Action::KillOrphans => {
                let (children, events, leadership) = (self.children.clone(), self.inner.clone(), self.leadership);
                tokio::spawn(async move {
                    orphans::kill_all(children).await;
                    let _ = events.send(Inner { leadership, event: Event::TreeDead, detail: None });
                });
            }
            Action::RunAfterStop => {
                let argv = self.knowledge.config.hooks.after_stop.clone();
                self.run_hook("after_stop", argv, hooks::AFTER_STOP_TIMEOUT, Purpose::AfterStop);
            }
            Action::CloseLock(end) => self.order(Order::CloseLock { cause: end.as_str().to_owned() }),
            Action::Resign { clean, end } => {
                let ended = end.map(|end| self.ended_entry(end));
                self.elect(election::Order::Resign { clean, ended });
            }
            Action::ReplaceGuardian => self.replace_guardian(),
            Action::Announce(transition) => self.announce(transition),
            Action::Exit(exit) => self.exit = Some(exit),
        }
    }

    /// Tells the guardian how to set its device, if that has changed.
    fn set_watchdog(&mut self) {
        let terms = self.knowledge.watchdog_terms();
        if self.knowledge.config.fencing.watchdog != WatchdogUse::Off && self.watchdog_set != Some(terms) {
            self.watchdog_set = Some(terms);
            self.order(Order::SetWatchdog(terms));
        }
    }

    fn claim(&mut self, epoch: u64) {
        let since = clock::timestamp();
        let knowledge = &mut self.knowledge;
        let breadcrumb = knowledge.breadcrumb(epoch, since.clone());
        let entry = HistoryEntry {
            epoch,
            node: knowledge.config.node.clone(),
            from: since,
            to: None,
            cause: None,
            gap_ms: None,
            detail: Some(knowledge.story.clone()),
        };
        knowledge.entry = Some(entry.clone());
        let former_ended = former_ended(knowledge);
        let volume = knowledge.volume_id.clone().unwrap_or_default();
        self.elect(election::Order::Claim { breadcrumb, volume, entry, former_ended });
    }

    fn record(&self, epoch: u64) -> Record {
        let pid = self.guardian.pid();
        Record {
            node: self.knowledge.config.node.clone(),
            host: crate::config::host_name(),
            host_id: self.knowledge.process.host_id.clone(),
            boot_id: self.knowledge.process.boot_id.clone(),
            pid,
            pid_started: processes::Stat::of(pid).map_or(0, |stat| stat.started),
            pid_namespace: self.knowledge.process.pid_namespace,
            identity: self.knowledge.process.host.clone(),
            api: self.knowledge.advertise.clone(),
            epoch,
            since: clock::timestamp(),
            nfs_client: None,
            ended: None,
            over: None,
        }
    }

    fn ended_entry(&mut self, end: End) -> HistoryEntry {
        let epoch = self.machine.epoch().unwrap_or(0);
        let knowledge = &mut self.knowledge;
        let now = clock::timestamp();
        let mut entry = knowledge.entry.take().unwrap_or_else(|| HistoryEntry {
            epoch,
            node: knowledge.config.node.clone(),
            from: now.clone(),
            to: None,
            cause: None,
            gap_ms: None,
            detail: None,
        });
        entry.to = Some(now);
        entry.cause = Some(end.as_str().to_owned());
        entry.detail = Some(knowledge.detail.clone().unwrap_or_else(|| knowledge::sentence(end).to_owned()));
        entry
    }

    fn fence_former(&mut self, epoch: u64, named_by: Witness) {
        let config = self.knowledge.config.clone();
        self.knowledge.witness = named_by;
        let former = self.knowledge.former();
        let told = former::environment(&self.knowledge.own(), former.as_ref());
        tracing::warn!(
            former = former.as_ref().map(|former| former.node.as_str()),
            epoch = former.as_ref().map(|former| former.epoch),
            host = told["PRIMACY_FORMER_HOST"],
            on_this_host = told["PRIMACY_FORMER_ON_THIS_HOST"],
            "fencing the former active: it did not stop cleanly"
        );
        let mut environment = self.knowledge.hook_environment(None);
        environment.extend(told);
        let hook = Hook {
            name: "fencing.command",
            argv: config.fencing.command.clone(),
            environment,
            timeout: config.fencing.timeout,
        };
        self.run(hook, Purpose::FenceFormer { epoch, required: config.fencing.required });
    }

    fn run_hook(&mut self, name: &'static str, argv: Vec<String>, timeout: Duration, purpose: Purpose) {
        let environment = self.knowledge.hook_environment(self.machine.epoch());
        self.run(Hook { name, argv, environment, timeout }, purpose);
    }

    fn announce(&mut self, transition: Transition) {
        let Transition { from, to, cause, epoch } = transition;
        let knowledge = &mut self.knowledge;
        knowledge.role_since = clock::timestamp();
        let key = (from.as_str().to_owned(), to.as_str().to_owned(), cause.as_str().to_owned());
        *knowledge.metrics.transitions.entry(key).or_default() += 1;
        match (to, cause) {
            (Role::Promoting, Cause::Elected) => knowledge.tell_election(),
            (Role::Promoting, _) => knowledge.metrics.coordinator_restarts += 1,
            (Role::Demoting | Role::Fencing, Cause::Ended(end)) => {
                let detail = knowledge.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
                knowledge.story =
                    format!("not active since {}: {}{detail}", knowledge.role_since, knowledge::sentence(end));
            }
            _ => {}
        }
        let detail = knowledge.detail.as_deref().unwrap_or("");
        let (from, to, cause) = (from.as_str(), to.as_str(), cause.as_str());
        if transition.to == Role::Fencing {
            tracing::error!(from, to, cause, epoch, detail, "role changes");
        } else {
            tracing::info!(from, to, cause, epoch, detail, "role changes");
        }
        match transition.to {
            Role::Active => self.became_active(),
            Role::Standby => {
                self.knowledge.detail = None;
                self.standby_is_news = !self.knowledge.config.hooks.on_standby.is_empty();
            }
            Role::Promoting | Role::Demoting | Role::Fencing => self.knowledge.coordinator.ready = false,
        }
    }

    fn became_active(&mut self) {
        self.knowledge.coordinator.ready = true;
        self.knowledge.story = format!("{}, active since {}", self.knowledge.story, self.knowledge.role_since);
        self.measure_gap();
        let argv = self.knowledge.config.hooks.on_active.clone();
        self.notice("on_active", argv, hooks::NOTICE_TIMEOUT);
    }

    /// The outage that this start ended, where the former's end is known.
    fn measure_gap(&mut self) {
        let knowledge = &mut self.knowledge;
        let Some(entry) = &mut knowledge.entry else { return };
        if entry.gap_ms.is_some() {
            return;
        }
        let Some((ended, cause)) = knowledge.former_end.take() else { return };
        let Ok(ended) = humantime::parse_rfc3339(&ended) else { return };
        let session = Duration::from_millis(knowledge.session_timeout_ms.unwrap_or(0));
        let known = gap::Known { locked: knowledge.locked, seen_active: knowledge.seen_active, session };
        match gap::measure(ended, clock::wall(), known, clock::now()) {
            Ok(gap) => {
                entry.gap_ms = u64::try_from(gap.as_millis()).ok();
                knowledge.metrics.failover_gap_seconds.entry(cause).or_default().observe(gap.as_secs_f64());
                tracing::info!(gap_ms = entry.gap_ms, "a coordinator runs again");
            }
            Err(why) => {
                tracing::warn!("a coordinator runs again; for how long there was none is not known: {why}");
                let detail = entry.detail.take().unwrap_or_default();
                entry.detail = Some(format!("{detail}; gap unknown: {why}"));
            }
        }
        let entry = Box::new(entry.clone());
        self.elect(election::Order::Amend(entry));
    }

    /// Runs on_active or on_standby beside everything else.
    fn notice(&mut self, name: &'static str, argv: Vec<String>, limit: Duration) {
        if !argv.is_empty() {
            self.run_hook(name, argv, limit, Purpose::Notice);
        }
    }

    /// Runs on_standby, if that is due: the guardian of a leadership ends with it, so it is the next one that runs it.
    pub(super) fn notice_standby(&mut self, limit: Duration) {
        if std::mem::take(&mut self.standby_is_news) {
            let argv = self.knowledge.config.hooks.on_standby.clone();
            self.notice("on_standby", argv, limit);
        }
    }

    /// Begins to probe a coordinator that has just been started.
    pub(super) fn begin_probing(&mut self) {
        self.probe(false);
    }

    /// After a reload: what runs is asked by what is configured.
    pub(super) fn probe_anew(&mut self, former: &Health) {
        let runs = self.machine.tree_may_live() && self.knowledge.coordinator.pid.is_some();
        if *former == self.knowledge.config.health || !runs || self.machine.end().is_some() {
            return;
        }
        self.stop_probing();
        if self.knowledge.config.health.probe.is_none() {
            // Without a probe it is ready as soon as it runs.
            self.knowledge.coordinator.ready = true;
            self.later(Event::Ready);
        } else {
            self.probe(self.knowledge.coordinator.ready);
        }
    }

    fn probe(&mut self, ready: bool) {
        let config = self.knowledge.config.clone();
        self.prober = None;
        if config.health.probe.is_none() {
            return;
        }
        let environment = self.knowledge.hook_environment(self.machine.epoch());
        let (sender, receiver) = mpsc::unbounded_channel();
        let commands = self.probe_requests.0.clone();
        let task = tokio::spawn(health::watch(config.health.clone(), ready, environment, commands, sender));
        self.prober = Some((task.abort_handle(), receiver));
    }
}

/// What the history should say of the former leadership if nobody has completed its entry.
fn former_ended(knowledge: &mut Knowledge) -> Option<HistoryEntry> {
    let former = knowledge.former()?;
    // Its guardian notes the end in the lock file even where ZooKeeper could not be told.
    let noted = knowledge.former_record.as_ref().filter(|record| record.epoch == former.epoch);
    let noted = noted.and_then(|record| record.ended.clone());
    // What the guardian writes into the breadcrumb was composed in advance; its note in the lock file knows the cause.
    let cause = noted.as_ref().map(|ended| ended.cause.clone()).or_else(|| former.cause.clone());
    let ended_at = noted.map(|ended| ended.at).or_else(|| former.to.clone());
    let cause = cause.unwrap_or_else(|| "host_lost".to_owned());
    knowledge.former_end = ended_at.clone().map(|at| (at, cause.clone()));
    // Who says goodbye by itself completes its own entry.
    let breadcrumb = knowledge.vacancy.as_ref().and_then(|vacancy| vacancy.former.as_ref());
    if breadcrumb.is_some_and(|said| said.epoch == former.epoch && said.clean && said.to.is_some()) {
        return None;
    }
    Some(HistoryEntry {
        epoch: former.epoch,
        node: former.node,
        from: former.since,
        to: ended_at.or_else(|| Some(clock::timestamp())),
        cause: Some(cause),
        gap_ms: None,
        detail: Some(if former.clean {
            "ended by its guardian".to_owned()
        } else {
            "it went away without saying goodbye".to_owned()
        }),
    })
}
