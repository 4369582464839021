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
