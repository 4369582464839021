//! The loop: wait for one thing, tell the node, do what it wants. Nothing is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::api::ApiThread;
use crate::election::{self, Handle};
use crate::guardian::protocol::GuardianOrder;
use crate::intents::Asked;
use crate::moment::Moment;
use crate::node::{At, Input, Node, Output, StopSignal};
use crate::role::Exit;
use crate::status::Snapshot;
use crate::timer::Timer;
use crate::{clock, processes};

use super::guardian_link::GuardianLink;
use super::notify::{self, Notifier};
use super::orphans::{self, OwnChildren};
use super::recording::Recording;
use super::reload::Reloading;
use super::source::Source;
use super::upgrade::{self, Offer, Program};
use super::warming::Warming;
use super::{ask, parts, peer_test, telling};

/// When a guardian whose socket is full is written to again.
const RETRY_FLUSH: Duration = Duration::from_millis(20);

/// How long a guardian that was let go of is waited for at the end.
const GONE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a signal that has been sent already may take to be heard.
const SENT: Duration = Duration::from_millis(2);

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exit(Exit),
    /// The program at its path is executed anew.
    Execute,
}

/// A node, and all that it hears and speaks through.
pub struct EventLoop {
    node: Node,
    recording: Recording,
    guardian: GuardianLink,
    children: OwnChildren,
    election: Handle,
    /// What was begun beside the loop answers here.
    answer: mpsc::UnboundedSender<Input>,
    answers: mpsc::UnboundedReceiver<Input>,
    api: ApiThread,
    snapshot: Arc<ArcSwap<Snapshot>>,
    source: Source,
    program: Program,
    reloading: Reloading,
    warming: Warming,
    systemd: Notifier,
    /// When the service manager's watchdog is to be told next.
    alive: Option<(Duration, Moment)>,
    turned: Arc<AtomicU64>,
    signals: Signals,
    timer: Timer,
}

fn now() -> At {
    At { moment: clock::now(), wall: clock::wall() }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
    child: Signal,
}

impl EventLoop {
    pub fn new(
        node: Node,
        election: Handle,
        api: ApiThread,
        (answer, answers): (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
        snapshot: Arc<ArcSwap<Snapshot>>,
        turned: Arc<AtomicU64>,
        (source, program): (Source, Program),
    ) -> std::io::Result<Self> {
        let mut systemd = Notifier::from_environment();
        systemd.ready();
        let this = Self {
            recording: Recording::start(node.config()),
            node,
            guardian: GuardianLink::none(),
            children: OwnChildren::default(),
            election,
            answer,
            answers,
            api,
            snapshot,
            source,
            program,
            reloading: Reloading::default(),
            warming: Warming::default(),
            systemd,
            alive: notify::watchdog_interval().map(|interval| (interval, clock::now())),
            turned,
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
                upgrade: signal(SignalKind::user_defined2())?,
                child: signal(SignalKind::child())?,
            },
            timer: Timer::new()?,
        };
        upgrade::release_signals();
        // What the program before has left, dead or dying, is nobody's own.
        orphans::reap(&this.children);
        Ok(this)
    }

    /// Until the node ends the process, or the program in it.
    pub async fn run(mut self) -> End {
        let mut at = now();
        self.recording.begin(at, &self.node);
        loop {
            while let Some(output) = self.node.poll_output() {
                self.recording.wanted(at.moment, &output);
                if let Some(end) = self.perform(output) {
                    self.leave_nothing().await;
                    return if end == End::Execute { self.unless_stopped().await } else { end };
                }
            }
            self.recording.settle(at.moment);
            let input = self.wait().await;
            at = now();
            self.turned.store(at.moment.as_nanos(), Ordering::Relaxed);
            if let Some(input) = input {
                self.recording.begin(at, &self.node);
                self.recording.heard(at, &input);
                self.node.hear(at, input);
            }
        }
    }

    /// One thing. `None`: something that is nobody's business but the loop's.
    async fn wait(&mut self) -> Option<Input> {
        let mut wake = self.node.deadline();
        if !self.guardian.flush() {
            wake = wake.min(clock::now() + RETRY_FLUSH);
        }
        let own = [self.alive.map(|(_, at)| at), self.systemd.due()];
        self.timer.set(own.into_iter().flatten().fold(wake, Moment::min));
        // The guardian's and the election's words come first: they were said before any timer of ours fired.
        tokio::select! {
            biased;
            input = self.guardian.next() => Some(Input::Guardian(input)),
            fact = self.election.facts.recv() => Some(fact.map_or(Input::ElectionEnded, Input::Election)),
            Some(input) = self.answers.recv() => Some(input),
            _ = self.signals.terminate.recv() => Some(Input::StopAsked { signal: StopSignal::Terminate }),
            _ = self.signals.interrupt.recv() => Some(Input::StopAsked { signal: StopSignal::Interrupt }),
            _ = self.signals.hangup.recv() => Some(Input::ReloadAsked),
            _ = self.signals.upgrade.recv() => {
                Some(Input::Asked(Asked::Upgrade { number: 0, by: "SIGUSR2".to_owned(), reason: None }))
            }
            read = self.reloading.done(&self.source) => Some(Input::Reread(read)),
            _ = self.signals.child.recv() => { orphans::reap(&self.children); None }
            () = self.timer.rings() => { self.notify(clock::now()); Some(Input::TimePassed) }
        }
    }

    fn notify(&mut self, now: Moment) {
        if let Some((interval, at)) = &mut self.alive
            && *at <= now
        {
            *at = now + *interval;
            self.systemd.alive();
        }
        self.systemd.flush();
    }

    fn perform(&mut self, output: Output) -> Option<End> {
        match output {
            Output::Say(line) => telling::tell(line),
            Output::Guardian(GuardianOrder::LastWill(Some(mut will))) => {
                election::zookeeper::renew_tls(self.node.config(), Some(&mut will));
                self.guardian.order(&GuardianOrder::LastWill(Some(will)));
            }
            Output::Guardian(order) => self.guardian.order(&order),
            Output::StartGuardian(settings) => self.guardian = GuardianLink::start(*settings, &self.children),
            Output::KillGuardian => self.guardian.kill(),
            Output::Election(order) => {
                if self.election.orders.send(order).is_err() {
                    tracing::error!("the election backend has ended");
                }
            }
            Output::StartElection => self.election = parts::backend(self.node.config(), processes::own_identity()),
            Output::KillOrphans { leadership } => {
                let (children, answer) = (self.children.clone(), self.answer.clone());
                tokio::spawn(async move {
                    orphans::kill_all(children).await;
                    if let Some(leadership) = leadership {
                        let _ = answer.send(Input::OrphansDead { leadership });
                    }
                });
            }
            Output::Ask { question, probe, timeout } => {
                let answer = self.answer.clone();
                tokio::spawn(async move {
                    let result = ask::ask(&probe, timeout).await;
                    let _ = answer.send(Input::Answered { question, answer: result });
                });
            }
            Output::TestPeer { node, host } => {
                let (file, children, answer) = (self.source.file.clone(), self.children.clone(), self.answer.clone());
                tokio::spawn(async move {
                    let test = peer_test::run(file, &node, &host, children).await;
                    let _ = answer.send(Input::PeerTested { node, test });
                });
            }
            Output::KeepWarm(order) => self.warming.order(order, &self.answer, &self.children),
            Output::ReadConfiguration => self.reloading.begin(&self.source),
            Output::Reconfigured(config) => {
                if config.zookeeper.tls.is_some() {
                    election::zookeeper::renew_tls(&config, None);
                }
                self.reloading.apply(&config, &self.api);
            }
            Output::Publish => {
                let snapshot = Arc::new(self.node.snapshot(clock::now()));
                self.snapshot.store(Arc::clone(&snapshot));
                self.api.published(&snapshot);
            }
            Output::Status(text) => self.systemd.status(text),
            Output::Stopping => self.systemd.stopping(),
            Output::CheckProgram => {
                let offer = Offer::of(self.node.config(), &self.source.listen);
                let (program, children, answer) = (self.program.clone(), self.children.clone(), self.answer.clone());
                tokio::spawn(async move {
                    let checked = upgrade::ask(program, offer, children).await;
                    let _ = answer.send(Input::ProgramChecked(checked));
                });
            }
            Output::Exit(exit) => return Some(End::Exit(exit)),
            Output::Execute => return Some(End::Execute),
        }
        None
    }

    /// Lets the guardian go, and waits for its end and for what is still to be recorded.
    async fn leave_nothing(&mut self) {
        self.guardian.flush();
        let pid = self.guardian.pid();
        self.guardian = GuardianLink::none();
        let gone = async {
            while pid > 0 && processes::Stat::of(pid).is_some_and(|stat| !stat.is_zombie()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(GONE_TIMEOUT, gone).await;
        self.recording.finish(clock::now());
        if gone.is_err() {
            tracing::warn!(
                pid,
                "the guardian has not ended yet; it ends by itself once nothing of the coordinator is left"
            );
        }
    }

    /// A signal that was sent before the next program hears is not lost: one to stop is obeyed, the others wait.
    async fn unless_stopped(&mut self) -> End {
        upgrade::hold_signals_again();
        tokio::select! {
            biased;
            _ = self.signals.terminate.recv() => {}
            _ = self.signals.interrupt.recv() => {}
            () = tokio::time::sleep(SENT) => return End::Execute,
        }
        tracing::info!("asked to stop: no other program takes over");
        End::Exit(Exit::Stopped)
    }
}
