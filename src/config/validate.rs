//! From plain values to the validated [`Config`]: what needs more than one look at one key.
//!
//! Each section is built with defaults in the place of what is missing or bad, so that every problem of the file is
//! found in one go; the caller throws the result away if there was any.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::checks::{self, Refusal, Schemes};
use super::reader::Reader;
use super::{
    AfterLoss, Api, ApiTls, Backoff, Candidate, Config, Coordinator, CoordinatorKind, Drain, ElectionKind, Fencing,
    Health, HealthProbe, Hooks, Lock, LogLevel, Mode, Recorder, Rehearsal, Restarts, Secret, Standby, WatchdogUse,
    ZooKeeper, ZooKeeperTls, always_on, defaults, files, lease, tokens,
};

/// Where the coordinator's command comes from.
#[derive(Clone, Debug)]
pub enum Command {
    /// From the file, which must have it.
    InFile,
    /// From the command line.
    Given(Vec<String>),
    /// From the file, if it is there: nothing is going to be run.
    Later,
}

/// The whole configuration. `host`: this machine's name.
pub fn config(reader: &mut Reader, host: &str, command: Command) -> Config {
    let election = choice(reader, "election", ElectionKind::from_word);
    let mode = choice(reader, "mode", Mode::from_word);
    if mode == Mode::AlwaysOn {
        always_on::check(reader, election);
    }
    let cluster = required(reader, "cluster", "name the cluster: cluster = \"…\", the same on all its hosts");
    if !cluster.is_empty() {
        check(reader, "cluster", checks::cluster_name(&cluster));
    }
    let node = node(reader, host);
    Config {
        cluster,
        node,
        election,
        mode,
        environment: reader.text("environment").unwrap_or_else(|| defaults::ENVIRONMENT.to_owned()),
        log_level: choice(reader, "log_level", LogLevel::from_word),
        zookeeper: zookeeper(reader, election),
        lock: lock(reader, mode),
        coordinator: coordinator(reader, command),
        health: health(reader),
        drain: Drain {
            grace_period: reader.duration("drain.grace_period").unwrap_or(defaults::DRAIN_GRACE_PERIOD),
            command: reader.arguments("drain.command"),
            timeout: reader.duration("drain.timeout").unwrap_or(defaults::DRAIN_TIMEOUT),
        },
        rehearsal: Rehearsal { allowed: reader.boolean("rehearsal.allowed").unwrap_or(false) },
        fencing: fencing(reader),
        hooks: Hooks {
            on_active: reader.arguments("hooks.on_active"),
            on_standby: reader.arguments("hooks.on_standby"),
            before_start: reader.arguments("hooks.before_start"),
            after_stop: reader.arguments("hooks.after_stop"),
            on_fenced: reader.arguments("hooks.on_fenced"),
            on_no_leader: reader.arguments("hooks.on_no_leader"),
            no_leader_after: reader.duration("hooks.no_leader_after").unwrap_or(defaults::NO_LEADER_AFTER),
        },
        candidate: Candidate {
            priority: reader.count("candidate.priority").unwrap_or(defaults::PRIORITY),
            tags: tags(reader),
        },
        standby: Standby {
            warm: reader.arguments("standby.warm").into_iter().map(PathBuf::from).collect(),
            warm_limit: reader.size("standby.warm_limit").unwrap_or(defaults::WARM_LIMIT),
        },
        recorder: recorder(reader),
        api: api(reader, host),
        without_effect: without_effect(reader, election, mode),
    }
}

fn recorder(reader: &mut Reader) -> Recorder {
    let wanted = reader.text("recorder.directory").map(PathBuf::from);
    let unsaid = !reader.has("recorder.directory");
    let limit = reader.size("recorder.limit").unwrap_or(defaults::RECORDER_LIMIT);
    if limit < defaults::RECORDER_LEAST {
        reader.reject(
            "recorder.limit",
            "is too little for the record of one fail-over",
            "write \"1MiB\" at least, or recorder.directory = \"\" to record nothing",
        );
    }
    Recorder { directory: wanted.or_else(|| unsaid.then(|| defaults::RECORDER_DIRECTORY.into())), limit }
}

/// Keys that are taken and do nothing here. Whoever wrote them should not rely on them.
fn without_effect(reader: &Reader, election: ElectionKind, mode: Mode) -> Vec<String> {
    let given = |keys: &[&str]| {
        let given: Vec<&str> = keys.iter().copied().filter(|key| reader.has(key)).collect();
        (!given.is_empty()).then(|| given.join(", "))
    };
    let fencing = (election == ElectionKind::Lock && !reader.arguments("fencing.command").is_empty())
        .then(|| given(&["fencing.command", "fencing.timeout", "fencing.required", "fencing.frees_lock"]))
        .flatten()
        .map(|keys| {
            format!("{keys}: with election = \"lock\" nobody is fenced; only the lock keeps a former active node out")
        });
    let alarm = (election == ElectionKind::Lock && !reader.arguments("hooks.on_no_leader").is_empty())
        .then(|| given(&["hooks.on_no_leader", "hooks.no_leader_after"]))
        .flatten()
        .map(|keys| {
            format!("{keys}: with election = \"lock\" no node knows whether another one leads; it is never run")
        });
    fencing.into_iter().chain(alarm).chain(always_on::without_effect(reader, mode)).collect()
}

/// Reports a refusal; gives what was accepted.
fn check<T>(reader: &mut Reader, key: &'static str, result: Result<T, Refusal>) -> Option<T> {
    result.map_err(|(what, remedy)| reader.reject(key, what, remedy)).ok()
}

/// What a key's word stands for; the default if there is none, or it was refused.
fn choice<T: Default>(reader: &Reader, key: &'static str, from_word: fn(&str) -> Option<T>) -> T {
    reader.text(key).and_then(|word| from_word(&word)).unwrap_or_default()
}

/// The text of a key that must be given; empty if it is not, which is then reported.
fn required(reader: &mut Reader, key: &'static str, remedy: &str) -> String {
    let text = reader.text(key).unwrap_or_default();
    if text.is_empty() && !reader.is_bad(key) {
        let what = if reader.has(key) { "is empty" } else { "is missing" };
        reader.reject(key, what, remedy);
    }
    text
}

fn node(reader: &mut Reader, host: &str) -> String {
    if let Some(node) = reader.text("node") {
        check(reader, "node", checks::node_name(&node));
        return node;
    }
    if !reader.is_bad("node") && checks::node_name(host).is_err() {
        let what = format!("is not given, and the host name {host:?} cannot stand for it");
        reader.reject("node", what, "name this host: node = \"…\", a name that matches [A-Za-z0-9_.-]{1,64}");
    }
    host.to_owned()
}

fn zookeeper(reader: &mut Reader, election: ElectionKind) -> ZooKeeper {
    let mut servers = String::new();
    if let Some(text) = reader.text("zookeeper.servers") {
        servers = check(reader, "zookeeper.servers", checks::servers(&text)).unwrap_or_default();
    } else if election == ElectionKind::ZooKeeper && !reader.is_bad("zookeeper.servers") && !reader.is_bad("election") {
        reader.reject(
            "zookeeper.servers",
            "is missing, and election = \"zookeeper\" needs it",
            "write servers = \"host:port,host:port\", or election = \"lock\" to do without ZooKeeper",
        );
    }
    let root = reader.text("zookeeper.root").unwrap_or_else(|| defaults::ZOOKEEPER_ROOT.to_owned());
    check(reader, "zookeeper.root", checks::znode(&root));
    let session_timeout = reader.duration("zookeeper.session_timeout").unwrap_or(defaults::SESSION_TIMEOUT);
    let zookeeper = ZooKeeper {
        servers: if election == ElectionKind::Lock { String::new() } else { servers },
        root,
        session_timeout,
        tick_time: reader.duration("zookeeper.tick_time").unwrap_or(defaults::TICK_TIME),
        heartbeat_interval: reader
            .duration("zookeeper.heartbeat_interval")
            .unwrap_or(session_timeout / defaults::HEARTBEATS_PER_SESSION),
        margin: reader.duration("zookeeper.margin").unwrap_or(defaults::MARGIN),
        digest: secret(reader, "zookeeper.digest_file", checks::digest),
        tls: zookeeper_tls(reader),
    };
    if session_timeout > defaults::LONGEST_SESSION {
        reader.reject(
            "zookeeper.session_timeout",
            "is longer than 24 days, and ZooKeeper counts milliseconds with 31 bits",
            "check the unit; a server grants 20 ticks at most unless its maxSessionTimeout says otherwise",
        );
    }
    let operands = ["session_timeout", "tick_time", "heartbeat_interval", "margin"];
    if election == ElectionKind::ZooKeeper && !operands.iter().any(|key| reader.is_bad(&format!("zookeeper.{key}"))) {
        let computed = !reader.has("zookeeper.heartbeat_interval");
        check(reader, "zookeeper.session_timeout", lease::check(&zookeeper, computed));
    }
    zookeeper
}

fn zookeeper_tls(reader: &mut Reader) -> Option<ZooKeeperTls> {
    both_or_none(reader, "zookeeper.tls.cert", "zookeeper.tls.key");
    if reader.asks("zookeeper.tls.cert") && reader.asks("zookeeper.tls.key") && !reader.asks("zookeeper.tls.ca") {
        reader.reject(
            "zookeeper.tls.ca",
            "is missing, and without it no server's certificate can be checked",
            "name the PEM file with the authority of the servers' certificates",
        );
    }
    let ca = file(reader, "zookeeper.tls.ca", files::certificates).map(|(_, text)| text);
    let cert = file(reader, "zookeeper.tls.cert", files::certificates).map(|(_, text)| text);
    let key = file(reader, "zookeeper.tls.key", files::private_key).map(|(path, text)| Secret::from_file(path, text));
    (ca.is_some() || cert.is_some() || key.is_some()).then_some(ZooKeeperTls { ca, cert, key })
}

fn lock(reader: &mut Reader, mode: Mode) -> Lock {
    let directory = match mode {
        Mode::ActiveStandby => required(
            reader,
            "lock.directory",
            "write directory = \"…\" in [lock]: a directory on the shared volume, the same for all nodes",
        ),
        // Whatever is written there: nothing is locked, and nothing is touched.
        Mode::AlwaysOn => String::new(),
    };
    let probe_interval = reader.duration("lock.probe_interval").unwrap_or(defaults::PROBE_INTERVAL);
    let probe_timeout = reader.duration("lock.probe_timeout").unwrap_or(defaults::PROBE_TIMEOUT);
    let bad = reader.is_bad("lock.probe_interval") || reader.is_bad("lock.probe_timeout");
    if probe_timeout < probe_interval && !bad {
        let key = if reader.has("lock.probe_timeout") { "lock.probe_timeout" } else { "lock.probe_interval" };
        let (timeout, interval) =
            (humantime::format_duration(probe_timeout), humantime::format_duration(probe_interval));
        reader.reject(
            key,
            format!("leaves lock.probe_timeout ({timeout}) shorter than lock.probe_interval ({interval})"),
            "raise probe_timeout to at least probe_interval",
        );
    }
    Lock {
        directory: PathBuf::from(directory),
        probe_interval,
        probe_timeout,
        min_free_space: reader.size("lock.min_free_space").unwrap_or(defaults::MIN_FREE_SPACE),
    }
}

fn coordinator(reader: &mut Reader, command: Command) -> Coordinator {
    let key = "coordinator.command";
    let written = reader.arguments(key);
    let command = match command {
        Command::Given(command) if !command.is_empty() => {
            if command[0].is_empty() {
                reader.reject(key, "is given after -- with an empty program name", "name the program after --");
            }
            command
        }
        Command::Later => written,
        Command::InFile | Command::Given(_) => {
            if written.is_empty() && !reader.is_bad(key) {
                let what = if reader.has(key) { "is empty" } else { "is missing" };
                let remedy = "write command = [\"program\", \"argument\", …] in [coordinator], or give it after --: run -- program …";
                reader.reject(key, what, remedy);
            }
            written
        }
    };
    let stop_signal = reader.text("coordinator.stop_signal").unwrap_or_else(|| defaults::STOP_SIGNAL.to_owned());
    let stop_signal = check(reader, "coordinator.stop_signal", checks::stop_signal(&stop_signal));
    let backoff = Backoff {
        first: reader.duration("coordinator.backoff.first").unwrap_or(defaults::BACKOFF_FIRST),
        max: reader.duration("coordinator.backoff.max").unwrap_or(defaults::BACKOFF_MAX),
        reset: reader.duration("coordinator.backoff.reset").unwrap_or(defaults::BACKOFF_RESET),
    };
    let bad = reader.is_bad("coordinator.backoff.first") || reader.is_bad("coordinator.backoff.max");
    if backoff.first > backoff.max && !bad {
        let key = if reader.has("coordinator.backoff.first") {
            "coordinator.backoff.first"
        } else {
            "coordinator.backoff.max"
        };
        let (first, max) = (humantime::format_duration(backoff.first), humantime::format_duration(backoff.max));
        reader.reject(
            key,
            format!("leaves coordinator.backoff.first ({first}) longer than coordinator.backoff.max ({max})"),
            "raise max or lower first",
        );
    }
    Coordinator {
        command,
        kind: choice(reader, "coordinator.kind", CoordinatorKind::from_word),
        working_directory: reader.text("coordinator.working_directory").map(PathBuf::from),
        environment: environment(reader),
        user: user(reader),
        stop_signal: stop_signal.unwrap_or(nix::libc::SIGTERM),
        stop_timeout: reader.duration("coordinator.stop_timeout").unwrap_or(defaults::STOP_TIMEOUT),
        before_kill: reader.arguments("coordinator.before_kill"),
        restarts: Restarts {
            max: reader.count("coordinator.restarts.max").unwrap_or(defaults::RESTARTS_MAX),
            within: reader.duration("coordinator.restarts.within").unwrap_or(defaults::RESTARTS_WITHIN),
        },
        backoff,
        endpoints: endpoints(reader),
    }
}

fn environment(reader: &mut Reader) -> BTreeMap<String, String> {
    let key = "coordinator.environment";
    let given = reader.given_texts(key);
    for (name, value) in &given {
        if let Err((what, remedy)) = checks::variable_name(name) {
            reader.reject_text(key, name, value, what, remedy);
        }
    }
    given.into_iter().map(|(name, value)| (name, value.text)).collect()
}

fn endpoints(reader: &mut Reader) -> BTreeMap<String, String> {
    let key = "coordinator.endpoints";
    let given = reader.given_texts(key);
    check(reader, key, checks::few_enough(given.len()));
    for (name, value) in &given {
        let example = "http://node-a:9047, or host:port for anything but HTTP";
        let result = checks::endpoint_name(name).and_then(|()| {
            checks::short_enough(&value.text, checks::LONGEST_PUBLISHED_URL)?;
            if checks::has_credentials(&value.text) {
                let [what, remedy] = PUBLISHED_CREDENTIALS.map(str::to_owned);
                Err((what, remedy))
            } else if value.text.contains("://") {
                checks::url(&value.text, Schemes::HttpAndHttps, example).map(|_| ())
            } else {
                checks::host_and_port(&value.text)
            }
        });
        if let Err((what, remedy)) = result {
            if checks::has_credentials(&value.text) {
                reader.reject_text(key, name, &value.clone().unshown(), what, remedy);
            } else {
                reader.reject_text(key, name, value, what, remedy);
            }
        }
    }
    given.into_iter().map(|(name, value)| (name, value.text)).collect()
}

const PUBLISHED_CREDENTIALS: [&str; 2] =
    ["contains credentials, and it is shown to everybody", "leave out what stands before the @"];

fn tags(reader: &mut Reader) -> BTreeMap<String, String> {
    let key = "candidate.tags";
    let given = reader.given_texts(key);
    check(reader, key, checks::few_enough(given.len()));
    for (name, value) in &given {
        if let Err((what, remedy)) = checks::tag(name, &value.text) {
            reader.reject_text(key, name, value, what, remedy);
        }
    }
    given.into_iter().map(|(name, value)| (name, value.text)).collect()
}

fn user(reader: &mut Reader) -> Option<String> {
    let user = reader.text("coordinator.user")?;
    let found = match user.parse() {
        Ok(uid) => nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)),
        Err(_) => nix::unistd::User::from_name(&user),
    };
    match found {
        // A name service that fails at the moment says nothing of the account: the guardian asks it again before each start.
        Ok(Some(_)) | Err(_) => {}
        Ok(None) => reader.reject(
            "coordinator.user",
            "is not an account on this host",
            "create the account, or leave the key out to keep the supervisor's",
        ),
    }
    Some(user)
}

fn health(reader: &mut Reader) -> Health {
    let mut probes: Vec<(&'static str, HealthProbe)> = Vec::new();
    if let Some(url) = url(reader, "health.http", Schemes::Http, "http://127.0.0.1:9047/apiv2/server_status") {
        probes.push(("health.http", HealthProbe::Http(url)));
    }
    if let Some(address) = reader.text("health.tcp")
        && check(reader, "health.tcp", checks::host_and_port(&address)).is_some()
    {
        probes.push(("health.tcp", HealthProbe::Tcp(address)));
    }
    let command = reader.arguments("health.command");
    if !command.is_empty() {
        probes.push(("health.command", HealthProbe::Command(command)));
    }
    let first = probes.first().map(|(key, _)| *key);
    for (key, _) in probes.iter().skip(1) {
        let what = format!("is a second probe, besides {}", first.unwrap_or_default());
        reader.reject(key, what, "keep one of health.http, health.tcp and health.command");
    }
    Health {
        startup_timeout: reader.duration("health.startup_timeout").unwrap_or(defaults::HEALTH_STARTUP_TIMEOUT),
        probe: probes.into_iter().next().map(|(_, probe)| probe),
        interval: reader.duration("health.interval").unwrap_or(defaults::HEALTH_INTERVAL),
        timeout: reader.duration("health.timeout").unwrap_or(defaults::HEALTH_TIMEOUT),
        failures: reader.count("health.failures").unwrap_or(defaults::HEALTH_FAILURES),
    }
}

fn fencing(reader: &mut Reader) -> Fencing {
    let command = reader.arguments("fencing.command");
    let required = reader.boolean("fencing.required").unwrap_or(false);
    if required && command.is_empty() && !reader.is_bad("fencing.command") {
        reader.reject(
            "fencing.required",
            "needs a fencing command, and there is none",
            "write command = [\"program\", …] in [fencing], or required = false",
        );
    }
    Fencing {
        command,
        timeout: reader.duration("fencing.timeout").unwrap_or(defaults::FENCING_TIMEOUT),
        required,
        frees_lock: reader.boolean("fencing.frees_lock").unwrap_or(false),
        after_loss: choice(reader, "fencing.after_loss", AfterLoss::from_word),
        watchdog: choice(reader, "fencing.watchdog", WatchdogUse::from_word),
        watchdog_device: reader
            .text("fencing.watchdog_device")
            .map_or_else(|| PathBuf::from(defaults::WATCHDOG_DEVICE), PathBuf::from),
    }
}

fn api(reader: &mut Reader, host: &str) -> Api {
    let written = reader.text("api.listen").unwrap_or_else(|| defaults::API_LISTEN.to_owned());
    let listen = check(
        reader,
        "api.listen",
        written.parse::<SocketAddr>().map_err(|_| {
            let remedy = "write an IP address of this host and a port, for example \"0.0.0.0:9090\" or \"[::]:9090\"";
            ("is not an IP address with a port".to_owned(), remedy.to_owned())
        }),
    );
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    let tls = api_tls(reader);
    let written = advertise(reader);
    let advertised_host = written.is_none().then(|| host.to_owned());
    let advertise = written.unwrap_or_else(|| {
        let scheme = if tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}:{}", listen.port())
    });
    let token = token_file(reader, "api.token_file");
    let read_token = token_file(reader, "api.read_token_file");
    let listed = |secret: &Option<Secret>| -> Vec<String> {
        let text = secret.as_ref().map(Secret::reveal).unwrap_or_default();
        tokens::named(text).map(|it| it.token.to_owned()).collect()
    };
    if listed(&read_token).iter().any(|it| listed(&token).contains(it)) {
        reader.reject(
            "api.read_token_file",
            "holds the same token as api.token_file, so that whoever may read may also change",
            "write another token into it",
        );
    }
    Api { listen, advertise, advertised_host, token, read_token, tls }
}

fn advertise(reader: &mut Reader) -> Option<String> {
    let key = "api.advertise";
    let text = reader.text(key)?;
    if checks::has_credentials(&text) {
        let [what, remedy] = PUBLISHED_CREDENTIALS;
        reader.reject_unshown(key, what, remedy);
        return None;
    }
    check(reader, key, checks::short_enough(&text, checks::LONGEST_PUBLISHED_URL))?;
    check(reader, key, checks::base_url(&text))
}

fn url(reader: &mut Reader, key: &'static str, schemes: Schemes, example: &str) -> Option<String> {
    let text = reader.text(key)?;
    if checks::has_credentials(&text) {
        let [what, remedy] = PUBLISHED_CREDENTIALS;
        reader.reject_unshown(key, what, remedy);
        return None;
    }
    check(reader, key, checks::url(&text, schemes, example)).map(|_| text)
}

fn api_tls(reader: &mut Reader) -> Option<ApiTls> {
    both_or_none(reader, "api.tls.cert", "api.tls.key");
    let cert = file(reader, "api.tls.cert", files::certificates);
    let key = file(reader, "api.tls.key", files::private_key);
    let client_ca = file(reader, "api.tls.client_ca", files::certificates);
    if client_ca.is_some() && !reader.asks("api.tls.cert") && !reader.asks("api.tls.key") {
        reader.reject(
            "api.tls.client_ca",
            "has no effect without a certificate of the server",
            "write api.tls.cert and api.tls.key too, or leave it out",
        );
    }
    let path = |(path, _): (String, String)| PathBuf::from(path);
    Some(ApiTls { cert: path(cert?), key: path(key?), client_ca: client_ca.map(path) })
}

fn both_or_none(reader: &mut Reader, cert: &'static str, key: &'static str) {
    let (present, absent) = match (reader.asks(cert), reader.asks(key)) {
        (true, false) => (cert, key),
        (false, true) => (key, cert),
        _ => return,
    };
    reader.reject(absent, format!("is missing, and {present} is useless without it"), "give both, or none");
}

/// Path and text of a file that a key names, if it does.
fn file(reader: &mut Reader, key: &'static str, read: fn(&str) -> Result<String, Refusal>) -> Option<(String, String)> {
    let path = reader.text(key)?;
    check(reader, key, read(&path)).map(|text| (path, text))
}

fn token_file(reader: &mut Reader, key: &'static str) -> Option<Secret> {
    let (path, text) = file(reader, key, files::tokens)?;
    Some(Secret::from_file(path, text))
}

fn secret(reader: &mut Reader, key: &'static str, valid: fn(&str) -> Result<(), Refusal>) -> Option<Secret> {
    let (path, text) = file(reader, key, files::secret)?;
    check(reader, key, valid(&text))?;
    Some(Secret::from_file(path, text))
}
