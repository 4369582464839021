//! From the configuration to the core's rules, and SIGHUP.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api;
use crate::config::{self, AfterLoss, Config, ElectionKind, WatchdogUse};
use crate::role::{Backoff, LeaseTiming, Restarts, Rules};

use super::apart::apart;
use super::hooks::AFTER_STOP_TIMEOUT;
use super::wiring::{self, Source};

/// How long what was killed may take to die before the role is given away all the same. A process in an NFS server's
/// outage does not die until the server answers; the lock goes on protecting the volume meanwhile.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// With a watchdog the host is reset by the end of lease and grace if something does not die: giving the role away before
/// that would give it away while it still writes. This much later it is over.
const SETTLED: Duration = Duration::from_secs(1);

/// What the guardian grants the before_kill hook.
const BEFORE_KILL: Duration = Duration::from_secs(10);

/// How the lease is reckoned, with the session that is granted if there is one.
pub fn timing(config: &Config, session_timeout: Option<Duration>) -> LeaseTiming {
    match config.election {
        ElectionKind::ZooKeeper => match session_timeout {
            Some(granted) => config.zookeeper.timing_under(granted),
            None => config.zookeeper.timing(),
        },
        ElectionKind::Lock => LeaseTiming::of_probes(config.lock.probe_interval, config.lock.probe_timeout),
    }
}

/// The core's rules under this configuration.
pub fn rules(config: &Config, session_timeout: Option<Duration>) -> Rules {
    let timing = timing(config, session_timeout);
    let restarts = config.coordinator.restarts;
    let backoff = config.coordinator.backoff;
    let with_watchdog = config.fencing.watchdog != WatchdogUse::Off;
    let least_to_start = match config.election {
        ElectionKind::ZooKeeper => timing.least_to_start(),
        ElectionKind::Lock => config.lock.probe_interval,
    };
    Rules {
        may_stand: config.candidate.priority > 0
            && (config.election == ElectionKind::Lock || timing.check().is_ok())
            && (config.fencing.watchdog != WatchdogUse::Required || timing.watchdog().fits()),
        lease: timing.length(),
        least_to_start: if with_watchdog {
            least_to_start.max(timing.watchdog().least_to_arm())
        } else {
            least_to_start
        },
        fencing: !config.fencing.command.is_empty(),
        fencing_required: config.fencing.required,
        fencing_frees_lock: config.fencing.frees_lock,
        fence_after: timing.length(),
        fencing_timeout: config.fencing.timeout + STUCK_AFTER,
        watchdog_required: config.fencing.watchdog == WatchdogUse::Required,
        before_start: !config.hooks.before_start.is_empty(),
        after_stop: !config.hooks.after_stop.is_empty(),
        after_stop_timeout: AFTER_STOP_TIMEOUT + STUCK_AFTER,
        before_start_timeout: config.health.startup_timeout + STUCK_AFTER,
        probed: config.health.probe.is_some(),
        startup_timeout: config.health.startup_timeout,
        volume_timeout: config.lock.probe_timeout,
        stop_timeout: config.coordinator.stop_timeout + BEFORE_KILL + STUCK_AFTER,
        stuck_after: if with_watchdog {
            STUCK_AFTER.max(timing.length() + timing.grace() + SETTLED)
        } else {
            STUCK_AFTER
        },
        restarts: Restarts { max: restarts.max, within: restarts.within },
        backoff: Backoff { first: backoff.first, max: backoff.max, reset: backoff.reset },
        exit_after_loss: config.fencing.after_loss == AfterLoss::Exit,
    }
}

/// What was read at a reload, everything that can be wrong with it found.
pub struct Reread {
    config: Config,
    /// Of `api.tls`, where there is one.
    certificates: Option<api::Certificates>,
}

/// How long the files of a configuration may take to be read.
const READING: Duration = Duration::from_secs(10);

/// A reload under way: files are read on a thread of its own, for they may lie on anything, and `coordinator.user` is looked
/// up by whatever this host asks for names.
#[derive(Default)]
pub struct Reloading {
    reading: Option<oneshot::Receiver<Result<Reread, String>>>,
    /// Asked for again meanwhile.
    again: bool,
}

impl Reloading {
    pub fn begin(&mut self, source: &Source) {
        if self.reading.is_some() {
            tracing::info!("SIGHUP: the configuration is being read already; it is read once more after that");
            self.again = true;
            return;
        }
        tracing::info!("SIGHUP: reading the configuration again");
        let (sender, receiver) = oneshot::channel();
        let (file, command) = (source.file.clone(), source.command.clone());
        self.reading = Some(receiver);
        tokio::spawn(async move {
            let reading = apart("reload", move || reread(&file, command));
            let read = match timeout(READING, reading).await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!(
                    "the file, or one that it names, could not be read within {READING:?}; does its file system answer? \
                     Send SIGHUP again when it does"
                )),
            };
            let _ = sender.send(read);
        });
    }

    /// What was read; `None` if that ended with nothing. Cancel safe.
    pub async fn done(&mut self) -> Option<Result<Reread, String>> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let read = reading.await.ok();
        self.reading = None;
        read
    }

    /// Whether it was asked for once more; said once.
    pub fn is_wanted_again(&mut self) -> bool {
        std::mem::take(&mut self.again)
    }
}

fn reread(file: &Path, command: Option<Vec<String>>) -> Result<Reread, String> {
    let config = config::load(file, command).map_err(|problems| problems.to_string())?;
    let certificates = config.api.tls.as_ref().map(api::certificates).transpose().map_err(|error| error.to_string())?;
    Ok(Reread { config, certificates })
}

/// Takes over what takes effect at run time, and says of every key that differs which it is.
pub fn apply(current: &Config, read: Reread, source: &Source, api: &api::ApiThread) -> Config {
    let Reread { config: read, certificates } = read;
    let level_applies = (source.set_log_level)(read.log_level);
    for change in config::reload_differences(current, &read) {
        if change.key == "log_level" && !level_applies {
            tracing::warn!(key = change.key, "changed in the file, but -v, -q or RUST_LOG has precedence");
        } else if change.takes_effect {
            tracing::info!(key = change.key, "reloaded");
        } else {
            tracing::warn!(key = change.key, "changed in the file, but needs a restart of primacy");
        }
    }
    for text in read.without_effect.iter().filter(|text| !current.without_effect.contains(text)) {
        tracing::warn!("{text}");
    }
    let merged = config::merge(current, &read);
    api.reload_tokens(wiring::tokens(&merged));
    if let Some(certificates) = certificates.filter(|_| merged.api.tls.is_some()) {
        tracing::info!("the files of api.tls have been read again");
        api.reload_tls(certificates);
    }
    merged
}
