//! The loop: wait for one fact, step the core, carry out its orders, publish.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::api::ApiThread;
use crate::clock;
use crate::config::{self, ElectionKind};
use crate::election::{self, Fact, Handle};
use crate::guardian::protocol::{NoteLevel, Order, Report, Settings};
use crate::moment::Moment;
use crate::role::{Event, Exit, Former, Loss, Machine, Phase, Vacancy};
use crate::status::Snapshot;

use super::guardian_link::{GuardianLink, Message, PING_INTERVAL};
use super::health::Verdict;
use super::knowledge::{Contact, Knowledge};
use super::orphans::{self, OwnChildren};
use super::publish::Publisher;
use super::wiring::Source;
use super::{notify, reload, wiring};

/// The longest sleep: tokio's timers run on CLOCK_MONOTONIC, which stands still while the host is suspended; the core's
/// moments do not.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A loop that did not turn for so long was itself frozen: what it thinks of others' silence does not count.
const OWN_SILENCE: Duration = Duration::from_millis(500);

/// A guardian that died younger than this is not replaced at once.
const GUARDIAN_RESPAWN: Duration = Duration::from_secs(1);

/// A fresh guardian can wait until the next active has started: nothing of this node competes with it for this long.
const HANDOVER: Duration = Duration::from_millis(100);

/// How long the election backend may take to leave at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The end of something that this process ran beside the loop.
pub struct Inner {
    /// Which candidacy it belonged to: an answer from an earlier one is void.
    pub leadership: u64,
    pub event: Event,
    /// What went wrong, for people.
    pub detail: Option<String>,
}

pub struct Shell {
    pub(super) machine: Machine,
    pub(super) knowledge: Knowledge,
    pub(super) guardian: GuardianLink,
    pub(super) children: OwnChildren,
    /// For tasks that answer later.
    pub(super) inner: mpsc::UnboundedSender<Inner>,
    /// Counts candidacies that were elected.
    pub(super) leadership: u64,
    pub(super) prober: Option<(AbortHandle, mpsc::UnboundedReceiver<Verdict>)>,
    pub(super) exit: Option<Exit>,
    /// Something that people can see has changed since the last publication.
    changed: bool,
    inner_events: mpsc::UnboundedReceiver<Inner>,
    later: VecDeque<Event>,
    election: Handle,
    publisher: Publisher,
    api: ApiThread,
    source: Source,
    signals: Signals,
    next_ping: Moment,
    /// When to start another guardian, if there is none.
    respawn_at: Option<Moment>,
    watchdog: Option<(Duration, Moment)>,
    turned: Arc<AtomicU64>,
    stops: u32,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    child: Signal,
}

impl Shell {
    pub fn new(
        machine: Machine,
        knowledge: Knowledge,
        election: Handle,
        api: ApiThread,
        snapshot: Arc<ArcSwap<Snapshot>>,
        turned: Arc<AtomicU64>,
        source: Source,
    ) -> std::io::Result<Self> {
        let children = OwnChildren::default();
        let guardian = GuardianLink::start(guardian_settings(&knowledge.config), &children)?;
        let (inner, inner_events) = mpsc::unbounded_channel();
        let now = clock::now();
        Ok(Self {
            machine,
            knowledge,
            guardian,
            children,
            inner,
            leadership: 0,
            prober: None,
            exit: None,
            changed: true,
            inner_events,
            later: VecDeque::new(),
            election,
            publisher: Publisher::new(snapshot),
            api,
            source,
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
                child: signal(SignalKind::child())?,
            },
            next_ping: now + PING_INTERVAL,
            respawn_at: None,
            watchdog: notify::watchdog_interval().map(|interval| (interval, now)),
            turned,
            stops: 0,
        })
    }

    /// Runs until the core orders the exit.
    pub async fn turn_until_exit(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.exit {
                return exit;
            }
            let event = match self.later.pop_front() {
                Some(event) => Some(event),
                None => self.wait().await,
            };
            let now = clock::now();
            self.note_turn(now);
            if let Some(event) = event {
                self.changed |= event != Event::TimePassed;
                for action in self.machine.step(now, event) {
                    tracing::debug!(?action, "order");
                    self.changed = true;
                    self.perform(action);
                }
            }
            if std::mem::take(&mut self.changed) {
                self.publisher.publish(&self.knowledge, &self.machine, now);
            }
        }
    }

    /// One fact. `None`: something that concerns only people.
    async fn wait(&mut self) -> Option<Event> {
        let sleep = self.next_wake().since(clock::now()).min(LONGEST_SLEEP);
        // The guardian's and the election's words come first: they were said before any timer of ours fired.
        tokio::select! {
            biased;
            message = self.guardian.next() => self.hear_guardian(message),
            fact = self.election.facts.recv() => self.hear_election(fact),
            Some(inner) = self.inner_events.recv() => self.hear_inner(inner),
            verdict = next_verdict(&mut self.prober) => self.hear_prober(verdict),
            _ = self.signals.terminate.recv() => Some(self.hear_stop("SIGTERM")),
            _ = self.signals.interrupt.recv() => Some(self.hear_stop("SIGINT")),
            _ = self.signals.hangup.recv() => { self.reload(); None }
            _ = self.signals.child.recv() => { orphans::reap(&self.children); None }
            () = tokio::time::sleep(sleep) => Some(self.pass_time()),
        }
    }

    fn next_wake(&self) -> Moment {
        let candidates = [
            self.machine.deadline().map(|(at, _)| at),
            Some(self.next_ping),
            // Of its own: pings that go with heartbeats put the next one off again and again.
            self.guardian.silent_from(),
            self.respawn_at,
            self.publisher.due(),
            self.watchdog.map(|(_, at)| at),
        ];
        candidates.into_iter().flatten().min().unwrap_or(self.next_ping)
    }

    /// The loop turns. After a sleep of its own it knows nothing of others' silence: their answers wait in the mailbox.
    fn note_turn(&mut self, now: Moment) {
        let own_silence = now.since(Moment::from_nanos(self.turned.swap(now.as_nanos(), Ordering::Relaxed)));
        if own_silence > LONGEST_SLEEP + OWN_SILENCE {
            tracing::warn!(silent_ms = own_silence.as_millis(), "this process did not run for a while");
            self.guardian.excuse();
        }
    }

    fn pass_time(&mut self) -> Event {
        let now = clock::now();
        self.note_turn(now);
        if self.guardian.is_silent(now) {
            tracing::error!(pid = self.guardian.pid(), "the guardian does not answer: killing it");
            self.knowledge.detail = Some("the guardian did not answer for a second".to_owned());
            self.guardian.excuse();
            self.guardian.kill();
        }
        if self.next_ping <= now {
            self.ping();
        }
        if self.respawn_at.is_some_and(|at| at <= now) {
            self.respawn_at = None;
            self.start_guardian();
        }
        for order in self.publisher.settle(&self.knowledge, &self.machine, now) {
            self.elect(order);
        }
        if let Some((interval, at)) = &mut self.watchdog
            && *at <= now
        {
            *at = now + *interval;
            notify::alive();
        }
        Event::TimePassed
    }

    pub(super) fn ping(&mut self) {
        self.next_ping = clock::now() + PING_INTERVAL;
        self.guardian.ping();
    }

    pub(super) fn order(&mut self, order: Order) {
        self.guardian.order(order);
    }

    pub(super) fn elect(&self, order: election::Order) {
        if self.election.orders.send(order).is_err() {
            tracing::error!("the election backend has ended");
        }
    }

    pub(super) fn later(&mut self, event: Event) {
        self.later.push_back(event);
    }

    pub(super) fn replace_guardian(&mut self) {
        let now = clock::now();
        let wait = GUARDIAN_RESPAWN.saturating_sub(now.since(self.guardian.started())).max(HANDOVER);
        self.respawn_at = Some(now + wait);
    }

    fn start_guardian(&mut self) {
        self.knowledge.lock_held = false;
        self.knowledge.volume = crate::guardian::protocol::VolumeView::default();
        match GuardianLink::start(guardian_settings(&self.knowledge.config), &self.children) {
            Ok(guardian) => self.guardian = guardian,
            Err(error) => {
                tracing::error!(%error, "no guardian can be started");
                self.respawn_at = Some(clock::now() + GUARDIAN_RESPAWN);
            }
        }
    }

    fn hear_stop(&mut self, signal: &str) -> Event {
        self.stops += 1;
        if self.stops == 1 {
            tracing::info!(signal, "stopping; once more kills the coordinator");
            Event::StopRequested
        } else {
            tracing::warn!(signal, "asked to stop again: killing the coordinator");
            Event::KillRequested
        }
    }

    fn hear_inner(&mut self, inner: Inner) -> Option<Event> {
        if inner.leadership != self.leadership {
            return None;
        }
        if inner.detail.is_some() {
            self.knowledge.detail = inner.detail;
        }
        Some(inner.event)
    }

    fn hear_prober(&mut self, verdict: Option<Verdict>) -> Option<Event> {
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

    fn stop_probing(&mut self) {
        if let Some((task, _)) = self.prober.take() {
            task.abort();
        }
    }

    fn hear_guardian(&mut self, message: Message) -> Option<Event> {
        self.changed |= !matches!(&message, Message::Report(report) if matches!(**report, Report::Pong { .. }));
        let report = match message {
            Message::Lost(how) => {
                if self.machine.phase(clock::now()) != Phase::Finished && self.exit.is_none() {
                    tracing::warn!(pid = self.guardian.pid(), how, "the guardian is gone");
                }
                self.knowledge.detail.get_or_insert_with(|| format!("the guardian is gone: {how}"));
                self.stop_probing();
                return Some(Event::GuardianLost);
            }
            Message::Report(report) => *report,
        };
        let knowledge = &mut self.knowledge;
        match report {
            Report::Ready { pid } => {
                tracing::debug!(pid, "the guardian is ready");
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
                knowledge.metrics.volume_free_bytes = view.free_bytes;
                knowledge.volume = view;
                Some(Event::VolumeSeen { usable: knowledge.volume_usable() })
            }
            Report::LockAcquired { volume, record } => {
                knowledge.lock_held = true;
                knowledge.lock_holder = None;
                knowledge.volume_id = Some(volume);
                let recorded = record.as_ref().map_or(0, |record| record.epoch);
                knowledge.former_record = record;
                Some(Event::LockAcquired { recorded })
            }
            Report::LockRefused { holder } => {
                let name = holder.as_ref().map_or("unknown", |record| record.node.as_str());
                tracing::info!(holder = name, "elected, but the lock is held: waiting");
                knowledge.lock_holder = holder;
                Some(Event::LockRefused)
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
                if !holds_lock {
                    tracing::warn!(
                        "the coordinator has closed the lock's descriptor: the guardian alone holds the lock"
                    );
                }
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
            Report::Stuck { processes } => {
                for process in &processes {
                    let (pid, command, waits_in) = (process.pid, &process.command, &process.waits_in);
                    tracing::error!(pid, command, waits_in, "killed, but does not die");
                }
                knowledge.stuck = processes;
                None
            }
            Report::LockClosed => {
                knowledge.lock_held = false;
                Some(Event::LockClosed)
            }
            Report::Fenced { deadline } => {
                tracing::error!(%deadline, "the guardian ended the leadership at its deadline");
                knowledge.lock_held = false;
                knowledge.coordinator = crate::status::CoordinatorView::default();
                self.stop_probing();
                Some(Event::Fenced)
            }
            Report::Pong { number } => {
                self.guardian.answered(number);
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

    fn hear_election(&mut self, fact: Option<Fact>) -> Option<Event> {
        self.changed = true;
        let knowledge = &mut self.knowledge;
        match fact? {
            Fact::Connected { session, timeout } => {
                knowledge.contact = Contact::Connected;
                knowledge.session = session;
                knowledge.last_contact = Some(clock::now());
                if knowledge.config.election == ElectionKind::ZooKeeper {
                    knowledge.session_timeout_ms = u64::try_from(timeout.as_millis()).ok();
                    let timing = reload::timing(&knowledge.config, Some(timeout));
                    knowledge.timing_problem = timing.check().err().map(|problem| {
                        format!(
                            "never stands for election: ZooKeeper granted a session of {timeout:?}, which leaves a lease of {:?}, \
                             less than four heartbeats ({:?}); raise zookeeper.session_timeout or lower margin or heartbeat_interval",
                            problem.lease, problem.least
                        )
                    });
                    if let Some(problem) = &knowledge.timing_problem {
                        tracing::error!("{problem}");
                    }
                    self.machine.set_rules(reload::rules(&knowledge.config, Some(timeout)));
                }
                Some(Event::TimePassed)
            }
            Fact::Disconnected { reason } => {
                knowledge.contact = Contact::Disconnected(reason);
                None
            }
            Fact::Standing => {
                tracing::info!("standing for election");
                None
            }
            Fact::Elected(vacancy) => {
                self.leadership += 1;
                knowledge.detail = None;
                let event = Event::Elected(translate(&vacancy, &knowledge.config));
                knowledge.volume_id.clone_from(&vacancy.volume);
                knowledge.vacancy = Some(*vacancy);
                Some(event)
            }
            Fact::Claimed { epoch, sent, testament } => {
                knowledge.last_contact = Some(sent);
                // Before the start can be ordered: what a guardian must undo is known to it when there is something to undo.
                self.order(Order::Testament(testament.map(|testament| *testament)));
                Some(Event::Claimed { epoch, sent })
            }
            Fact::ClaimRefused { reason } => {
                tracing::warn!(reason, "the epoch was not granted");
                knowledge.detail = Some(reason);
                Some(Event::ClaimRefused)
            }
            Fact::Renewed { sent, acknowledged } => {
                knowledge.metrics.heartbeat_seconds.observe(acknowledged.since(sent).as_secs_f64());
                knowledge.last_contact = Some(acknowledged);
                // This process is awake: a ping costs no wake-up of its own.
                if self.next_ping.since(acknowledged) < PING_INTERVAL / 2 {
                    self.ping();
                }
                Some(Event::Renewed { sent })
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
            Fact::Resigned => Some(Event::Resigned),
            Fact::DuplicateName { holder } => {
                tracing::error!(holder, node = knowledge.config.node, "another live member has this node's name");
                Some(Event::DuplicateName)
            }
            Fact::Cluster(view) => {
                knowledge.cluster = *view;
                Some(Event::VolumeSeen { usable: knowledge.volume_usable() })
            }
            Fact::History(history) => {
                knowledge.history = history;
                None
            }
        }
    }

    fn reload(&mut self) {
        tracing::info!("SIGHUP: reading the configuration again");
        let Some(config) = reload::reload(&self.knowledge.config, &self.source) else { return };
        let timeout = self.knowledge.session_timeout_ms.map(Duration::from_millis);
        self.machine.set_rules(reload::rules(&config, timeout));
        self.api.reload_tokens(wiring::tokens(&config));
        if let Err(error) = self.api.reload_tls() {
            tracing::error!(%error, "the API keeps its certificate");
        }
        self.knowledge.config_shown = Arc::new(config::effective(&config));
        self.knowledge.config = config;
        self.changed = true;
        self.later(Event::TimePassed);
    }

    /// Leaves nothing behind: the session is closed, the guardian has ended.
    pub async fn take_down(mut self) {
        self.elect(election::Order::Close);
        let closed = async { while self.election.facts.recv().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::warn!("the election backend did not close in time; its session ends by itself");
        }
        let pid = self.guardian.pid();
        drop(self.guardian);
        let gone = async {
            while crate::processes::Stat::of(pid).is_some_and(|stat| !stat.is_zombie()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, gone).await.is_err() {
            tracing::warn!(
                pid,
                "the guardian has not ended yet; it ends by itself once nothing of the coordinator is left"
            );
        }
    }
}

async fn next_verdict(prober: &mut Option<(AbortHandle, mpsc::UnboundedReceiver<Verdict>)>) -> Option<Verdict> {
    match prober {
        Some((_, verdicts)) => verdicts.recv().await,
        None => std::future::pending().await,
    }
}

fn translate(vacancy: &election::Vacancy, config: &config::Config) -> Vacancy {
    let former = match &vacancy.former {
        None => Former::None,
        Some(former) if former.clean => Former::Clean,
        Some(former) if former.node == config.node => Former::Own,
        Some(_) => Former::Unclean,
    };
    let better_candidate =
        vacancy.rivals.iter().any(|rival| rival.eligible && rival.priority > config.candidate.priority);
    Vacancy { epoch: vacancy.epoch, former, better_candidate }
}

fn guardian_settings(config: &config::Config) -> Settings {
    let coordinator = &config.coordinator;
    Settings {
        cluster: config.cluster.clone(),
        node: config.node.clone(),
        lock_directory: config.lock.directory.clone(),
        probe_interval: config.lock.probe_interval,
        probe_timeout: config.lock.probe_timeout,
        min_free_space: config.lock.min_free_space,
        command: coordinator.command.clone(),
        forking: coordinator.kind == config::CoordinatorKind::Forking,
        working_directory: coordinator.working_directory.clone(),
        environment: coordinator.environment.clone(),
        user: coordinator.user.clone(),
        stop_signal: coordinator.stop_signal,
        stop_timeout: coordinator.stop_timeout,
        before_kill: coordinator.before_kill.clone(),
    }
}
