//! This host: programs, ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::config::{Config, ElectionKind, HealthProbe, WatchdogUse};
use crate::guardian;
use crate::role::LeaseTiming;
use crate::status::CheckResult;

use super::{fail, ok, warn};

pub fn check(config: &Config) -> Vec<CheckResult> {
    let mut results = vec![program(config, "coordinator.command", &config.coordinator.command, true)];
    let health = match &config.health.probe {
        Some(HealthProbe::Command(argv)) => argv.as_slice(),
        Some(HealthProbe::Http(_) | HealthProbe::Tcp(_)) | None => &[],
    };
    for (key, argv) in [
        ("coordinator.before_kill", config.coordinator.before_kill.as_slice()),
        ("fencing.command", &config.fencing.command),
        ("health.command", health),
        ("drain.command", &config.drain.command),
        ("hooks.before_start", &config.hooks.before_start),
        ("hooks.after_stop", &config.hooks.after_stop),
        ("hooks.on_active", &config.hooks.on_active),
        ("hooks.on_standby", &config.hooks.on_standby),
    ] {
        if !argv.is_empty() {
            results.push(program(config, key, argv, false));
        }
    }
    if let Some(directory) = &config.coordinator.working_directory {
        results.push(if directory.is_dir() {
            ok("coordinator.working_directory", directory.display().to_string())
        } else {
            fail(
                "coordinator.working_directory",
                format!("{} is not a directory", directory.display()),
                "create it or correct the path",
            )
        });
    }
    results.push(match TcpListener::bind(config.api.listen) {
        Ok(_) => ok("api.listen", format!("{} is free", config.api.listen)),
        Err(error) => fail(
            "api.listen",
            format!("{}: {error}", config.api.listen),
            "stop what listens there (primacy itself, perhaps), or choose another address",
        ),
    });
    results.extend(watchdog(config));
    if config.api.token.is_none() {
        results.push(warn(
            "api.token_file",
            "not set: calls that change something are taken from this host only",
            "set it to administer this node from others",
        ));
    }
    results
}

fn timing(config: &Config) -> LeaseTiming {
    match config.election {
        ElectionKind::ZooKeeper => config.zookeeper.timing(),
        ElectionKind::Lock => LeaseTiming::of_probes(config.lock.probe_interval, config.lock.probe_timeout),
    }
}

/// Looks at the device without opening it: that would arm it.
fn watchdog(config: &Config) -> Option<CheckResult> {
    const NAME: &str = "fencing.watchdog";
    let mode = config.fencing.watchdog;
    if mode == WatchdogUse::Off {
        return None;
    }
    let device = config.fencing.watchdog_device.display();
    let lease = timing(config);
    let timing = lease.watchdog();
    let seen = guardian::watchdog::seen(&config.fencing.watchdog_device);
    let too_short = (!timing.fits()).then(|| {
        format!(
            "a lease of {:?} is too short for a watchdog's {} s; raise zookeeper.session_timeout",
            timing.longest, timing.seconds
        )
    });
    Some(match (too_short.or(seen.problem), seen.warning) {
        (Some(problem), _) => {
            let (detail, remedy) = problem.split_once("; ").unwrap_or((&problem, "load a driver: modprobe softdog"));
            if mode == WatchdogUse::Required { fail(NAME, detail, remedy) } else { warn(NAME, detail, remedy) }
        }
        (None, Some(warning)) => warn(NAME, warning, "load its driver with nowayout=0 if that is not wanted"),
        (None, None) => ok(
            NAME,
            format!(
                "{device} is there; to be set to {} s: it fires at the latest {:?} after the lease's end, when another node \
                 may be elected",
                timing.seconds,
                lease.grace()
            ),
        ),
    })
}

fn program(config: &Config, key: &str, argv: &[String], required: bool) -> CheckResult {
    let name = argv.first().map_or("", String::as_str);
    let path = config.coordinator.environment.get("PATH").cloned().or_else(|| std::env::var("PATH").ok());
    let found = find(name, path.as_deref().unwrap_or("/bin:/usr/bin"), config.coordinator.working_directory.as_deref());
    match found {
        Some(path) => ok(key, path.display().to_string()),
        None => {
            let detail = format!("{name} is not an executable program on this host");
            let remedy = "install it, correct the path, or make it executable";
            if required { fail(key, detail, remedy) } else { warn(key, detail, remedy) }
        }
    }
}

fn find(name: &str, path: &str, working_directory: Option<&Path>) -> Option<PathBuf> {
    let executable = |candidate: &Path| candidate.is_file() && access(candidate, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        let candidate = working_directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
        return executable(&candidate).then_some(candidate);
    }
    std::env::split_paths(path).map(|directory| directory.join(name)).find(|candidate| executable(candidate))
}
