//! Puts the parts together at start and takes them apart at the end.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;

use tokio::sync::mpsc;

use crate::api::changing::Steering;
use crate::api::timeline::{Newest, Reader, Recordings};
use crate::config::{Config, ElectionKind};
use crate::guardian::remains;
use crate::node::{At, Identity, Input, Node};
use crate::recording::reading;
use crate::role::Exit;
use crate::steering::Ensemble;
use crate::{api, clock, config, output, processes, seeded_bug, syscalls, verify};

use super::event_loop::{End, EventLoop};
use super::orphans;
use super::parts::{backend, tokens};
use super::source::Source;
use super::upgrade::{self, Carried, Program};

/// For tests: every node counts as a host of its own.
const EVERY_NODE_IS_A_HOST: &str = "PRIMACY_TEST_EVERY_NODE_IS_A_HOST";

/// Why the supervisor did not even start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("api.listen = \"{address}\": {error}; choose another address or stop what listens there")]
    Listen { address: String, error: std::io::Error },
    #[error("{0}")]
    Api(#[from] api::Error),
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("this process cannot become a subreaper: {0}")]
    Subreaper(#[from] nix::Error),
    #[error("no program can be executed in this process: {0}")]
    Execute(std::io::Error),
}

/// Runs a supervisor to its end.
///
/// # Errors
/// Only before anything was started.
pub fn run(config: Config, mut source: Source) -> Result<Exit, RunError> {
    // Before there are other threads: they inherit what is blocked.
    syscalls::hear_ignored_signals_again();
    upgrade::hold_signals();
    orphans::become_subreaper()?;
    let before = Carried::take();
    let program = Program::of_this_process(before.as_ref().map(|before| before.program.as_path()));
    let (upgrades, former) = before.as_ref().map_or((0, None), |it| (it.upgrades, Some(it.from.clone())));
    source.listen = config.api.listen.to_string();
    let listener = listener(&config, before)?;
    let kept = listener.try_clone()?;
    let port = listener.local_addr()?.port();
    let (advertise, guessed) = advertised(&config, port);
    let process = processes::own_identity();
    let config = Arc::new(config);
    let identity = Identity {
        configuration: source.place(),
        advertise: advertise.clone(),
        host_name: config::host_name(),
        process: process.clone(),
        former_names: former_names(&config, &source),
        every_node_is_a_host: std::env::var_os(EVERY_NODE_IS_A_HOST).is_some(),
        upgrades,
    };
    let node = Node::new(config.clone(), identity, At { moment: clock::now(), wall: clock::wall() });
    let snapshot = Arc::new(ArcSwap::from_pointee(node.snapshot(clock::now())));
    let turned = Arc::new(AtomicU64::new(clock::now().as_nanos()));
    let (answer, answers) = mpsc::unbounded_channel();
    let settings = api::Settings {
        advertise: advertise.clone(),
        environment: config.environment.clone(),
        tokens: tokens(&config),
        tls: config.api.tls.clone(),
        heartbeat: turned.clone(),
        timeline: timeline(&config),
        steering: steering(&config, answer.clone()),
    };
    let api = api::start(listener, settings, snapshot.clone())?;
    let runtime = runtime()?;
    let next = program.clone();
    let listen = source.listen.clone();
    let end = runtime.block_on(async move {
        if let Some(former) = former {
            tracing::info!(
                former,
                version = seeded_bug::version(),
                upgrades,
                "upgraded in place: this program was executed anew"
            );
        }
        tracing::info!(
            cluster = config.cluster,
            node = config.node,
            api = advertise,
            pid = process.pid,
            version = seeded_bug::version(),
            "primacy starts as a standby"
        );
        for text in config.without_effect.iter().chain(&guessed) {
            tracing::warn!("{text}");
        }
        let backend = backend(&config, process);
        let whole = EventLoop::new(node, backend, api, (answer, answers), snapshot, turned, (source, program))?;
        let end = whole.run().await;
        if let End::Exit(exit) = end {
            tracing::info!(?exit, "primacy ends");
        }
        Ok::<_, std::io::Error>(end)
    });
    // What hangs in it (a resolver) is left behind, not waited for.
    runtime.shutdown_background();
    match end? {
        End::Exit(exit) => Ok(exit),
        End::Execute => {
            tracing::info!(program = %next.path.display(), "executing the program at its path");
            output::settle();
            let carried = Carried::new(next.path.clone(), upgrades + 1, seeded_bug::version(), listen, kept);
            Err(RunError::Execute(next.execute(&carried)))
        }
    }
}

/// The API's socket: the one that the program before had, if it is still the one that is wanted.
fn listener(config: &Config, before: Option<Carried>) -> Result<TcpListener, RunError> {
    let wanted = config.api.listen.to_string();
    let had = before.and_then(|before| before.listener.map(|(listen, _)| listen).zip(before.socket));
    if let Some((_, socket)) = had.filter(|(listen, _)| *listen == wanted) {
        return Ok(socket);
    }
    TcpListener::bind(config.api.listen).map_err(|error| RunError::Listen { address: wanted, error })
}

/// Bytes of recordings that a report has of each node, at most: hours, as a rule.
const REPORTED: u64 = 8 * 1024 * 1024;

/// The way from the API to what this node has recorded.
fn timeline(config: &Config) -> Reader {
    let folder = config.recording().map(|settings| settings.folder());
    let newest = folder.clone().map(|folder| -> Newest {
        Arc::new(move || reading::newest(&folder, REPORTED).map_err(|error| error.to_string()))
    });
    let steps = folder.map(|folder| -> Recordings {
        Arc::new(move |from, to| verify::timeline::within(&folder, from, to).map_err(|error| error.to_string()))
    });
    Reader::new(steps).with_newest(newest)
}

/// The way from the API to what people want.
fn steering(config: &Config, answer: mpsc::UnboundedSender<Input>) -> Steering {
    let with_zookeeper = config.election == ElectionKind::ZooKeeper;
    let ensemble = with_zookeeper.then(|| Arc::new(Ensemble::new(&config.cluster, config.zookeeper.clone())));
    // Whoever dropped the receiver ends the process.
    let own = Arc::new(move |asked| drop(answer.send(Input::Asked(asked))));
    Steering { ensemble, own }
}

/// For work that may wait, which is to look up names: no more threads than this, for each may hang as long as a resolver
/// does.
const BLOCKING_THREADS: usize = 8;

/// One of its threads for work that may wait is started now and kept: tokio panics where it needs one and there is none,
/// and queues the work where there is one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(u32::MAX.into()))
        .build()?;
    // It panics, too: what cannot be had is found out before.
    std::thread::Builder::new().spawn(|| ())?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// The names that this node had in the same file, as far as something may be left of them here.
fn former_names(config: &Config, source: &Source) -> Vec<String> {
    let Some(file) = source.place() else { return Vec::new() };
    let mut names = remains::former_names(&config.cluster, &file, &config.lock.directory);
    names.retain(|name| *name != config.node);
    if !names.is_empty() {
        tracing::info!(
            ?names,
            node = config.node,
            "this node was renamed; what it left under the former name is its own"
        );
    }
    names
}

/// `api.advertise` with the port that was really bound, and a warning where a guess stands for the host name.
fn advertised(config: &Config, port: u16) -> (String, Option<String>) {
    let written = config.api.advertise.strip_suffix(":0").map(|without_port| format!("{without_port}:{port}"));
    let advertise = written.unwrap_or_else(|| config.api.advertise.clone());
    let Some(name) = &config.api.advertised_host else { return (advertise, None) };
    let tls = config.api.tls.is_some();
    let (host, warning) = super::advertise::host(name, config.api.listen, tls);
    let scheme = if tls { "https" } else { "http" };
    (format!("{scheme}://{host}:{port}"), warning)
}
