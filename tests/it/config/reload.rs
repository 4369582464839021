//! What a reload changes, and what needs a restart.

use super::*;

#[test]
fn a_reload_tells_what_takes_effect_from_what_needs_a_restart() {
    let files = Files::new();
    let token = files.write("token", 0o600, "one");
    let text = format!(
        "log_level = \"warn\"\n{LEAST}[candidate]\npriority = 5\ntags = {{ a = \"b\" }}\n[drain]\ntimeout = \"1s\"\n\
         [hooks]\non_active = [\"x\"]\n[health]\nfailures = 9\n[api]\ntoken_file = {token:?}\n"
    );
    let old = valid(&text);
    assert_eq!(config::reload_differences(&old, &valid(&text)), []);
    files.write("token", 0o600, "two");
    let same_file = config::reload_differences(&old, &valid(&text));
    assert_eq!(
        same_file.iter().map(|change| (change.key.as_str(), change.takes_effect)).collect::<Vec<_>>(),
        [("api.token_file", true)]
    );
    let changes = config::reload_differences(&valid(LEAST), &old);
    let live: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.takes_effect)).collect();
    let expected = [
        "log_level",
        "health.failures",
        "drain.timeout",
        "hooks.on_active",
        "candidate.priority",
        "candidate.tags",
        "api.token_file",
    ];
    assert_eq!(live, expected.map(|key| (key, true)));
    let moved = LEAST.replace("/mnt/volume", "/mnt/other").replace("zk1", "zk2").replace("\"1\"]", "\"2\"]");
    let changes = config::reload_differences(&valid(LEAST), &valid(&moved));
    let restart: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.takes_effect)).collect();
    assert_eq!(restart, [("zookeeper.servers", false), ("lock.directory", false), ("coordinator.command", false)]);
}

#[test]
fn a_changed_variable_needs_a_restart_although_its_value_is_hidden() {
    let text = |value: &str| with("coordinator", &format!("environment = {{ X = \"{value}\" }}"));
    let changes = config::reload_differences(&valid(&text("one")), &valid(&text("two")));
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].key.as_str(), changes[0].takes_effect), ("coordinator.environment", false));
}

#[test]
fn switching_tls_on_needs_a_restart_and_another_certificate_does_not() {
    let files = Files::new();
    let cert = files.write("cert.pem", 0o644, CERTIFICATE);
    let other = files.write("other.pem", 0o644, CERTIFICATE);
    let key = files.write("key.pem", 0o600, KEY);
    let tls = |cert: &Path| {
        valid(&with("api", &format!("advertise = \"http://h:1\"\ntls = {{ cert = {cert:?}, key = {key:?} }}")))
    };
    let plain = valid(&with("api", "advertise = \"http://h:1\""));
    let on = config::reload_differences(&plain, &tls(&cert));
    assert!(on.len() == 2 && on.iter().all(|change| !change.takes_effect), "{on:?}");
    let renewed = config::reload_differences(&tls(&cert), &tls(&other));
    assert!(renewed.len() == 1 && renewed[0].takes_effect, "{renewed:?}");
}

/// Two values of every key, with what else the file must say for them; `mode` has only one that this version takes.
fn variants(files: &Files) -> Vec<(&'static str, String, String)> {
    let file = |name: &str, mode: u32, content: &str| format!("{:?}", files.write(name, mode, content));
    let (cert, other_cert) = (file("c1", 0o644, CERTIFICATE), file("c2", 0o644, CERTIFICATE));
    let changed = format!("\n{CERTIFICATE}");
    let (ca, other_ca) = (file("a1", 0o644, CERTIFICATE), file("a2", 0o644, &changed));
    let (key, other_key) = (file("k1", 0o600, KEY), file("k2", 0o600, &format!("\n{KEY}")));
    let tls = format!("api.tls.cert = {cert}\napi.tls.key = {key}");
    let zookeeper_tls = format!("zookeeper.tls.ca = {ca}\nzookeeper.tls.cert = {ca}\nzookeeper.tls.key = {key}");
    let fencing = "fencing.command = [\"/bin/true\"]".to_owned();
    let short = "zookeeper.heartbeat_interval = \"500ms\"".to_owned();
    let none = String::new();
    let quoted = |text: &str| format!("{text:?}");
    let pairs = [
        ("cluster", quoted("c"), quoted("d"), &none),
        ("node", quoted("n"), quoted("m"), &none),
        ("election", quoted("zookeeper"), quoted("lock"), &none),
        ("environment", quoted("e"), quoted("f"), &none),
        ("log_level", quoted("info"), quoted("warn"), &none),
        ("zookeeper.servers", quoted("zk1:2181"), quoted("zk2:2181"), &none),
        ("zookeeper.root", quoted("/a"), quoted("/b"), &none),
        ("zookeeper.session_timeout", quoted("10s"), quoted("11s"), &short),
        ("zookeeper.tick_time", quoted("2s"), quoted("1s"), &none),
        ("zookeeper.heartbeat_interval", quoted("1s"), quoted("900ms"), &none),
        ("zookeeper.margin", quoted("500ms"), quoted("400ms"), &none),
        ("zookeeper.digest_file", file("d1", 0o600, "u:one"), file("d2", 0o600, "u:two"), &none),
        ("zookeeper.tls.ca", ca.clone(), other_ca.clone(), &zookeeper_tls),
        ("zookeeper.tls.cert", ca.clone(), other_ca.clone(), &zookeeper_tls),
        ("zookeeper.tls.key", key.clone(), other_key.clone(), &zookeeper_tls),
        ("lock.directory", quoted("/mnt/volume"), quoted("/mnt/other"), &none),
        ("lock.probe_interval", quoted("2s"), quoted("3s"), &none),
        ("lock.probe_timeout", quoted("5s"), quoted("6s"), &none),
        ("lock.min_free_space", quoted("1MiB"), quoted("2MiB"), &none),
        ("coordinator.command", "[\"/bin/true\"]".into(), "[\"/bin/false\"]".into(), &none),
        ("coordinator.kind", quoted("foreground"), quoted("forking"), &none),
        ("coordinator.working_directory", quoted("/"), quoted("/tmp"), &none),
        ("coordinator.environment", "{ A = \"1\" }".into(), "{ A = \"2\" }".into(), &none),
        ("coordinator.user", quoted("root"), quoted("daemon"), &none),
        ("coordinator.stop_signal", quoted("SIGTERM"), quoted("SIGINT"), &none),
        ("coordinator.stop_timeout", quoted("1s"), quoted("2s"), &none),
        ("coordinator.before_kill", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("coordinator.restarts.max", "1".into(), "2".into(), &none),
        ("coordinator.restarts.within", quoted("1m"), quoted("2m"), &none),
        ("coordinator.backoff.first", quoted("1s"), quoted("2s"), &none),
        ("coordinator.backoff.max", quoted("1m"), quoted("2m"), &none),
        ("coordinator.backoff.reset", quoted("1m"), quoted("2m"), &none),
        ("coordinator.endpoints", "{ web = \"a:1\" }".into(), "{ web = \"a:2\" }".into(), &none),
        ("health.startup_timeout", quoted("1m"), quoted("2m"), &none),
        ("health.http", quoted("http://a/"), quoted("http://b/"), &none),
        ("health.tcp", quoted("a:1"), quoted("a:2"), &none),
        ("health.command", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("health.interval", quoted("1s"), quoted("2s"), &none),
        ("health.timeout", quoted("1s"), quoted("2s"), &none),
        ("health.failures", "3".into(), "4".into(), &none),
        ("drain.grace_period", quoted("1s"), quoted("2s"), &none),
        ("drain.command", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("drain.timeout", quoted("1s"), quoted("2s"), &none),
        ("fencing.command", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("fencing.timeout", quoted("1s"), quoted("2s"), &none),
        ("fencing.required", "true".into(), "false".into(), &fencing),
        ("fencing.frees_lock", "true".into(), "false".into(), &fencing),
        ("fencing.after_loss", quoted("exit"), quoted("rejoin"), &none),
        ("fencing.watchdog", quoted("off"), quoted("automatic"), &none),
        ("fencing.watchdog_device", quoted("/dev/watchdog"), quoted("/dev/watchdog1"), &none),
        ("hooks.on_active", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.on_standby", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.before_start", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.after_stop", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.on_fenced", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.on_no_leader", "[\"a\"]".into(), "[\"b\"]".into(), &none),
        ("hooks.no_leader_after", quoted("1m"), quoted("2m"), &none),
        ("candidate.priority", "1".into(), "2".into(), &none),
        ("candidate.tags", "{ a = \"1\" }".into(), "{ a = \"2\" }".into(), &none),
        ("rehearsal.allowed", "true".into(), "false".into(), &none),
        ("standby.warm", "[\"/a\"]".into(), "[\"/b\"]".into(), &none),
        ("standby.warm_limit", quoted("1MiB"), quoted("2MiB"), &none),
        ("recorder.directory", quoted("/var/lib/a"), quoted("/var/lib/b"), &none),
        ("recorder.limit", quoted("1MiB"), quoted("2MiB"), &none),
        ("api.listen", quoted("127.0.0.1:1"), quoted("127.0.0.1:2"), &none),
        ("api.advertise", quoted("http://a:1"), quoted("http://a:2"), &none),
        ("api.token_file", file("t1", 0o600, "one"), file("t2", 0o600, "two"), &none),
        ("api.read_token_file", file("r1", 0o600, "three"), file("r2", 0o600, "four"), &none),
        ("api.tls.cert", cert.clone(), other_cert, &tls),
        ("api.tls.key", key, other_key, &tls),
        ("api.tls.client_ca", ca, other_ca, &tls),
    ];
    let text = |key: &str, value: &str, besides: &str| {
        let mut table: toml::Table = toml::from_str(LEAST).unwrap();
        for line in ["api.advertise = \"http://h:1\"", besides, &format!("{key} = {value}")] {
            overlay(&mut table, toml::from_str(line).unwrap());
        }
        toml::to_string(&table).unwrap()
    };
    pairs.iter().map(|(key, one, two, besides)| (*key, text(key, one, besides), text(key, two, besides))).collect()
}

fn overlay(table: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(over)) if name != "environment" => {
                overlay(below, over);
            }
            (_, value) => drop(table.insert(name, value)),
        }
    }
}

#[test]
fn every_key_is_reloaded_or_said_to_need_a_restart_and_what_is_reloaded_applies() {
    let files = Files::new();
    let variants = variants(&files);
    for key in config::keys::KEYS {
        assert!(key.path == "mode" || variants.iter().any(|(path, ..)| *path == key.path), "{} is not tried", key.path);
    }
    for (path, one, two) in variants {
        let (current, read) = (valid(&one), valid(&two));
        let differs = |a: &Config, b: &Config| config::reload_differences(a, b).into_iter().find(|it| it.key == path);
        let change =
            differs(&current, &read).unwrap_or_else(|| panic!("{path}: a change is not noticed\n{one}\n{two}"));
        assert_eq!(change.takes_effect, config::keys::find(path).unwrap().reloads(), "{path}");
        let merged = config::merge(&current, &read);
        assert_eq!(differs(&merged, &read).is_none(), change.takes_effect, "{path}: what is said is not what applies");
        assert_eq!(
            differs(&merged, &current).is_some(),
            change.takes_effect,
            "{path}: what is said is not what applies"
        );
    }
}
