//! The loop: wait for one fact, step the core, carry out its orders, publish.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::api::ApiThread;
use crate::clock;
use crate::config::{self, WatchdogUse};
use crate::election::{self, Handle};
use crate::guardian::protocol::{Order, Settings, Testament, WatchdogSettings, WatchdogTerms};
use crate::moment::Moment;
use crate::role::{Event, Exit, Machine};
use crate::status::Snapshot;
use crate::timer::Timer;

use super::guardian_link::{GuardianLink, Message, PING_INTERVAL};
use super::health::Verdict;
use super::hooks::{self, Commands, ProbeRequest, Purpose};
use super::knowledge::Knowledge;
use super::orphans::{self, OwnChildren};
use super::peers::Peers;
use super::publish::Publisher;
use super::reload::{Reloading, Reread};
use super::wiring::Source;
use super::{notify, reload};

/// A loop that did not turn for so long was itself frozen: what it thinks of others' silence does not count.
const OWN_SILENCE: Duration = Duration::from_millis(500);

/// A guardian that died younger than this is not replaced at once.
const GUARDIAN_RESPAWN: Duration = Duration::from_secs(1);

/// A fresh guardian can wait until the next active has started: nothing of this node competes with it for this long.
const HANDOVER: Duration = Duration::from_millis(100);

/// When a guardian whose socket is full is written to again.
const RETRY_FLUSH: Duration = Duration::from_millis(20);

/// When the servers are asked again for the session that is wanted, if what they granted keeps this node out.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);

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
    pub(super) commands: Commands,
    pub(super) probe_requests: (mpsc::UnboundedSender<ProbeRequest>, mpsc::UnboundedReceiver<ProbeRequest>),
    /// on_standby has not been run since this node became a standby.
    pub(super) standby_is_news: bool,
    /// For tasks that answer later.
    pub(super) inner: mpsc::UnboundedSender<Inner>,
    /// Counts candidacies that were elected.
    pub(super) leadership: u64,
    pub(super) prober: Option<(AbortHandle, mpsc::UnboundedReceiver<Verdict>)>,
    pub(super) exit: Option<Exit>,
    /// Something that people can see has changed since the last publication.
    pub(super) changed: bool,
    inner_events: mpsc::UnboundedReceiver<Inner>,
    later: VecDeque<Event>,
    pub(super) peers: Peers,
    pub(super) election: Handle,
    pub(super) publisher: Publisher,
    api: ApiThread,
    source: Source,
    reloading: Reloading,
    signals: Signals,
    pub(super) next_ping: Moment,
    /// When to start another guardian, if there is none.
    pub(super) respawn_at: Option<Moment>,
    watchdog: Option<(Duration, Moment)>,
    /// What this guardian was told last of its device.
    pub(super) watchdog_set: Option<WatchdogTerms>,
    /// When to ask for another session.
    pub(super) ask_again: Option<Moment>,
    turned: Arc<AtomicU64>,
    pub(super) stops: u32,
    /// What gives up this node's place in the queue, as long as it has no more than that.
    pub(super) place: Option<Testament>,
    /// What the guardian was told last.
    will: Option<Testament>,
    timer: Timer,
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
        let guardian = GuardianLink::start(guardian_settings(&knowledge, source.place()), &children);
        let (inner, inner_events) = mpsc::unbounded_channel();
        let now = clock::now();
        Ok(Self {
            machine,
            knowledge,
            guardian,
            children,
            commands: Commands::default(),
            probe_requests: mpsc::unbounded_channel(),
            standby_is_news: false,
            inner,
            leadership: 0,
            prober: None,
            exit: None,
            changed: true,
            inner_events,
            later: VecDeque::new(),
            peers: Peers::new(source.file.clone()),
            election,
            publisher: Publisher::new(snapshot),
            api,
            source,
            reloading: Reloading::default(),
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
                child: signal(SignalKind::child())?,
            },
            next_ping: now + PING_INTERVAL,
            respawn_at: None,
            watchdog: notify::watchdog_interval().map(|interval| (interval, now)),
            watchdog_set: None,
            ask_again: None,
            turned,
            stops: 0,
            place: None,
            will: None,
            timer: Timer::new()?,
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
        let mut wake = self.next_wake(clock::now());
        if !self.guardian.flush() {
            wake = wake.min(clock::now() + RETRY_FLUSH);
        }
        self.timer.set(wake);
        // The guardian's and the election's words come first: they were said before any timer of ours fired.
        tokio::select! {
            biased;
            message = self.guardian.next() => self.hear_guardian(message),
            fact = self.election.facts.recv() => self.hear_election(fact),
            Some(inner) = self.inner_events.recv() => self.hear_inner(inner),
            Some(result) = self.peers.results.recv() => self.hear_peer(result),
            Some((hook, answer)) = self.probe_requests.1.recv() => { self.run(hook, Purpose::Probe(answer)); None }
            verdict = next_verdict(&mut self.prober) => self.hear_prober(verdict),
            _ = self.signals.terminate.recv() => Some(self.hear_stop("SIGTERM")),
            _ = self.signals.interrupt.recv() => Some(self.hear_stop("SIGINT")),
            _ = self.signals.hangup.recv() => { self.reloading.begin(&self.source); None }
            read = self.reloading.done() => self.hear_reread(read),
            _ = self.signals.child.recv() => { orphans::reap(&self.children); None }
            () = self.timer.rings() => Some(self.pass_time()),
        }
    }

    fn next_wake(&self, now: Moment) -> Moment {
        let candidates = [
            self.machine.deadline().map(|(at, _)| at),
            Some(self.next_ping),
            // Of its own: pings that go with heartbeats put the next one off again and again.
            self.guardian.silent_from(),
            self.respawn_at,
            self.ask_again,
            self.publisher.due(),
            self.peers.due(now),
            self.watchdog.map(|(_, at)| at),
            self.publisher.systemd.due(),
        ];
        candidates.into_iter().flatten().min().unwrap_or(self.next_ping)
    }

    /// The loop turns. After a sleep of its own it knows nothing of others' silence: their answers wait in the mailbox.
    fn note_turn(&mut self, now: Moment) {
        let own_silence = now.since(Moment::from_nanos(self.turned.swap(now.as_nanos(), Ordering::Relaxed)));
        if own_silence > PING_INTERVAL + OWN_SILENCE {
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
        if self.ask_again.is_some_and(|at| at <= now) {
            self.ask_again = Some(now + ASK_AGAIN);
            self.elect(election::Order::AskAgain);
        }
        for order in self.publisher.settle(&self.knowledge, &self.machine, now) {
            self.elect(order);
        }
        if let Some((interval, at)) = &mut self.watchdog
            && *at <= now
        {
            *at = now + *interval;
            self.publisher.systemd.alive();
        }
        self.publisher.systemd.flush();
        self.tend_peers(now).unwrap_or(Event::TimePassed)
    }

    pub(super) fn ping(&mut self) {
        self.next_ping = clock::now() + PING_INTERVAL;
        self.guardian.ping();
    }

    pub(super) fn order(&mut self, order: Order) {
        self.guardian.order(order);
    }

    /// Tells the guardian what gives up the place in the queue. (Never of a leadership: a second guardian knows nothing of
    /// the first one's tree, and that leadership's place is given up only when its tree is dead.)
    pub(super) fn bequeath_place(&mut self) {
        if let Some(testament) = self.place.clone() {
            self.bequeath(Some(testament));
        }
    }

    /// Tells the guardian what to undo when it ends without this process.
    pub(super) fn bequeath(&mut self, will: Option<Testament>) {
        self.will.clone_from(&will);
        self.order(Order::Testament(will));
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
        // What this one has seen of the volume is not what the next one will see.
        self.knowledge.volume_seen = false;
        let now = clock::now();
        let wait = GUARDIAN_RESPAWN.saturating_sub(now.since(self.guardian.started())).max(HANDOVER);
        self.respawn_at = Some(now + wait);
    }

    fn start_guardian(&mut self) {
        self.knowledge.lock_held = false;
        self.knowledge.volume = crate::guardian::protocol::VolumeView::default();
        self.knowledge.volume_seen = false;
        self.knowledge.watchdog = None;
        let settings = guardian_settings(&self.knowledge, self.source.place());
        self.guardian = GuardianLink::start(settings, &self.children);
        self.bequeath_place();
    }

    fn hear_reread(&mut self, read: Option<Result<Reread, String>>) -> Option<Event> {
        if self.reloading.is_wanted_again() {
            self.reloading.begin(&self.source);
        }
        let read = match read? {
            Ok(read) => read,
            Err(problems) => {
                tracing::error!("the configuration was not reloaded, everything stays as it was:\n{problems}");
                return None;
            }
        };
        let config = Arc::new(reload::apply(&self.knowledge.config, read, &self.source, &self.api));
        let timeout = self.knowledge.session_timeout_ms.map(Duration::from_millis);
        self.machine.set_rules(reload::rules(&config, timeout));
        if config.zookeeper.tls.is_some() {
            election::zookeeper::renew_tls(&config, self.place.as_mut());
            if let Some(mut will) = self.will.clone() {
                election::zookeeper::renew_tls(&config, Some(&mut will));
                self.bequeath(Some(will));
            }
        }
        self.knowledge.config_shown = Arc::new(config::effective(&config));
        let former = std::mem::replace(&mut self.knowledge.config, config);
        self.probe_anew(&former.health);
        self.changed = true;
        Some(Event::TimePassed)
    }

    /// What this process runs when it has become a standby for the last time. A guardian that has ended itself has left nobody to
    /// run it.
    async fn run_last_notice(&mut self) {
        if !self.standby_is_news {
            return;
        }
        if self.guardian.has_ended() {
            self.start_guardian();
        } else {
            self.notice_standby(hooks::LAST_NOTICE_TIMEOUT);
        }
        let ended = async {
            while self.standby_is_news || self.commands.has_notice() {
                self.guardian.flush();
                let message = self.guardian.next().await;
                let gone = matches!(message, Message::Lost(_) | Message::NotStarted(_));
                self.hear_guardian(message);
                self.notice_standby(hooks::LAST_NOTICE_TIMEOUT);
                if gone {
                    break;
                }
            }
        };
        let limit = hooks::LAST_NOTICE_TIMEOUT + CLOSE_TIMEOUT;
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!("on_standby has not ended; it is killed");
        }
    }

    /// Leaves nothing behind: the session is closed, the guardian has ended.
    pub async fn take_down(mut self) {
        self.run_last_notice().await;
        self.elect(election::Order::Close);
        let closed = async { while self.election.facts.recv().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_ok() {
            self.order(Order::Testament(None));
            self.guardian.flush();
        } else {
            tracing::warn!("the election backend did not close in time; its session ends by itself");
        }
        let pid = self.guardian.pid();
        drop(self.guardian);
        let gone = async {
            while pid > 0 && crate::processes::Stat::of(pid).is_some_and(|stat| !stat.is_zombie()) {
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

fn guardian_settings(knowledge: &Knowledge, configuration: Option<PathBuf>) -> Settings {
    let config = &knowledge.config;
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
        watchdog: match config.fencing.watchdog {
            WatchdogUse::Off => None,
            wanted @ (WatchdogUse::Automatic | WatchdogUse::Required) => Some(WatchdogSettings {
                device: config.fencing.watchdog_device.clone(),
                required: wanted == WatchdogUse::Required,
            }),
        },
        configuration,
        former_names: knowledge.former_names.clone(),
    }
}
