//! The configuration as it applies, for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ApiTls, Config, HealthProbe, Secret, ZooKeeperTls, checks};

/// What stands for a secret.
const SECRET: &str = "(secret)";
/// What stands for a certificate whose text is known and whose file is not.
const PEM: &str = "(PEM)";

/// The effective configuration with every key of the file's structure; unset ones are `""`, `[]` or `{}`. Secrets are
/// hidden: a file that holds one is named, a value that may be one is `(secret)`, a command is shown without its arguments,
/// a URL without user, password and query.
pub fn effective(config: &Config) -> Value {
    tree(config, Secrets::Hidden)
}

/// The same with the texts of secrets, for comparison only: such a tree never leaves this crate's configuration.
pub(super) fn compared(config: &Config) -> Value {
    tree(config, Secrets::Compared)
}

/// The value at a dotted path.
pub(super) fn at<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(tree, |value, name| value.get(name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Hidden,
    /// Their texts, for comparison only: such a tree never leaves this module.
    Compared,
}

fn tree(config: &Config, secrets: Secrets) -> Value {
    let Config { cluster, node, environment, coordinator, health, drain, fencing, hooks, candidate, .. } = config;
    let secret = |secret: Option<&Secret>| match (secret, secrets) {
        (None, _) => String::new(),
        (Some(secret), Secrets::Compared) => secret.reveal().to_owned(),
        (Some(secret), Secrets::Hidden) => secret.file().map_or_else(|| SECRET.to_owned(), |file| text(Some(file))),
    };
    let command = |argv: &[String]| match secrets {
        Secrets::Hidden => argv.iter().take(1).cloned().collect::<Vec<String>>(),
        Secrets::Compared => argv.to_vec(),
    };
    let url = |url: &str| if secrets == Secrets::Hidden { shown_url(url) } else { url.to_owned() };
    let endpoints: BTreeMap<&str, String> =
        coordinator.endpoints.iter().map(|(name, endpoint)| (name.as_str(), url(endpoint))).collect();
    let variables: BTreeMap<&str, &str> = coordinator
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), if secrets == Secrets::Hidden { SECRET } else { value.as_str() }))
        .collect();
    json!({
        "cluster": cluster,
        "node": node,
        "election": config.election.as_str(),
        "environment": environment,
        "mode": config.mode.as_str(),
        "log_level": config.log_level.as_str(),
        "zookeeper": zookeeper(config, secrets, &secret),
        "lock": {
            "directory": text(Some(&config.lock.directory)),
            "probe_interval": span(config.lock.probe_interval),
            "probe_timeout": span(config.lock.probe_timeout),
            "min_free_space": size(config.lock.min_free_space),
        },
        "coordinator": {
            "command": command(&coordinator.command),
            "kind": coordinator.kind.as_str(),
            "working_directory": text(coordinator.working_directory.as_deref()),
            "environment": variables,
            "user": coordinator.user.as_deref().unwrap_or_default(),
            "stop_signal": checks::signal_name(coordinator.stop_signal),
            "stop_timeout": span(coordinator.stop_timeout),
            "before_kill": command(&coordinator.before_kill),
            "restarts": { "max": coordinator.restarts.max, "within": span(coordinator.restarts.within) },
            "backoff": {
                "first": span(coordinator.backoff.first),
                "max": span(coordinator.backoff.max),
                "reset": span(coordinator.backoff.reset),
            },
            "endpoints": endpoints,
        },
        "health": {
            "startup_timeout": span(health.startup_timeout),
            "http": if let Some(HealthProbe::Http(it)) = &health.probe { url(it) } else { String::new() },
            "tcp": if let Some(HealthProbe::Tcp(address)) = &health.probe { address } else { "" },
            "command": if let Some(HealthProbe::Command(argv)) = &health.probe { command(argv) } else { vec![] },
            "interval": span(health.interval),
            "timeout": span(health.timeout),
            "failures": health.failures,
        },
        "drain": {
            "grace_period": span(drain.grace_period),
            "command": command(&drain.command),
            "timeout": span(drain.timeout),
        },
        "rehearsal": { "allowed": config.rehearsal.allowed },
        "fencing": {
            "command": command(&fencing.command),
            "timeout": span(fencing.timeout),
            "required": fencing.required,
            "frees_lock": fencing.frees_lock,
            "after_loss": fencing.after_loss.as_str(),
            "watchdog": fencing.watchdog.as_str(),
            "watchdog_device": fencing.watchdog_device,
        },
        "hooks": {
            "on_active": command(&hooks.on_active),
            "on_standby": command(&hooks.on_standby),
            "before_start": command(&hooks.before_start),
            "after_stop": command(&hooks.after_stop),
            "on_fenced": command(&hooks.on_fenced),
            "on_no_leader": command(&hooks.on_no_leader),
            "no_leader_after": span(hooks.no_leader_after),
        },
        "candidate": { "priority": candidate.priority, "tags": candidate.tags },
        "standby": { "warm": config.standby.warm, "warm_limit": size(config.standby.warm_limit) },
        "recorder": { "directory": text(config.recorder.directory.as_deref()), "limit": size(config.recorder.limit) },
        "api": {
            "listen": config.api.listen.to_string(),
            "advertise": config.api.advertise,
            "token_file": secret(config.api.token.as_ref()),
            "read_token_file": secret(config.api.read_token.as_ref()),
            "tls": api_tls(config.api.tls.as_ref()),
        },
    })
}

/// A URL, or `host:port`, without what may be a secret in it.
pub fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

fn zookeeper(config: &Config, secrets: Secrets, secret: &dyn Fn(Option<&Secret>) -> String) -> Value {
    let zookeeper = &config.zookeeper;
    let pem = |pem: &Option<String>| match (pem, secrets) {
        (None, _) => String::new(),
        (Some(text), Secrets::Compared) => text.clone(),
        (Some(_), Secrets::Hidden) => PEM.to_owned(),
    };
    let none = ZooKeeperTls { ca: None, cert: None, key: None };
    let tls = zookeeper.tls.as_ref().unwrap_or(&none);
    json!({
        "servers": zookeeper.servers,
        "root": zookeeper.root,
        "session_timeout": span(zookeeper.session_timeout),
        "tick_time": span(zookeeper.tick_time),
        "heartbeat_interval": span(zookeeper.heartbeat_interval),
        "margin": span(zookeeper.margin),
        "digest_file": secret(zookeeper.digest.as_ref()),
        "tls": { "ca": pem(&tls.ca), "cert": pem(&tls.cert), "key": secret(tls.key.as_ref()) },
    })
}

fn api_tls(tls: Option<&ApiTls>) -> Value {
    json!({
        "cert": text(tls.map(|tls| tls.cert.as_path())),
        "key": text(tls.map(|tls| tls.key.as_path())),
        "client_ca": text(tls.and_then(|tls| tls.client_ca.as_deref())),
    })
}

fn text(path: Option<&Path>) -> String {
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// As the file would say it.
pub(super) fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// As the file would say it: exact, in the largest unit that divides it.
pub(super) fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift)) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}
