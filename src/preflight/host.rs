//! This host: programs, ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::config::{Config, HealthProbe, Mode, WatchdogUse};
use crate::moment::in_words;
use crate::status::CheckResult;
use crate::{guardian, warm};

use super::apart::Told;
use super::{fail, ok, warn};

pub fn look(config: &Config, told: &mut Told) {
    const COMMAND: &str = "coordinator.command";
    told.step(COMMAND, || [program(config, COMMAND, &config.coordinator.command, true)]);
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
        ("hooks.on_fenced", &config.hooks.on_fenced),
        ("hooks.on_no_leader", &config.hooks.on_no_leader),
    ] {
        if !argv.is_empty() {
            told.step(key, || [program(config, key, argv, false)]);
        }
    }
    if let Some(directory) = &config.coordinator.working_directory {
        const DIRECTORY: &str = "coordinator.working_directory";
        told.step(DIRECTORY, || {
            [if directory.is_dir() {
                ok(DIRECTORY, directory.display().to_string())
            } else {
                let detail = format!("{} is not a directory", directory.display());
                fail(DIRECTORY, detail, "create it or correct the path")
            }]
        });
    }
    if !config.standby.warm.is_empty() && config.mode == Mode::ActiveStandby {
        told.step("standby.warm", || [warm(config)]);
    }
    told.step("api.listen", || [listen(config)]);
    told.step("fencing.watchdog", || watchdog(config));
    if config.api.token.is_none() {
        told.found(warn(
            "api.token_file",
            "not set: calls that change something are taken from this host only",
            "set it to administer this node from others",
        ));
    }
}

/// By the table of mounts: nothing on the volume is looked at for it.
fn warm(config: &Config) -> CheckResult {
    const NAME: &str = "standby.warm";
    let order = warm::order::Order {
        paths: config.standby.warm.clone(),
        limit: config.standby.warm_limit,
        volume: config.lock.directory.clone(),
    };
    let refused = match warm::refused(&order) {
        Ok(refused) => refused,
        Err(error) => return warn(NAME, format!("nothing is kept: {error}"), "is the volume mounted?"),
    };
    if !refused.is_empty() {
        let remedy = "name files on this host's own disk; if the volume is not mounted, mount it";
        return fail(NAME, refused.join("; "), remedy);
    }
    let absent: Vec<_> =
        order.paths.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
    if !absent.is_empty() {
        return warn(NAME, format!("not there: {}", absent.join(", ")), "correct the paths");
    }
    let limit = bytesize::ByteSize(order.limit);
    ok(NAME, format!("{} paths, none of them on the volume; at most {limit} are kept", order.paths.len()))
}

fn listen(config: &Config) -> CheckResult {
    const NAME: &str = "api.listen";
    let address = config.api.listen;
    let Err(error) = TcpListener::bind(address) else { return ok(NAME, format!("{address} is free")) };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return fail(
            NAME,
            format!("{address}: {error}"),
            "choose an address of this host, and a port that is permitted",
        );
    }
    match who_answers(config) {
        Who::ThisNode => ok(NAME, format!("{address} is in use by this node, which runs")),
        Who::Another(node) => fail(
            NAME,
            format!("{address} is in use by another node, {node}"),
            "two nodes on one host need a port each: choose another address",
        ),
        Who::WantsCertificate => warn(
            NAME,
            format!(
                "{address} is in use by something that wants a client's certificate: this node, if primacy runs here"
            ),
            "if it does not run, stop what listens there, or choose another address",
        ),
        Who::Unknown => fail(NAME, format!("{address}: {error}"), "stop what listens there, or choose another address"),
    }
}

enum Who {
    ThisNode,
    Another(String),
    WantsCertificate,
    Unknown,
}

/// Asks what listens at the API's address who it is. Nothing secret is sent, so nothing has to be proven.
fn who_answers(config: &Config) -> Who {
    let mut address = config.api.listen;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        address.set_ip(loopback.parse().expect("a literal address"));
    }
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .new_agent();
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    let Ok(mut answer) = agent.get(format!("{scheme}://{address}/server_status")).call() else {
        let wants = config.api.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        return if wants { Who::WantsCertificate } else { Who::Unknown };
    };
    let Ok(status) = answer.body_mut().read_json::<serde_json::Value>() else { return Who::Unknown };
    match (status["cluster"].as_str(), status["node"].as_str()) {
        (Some(cluster), Some(node)) if cluster == config.cluster && node == config.node => Who::ThisNode,
        (Some(cluster), Some(node)) if is_a_name(cluster) && is_a_name(node) => {
            Who::Another(format!("{node} of cluster {cluster}"))
        }
        _ => Who::Unknown,
    }
}

/// What a stranger calls itself is shown only if it is a name.
fn is_a_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Looks at the device without opening it: that would arm it.
fn watchdog(config: &Config) -> Option<CheckResult> {
    const NAME: &str = "fencing.watchdog";
    let mode = config.fencing.watchdog;
    if mode == WatchdogUse::Off {
        return None;
    }
    let device = config.fencing.watchdog_device.display();
    let lease = config.timing(None);
    let timing = lease.watchdog();
    let seen = guardian::watchdog::seen(&config.fencing.watchdog_device);
    let too_short = (!timing.fits()).then(|| {
        format!(
            "a lease of {} is too short for a watchdog's {} s; raise zookeeper.session_timeout",
            in_words(timing.longest),
            timing.seconds
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
                "{device} is there; to be set to {} s: it fires at the latest {} after the lease's end, when another node \
                 may be elected",
                timing.seconds,
                in_words(lease.grace())
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
