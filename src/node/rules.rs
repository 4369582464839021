//! From the configuration to the rules of the role.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{AfterLoss, Config, ElectionKind, Mode, WatchdogUse};
use crate::role::{Backoff, Restarts, Rules};

use super::commands::AFTER_STOP_TIMEOUT;

/// How long what was killed may take to die before the role is given away all the same. A process in an NFS server's
/// outage does not die until the server answers; the lock goes on protecting the volume meanwhile.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// With a watchdog the host is reset by the end of lease and grace if something does not die: giving the role away before
/// that would give it away while it still writes. This much later it is over.
const SETTLED: Duration = Duration::from_secs(1);

/// See [`Reckoned::hand_over_within`].
const HAND_OVER_WITHIN: Duration = Duration::from_secs(30);

/// What the guardian grants the before_kill hook.
const BEFORE_KILL: Duration = Duration::from_secs(10);

/// The core's rules under this configuration.
fn rules(config: &Config, session_timeout: Option<Duration>) -> Rules {
    let timing = config.timing(session_timeout);
    let restarts = config.coordinator.restarts;
    let backoff = config.coordinator.backoff;
    let with_watchdog = config.fencing.watchdog != WatchdogUse::Off;
    let least_to_start = match config.election {
        ElectionKind::ZooKeeper => timing.least_to_start(),
        ElectionKind::Lock => config.lock.probe_interval,
    };
    Rules {
        may_stand: config.mode == Mode::AlwaysOn
            || config.candidate.priority > 0
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

/// What a configuration and a session mean in time. A parameter of a node, for a model counts in units of its own.
#[derive(Clone)]
pub struct Timing(Arc<Reckoning>);

type Reckoning = dyn Fn(&Config, Option<Duration>) -> Reckoned + Send + Sync;

/// What follows from a configuration, and from the session that was granted if there is one.
#[derive(Clone, Debug)]
pub struct Reckoned {
    pub rules: Rules,
    /// How long a lease that runs lasts at most after another connection was asked for.
    pub at_most: Duration,
    /// From when a switchover is due: by then the target has answered, or nobody is stopped for it.
    pub hand_over_within: Duration,
}

impl Timing {
    pub fn new(reckoning: impl Fn(&Config, Option<Duration>) -> Reckoned + Send + Sync + 'static) -> Self {
        Self(Arc::new(reckoning))
    }

    pub fn reckon(&self, config: &Config, session_timeout: Option<Duration>) -> Reckoned {
        (self.0)(config, session_timeout)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(|config, session_timeout| Reckoned {
            rules: rules(config, session_timeout),
            at_most: config.timing(session_timeout).at_most(),
            hand_over_within: HAND_OVER_WITHIN,
        })
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timing")
    }
}
